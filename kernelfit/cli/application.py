"""The application that commands register with."""

from cyclopts import App

from kernelfit import __version__

_EXAMPLES = """
Exact kernel interpolation and the study of implicit regularization.

To begin with:
    kernelfit solve                              the embedded digits, in seconds
    kernelfit sweep --loo                        labels replaced, more and more
    kernelfit report                             all of it as one HTML page

And then:
    kernelfit solve --data mnist --bandwidth 5   the paper's section 5
    kernelfit solve --labels random --loo        random labels, leave-one-out
    kernelfit measures                           which number tells them apart?
    kernelfit interpolants --n-train 1000        norms of other interpolants
    kernelfit descent                            double descent, random features
    kernelfit randomize                          can a forest fit random labels?
    kernelfit nn train --labels random           a neural net on random labels
    kernelfit reproduce section5                 the paper beside ours
    kernelfit plan --n 120000 --scratch /data    memory, disk, time beforehand
    kernelfit bench                              beside other people's solvers
    kernelfit plot sweep -o sweep.pdf            a figure for a paper
    kernelfit data list                          what can be loaded by name

Every command takes --help, --quiet, --json, and --config FILE: its options from
a TOML file, as in bandwidth = 5. NO_COLOR=1 switches colours off. Exit codes:
0, 1 after a failure, 2 after a mistake in the command, 130 after Ctrl-C.
"""

app = App(
    name="kernelfit",
    help=_EXAMPLES,
    help_format="plaintext",
    version=__version__,
    result_action="return_value",
    suppress_keyboard_interrupt=False,
)
app.register_install_completion_command(help="Install completion for the shell in use: bash, zsh or fish.")
data_app = App(name="data", help="Datasets: list, fetch, verify, show.", help_format="plaintext")
app.command(data_app)
reproduce_app = App(name="reproduce", help="Repeat a part of the paper.", help_format="plaintext")
app.command(reproduce_app)
nn_app = App(name="nn", help="Neural nets (need PyTorch: the extra nn).", help_format="plaintext")
app.command(nn_app)
