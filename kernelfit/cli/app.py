"""The application that commands register with."""

from cyclopts import App

from kernelfit import __version__

_EXAMPLES = """
Exact kernel interpolation and the study of implicit regularization.

    kernelfit solve                              the embedded digits, in seconds
    kernelfit solve --data mnist --bandwidth 5   the paper's section 5
    kernelfit solve --labels random --loo        random labels, leave-one-out
    kernelfit sweep --data mnist --bandwidth 5   corruption from 0 to 1, at once
    kernelfit measures                           what tells true from random labels
    kernelfit interpolants --n-train 1000        norms of other interpolants
    kernelfit descent                            double descent of random features
    kernelfit randomize --estimator sklearn.svm.SVC    can it fit random labels?
    kernelfit reproduce section5                 the paper's section 5, beside ours
    kernelfit plan --n 120000 --scratch /data    memory, disk and time beforehand
    kernelfit bench                              beside other people's solvers
    kernelfit data list                          what can be loaded by name
"""

app = App(
    name="kernelfit",
    help=_EXAMPLES,
    help_format="plaintext",
    version=__version__,
    result_action="return_value",
    suppress_keyboard_interrupt=False,
)
data_app = App(name="data", help="Datasets: list, fetch, verify, show.", help_format="plaintext")
app.command(data_app)
reproduce_app = App(name="reproduce", help="Repeat a part of the paper.", help_format="plaintext")
app.command(reproduce_app)
