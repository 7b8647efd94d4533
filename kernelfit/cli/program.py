"""One command from its words to its exit code: parsed, run, shown; and every failure told in a sentence."""

import os
import sys
import traceback
from pathlib import Path

from cyclopts import CycloptsError

from kernelfit.cli.application import app
from kernelfit.cli.config import refuse_fractions, split_config, tell_renamed
from kernelfit.cli.output import show_now
from kernelfit.cli.streams import steady_streams
from kernelfit.cli.wording import speak_for


def run(arguments):
    """Run a command; return the exit code: 0, 1 after a failure, 2 after a usage error, 130 after Ctrl-C."""
    follows = _follows(arguments)
    speak_for(None)
    with steady_streams() as output:
        code, failures = 0, []
        try:
            command, bound = parsed(arguments, print_error=not follows)
            speak_for(command)
            code = command(*bound.args, **bound.kwargs) or 0
        except CycloptsError:
            code = 2  # cyclopts has printed what is wrong
        except (Exception, KeyboardInterrupt) as error:
            code, failures = _exit_code(error), [error]
        failures += show_now()
        for failure in failures:
            if not (follows and _known_to_all(failure)):
                print(f"kernelfit: {sentence(failure)}", file=sys.stderr)
        # A reader who has gone, as in `kernelfit data list | head -1`, has what they wanted, and is told nothing.
        if output.failure and not isinstance(output.failure, BrokenPipeError):
            print(f"kernelfit: standard output cannot be written: {output.failure}", file=sys.stderr)
        return code or int(bool(failures or output.failure))


def parsed(arguments, **options):
    """Return (function, BoundArguments) of a command: the options of --config are in, and ~ in paths is a folder."""
    words, config = split_config(arguments)
    app.config = (*([config] if config else []), refuse_fractions, tell_renamed)
    try:
        command, bound, _ = app.parse_args(words, exit_on_error=False, **options)
    finally:
        app.config = ()  # a file of options is for one command
    for name, value in bound.arguments.items():
        bound.arguments[name] = _usable(name, value, config)
    return command, bound


def _usable(name, value, config):
    """Return the value of an option with ~ in paths expanded; raises InputError for an empty list of a file."""
    if config and value == []:  # older cyclopts let it through
        from kernelfit.common.errors import InputError

        raise InputError(f"--{name.replace('_', '-')} = []; give it a value")
    if isinstance(value, tuple):
        return tuple(_usable(name, each, config) for each in value)
    if isinstance(value, Path):
        from kernelfit.common.files import expanded

        return expanded(value)
    return value


def sentence(error):
    """Return what a failure is told as: one line."""
    from kernelfit.common.errors import KernelfitError

    if isinstance(error, KeyboardInterrupt):
        return f"interrupted; {str(error) or 'no file is left half written'}"
    if isinstance(error, KernelfitError):
        return str(error)
    told = " ".join(f"{type(error).__name__}: {error}".split())
    if isinstance(error, OSError | MemoryError):
        return told
    if os.environ.get("KERNELFIT_TRACEBACK"):
        traceback.print_exception(error)
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{told} ({place.name}, line {place.lineno} of {place.filename}; KERNELFIT_TRACEBACK=1 shows the way there)"


def _exit_code(error):
    from kernelfit.common.errors import InputError

    return 130 if isinstance(error, KeyboardInterrupt) else 2 if isinstance(error, InputError) else 1


def _known_to_all(error):
    """Whether all processes of mpiexec see the failure, so that the first speaks for all."""
    from kernelfit.common.errors import InputError

    return isinstance(error, InputError | KeyboardInterrupt) or getattr(error, "agreed", False)


def _follows(arguments):
    """Whether this is one of several processes of mpiexec, and not the first, which speaks for all."""
    numbers = (os.environ.get(name, "0") for name in ("PMI_RANK", "PMIX_RANK"))
    told = any(word.endswith("mpi") or word.startswith("--config") for word in arguments)
    return told and any(number != "0" for number in numbers)
