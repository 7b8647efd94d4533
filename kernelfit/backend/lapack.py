"""SciPy's BLAS and LAPACK through their C function pointers.

Called through ctypes they work in place, release the GIL, and take leading dimensions and accumulation factors, none of
which SciPy's Python wrappers do.
"""

import ctypes
import functools
import importlib.machinery
import importlib.util
import os
import sys
import types
from typing import Any

import numpy as np

_REAL = {"s": ctypes.c_float, "d": ctypes.c_double}


def call(name: str, *arguments: Any) -> None:
    """Call a routine of BLAS or LAPACK by its name, "dgemm"; Fortran takes every argument by reference.

    Letters are str, integers int, scalars float; arrays are NumPy's, of which the address is taken.
    """
    function, integer = _routine(name)
    real = _REAL[name[0]]
    pointers: list[Any] = []
    alive: list[Any] = []  # holds the scalars until the call has returned
    for argument in arguments:
        if isinstance(argument, np.ndarray):
            pointers.append(argument.ctypes.data)
            continue
        if isinstance(argument, str):
            argument = ctypes.byref(ctypes.c_char(argument.encode()))
        elif isinstance(argument, int):
            argument = ctypes.byref(integer(argument))
        elif isinstance(argument, float):
            argument = ctypes.byref(real(argument))
        alive.append(argument)
        pointers.append(ctypes.cast(argument, ctypes.c_void_p))
    function(*pointers)


def potrf(prefix: str, uplo: str, n: int, A: np.ndarray, leading: int) -> int:
    """Factor the column-major matrix A in place; return LAPACK's info."""
    info = _routine(prefix + "potrf")[1](0)
    call(prefix + "potrf", uplo, n, A, leading, ctypes.byref(info))
    return info.value


def of_scipy(name: str) -> types.ModuleType:
    """Return an extension module of scipy.linalg, without the rest of that package, which takes a sixth of a second."""
    import scipy

    whole = f"scipy.linalg.{name}"
    folders = [os.path.join(folder, "linalg") for folder in scipy.__path__]
    spec = importlib.machinery.PathFinder.find_spec(whole, folders)
    if whole not in sys.modules and "scipy.linalg" not in sys.modules and spec and spec.loader:
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        sys.modules[whole] = module  # so that the package, where it is imported later, has the same one
    return importlib.import_module(whole)


@functools.cache
def _routine(name):
    """Return (ctypes function, integer type) of a BLAS or LAPACK routine, e.g. "dgemm"."""
    module = of_scipy("cython_lapack" if name.endswith("potrf") else "cython_blas")
    capsule = module.__pyx_capi__[name]
    get_name, get_pointer = ctypes.pythonapi.PyCapsule_GetName, ctypes.pythonapi.PyCapsule_GetPointer
    get_name.restype, get_name.argtypes = ctypes.c_char_p, [ctypes.py_object]
    get_pointer.restype, get_pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    signature = get_name(capsule)
    # The capsule's name is the C signature; an LP64 build says "int *", an ILP64 build names a 64-bit type.
    integer = ctypes.c_int if b" int *" in signature else ctypes.c_int64
    prototype = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * (signature.count(b",") + 1))
    return prototype(get_pointer(capsule, signature)), integer
