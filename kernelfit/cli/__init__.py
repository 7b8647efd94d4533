"""The command line: parse -> spec -> run -> print. Results go to standard output, all else to standard error."""

import os
import sys

from cyclopts import CycloptsError

from kernelfit.cli import (  # noqa: F401  (they register their commands)
    data,
    descending,
    interpolating,
    machine,
    nets,
    reproducing,
    showing,
    solving,
    studying,
)
from kernelfit.cli.app import app
from kernelfit.cli.config import split_config
from kernelfit.errors import InputError, KernelfitError


def main(arguments=None):
    """Run the command line; return the exit code: 0, 1 after a failure, 2 after a usage error, 130 after Ctrl-C."""
    arguments = sys.argv[1:] if arguments is None else arguments
    follows = _follows(arguments)
    try:
        arguments, config = split_config(arguments)
        app.config = () if config is None else (config,)
        code = app(arguments, exit_on_error=False, print_error=not follows) or 0
        sys.stdout.flush()  # so that a reader who has gone, or a full disk, is noticed here
        return code
    except CycloptsError:
        return 2  # cyclopts has printed what is wrong
    except KernelfitError as error:
        # All processes of mpiexec see a wrong option, and what they agreed on.
        if not (follows and (isinstance(error, InputError) or getattr(error, "agreed", False))):
            print(f"kernelfit: {error}", file=sys.stderr)
        return 2 if isinstance(error, InputError) else 1
    except KeyboardInterrupt as error:
        if not follows:
            print(f"kernelfit: interrupted; {error or 'nothing was written half'}", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of our output has gone, as in `kernelfit data list | head -1`; Python flushes once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (OSError, MemoryError) as error:
        print(f"kernelfit: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    finally:
        app.config = ()  # a file of options is for one command


def _follows(arguments):
    """Whether this is one of several processes of mpiexec, and not the first, which speaks for all."""
    numbers = (os.environ.get(name, "0") for name in ("PMI_RANK", "PMIX_RANK"))
    return any(word.endswith("mpi") for word in arguments) and any(number != "0" for number in numbers)
