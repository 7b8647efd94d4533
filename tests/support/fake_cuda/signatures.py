"""What CuPy has and which arguments it takes, from cupy.txt; the stand-in has and takes nothing else."""

import functools
import inspect
import types
from pathlib import Path


def _listed():
    lines = (Path(__file__).parent / "cupy.txt").read_text().splitlines()
    return {name: rest.rstrip(")") for name, bracket, rest in (line.partition("(") for line in lines[1:])}


LISTED = _listed()


def checked(name, function, *, method=False):
    """Return a function of the stand-in that takes the arguments of CuPy's function `name`, and of others TypeError."""
    assert name in LISTED, f"CuPy has no {name}"
    if LISTED[name] in ("", "..."):
        return function
    signature = inspect.signature(eval(f"lambda {LISTED[name].replace('=', '=None')}: 0"))

    @functools.wraps(function)
    def run(*arguments, **options):
        try:
            signature.bind(*arguments[method:], **options)
        except TypeError as error:
            raise TypeError(f"CuPy's {name}({LISTED[name].replace('=', '=...')}): {error}") from None
        return function(*arguments, **options)

    return run


def like_cupys(name):
    """Return a decorator for a class of the stand-in: its methods become `checked`, as those of CuPy's class `name`."""

    def hold(kind):
        for attribute, value in list(vars(kind).items()):
            special = attribute.startswith("__") and not hasattr(type("", (), {}), attribute)
            if attribute.startswith("_") and not special and attribute != "__init__":
                continue  # the stand-in's own, and Python's
            assert f"{name}.{attribute}" in LISTED, f"CuPy's {name} has no {attribute}"
            if isinstance(value, types.FunctionType):
                setattr(kind, attribute, checked(f"{name}.{attribute}", value, method=True))
        return kind

    return hold


def hold(module, prefix=""):
    """Make all functions of a module of the stand-in, and of those within it, `checked`."""
    for attribute, value in list(vars(module).items()):
        name = prefix + attribute
        if attribute.startswith("__"):
            continue
        if isinstance(value, types.SimpleNamespace):
            hold(value, f"{name}.")
        elif isinstance(value, type) or not callable(value):
            assert name in LISTED, f"CuPy has no {name}"
        else:
            setattr(module, attribute, checked(name, value))
    return module
