"""Specs: what an experiment is asked to do, each option declared once.

A spec is a frozen dataclass put together from parts: what is solved, how, where. Its fields are its options. From them
come the command line, the keys of a TOML file, the printed command, the JSON of a record, and the id of a run.
"""

import dataclasses
import functools
import hashlib
import json
import shlex
import typing
from collections.abc import Callable
from typing import Any, ClassVar, Self

from kernelfit.common.errors import InputError, suggestion
from kernelfit.common.validation import check_integer, check_number

LARGEST = 1e100  # of numbers that are asked for, or told in records: sums and squares of them stay finite


@dataclasses.dataclass(frozen=True)
class Option:
    """What is said of an option once: its help, and how it behaves.

    Attributes
    ----------
    help : str
    parse : callable, optional
        Makes the value from its text; of an option with several values, several values from each text.
    incidental : bool
        Whether the outcome does not depend on it, or only in its last bits: where data lie, how much memory is used.
    shown : bool
        Whether the printed command names it even where it has its default.
    path : bool
        Whether it is a file or a folder.
    name : str, optional
        On the command line, where that is not the field's own.
    old : str, optional
        What it was called once; still understood.
    least : float
        The smallest number that it may be.
    """

    help: str
    parse: Callable[[str], Any] | None = None
    incidental: bool = False
    shown: bool = False
    path: bool = False
    name: str | None = None
    old: str | None = None
    least: float = 0


def option(default: Any, help: str, **more: Any) -> Any:
    """Return a dataclass field with a default and an Option."""
    return dataclasses.field(default=default, metadata={"option": Option(help, **more)})


def option_of(field: dataclasses.Field) -> Option:
    """Return the Option of a field."""
    return field.metadata["option"]


def option_name(field: dataclasses.Field) -> str:
    """Return the name of a field on the command line, without dashes before it."""
    return option_of(field).name or field.name.replace("_", "-")


