"""The options of a command: those of its spec, from the spec itself, and those that all commands share.

Every option says what it is, in which unit, and what it is by default: where that is None, in its help.
"""

import dataclasses
import inspect
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Group, Parameter

from kernelfit.cli.config import RENAMED
from kernelfit.common.spec import Spec, hints, members, names_of, option_of

OUTPUT = Group("Output", sort_key=9)
_FIRST = ("What is repeated", "What is compared", "What is fitted", "The net", "How it is trained")
Runs = Annotated[Path, Parameter(group=OUTPUT, help="Folder whose records.jsonl gets what was measured.")]
KeptRuns = Annotated[
    Path,
    Parameter(group=OUTPUT, help="Folder whose records.jsonl gets what was measured; what it holds is not run again."),
]
Out = Annotated[
    tuple[Path, ...],
    Parameter(
        name=["--out", "-o", "--plot"],
        negative=(),
        group=OUTPUT,
        show_default=lambda paths: "none",
        help="File to write: the figure, if there is one, as .svg, .png or .pdf, the table as .md; several times "
        "for several files.",
    ),
]
Json = Annotated[
    bool,
    Parameter(
        name="--json", negative=(), show_default=False, group=OUTPUT, help="Print JSON alone on standard output."
    ),
]
Quiet = Annotated[
    bool, Parameter(negative=(), show_default=False, group=OUTPUT, help="No plan and no progress on standard error.")
]
DataDir = Annotated[
    Path | None,
    Parameter(help="Folder to look for data in before all others, and to download to; default: the usual places."),
]
DataName = Annotated[str, Parameter(help="digits, mnist, cifar10, synthetic[:D], an .npz file, or class folders.")]


def of_spec(spec_type: type[Spec]) -> Callable[[Callable], Callable]:
    """Return a decorator for a command(spec, *, ...): the options of the spec are options of the command.

    What the command gets is a spec made of them, and its own options.
    """

    def decorate(command):
        def run(**given):
            own = {name: given.pop(name) for name in list(given) if name in taken}
            return command(spec_type(**given), **own)

        fields = {field.name: field for field in dataclasses.fields(spec_type)}
        own = [each for each in inspect.signature(command).parameters.values() if each.name != "spec"]
        taken = {each.name for each in own}
        offered = [field for name, field in fields.items() if name not in taken]
        offered.sort(key=lambda field: option_of(field).incidental)  # what decides the outcome stands first in --help
        parameters = [_parameter(spec_type, field) for field in offered]
        run.__signature__ = inspect.Signature([*parameters, *own])
        run.__annotations__ = {each.name: each.annotation for each in (*parameters, *own)}
        run.__doc__, run.__name__, run.__module__ = command.__doc__, command.__name__, command.__module__
        return run

    return decorate


def _parameter(spec_type, field):
    """Return the parameter of a command that stands for a field of its spec."""
    option, hint = option_of(field), hints(spec_type)[field.name]
    several = typing.get_origin(members(hint)[0]) is tuple
    if option.path:
        hint = Path | None
    elif option.parse:  # text that the spec parses
        hint = tuple[str, ...] if several else str | None
    default = field.default
    if option.parse:
        default = tuple(map(str, default)) if several else None if default is None else str(default)
    more: dict[str, Any] = {}
    if hint is bool and default is False:
        more |= {"negative": (), "show_default": False}
    if several:
        more |= {"negative": (), "consume_multiple": True, "show_default": in_words if default else False}
    group = _group_of(spec_type, field.name)
    names = [f"--{name}" for name in names_of(field)]
    RENAMED.update(dict.fromkeys(names[1:], names[0]))
    annotation = Annotated[hint, Parameter(name=names, help=option.help, group=group, **more)]
    return inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _group_of(spec_type, name):
    """Return the group of an option: that of the part that declares it first."""
    [*_, title] = [part.group for part in spec_type.__mro__ if name in vars(part).get("__annotations__", ())]
    return Group(title, sort_key=_FIRST.index(title) if title in _FIRST else len(_FIRST))


def in_words(values):
    """Return several values as they are written on the command line: what help shows as their default."""
    return " ".join(map(str, values))
