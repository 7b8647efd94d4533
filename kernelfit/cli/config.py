"""Options from a TOML file: --config FILE, for every command.

What starts a command imports NumPy, as kernelfit.common.errors does, only where it is needed: help is to come at once.
"""

import contextlib
import sys
import tomllib
import typing

from cyclopts import CoercionError
from cyclopts.config import Dict

RENAMED: dict[str, str] = {}  # what options of the command were called once, and are called today


def split_config(arguments):
    """Return the arguments without --config FILE, and the options in that file for cyclopts, or None.

    The keys of the file are the options without their dashes. What stands on the command line wins.

    Raises
    ------
    InputError
        --config without a file, or twice; a file that is not there, or no TOML.
    """
    if not any(word.startswith("--config") for word in arguments):
        return list(arguments), None
    from kernelfit.common.errors import InputError
    from kernelfit.common.files import expanded

    kept, found, rest = [], [], list(arguments)
    while rest:
        word = rest.pop(0)
        if word == "--":
            kept += [word, *rest]
            break
        if word == "--config":
            if not rest:
                raise InputError("--config needs the name of a TOML file, as in --config run.toml")
            found.append(rest.pop(0))
        elif word.startswith("--config="):
            found.append(word.removeprefix("--config="))
        else:
            kept.append(word)
    if len(found) > 1:
        raise InputError(f"--config was given {len(found)} times ({', '.join(found)}); give one file")
    return kept, _read(expanded(found[0])) if found else None


def refuse_fractions(app, commands, arguments):
    """Refuse 1.5 where a whole number is asked for: cyclopts would round it without a word."""
    for argument in arguments:
        if int in (argument.hint, *typing.get_args(argument.hint)):
            for token in argument.tokens:
                with contextlib.suppress(ValueError):  # no number at all: cyclopts says so
                    if not float(token.value).is_integer():
                        raise CoercionError(token=token, argument=argument, target_type=int)


def tell_renamed(app, commands, arguments):
    """Say what an option is called today where what it was called once is given."""
    for argument in arguments:
        for token in argument.tokens:
            given = f"--{(token.keyword or '').strip('-[]').replace('_', '-')}"  # in a file it is [levels]
            if given in RENAMED:
                print(f"kernelfit: {given} is called {RENAMED[given]} now", file=sys.stderr)
                break


def _read(path):
    from kernelfit.common.errors import InputError

    try:
        content = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputError(f"--config {path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(
            f'--config {path} is no TOML: {error}. Write a line for each option, as in data = "mnist"'
        ) from error
    config = Dict(content, source=str(path))
    # As the options of a command without a name: cyclopts would skip keys that are names of commands, as data and plot.
    return lambda app, commands, arguments: config(app, (), arguments)