def names_of(field: dataclasses.Field) -> list[str]:
    """Return all names of a field on the command line, that of today first."""
    old = option_of(field).old
    return [option_name(field), *([old] if old else [])]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Spec:
    """What an experiment is asked to do.

    Each part of a spec is a dataclass that may have a `group`, the heading of its options in --help, and a method
    `check`, which raises InputError. Text that is given for an option with `parse` is parsed; what is none of the
    choices of a Literal, no whole number, no number, or too small, is refused.

    Attributes
    ----------
    words : tuple of str
        Of the command that runs it.
    """

    words: ClassVar[tuple[str, ...]] = ()
    group: ClassVar[str] = "Experiment"

    def __post_init__(self):
        kinds = hints(type(self))
        for field in dataclasses.fields(self):
            value = _checked(field, kinds[field.name], _parsed(field, getattr(self, field.name)))
            object.__setattr__(self, field.name, value)
        for part in reversed(type(self).__mro__):
            if "check" in vars(part):
                vars(part)["check"](self)

    def options(self) -> dict[str, Any]:
        """Return all options, JSON-ready."""
        values = ((field.name, getattr(self, field.name)) for field in dataclasses.fields(self))
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values}

    def identity(self, **more: str) -> str:
        """Return the hash of all that decides the outcome, and of `more`, as the hashes of the data."""
        incidental = {field.name for field in dataclasses.fields(self) if option_of(field).incidental}
        decisive = {name: value for name, value in self.options().items() if name not in incidental}
        text = json.dumps([self.words, decisive, more], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()

    def command(self) -> str:
        """Return the command line that repeats the run."""
        words = ["kernelfit", *self.words]
        for field in dataclasses.fields(self):
            value, name = getattr(self, field.name), option_name(field)
            if value == field.default and not option_of(field).shown:
                continue
            if isinstance(value, bool):
                words.append(f"--{name}" if value else f"--no-{name}")
                continue
            texts = [] if value is None else [*map(str, value)] if isinstance(value, tuple) else [str(value)]
            if any(text.startswith("-") for text in texts):  # they would be taken for options
                words += [f"--{name}={text}" for text in texts]
            elif texts:
                words += [f"--{name}", *texts]
        return shlex.join(words)

    @classmethod
    def of_command(cls, command: str) -> Self:
        """Return the spec of a command that was printed; raises InputError for words that are no options of it."""
        fields = {name: field for field in dataclasses.fields(cls) for name in names_of(field)}
        given: dict[str, list[str]] = {}
        name = None
        for word in _after(shlex.split(command), cls.words):
            if word.startswith("--"):
                name, equals, text = word.removeprefix("--").partition("=")
                given.setdefault(name, []).extend([text] if equals else [])
            elif name is None:
                raise InputError(f"{word!r} stands before any option of {' '.join(cls.words)}: {command}")
            else:
                given[name].append(word)
        values = {}
        for name, texts in given.items():
            field = fields.get(name) or fields.get(name.removeprefix("no-"))
            if field is None:
                raise InputError(f"{' '.join(cls.words)} has no option --{name}{suggestion(name, fields)}: {command}")
            values[field.name] = _read(cls, field, texts, given=name in names_of(field))
        return cls(**values)


def _after(words, known):
    """Return what follows the words of a command, whatever started it: kernelfit, python -m kernelfit, mpiexec."""
    for start in range(len(words)):
        if tuple(words[start : start + len(known)]) == known:
            return words[start + len(known) :]
    raise InputError(f"no command of kernelfit {' '.join(known)}: {shlex.join(words)}")


def _read(cls, field, texts, given):
    """Return the value of a field that these texts stand for."""
    kinds = [kind for kind in members(hints(cls)[field.name]) if kind is not type(None)]
    if bool in kinds:
        return given
    if typing.get_origin(kinds[0]) is tuple:
        convert = _converter(members(typing.get_args(kinds[0])[0]), field)
        return tuple(map(convert, texts))
    return _converter(kinds, field)(texts[-1] if texts else "")


def _converter(kinds, field):
    if option_of(field).parse:
        return str

    def convert(text):
        for kind in kinds:
            if typing.get_origin(kind) is typing.Literal:
                if text in typing.get_args(kind):
                    return text
                continue
            try:
                return kind(text)
            except ValueError:
                continue
        raise InputError(f"{field.name} = {text!r} was not understood")

    return convert


def _checked(field, hint, value):
    """Return a value, numbers as int or float; raises InputError for none of the choices, or no such number."""
    kinds, least = members(hint), option_of(field).least
    if typing.get_origin(kinds[0]) is tuple:
        if not value and field.default:
            raise InputError(f"{field.name} is empty; give one or more")
        return tuple(_checked(field, typing.get_args(kinds[0])[0], each) for each in value)
    choices = [
        choice for kind in kinds if typing.get_origin(kind) is typing.Literal for choice in typing.get_args(kind)
    ]
    if (isinstance(value, str) and value in choices) or (value is None and type(None) in kinds):
        return value
    if float in kinds:
        return check_number(field.name, value, least, LARGEST)
    if int in kinds:
        return check_integer(field.name, value, int(least))
    if bool in kinds and not isinstance(value, bool):
        raise InputError(f"{field.name} = {value!r}; it must be True or False")
    if choices:
        known = ", ".join(choices)
        raise InputError(f"{field.name} {value!r}; known are {known}{suggestion(value, choices)}")
    return value


@functools.cache
def hints(cls: type) -> dict[str, Any]:
    """Return the types of the fields of a spec."""
    return typing.get_type_hints(cls)


def members(hint: Any) -> tuple:
    """Return the members of a union, or the type alone."""
    is_union = typing.get_origin(hint) in (typing.Union, type(int | None))
    return typing.get_args(hint) if is_union else (hint,)


def _parsed(field, value):
    """Return a value that was given: text parsed where there is something to parse, several values as a tuple."""
    parse = option_of(field).parse
    if isinstance(field.default, tuple):
        values = (value,) if isinstance(value, str) or not hasattr(value, "__iter__") else tuple(value)
        if parse is None:
            return values
        return tuple(part for each in values for part in (parse(each) if isinstance(each, str) else (each,)))
    if isinstance(value, str) and parse:
        return parse(value)
    return str(value) if option_of(field).path and value is not None else value
