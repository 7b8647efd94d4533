"""The application and its commands, found by their modules and loaded when they are asked for."""

import ast
import pkgutil
from pathlib import Path

from cyclopts import App

from kernelfit import __version__
from kernelfit.cli import commands

_EXAMPLES = """
Exact kernel interpolation and the study of implicit regularization.

To begin with:
    kernelfit solve                              the embedded digits, in seconds
    kernelfit sweep --loo                        labels replaced, more and more
    kernelfit report                             all of it as one HTML page

And then:
    kernelfit solve --data mnist --bandwidth 5   the paper's section 5
    kernelfit solve --labels random --loo        random labels, leave-one-out
    kernelfit ridge --loo                        does a ridge help?
    kernelfit measures                           which number tells them apart?
    kernelfit label-issues                       which labels are likely wrong?
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


def _add_commands(app, package, folder):
    """Add the modules of a package to an application, each as a command of its name, packages as groups of commands."""
    for module in pkgutil.iter_modules([str(folder)]):
        path, name = f"{package}.{module.name}", module.name.replace("_", "-")
        if module.ispkg:
            group = App(name=name, help=_first_line(folder / module.name / "__init__.py"), help_format="plaintext")
            _add_commands(group, path, folder / module.name)
            app.command(group)
        else:
            app.command(f"{path}:command", name=name, help=_first_line(folder / f"{module.name}.py"))


def _first_line(file):
    """Return the docstring of a module that is not imported."""
    text = file.read_text(encoding="utf-8")
    return ast.get_docstring(ast.parse(text[: text.index('"""', 3) + 3])) or ""


app = App(
    name="kernelfit",
    help=_EXAMPLES,
    help_format="plaintext",
    version=__version__,
    result_action="return_value",
    suppress_keyboard_interrupt=False,
)
app.register_install_completion_command(help="Install completion for the shell in use: bash, zsh or fish.")
_add_commands(app, commands.__name__, Path(commands.__file__).parent)
