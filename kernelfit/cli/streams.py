"""Standard streams that a command can rely on, whatever they are: closed, full, of few letters or of no width."""

import contextlib
import os
import shutil
import sys

from kernelfit.cli.wording import in_options

_NARROWEST, _WIDEST = 20, 1000  # columns: rich never ends laying text out in one, and fills lines of any length


@contextlib.contextmanager
def steady_streams():
    """Within, all three streams exist, and writing to them never fails; yields standard output.

    What could not be written is in the `failure` of a stream. Letters that a stream does not have are escaped. On
    standard error, which has what is told and no results, parameters that the core names are options.
    """
    before, columns = (sys.stdout, sys.stderr), os.environ.get("COLUMNS")
    _open_closed()
    sys.stdout, sys.stderr = steady = (_Unfailing(sys.stdout, str), _Unfailing(sys.stderr, in_options))
    if columns is not None and not (columns.isascii() and columns.isdigit() and int(columns)):
        del os.environ["COLUMNS"]  # as unset: the terminal may know better
    width = shutil.get_terminal_size().columns
    if not _NARROWEST <= width <= _WIDEST:
        os.environ["COLUMNS"] = str(min(max(width, _NARROWEST), _WIDEST))
    try:
        yield steady[0]
    finally:
        for stream in steady:
            stream.release()
        sys.stdout, sys.stderr = before
        os.environ.pop("COLUMNS", None)
        if columns is not None:
            os.environ["COLUMNS"] = columns


def _open_closed():
    """Open the streams that were closed, as by >&-: else the next file opened would take their place and their text."""
    with contextlib.suppress(OSError):
        while (number := os.open(os.devnull, os.O_RDONLY)) <= 2:  # to write to it is an error, as it was
            pass
        os.close(number)
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", closefd=False)
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", closefd=False)


class _Unfailing:
    """A text stream that escapes letters it does not have, as \\xe9, and keeps the first failure instead of raising."""

    def __init__(self, stream, worded):
        self._stream, self._worded, self._handler, self.failure = stream, worded, None, None
        if getattr(stream, "errors", None) in ("strict", "surrogateescape") and hasattr(stream, "reconfigure"):
            self._handler = stream.errors
            stream.reconfigure(errors="backslashreplace")

    def write(self, text):
        self._try(self._stream.write, self._worded(text))
        return len(text)

    def flush(self):
        self._try(self._stream.flush)

    def release(self):
        """Leave the stream as it was; after a failure it leads nowhere: Python would try to write the rest again."""
        if self._handler:
            self._try(lambda: self._stream.reconfigure(errors=self._handler))
        if self.failure:
            with contextlib.suppress(OSError, ValueError):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, self._stream.fileno())
                os.close(nowhere)

    def _try(self, write, *arguments):
        try:
            write(*arguments)
        except (OSError, ValueError) as error:  # ValueError: the stream is closed
            self.failure = self.failure or error

    def __getattr__(self, name):
        return getattr(self._stream, name)
