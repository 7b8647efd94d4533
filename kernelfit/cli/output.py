"""What commands show on standard output, and the files that they write.

What is shown is shown when the files are written, or could not be: so neither a disk that is full, nor a reader who has
gone, nor a failure to draw a table loses what was computed. Hence show_text, show_json and show_table only note what is
to be shown, and show_now, which is called last of all, makes the texts and writes them; it never raises.
"""

import contextlib
import sys
from collections.abc import Callable

from kernelfit.cli.wording import in_options

_waiting: list[Callable[[], str]] = []  # functions that return a text, in order


def show_text(line):
    """Show a line of text."""
    _waiting.append(lambda: in_options(f"{line}\n"))


def show_json(value):
    """Show a value, or what its own to_json() says of it, as a line of strict JSON."""
    from kernelfit.records.record import to_json

    _waiting.append(lambda: (value.to_json() if hasattr(value, "to_json") else to_json(value)) + "\n")


def show_table(make, *arguments):
    """Show the Table that make(*arguments) returns."""
    _waiting.append(lambda: _rendered(make(*arguments)))


@contextlib.contextmanager
def showing(make, json):
    """Yield a list to put rows into; what is there at the end, whatever ended it, is shown: as JSON, or make(rows)."""
    rows = []
    try:
        yield rows
    finally:
        if rows and json:
            show_json(rows)
        elif rows:
            show_table(make, rows)


def show_now():
    """Write to standard output what waits to be shown; return the exceptions that kept something from being made."""
    failures = []
    while _waiting:
        try:
            sys.stdout.write(_waiting.pop(0)())
        except Exception as error:
            failures.append(error)
    sys.stdout.flush()
    return failures


def write_each(progress, *writes):
    """Call functions that each write a file and return a sentence on it; one that fails does not keep the next back.

    Raises what was raised: itself where it is one, and else a KernelfitError with all sentences.
    """
    failures = []
    for write in writes:
        try:
            progress.note(write())
        except Exception as error:
            failures.append(error)
    if len(failures) == 1:
        raise failures[0]
    if failures:
        from kernelfit.common.errors import KernelfitError

        raise KernelfitError("; ".join(f"{type(error).__name__}: {error}" for error in failures)) from failures[0]


def _rendered(table):
    from rich.console import Console

    from kernelfit.report.render.terminal import renderable

    console = Console()
    with console.capture() as captured:
        console.print(renderable(table))
    return in_options(captured.get())
