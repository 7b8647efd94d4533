"""What the core says in Python, said as on the command line: `ridge=1e-6` becomes --ridge 1e-6.

A message of the core marks the parameters that it names with backticks, alone or with a value. Those that the command
has become its options; others, as n of a function that the command calls, stay, without their backticks.
"""

import inspect
import re
import shlex
from collections.abc import Callable

_MARKED = re.compile(r"`([^\W\d]\w*)(?:=([^`]*))?`")
_command: list[Callable] = []  # the one that runs; none while the words are parsed


def speak_for(command: Callable | None) -> None:
    """Let `in_options` take the parameters of this command for options from now on; None for those of none."""
    _command[:] = [command] if command else []


def in_options(text: str) -> str:
    """Return a text in which marked parameters are options of the command that runs, and no longer marked."""
    names = {name: option for command in _command for name, option in _options(command)}

    def option(match):
        name, value = match.groups()
        if name not in names:
            return match[0].strip("`")
        value = "" if value in (None, "True") else " " + shlex.quote(value.strip("\"'"))  # a flag has no value
        return names[name] + value

    return _MARKED.sub(option, text)


def _options(command):
    """Yield (name, option) of the parameters of a command."""
    for name, parameter in inspect.signature(command).parameters.items():
        said = [part.name for part in getattr(parameter.annotation, "__metadata__", ()) if getattr(part, "name", None)]
        yield name, said[0][0] if said else f"--{name.replace('_', '-')}"
