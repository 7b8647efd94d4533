"""The command line: parse -> spec -> run -> write -> show. Results go to standard output, all else to the other one."""

import contextlib
import os
import signal
import sys


def __getattr__(name):
    if name == "app":  # the application with all its commands, loaded when it is asked for
        from kernelfit.cli.program import app

        return app
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def main(arguments=None):
    """Run the command line; return the exit code: 0, 1 after a failure, 2 after a usage error, 130 after Ctrl-C."""
    with _ending_at_once():
        from kernelfit.cli.program import run
    try:
        return run(sys.argv[1:] if arguments is None else arguments)
    except KeyboardInterrupt:  # outside of the work itself, where run tells it
        print("kernelfit: interrupted; no file is left half written", file=sys.stderr)
        return 130


@contextlib.contextmanager
def _ending_at_once():
    """Let Ctrl-C end the process: Python's own handler raises into the loading of modules, where it may be lost."""
    try:
        before = signal.signal(signal.SIGINT, _end)
    except ValueError:  # not the main thread, which alone has handlers
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _end(number, frame):
    os.write(2, b"kernelfit: interrupted before it began\n")
    os._exit(130)
