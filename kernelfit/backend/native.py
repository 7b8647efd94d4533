"""Functions on arrays that run as machine code, which one process keeps for the next ones in the user's cache folder.

A function is compiled once for each kind of arguments, in half a second to two, and loaded in two milliseconds wherever
the same code was compiled before: then numba is not even imported. See kernelfit.backend.fingerprint for what "the
same" means, and kernelfit.common.kept for which files are trusted. Compiled now or then, it is the same object code,
loaded in the same way.
"""

import contextlib
import ctypes
import functools
import itertools
import os
import threading
import types
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from kernelfit.backend.fingerprint import LateModule, UnknownError, fingerprint
from kernelfit.common.files import sha256, user_cache
from kernelfit.common.kept import keep, recall

__all__ = ["LateModule", "Native", "may_compile", "native"]

_SCALARS = {"bool": ctypes.c_bool, "int64": ctypes.c_int64, "float32": ctypes.c_float, "float64": ctypes.c_double}
_POINTER, _SIZE = ctypes.c_void_p, ctypes.c_int64
_NAME = "kernelfit_native"  # of the function in its object code
_LOCK = threading.Lock()  # one thread compiles; others that want the same wait for it
_ALIVE: list[Any] = []  # code stays loaded while LLVM's objects for it are held
_COUNT = itertools.count()


def may_compile() -> bool:
    """Whether numba may compile: not where NUMBA_DISABLE_JIT is set. Functions then run as Python, slowly."""
    return os.environ.get("NUMBA_DISABLE_JIT", "0") in ("", "0")


class Native:
    """A function of arrays, numbers, tuples of these and None, to be compiled; it may return an int, or nothing.

    It must not make arrays, raise or call Python: scratch memory comes in as an argument, and what it fills goes out as
    one. Other functions that it calls by name are compiled with it, modules are NumPy, math or a LateModule. Sums are
    not reordered and products not fused with them, unless `fastmath`, numba's set of flags, says so. The GIL is free.
    """

    def __init__(self, function: Callable[..., int | None], fastmath: Iterable[str] = ()) -> None:
        assert isinstance(function, types.FunctionType)
        self._function, self._fastmath = function, frozenset(fastmath)
        self._loaded: dict[tuple, Callable[..., int]] = {}  # by the kinds of arguments

    def __call__(self, *arguments: Any) -> int:
        """Return what the function returns; 0 for nothing."""
        if not may_compile():
            return self._function(*arguments) or 0
        kinds = tuple(map(_kind, arguments))
        run = self._loaded.get(kinds)
        if run is None:
            with _LOCK:
                run = self._loaded.get(kinds) or self._load(kinds)
                self._loaded[kinds] = run
        numbers: list[Any] = []
        for argument in arguments:
            _flatten(argument, numbers)
        result, error = ctypes.c_int64(), ctypes.c_void_p()
        if run(ctypes.addressof(result), ctypes.addressof(error), *numbers):
            raise RuntimeError(f"{self._function.__qualname__} raised an exception, which compiled code must not")
        return result.value

    def _load(self, kinds):
        types_of_c: list[Any] = []
        for kind in kinds:
            _flatten_kind(kind, types_of_c)
        prototype = ctypes.CFUNCTYPE(ctypes.c_int32, _POINTER, _POINTER, *types_of_c)
        folder, key = _folder(), self._key(kinds)
        kept = recall(folder, key) if folder and key else None
        if kept is not None:
            with contextlib.suppress(RuntimeError):  # it calls what a process has only after it imported numba
                return prototype(_address(kept))
        from kernelfit.backend.compiling import object_code

        code = object_code(_NAME, self._function, kinds, self._fastmath)
        run = prototype(_address(code))
        if folder and key:
            keep(folder, key, code)
        return run

    def _key(self, kinds):
        """Return the name of the code of this function for arguments of some kinds; None where it has none."""
        try:
            text = fingerprint(self._function)
        except UnknownError:
            return None
        return sha256(f"{text}\n{sorted(self._fastmath)}\n{kinds}".encode())


def native(*, fastmath: Iterable[str] = ()) -> Callable[[Callable[..., int | None]], Native]:
    """Return a decorator that makes a Native of a function."""
    return functools.partial(Native, fastmath=fastmath)


def _folder() -> Path | None:
    cache = user_cache()
    return cache and cache / "native"


def _kind(argument):
    """Return how an argument is passed: (dtype, dimensions, layout, aligned) of an array, or the name of a type."""
    if isinstance(argument, np.ndarray):
        flags = argument.flags
        return argument.dtype.str, argument.ndim, "C" if flags.c_contiguous else "A", flags.aligned
    if argument is None:
        return "none"
    if isinstance(argument, tuple):
        return "tuple", *map(_kind, argument)
    name = np.result_type(argument).name if isinstance(argument, np.generic) else _NAMES.get(type(argument))
    if name not in _SCALARS:
        raise TypeError(f"compiled code takes arrays, {', '.join(_SCALARS)}, tuples and None; got {type(argument)}")
    return name


_NAMES = {bool: "bool", int: "int64", float: "float64"}


def _flatten(argument, numbers):
    """Append what numba passes for an argument: for an array two null pointers for its owner, its sizes and address."""
    if isinstance(argument, np.ndarray):
        address = argument.__array_interface__["data"][0]
        numbers += (None, None, argument.size, argument.itemsize, address, *argument.shape, *argument.strides)
    elif isinstance(argument, tuple):
        for part in argument:
            _flatten(part, numbers)
    else:
        numbers.append(argument.item() if isinstance(argument, np.generic) else argument)


def _flatten_kind(kind, types_of_c):
    """Append ctypes' types of what `_flatten` appends for an argument of a kind."""
    if isinstance(kind, str):
        types_of_c.append(_SCALARS.get(kind, _POINTER))
    elif kind[0] == "tuple":
        for part in kind[1:]:
            _flatten_kind(part, types_of_c)
    else:
        types_of_c += (_POINTER, _POINTER, _SIZE, _SIZE, _POINTER, *[_SIZE] * (2 * kind[1]))


def _address(code):
    """Load an object file; return the address of its function. Raises RuntimeError where it calls what is not there."""
    from llvmlite import binding

    library = binding.JITLibraryBuilder().add_object_img(code).add_current_process().export_symbol(_NAME)
    tracker = library.link(_linker(), f"native {next(_COUNT)}")
    _ALIVE.append(tracker)
    return tracker[_NAME]


@functools.cache
def _linker():
    from llvmlite import binding

    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    return binding.create_lljit_compiler(suppress_errors=True)
