"""All that the compiled code of a function depends on, as one text: equal texts, equal code."""

import dataclasses
import dis
import functools
import importlib.util
import os
import platform
import types
from collections.abc import Iterator
from typing import Any

import numpy as np

_KNOWN = {"builtins", "math", "numpy"}  # modules whose content is told by the versions


class UnknownError(Exception):
    """A function uses what cannot be told by a text."""


@dataclasses.dataclass(frozen=True)
class LateModule:
    """Stands for a module of this package that is imported when a function that uses it is compiled, and not before."""

    name: str


def fingerprint(function: types.FunctionType) -> str:
    """Return the text of a function's instructions, of all it uses, and of what compiles it.

    Functions that it calls by name are told in the same way, numbers and texts by their values, a LateModule by its
    source; and beside them the versions of Python, NumPy, numba and LLVM, numba's settings, and the processor.

    Raises UnknownError where it uses anything else, such as an array or a module that is not NumPy's.
    """
    return "\n".join([*_toolchain(), *_told(function, set())])


def used(function: types.FunctionType) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what a function takes from its module by name, and from the functions around it; builtins are neither."""
    found = {name: function.__globals__[name] for name in _global_names(function.__code__) & set(function.__globals__)}
    cells = [cell.cell_contents for cell in function.__closure__ or ()]
    return found, dict(zip(function.__code__.co_freevars, cells, strict=True))


def _global_names(code):
    own = {step.argval for step in dis.get_instructions(code) if step.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
    return own.union(*(_global_names(part) for part in code.co_consts if isinstance(part, types.CodeType)))


def _told(value: Any, seen: set[int]) -> Iterator[str]:
    if value is None or isinstance(value, bool | int | str | bytes):
        yield repr(value)
    elif isinstance(value, float):
        yield value.hex()
    elif isinstance(value, np.generic):
        yield f"{value.dtype.str} {value.tobytes()!r}"
    elif isinstance(value, tuple):
        yield f"tuple of {len(value)}"
        for part in value:
            yield from _told(part, seen)
    elif isinstance(value, types.CodeType):
        yield f"{value.co_argcount} {value.co_flags} {value.co_names} {value.co_varnames} {value.co_freevars}"
        yield f"{value.co_cellvars} {value.co_code!r} {value.co_exceptiontable!r}"
        yield from _told(value.co_consts, seen)
    elif isinstance(value, types.FunctionType):
        if id(value) not in seen:
            seen.add(id(value))
            names, cells = used(value)
            yield from _told((value.__code__, value.__defaults__, value.__kwdefaults__), seen)
            for name, part in [*sorted(names.items()), *cells.items()]:
                yield name
                yield from _told(part, seen)
    elif isinstance(value, LateModule):
        yield _source(value.name)
    elif isinstance(value, types.ModuleType) and value.__name__.partition(".")[0] in _KNOWN:
        yield value.__name__
    elif (getattr(value, "__module__", None) or "").partition(".")[0] in _KNOWN and hasattr(value, "__qualname__"):
        yield f"{value.__module__}.{value.__qualname__}"
    else:
        raise UnknownError(f"{value!r} cannot be told by a text")


def _source(module):
    loader = importlib.util.find_spec(module).loader
    return loader.get_source(module)


@functools.cache
def _toolchain() -> tuple[str, ...]:
    import importlib.metadata  # takes a fiftieth of a second

    from llvmlite import __version__, binding

    return (
        platform.python_implementation() + platform.python_version(),
        np.__version__,
        importlib.metadata.version("numba"),
        f"{__version__} {binding.llvm_version_info}",
        binding.get_process_triple(),
        binding.get_host_cpu_name(),
        binding.get_host_cpu_features().flatten(),
        repr(sorted((name, value) for name, value in os.environ.items() if name.startswith("NUMBA_"))),
        _source("kernelfit.backend.compiling"),
    )
