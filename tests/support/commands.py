"""The commands of the command line, for tests that go through all of them."""

import dataclasses
import inspect
import typing

from kernelfit import cli


def commands(app=None, words=()):
    """Yield (words, function) of every command, those of other commands too."""
    app = app or cli.app
    for name in app:
        if not name.startswith("-"):
            found = app[name]
            if found.default_command is None:
                yield from commands(found, (*words, name))
            else:
                yield (*words, name), found.default_command


def parameters(function):
    """Yield (name, annotation, default) of every option of a command, those of groups among them."""
    hints = typing.get_type_hints(function, include_extras=True)
    for name, parameter in inspect.signature(function).parameters.items():
        if dataclasses.is_dataclass(parameter.default):
            group = typing.get_type_hints(type(parameter.default), include_extras=True)
            yield from (
                (field.name, group[field.name], field.default) for field in dataclasses.fields(parameter.default)
            )
        else:
            yield name, hints[name], parameter.default
