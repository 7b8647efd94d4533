"""The command line: parse -> spec -> run -> write -> show. Results go to standard output, all else to the other one."""

import sys


def __getattr__(name):
    if name == "app":  # the application with all its commands, loaded when it is asked for
        from kernelfit.cli.program import app

        return app
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def main(arguments=None):
    """Run the command line; return the exit code: 0, 1 after a failure, 2 after a usage error, 130 after Ctrl-C."""
    try:
        from kernelfit.cli.program import run  # here, since loading takes a moment in which Ctrl-C may come

        return run(sys.argv[1:] if arguments is None else arguments)
    except KeyboardInterrupt:
        print("kernelfit: interrupted at its start or end; no file is left half written", file=sys.stderr)
        return 130
