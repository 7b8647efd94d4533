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
    usual = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # not ignored, and nobody else's
    with contextlib.suppress(ValueError):  # not the main thread, which alone has handlers
        usual and signal.signal(signal.SIGINT, _end)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            usual and signal.signal(signal.SIGINT, signal.default_int_handler)


def _end(number, frame):
    os.write(2, b"kernelfit: interrupted before it began\n")
    os._exit(130)
