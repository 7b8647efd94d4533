"""The commands of the command line and the specs behind them, for tests that go through all of them."""

import dataclasses
import random
import typing

from kernelfit import cli
from kernelfit.common.errors import InputError
from kernelfit.common.spec import hints, members, option_of
from kernelfit.experiments.paper.nets import Figure1Spec, Figure2Spec, Table1Spec
from kernelfit.experiments.registry import find, kinds

SPECS = {spec.words: spec for spec in (*(find(kind).spec for kind in kinds()), Table1Spec, Figure1Spec, Figure2Spec)}
# Texts that an option understands, where not any will do; each but the default.
_TEXTS = {
    "data": ["synthetic:20", "a folder/with 'quotes'"],
    "labels": ["random", "0.25"],
    "augment": ["flip + shift(1)"],
    "others": ["pairs x 2", "forced", "perturbed(0.25)"],
    "contenders": ["kernelfit float64", "scipy"],
    "param": ["criterion=a b", "max_depth=3"],
}


def commands(app=None, words=()):
    """Yield (words, App) of every command, those of groups of commands too."""
    app = app or cli.app
    for name in app:
        if not name.startswith("-"):
            found = app[name]
            if found.default_command is None:
                yield from commands(found, (*words, name))
            else:
                yield (*words, name), found


def options(app):
    """Return the Arguments of a command that stand for its options."""
    return [argument for argument in app.assemble_argument_collection() if argument.names != ("*",)]


def drawn(spec_type, seed=0):
    """Return specs of random options: in one of them at least, each option has another value than its default."""
    rng, found = random.Random(seed), []
    fields = {field.name: field for field in dataclasses.fields(spec_type)}
    missing = set(fields)
    for _ in range(20_000):
        given = {name: _drawn(field, spec_type, rng) for name, field in fields.items() if rng.random() < 0.3}
        try:
            spec = spec_type(**given)
        except InputError:  # options that do not go together
            continue
        new = {name for name in missing if getattr(spec, name) != fields[name].default}
        if new:
            missing -= new
            found.append(spec)
        if not missing:
            return found
    raise AssertionError(f"{spec_type.__name__} takes no value of {missing}")


def _drawn(field, spec_type, rng):
    """Return a value of a field that its spec may take."""
    kinds = [kind for kind in members(hints(spec_type)[field.name]) if kind is not type(None)]
    if typing.get_origin(kinds[0]) is tuple:
        kinds = members(typing.get_args(kinds[0])[0])
        return tuple(_value(field, kinds, spec_type, rng) for _ in range(rng.randint(1, 3)))
    return _value(field, kinds, spec_type, rng)


def _value(field, kinds, spec_type, rng):
    kind, least = rng.choice(kinds), option_of(field).least
    if typing.get_origin(kind) is typing.Literal:
        return rng.choice(typing.get_args(kind))
    if kind is bool:
        return rng.random() < 0.5
    if kind is int:
        return rng.randint(int(least), 10**6)
    if kind is float:
        return rng.choice([rng.random(), 1e-17 * rng.random(), 1 / 3])
    if field.name == "rows":
        return rng.choice(spec_type().names())
    return rng.choice(_TEXTS.get(field.name, ["some words, 'quoted'", "~/a b/c(d=[1, 2])"]))
