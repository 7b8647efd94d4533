"""The module cupy."""

import types
import warnings

import numpy as np
from scipy.linalg import LinAlgWarning, lu_factor, lu_solve

from tests.support.fake_cuda.arrays import LOCAL, device_array, elementwise, host_array, ndarray
from tests.support.fake_cuda.card import CARD, HANDLE, TOTAL_MEMORY, CUDARuntimeError, OutOfMemoryError
from tests.support.fake_cuda.signatures import hold
from tests.support.fake_cuda.streams import (
    Device,
    PinnedMemory,
    PinnedMemoryPointer,
    PinnedPool,
    Pool,
    Stream,
    get_current_stream,
    get_device_count,
)


def _empty(shape, dtype=float, order="C"):
    memory = CARD.allocate(shape, dtype)
    return ndarray(memory if order == "C" else memory.reshape(shape[::-1]).T)


def _zeros(shape, dtype=float):
    array = _empty(shape, dtype)
    array.fill(0)
    return array


def _asarray(value, dtype=None):
    if isinstance(value, ndarray):
        return value if dtype in (None, value.dtype) else value.astype(dtype)
    return device_array(np.asarray(value, dtype))


def _array(value, dtype=None, copy=True, order="K"):
    host = value._host() if isinstance(value, ndarray) else value
    return device_array(np.array(host, dtype, order=order))


def _ascontiguousarray(value, dtype=None):
    value = _asarray(value, dtype)
    return value if value.flags.c_contiguous else value.copy()


def _fill_diagonal(array, value):
    np.fill_diagonal(array._host(), host_array(value))


def _fuse(function):
    """Fusion takes device arrays and Python's numbers, and traces elementwise operations only."""

    def run(*arguments):
        if not all(isinstance(argument, ndarray | int | float) for argument in arguments):
            raise TypeError(f"Invalid argument type: {[type(argument) for argument in arguments]}")
        LOCAL.fusing = True
        try:
            return function(*arguments)
        finally:
            LOCAL.fusing = False

    return run


def _ondevice_array(function):
    def run(*arguments, **options):
        return device_array(function(*map(host_array, arguments), **options))

    return run


def _solve(a, b):
    """LU as cuSOLVER does it, whose word that a matrix is singular CuPy does not pass on: it divides by zero."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LinAlgWarning)
        return lu_solve(lu_factor(a, check_finite=False), b, check_finite=False)


def namespace():
    cupy = types.ModuleType("cupy")
    for name in (
        "maximum",
        "minimum",
        "exp",
        "sqrt",
        "sin",
        "arccos",
        "arcsin",
        "log1p",
        "arctan2",
        "abs",
        "isfinite",
        "isnan",
    ):
        setattr(cupy, name, elementwise(getattr(np, name)))
    for name in ("zeros_like", "array_equal", "tril", "where", "nonzero"):
        setattr(cupy, name, _ondevice_array(getattr(np, name)))
    cupy.concatenate = lambda arrays, axis=0: device_array(np.concatenate([array._host() for array in arrays], axis))
    cupy.stack = lambda arrays, axis=0: device_array(np.stack([array._host() for array in arrays], axis))
    cupy.arange = lambda *arguments, **options: device_array(np.arange(*arguments, **options))
    cupy.ndarray, cupy.empty, cupy.zeros, cupy.asarray, cupy.array = ndarray, _empty, _zeros, _asarray, _array
    cupy.ascontiguousarray, cupy.fill_diagonal, cupy.fuse = _ascontiguousarray, _fill_diagonal, _fuse
    cupy.asnumpy = lambda array: array.get() if isinstance(array, ndarray) else np.asarray(array)
    cupy.linalg = types.SimpleNamespace(
        **{name: _ondevice_array(getattr(np.linalg, name)) for name in ("norm", "qr", "svd")},
        solve=_ondevice_array(_solve),
    )
    cupy.get_default_memory_pool, cupy.get_default_pinned_memory_pool = (lambda: Pool()), (lambda: PinnedPool())
    cupy.nan = np.nan
    cupy.__version__ = "14.0.0-stand-in"
    cupy.cuda = types.SimpleNamespace(
        Device=Device,
        Stream=Stream,
        get_current_stream=get_current_stream,
        PinnedMemory=PinnedMemory,
        PinnedMemoryPointer=PinnedMemoryPointer,
        memory=types.SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
        device=types.SimpleNamespace(get_cublas_handle=lambda: HANDLE, get_cusolver_handle=lambda: HANDLE),
        runtime=types.SimpleNamespace(
            CUDARuntimeError=CUDARuntimeError,
            getDeviceCount=get_device_count,
            getDeviceProperties=lambda device: {"name": b"stand-in", "totalGlobalMem": TOTAL_MEMORY},
            runtimeGetVersion=lambda: 0,
        ),
    )
    return hold(cupy)
