"""ScaLAPACK through ctypes: dense matrices in blocks over a grid of MPI processes (PyPI's mkl, 64-bit integers).

MKL's libraries need each other's symbols, so all are opened lazily and for everybody, the MPI library among them: the
one that mpi4py has opened already. With 64-bit integers no share of a matrix is too large to be indexed.
"""

import ctypes
import dataclasses
import functools
import importlib.metadata
import os
from typing import Any

import numpy as np

from kernelfit.common.errors import MissingLibraryError

_LIBRARIES = (
    "libmkl_core",
    "libmkl_sequential",
    "libmkl_intel_ilp64",
    "libmkl_blacs_intelmpi_ilp64",
    "libmkl_scalapack_ilp64",
)
_MPI = "libmpi.so.12"  # MPICH, and what keeps to its binary interface
_REAL = {"s": np.float32, "d": np.float64}


@dataclasses.dataclass(frozen=True)
class SharedMatrix:
    """A matrix of which every process of a grid holds its blocks.

    Attributes
    ----------
    local : array, column-major
        The blocks of this process, float64 or float32.
    description : int64 array, shape (9,)
        ScaLAPACK's array descriptor.
    """

    local: np.ndarray
    description: np.ndarray

    def at(self, row: int, column: int) -> tuple[np.ndarray, int, int, np.ndarray]:
        """Return the arguments that name the block from (row, column) on; ScaLAPACK counts from 1."""
        return self.local, row + 1, column + 1, self.description

    @property
    def prefix(self) -> str:
        return "d" if self.local.dtype == np.float64 else "s"


class Scalapack:
    """ScaLAPACK on a grid of processes; all of them call every routine, in the same order.

    Parameters
    ----------
    shape : (int, int)
        Rows and columns of the grid. Process k is in row k // columns.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self._context = np.zeros(1, np.int64)
        _call("blacs_get_", -1, 0, self._context)
        _call("blacs_gridinit_", self._context, "R", *shape)

    def matrix(self, local: np.ndarray, shape: tuple[int, int], blocks: tuple[int, int]) -> SharedMatrix:
        """Return the SharedMatrix of that shape, in blocks of (rows, columns), whose share here is `local`."""
        if not local.flags.f_contiguous:
            raise ValueError("a share of a matrix is column-major")
        dense = 1
        description = [dense, int(self._context[0]), *shape, *blocks, 0, 0, max(1, len(local))]
        return SharedMatrix(local, np.array(description, np.int64))

    def potrf(self, A: SharedMatrix, start: int, stop: int) -> int:
        """Overwrite the lower triangle of A[start:stop, start:stop] with its Cholesky factor; return 0, or the row of
        that block, counted from 1, where it failed: the same in every process.
        """
        info = np.zeros(1, np.int64)
        _call(f"p{A.prefix}potrf_", "L", stop - start, *A.at(start, start), info)
        return int(info[0])

    def solve_triangular(self, L: SharedMatrix, B: SharedMatrix, n: int, r: int, *, transpose: bool = False) -> None:
        """Overwrite B, shape (n, r), with L^-1 B or L^-T B, where L is the lower triangle of a matrix."""
        flag = "T" if transpose else "N"
        _call(f"p{L.prefix}trsm_", "L", "L", flag, "N", n, r, 1.0, *L.at(0, 0), *B.at(0, 0))


def multiply(A: np.ndarray, B: np.ndarray, C: np.ndarray) -> None:
    """Overwrite C with A B by MKL's own product, for column-major square matrices: how fast is it here?"""
    name, n = {np.dtype(np.float64): "dgemm_", np.dtype(np.float32): "sgemm_"}[C.dtype], len(C)
    _call(name, "N", "N", n, n, n, 1.0, A, n, B, n, 0.0, C, n)


def open_scalapack() -> None:
    """Open the libraries; raises MissingLibraryError that says what is missing. mpi4py must have opened MPI's."""
    _libraries()


def _call(name: str, *arguments: Any) -> None:
    """Call a routine; Fortran takes every argument by reference."""
    real = _REAL.get(name[name[0] == "p"])  # the letter after a leading p, if there is one
    pointers, alive = [], []  # `alive` holds the scalars until the call has returned
    for argument in arguments:
        if isinstance(argument, str):
            argument = np.frombuffer(argument.encode(), np.uint8)
        elif isinstance(argument, int):
            argument = np.array([argument], np.int64)
        elif isinstance(argument, float):
            argument = np.array([argument], real)
        alive.append(argument)
        pointers.append(ctypes.c_void_p(argument.ctypes.data))
    _routine(name)(*pointers)


@functools.cache
def _routine(name):
    function = getattr(next(library for library in _libraries() if hasattr(library, name)), name)
    function.restype = None
    return function


@functools.cache
def _libraries():
    """Return the libraries, the last one first."""
    try:
        files = importlib.metadata.files("mkl") or []
    except importlib.metadata.PackageNotFoundError as error:
        raise MissingLibraryError(
            "ScaLAPACK comes with the package mkl, which is not installed: pip install 'kernelfit[mpi]'"
        ) from error
    places = {file.name.partition(".so")[0]: str(file.locate().resolve()) for file in files if ".so" in file.name}
    missing = [name for name in _LIBRARIES if name not in places]
    if missing:
        raise MissingLibraryError(
            f"the package mkl that is installed has no {', '.join(missing)}: pip install 'kernelfit[mpi]'"
        )
    _open(_MPI, os.RTLD_NOLOAD)
    return [_open(places[name]) for name in _LIBRARIES][::-1]


def _open(path, flags=0):
    """Open a library for everybody, resolving its symbols when they are used; ctypes itself would do so at once."""
    own = ctypes.CDLL(None)
    own.dlopen.restype, own.dlopen.argtypes = ctypes.c_void_p, [ctypes.c_char_p, ctypes.c_int]
    own.dlerror.restype = ctypes.c_char_p
    handle = own.dlopen(path.encode(), os.RTLD_LAZY | os.RTLD_GLOBAL | flags)
    if not handle:
        reason = (own.dlerror() or b"it is not open").decode()
        raise MissingLibraryError(
            f"{path} cannot be used ({reason}). ScaLAPACK of the package mkl needs an MPI library of the MPICH family "
            "under mpi4py: pip install 'kernelfit[mpi]' in a fresh environment brings one"
        )
    return ctypes.CDLL(path, handle=handle)
