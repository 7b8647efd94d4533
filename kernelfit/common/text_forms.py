"""Names with options, name(option=value, ...), as texts of the command line and of files write them."""

import ast
import importlib
import inspect
import re
import sys
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from kernelfit.common.errors import InputError, suggestion

IMPORT_PATH = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")  # module:name
LONGEST = 4000  # characters that are read of what somebody types
LONGEST_IN_FILE = 10**6  # a bandwidth for each of 784 pixels takes 16,000

T = TypeVar("T")


def parse_expression(text: str, kind: str, longest: int = LONGEST) -> ast.expr:
    """Return the syntax tree of a text; raises InputError with what `kind` ("kernel", "features") is written like."""
    if not isinstance(text, str):
        raise InputError(f"{kind} is named by a text, not by {type(text).__name__} {str(text)[:60]}")
    if len(text) > longest:
        raise InputError(f"{kind} {text[:60]!r}... has {len(text):,} characters; at most {longest:,} are read")
    return ast.parse(text.strip(), mode="eval").body


def named_options(node: ast.expr) -> tuple[str, dict[str, Any]] | None:
    """Return (name, options) of a tree that is a name or a name with keyword options of literal values, or None."""
    match node:
        case ast.Name(name):
            return name, {}
        case ast.Call(ast.Name(name), [], keywords) if len({word.arg for word in keywords if word.arg}) == len(
            keywords
        ):
            return name, {word.arg: ast.literal_eval(word.value) for word in keywords if word.arg}
    return None


def look_up(name: str, known: Mapping[str, T], kind: str) -> T:
    """Return `known[name]`; raises InputError that suggests the nearest name and lists all."""
    if name not in known:
        raise InputError(f"no {kind} is called {name!r}{suggestion(name, known)}; there are: {', '.join(known)}")
    return known[name]


def make_named(name: str, options: Mapping[str, Any], known: Mapping[str, Callable[..., T]], kind: str) -> T:
    """Return `known[name](**options)`; raises InputError that suggests the nearest name or option and lists all."""
    make = look_up(name, known, kind)
    fields = list(inspect.signature(make).parameters)
    for option in options:
        if option not in fields:
            listed = f"it has {', '.join(fields)}" if fields else "it has none"
            raise InputError(f"{name} has no option {option!r}{suggestion(option, fields)}; {listed}")
    return make(**options)


def import_callable(path: str, kind: str) -> Callable[..., Any]:
    """Return the function or class that an IMPORT_PATH names; a module may be a file of the current folder.

    Raises InputError with what `kind` ("kernel", "model") was asked for, if there is none.
    """
    module, _, name = path.partition(":")
    sys.path.insert(0, "")
    try:
        found = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except Exception as error:  # a user's module may fail in any way
        known = [each for each in dir(getattr(error, "obj", None)) if not each.startswith("_")]
        hint = suggestion(error.name, known) if isinstance(error, AttributeError) else ""
        raise InputError(f"{kind} {path} could not be imported: {type(error).__name__}: {error}{hint}") from error
    finally:
        sys.path.remove("")
    if not callable(found):
        raise InputError(f"{kind} {path} is a {type(found).__name__}, not a function or class")
    return found
