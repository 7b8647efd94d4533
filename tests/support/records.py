"""Made-up results of every kind of record: the smallest values that their types allow."""

import dataclasses
import types
import typing

_PLAIN = {str: "some", int: 3, float: 0.25, bool: True, dict: {}, list: []}


def results_of(cls):
    """Return an instance of a dataclass of results, its fields without defaults filled in by their types."""
    hints, missing = typing.get_type_hints(cls), dataclasses.MISSING
    needed = [f.name for f in dataclasses.fields(cls) if f.default is missing and f.default_factory is missing]
    return cls(**{name: _value(hints[name]) for name in needed})


def _value(hint):
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return _value(arguments[0])
    if origin is list:
        return [_value(arguments[0])]
    if origin is dict:
        return {"some": _value(arguments[1])} if arguments[1] is not typing.Any else {}
    if dataclasses.is_dataclass(hint):
        return results_of(hint)
    if typing.is_typeddict(hint):
        return {name: _value(part) for name, part in typing.get_type_hints(hint).items()}
    return _PLAIN[hint]
