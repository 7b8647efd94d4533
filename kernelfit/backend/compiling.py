"""Machine code of Python functions, made by numba. Imported only to compile: numba takes half a second to load."""

import importlib
import re
import types
from typing import Any

import numba
import numpy as np
from llvmlite import binding
from numba import types as of_numba

from kernelfit.backend.fingerprint import LateModule, used


def object_code(name: str, function: types.FunctionType, kinds: tuple[Any, ...], fastmath: frozenset[str]) -> bytes:
    """Return an object file in which `name` is a function for arguments of some kinds: see kernelfit.backend.native.

    It stands alone: what the function calls by name is inlined into it, and nothing of Python or numba is left to refer
    to. Raises numba's own errors where a function cannot be compiled, and RuntimeError where it needs Python.
    """
    # Without numba's run time: nothing is counted, and what makes an array cannot be compiled.
    options: dict[str, Any] = {"error_model": "numpy", "fastmath": set(fastmath), "_nrt": False}
    alone: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    dispatcher = numba.njit(_bound(function, options), **options, **alone)
    dispatcher.compile(tuple(map(_type, kinds)))
    (result,) = dispatcher.overloads.values()
    if result.signature.return_type not in (of_numba.int64, of_numba.none):
        raise RuntimeError(f"{function.__qualname__} returns {result.signature.return_type}; it must be int or nothing")
    # What numba wants to find again of a function, for exceptions and for calls of Python, goes; if it is used, the
    # text that is left is none of LLVM's.
    text = re.sub(r"^@\w*NumbaEnv\w* = common .*\n", "", result.library.get_llvm_str(), flags=re.MULTILINE)
    module = binding.parse_assembly(text.replace(result.fndesc.llvm_func_name, name))
    triple, cpu, features = result.library.codegen.magic_tuple()
    target = binding.Target.from_triple(triple)
    machine = target.create_target_machine(
        cpu=cpu,
        features=features,
        opt=3,
        reloc="static" if target.name.startswith("x86") else "default",
        codemodel="jitdefault",
        jit=True,
    )
    return machine.emit_object(module)


def _bound(function, options):
    """Return a function in which all that it uses is as numba takes it: see `used`.

    Other functions are inlined, so that integers are constants in them, and loops over these are unrolled.
    """

    def taken(value):
        if isinstance(value, LateModule):
            return importlib.import_module(value.name)
        if isinstance(value, types.FunctionType):
            return numba.njit(_bound(value, options), forceinline=True, **options)
        return value

    names, cells = used(function)
    bound = types.FunctionType(
        function.__code__,
        function.__globals__ | {name: taken(value) for name, value in names.items()},
        function.__name__,
        function.__defaults__,
        tuple(types.CellType(taken(value)) for value in cells.values()),
    )
    bound.__qualname__, bound.__module__ = function.__qualname__, function.__module__
    return bound


def _type(kind):
    """Return numba's type of an argument's kind."""
    if isinstance(kind, str):
        return getattr(of_numba, kind)
    if kind[0] == "tuple":
        return of_numba.Tuple(tuple(map(_type, kind[1:])))
    dtype, dimensions, layout, aligned = kind
    return of_numba.Array(numba.from_dtype(np.dtype(dtype)), dimensions, layout, aligned=aligned)
