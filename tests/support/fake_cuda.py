"""A stand-in for CuPy, cuBLAS and cuSOLVER that runs on NumPy, so that the GPU path is tested where there is no GPU.

It does what CuPy 14 does, and is stricter where a mistake would otherwise show on a real card only:

* Host and device arrays do not mix, and NumPy's functions refuse device arrays.
* New memory holds NaN, and potrf leaves NaN in the triangle that is not part of the factor.
* Every pointer that cuBLAS and cuSOLVER get is checked to lie, with all that it stands for, in living device memory.
* A copy on a stream of its own happens when that stream is synchronized, and is refused where the default stream was
  asked for something with the same memory since it was last synchronized: on a card the two would race.
* The memory pool has a limit, and every byte that leaves the card is counted.

`installed()` puts it in the place of CuPy; `CARD` is the card.
"""

import contextlib
import ctypes
import sys
import threading
import types
import weakref

import numpy as np

from kernelfit.backend import CPU, select

TOTAL_MEMORY = 2**34
HANDLE = 12345
_LOCAL = threading.local()  # .fusing, .streams


class CUDARuntimeError(RuntimeError):
    """What cupy_backends.cuda.api.runtime raises."""


class OutOfMemoryError(MemoryError):
    """What cupy.cuda.memory raises."""


class Card:
    """The memory of the card and what happened to it.

    Attributes
    ----------
    limit : int
        Of the memory pool, in bytes; 0 for none.
    used, peak : int
        Bytes allocated, now and at most.
    to_host : list of int
        Bytes of each copy from the card.
    fail_after : int or None
        Allocations until one fails for lack of memory.
    present : bool
        Whether there is a GPU.
    """

    def __init__(self):
        self.blocks = {}
        self.used = 0
        self.reset()

    def reset(self):
        self.limit, self.peak, self.to_host, self.fail_after, self.present = 0, self.used, [], None, True
        self.pinned_limit = None
        self.pending = set()  # blocks that the default stream works with
        self.pointer_mode = self.math_mode = 0

    def allocate(self, shape, dtype):
        """Return a host array that stands for device memory."""
        dtype, shape = np.dtype(dtype), (shape,) if np.ndim(shape) == 0 else tuple(shape)
        wanted = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        size = max(512, -(-wanted // 512) * 512)
        room = (self.limit or TOTAL_MEMORY) - self.used
        if self.fail_after is not None:
            self.fail_after -= 1
        if size > room or self.fail_after == 0:
            raise OutOfMemoryError(f"Out of memory allocating {size:,} bytes (allocated so far: {self.used:,} bytes).")
        memory = np.full(size, 0xFF, np.uint8)
        address = memory.ctypes.data
        self.blocks[address] = size
        self.used += size
        self.peak = max(self.peak, self.used)
        weakref.finalize(memory, self._free, address, size)
        return memory[:wanted].view(dtype).reshape(shape)

    def _free(self, address, size):
        del self.blocks[address]
        self.used -= size

    def block_of(self, pointer, size):
        """Return the address of the living block that holds `size` bytes at a pointer."""
        for address, length in list(self.blocks.items()):
            if address <= pointer and pointer + size <= address + length:
                return address
        raise CUDARuntimeError(f"cudaErrorIllegalAddress: {size} bytes at {pointer} are not all device memory")


CARD = Card()


def _host(value):
    """Return what NumPy computes with for an operand of a device operation."""
    if isinstance(value, ndarray):
        CARD.pending.add(value._block)
        return value._memory
    if isinstance(value, np.ndarray):
        raise TypeError(f"Unsupported type {np.ndarray}")
    return value


def _device(result, block=None):
    """Return a NumPy result as a device array: a view of that block, or of new memory."""
    if isinstance(result, tuple):
        return tuple(map(_device, result))
    if block is None:
        memory = CARD.allocate(np.shape(result), np.asarray(result).dtype)
        memory[...] = result
        result = memory
    return ndarray(result, block)


def _elementwise(function):
    def run(*arguments, out=None, **options):
        result = function(*map(_host, arguments), out=None if out is None else _host(out), **options)
        return _device(result) if out is None else out

    return run


def _operator(name):
    def run(self, other):
        return _device(getattr(self._host(), name)(_host(other)))

    return run


def _in_place(name):
    def run(self, other):
        getattr(self._host(), name)(_host(other))
        return self

    return run


def _method(name):
    def run(self, *arguments, **options):
        _not_in_fusion(name)
        return _device(getattr(self._host(), name)(*arguments, **options))

    return run


def _view_method(name):
    def run(self, *arguments):
        _not_in_fusion(name)
        before = self._memory
        after = getattr(before, name)(*arguments)
        return _device(after, self._block if np.shares_memory(before, after) or not after.size else None)

    return run


def _not_in_fusion(name):
    if getattr(_LOCAL, "fusing", False):
        raise TypeError(f"{name} of an array cannot be fused")


class ndarray:  # noqa: N801 (CuPy's name)
    """A device array. It holds a NumPy array that nothing outside of this module may see."""

    __hash__ = None

    def __init__(self, memory, block=None):
        self._memory = memory
        self._fresh = block is None
        self._block = CARD.block_of(memory.ctypes.data, memory.nbytes) if block is None else block

    def _host(self):
        return _host(self)

    @property
    def data(self):
        return types.SimpleNamespace(ptr=self._memory.ctypes.data)

    @property
    def device(self):
        return Device()

    @property
    def strides(self):
        return (0,) * self.ndim if self._fresh and not self.size else self._memory.strides

    @property
    def flags(self):  # CuPy's have no `writeable`
        flags = self._memory.flags
        return types.SimpleNamespace(c_contiguous=flags.c_contiguous, f_contiguous=flags.f_contiguous)

    shape, dtype, ndim, size, itemsize, nbytes = (
        property(lambda self, name=name: getattr(self._memory, name))
        for name in ("shape", "dtype", "ndim", "size", "itemsize", "nbytes")
    )
    T = property(lambda self: self.transpose())
    transpose, reshape, ravel, view = map(_view_method, ("transpose", "reshape", "ravel", "view"))
    sum, max, min, all, any, argmax, mean, copy, astype, clip = map(
        _method, ("sum", "max", "min", "all", "any", "argmax", "mean", "copy", "astype", "clip")
    )

    def diagonal(self):
        return _view_method("diagonal")(self)

    def fill(self, value):
        self._host().fill(value)

    def __len__(self):
        return len(self._memory)

    def __getitem__(self, index):
        _not_in_fusion("an index")
        # CuPy takes integer arrays of the host as indices, and uploads them.
        index = tuple(map(_index, index)) if isinstance(index, tuple) else _index(index)
        view = self._memory[index]
        shared = isinstance(view, np.ndarray) and (np.shares_memory(view, self._memory) or not view.size)
        return _device(view, self._block if shared else None)

    def __setitem__(self, index, value):
        _not_in_fusion("an assignment")
        if isinstance(value, np.ndarray) and value.ndim:
            raise ValueError("non-scalar numpy.ndarray cannot be used for fill")
        index = tuple(map(_index, index)) if isinstance(index, tuple) else _index(index)
        self._host()[index] = _host(value)

    def get(self, stream=None, order="C", out=None, blocking=True):
        host = np.empty(self.shape, self.dtype) if out is None else out
        if (host.shape, host.dtype, host.flags.c_contiguous) != (self.shape, self.dtype, True):
            raise ValueError(f"cannot copy {self.dtype} {self.shape} into {host.dtype} {host.shape}")
        _copy(stream, self._block, lambda: host.__setitem__(..., self._memory), wait=blocking)
        CARD.to_host.append(self.nbytes)
        return host

    def set(self, host, stream=None):
        if not isinstance(host, np.ndarray):
            raise TypeError("Only numpy.ndarray can be set to cupy.ndarray")
        if (host.dtype, host.shape) != (self.dtype, self.shape):
            raise TypeError(f"{host.dtype} {host.shape} cannot be set to {self.dtype} {self.shape}")
        if not (self._memory.flags.c_contiguous or self._memory.flags.f_contiguous):
            raise RuntimeError("Cannot set to non-contiguous array")
        _copy(stream, self._block, lambda: self._memory.__setitem__(..., host), wait=False)

    def _scalar(self):
        return self.get()[()]

    __bool__, __int__, __float__ = (lambda self, kind=kind: kind(self._scalar()) for kind in (bool, int, float))

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __array__(self, *arguments, **options):
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()`")

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **options):
        if method != "__call__":
            raise TypeError(f"{ufunc.__name__}.{method} of a device array")
        return _elementwise(ufunc)(*inputs, out=None if out is None else out[0], **options)

    def __array_function__(self, function, kinds, arguments, options):
        # CuPy would do most of these itself; but then the code would not see which arrays live where.
        raise TypeError(f"numpy.{function.__name__} of a device array: use the namespace of the device")


for _name in ("add", "sub", "mul", "truediv", "pow", "matmul"):
    setattr(ndarray, f"__{_name}__", _operator(f"__{_name}__"))
    setattr(ndarray, f"__r{_name}__", _operator(f"__r{_name}__"))
    setattr(ndarray, f"__i{_name}__", _in_place(f"__i{_name}__"))
for _name in ("eq", "ne", "lt", "le", "gt", "ge", "and", "or"):
    setattr(ndarray, f"__{_name}__", _operator(f"__{_name}__"))
ndarray.__neg__ = lambda self: _device(-self._host())
ndarray.__invert__ = lambda self: _device(~self._host())


def _index(index):
    return _host(index) if isinstance(index, ndarray) else index


# ---- streams and devices ---------------------------------------------------------------------------------------------


class Stream:
    """The default stream works at once; what is copied on another one has happened when that is synchronized."""

    def __init__(self, null=False, non_blocking=False):
        self.null, self._waiting = null, []

    def __enter__(self):
        _LOCAL.streams = [*getattr(_LOCAL, "streams", []), self]
        return self

    def __exit__(self, *_):
        _LOCAL.streams.pop()

    def synchronize(self):
        if self.null:
            CARD.pending.clear()
        while self._waiting:
            self._waiting.pop(0)()


_NULL = Stream(null=True)


def get_current_stream():
    return (getattr(_LOCAL, "streams", None) or [_NULL])[-1]


def _copy(stream, block, action, *, wait):
    stream = stream or get_current_stream()
    if stream.null:
        action()
        CARD.pending.clear()  # the copy came after all that was asked before
        return
    if block in CARD.pending:
        raise CUDARuntimeError("a copy on a stream of its own races with what the default stream was asked for")
    stream._waiting.append(action)
    if wait:
        stream.synchronize()


class Device:
    id = 0

    def __init__(self, id=0):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    @property
    def mem_info(self):
        return TOTAL_MEMORY - CARD.used, TOTAL_MEMORY


class _Pool:
    def get_limit(self):
        return CARD.limit

    def set_limit(self, size=None, fraction=None):
        CARD.limit = size or 0

    def free_bytes(self):
        return 0

    def used_bytes(self):
        return CARD.used

    def total_bytes(self):
        return CARD.used

    def free_all_blocks(self):
        pass


def _alloc_pinned_memory(size):
    if CARD.pinned_limit is not None and size > CARD.pinned_limit:
        raise CUDARuntimeError("cudaErrorMemoryAllocation: out of memory")
    return bytearray(size)


def _get_device_count():
    if not CARD.present:
        raise CUDARuntimeError("cudaErrorInsufficientDriver: CUDA driver version is insufficient for CUDA runtime")
    return 1


# ---- the namespace ---------------------------------------------------------------------------------------------------


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
    return _device(np.asarray(value, dtype))


def _array(value, dtype=None, copy=True, order="K"):
    host = value._host() if isinstance(value, ndarray) else value
    return _device(np.array(host, dtype, order=order))


def _ascontiguousarray(value, dtype=None):
    value = _asarray(value, dtype)
    return value if value.flags.c_contiguous else value.copy()


def _fill_diagonal(array, value):
    np.fill_diagonal(array._host(), _host(value))


def _fuse(function):
    """Fusion takes device arrays and Python's numbers, and traces elementwise operations only."""

    def run(*arguments):
        if not all(isinstance(argument, ndarray | int | float) for argument in arguments):
            raise TypeError(f"Invalid argument type: {[type(argument) for argument in arguments]}")
        _LOCAL.fusing = True
        try:
            return function(*arguments)
        finally:
            _LOCAL.fusing = False

    return run


def _on_device(function):
    def run(*arguments, **options):
        return _device(function(*map(_host, arguments), **options))

    return run


def _namespace():
    cupy = types.ModuleType("cupy")
    for name in ("maximum", "minimum", "exp", "sqrt", "arccos", "arcsin", "arctan2", "abs", "isfinite", "isnan"):
        setattr(cupy, name, _elementwise(getattr(np, name)))
    for name in ("zeros_like", "array_equal", "tril", "where", "nonzero"):
        setattr(cupy, name, _on_device(getattr(np, name)))
    cupy.stack = lambda arrays, axis=0: _device(np.stack([array._host() for array in arrays], axis))
    cupy.arange = lambda *arguments, **options: _device(np.arange(*arguments, **options))
    cupy.ndarray, cupy.empty, cupy.zeros, cupy.asarray, cupy.array = ndarray, _empty, _zeros, _asarray, _array
    cupy.ascontiguousarray, cupy.fill_diagonal, cupy.fuse = _ascontiguousarray, _fill_diagonal, _fuse
    cupy.asnumpy = lambda array: array.get() if isinstance(array, ndarray) else np.asarray(array)
    cupy.linalg = types.SimpleNamespace(
        norm=_on_device(np.linalg.norm), solve=_on_device(np.linalg.solve), qr=_on_device(np.linalg.qr)
    )
    cupy.get_default_memory_pool = cupy.get_default_pinned_memory_pool = _Pool
    cupy.nan = np.nan
    cupy.__version__ = "14.0.0-stand-in"
    cupy.cuda = types.SimpleNamespace(
        Device=Device,
        Stream=Stream,
        get_current_stream=get_current_stream,
        alloc_pinned_memory=_alloc_pinned_memory,
        memory=types.SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
        device=types.SimpleNamespace(get_cublas_handle=lambda: HANDLE, get_cusolver_handle=lambda: HANDLE),
        runtime=types.SimpleNamespace(
            CUDARuntimeError=CUDARuntimeError,
            getDeviceCount=_get_device_count,
            getDeviceProperties=lambda device: {"name": b"stand-in", "totalGlobalMem": TOTAL_MEMORY},
            runtimeGetVersion=lambda: 0,
        ),
    )
    return cupy


# ---- cuBLAS and cuSOLVER ---------------------------------------------------------------------------------------------

_TRANSPOSE, _FILL, _SIDE, _DIAGONAL = "NT", "LU", "LR", "NU"  # by their enumeration values
_REAL = {"s": ctypes.c_float, "d": ctypes.c_double}


def _matrix(letter, pointer, rows, columns, leading):
    """Return NumPy's view of the column-major matrix at a device pointer, as a flat array from its first entry on."""
    if leading < max(1, rows) or min(rows, columns) < 0:
        raise RuntimeError(f"CUBLAS_STATUS_INVALID_VALUE: {rows} x {columns} with leading dimension {leading}")
    return _vector(letter, pointer, (columns - 1) * leading + rows if rows and columns else 0, 1)


def _vector(letter, pointer, count, step):
    real = _REAL[letter]
    if not count:
        return np.empty(1, real)
    length = (count - 1) * step + 1
    CARD.pending.add(CARD.block_of(pointer, length * ctypes.sizeof(real)))
    return np.frombuffer((real * length).from_address(pointer), real)


def _scalar(letter, pointer):
    assert CARD.pointer_mode == 0, "alpha and beta are read from the host"
    return _REAL[letter].from_address(pointer).value


def _check_handle(handle):
    if handle != HANDLE:
        raise RuntimeError("CUBLAS_STATUS_NOT_INITIALIZED")


def _gemm(letter):
    def gemm(handle, transa, transb, m, n, k, alpha, A, lda, B, ldb, beta, C, ldc):
        _check_handle(handle)
        alpha, beta = _scalar(letter, alpha), _scalar(letter, beta)
        A = _matrix(letter, A, *((k, m) if transa else (m, k)), lda)
        B = _matrix(letter, B, *((n, k) if transb else (k, n)), ldb)
        C = _matrix(letter, C, m, n, ldc)
        letters = _TRANSPOSE[transa], _TRANSPOSE[transb]
        CPU.call(letter + "gemm", *letters, m, n, k, alpha, A, lda, B, ldb, beta, C, ldc)

    return gemm


def _gemv(letter):
    def gemv(handle, trans, m, n, alpha, A, lda, x, incx, beta, y, incy):
        _check_handle(handle)
        alpha, beta = _scalar(letter, alpha), _scalar(letter, beta)
        A = _matrix(letter, A, m, n, lda)
        x, y = (_vector(letter, *pair) for pair in ((x, m if trans else n, incx), (y, n if trans else m, incy)))
        CPU.call(letter + "gemv", _TRANSPOSE[trans], m, n, alpha, A, lda, x, incx, beta, y, incy)

    return gemv


def _trsm(letter):
    def trsm(handle, side, uplo, trans, diag, m, n, alpha, A, lda, B, ldb):
        _check_handle(handle)
        order = n if side else m
        letters = _SIDE[side], _FILL[uplo], _TRANSPOSE[trans], _DIAGONAL[diag]
        A, B = _matrix(letter, A, order, order, lda), _matrix(letter, B, m, n, ldb)
        CPU.call(letter + "trsm", *letters, m, n, _scalar(letter, alpha), A, lda, B, ldb)

    return trsm


def _potrf_buffer_size(letter):
    def buffer_size(handle, uplo, n, A, lda):
        _check_handle(handle)
        _matrix(letter, A, n, n, lda)
        return 2 * n

    return buffer_size


def _potrf(letter):
    def potrf(handle, uplo, n, A, lda, work, lwork, dev_info):
        _check_handle(handle)
        assert lwork >= 2 * n, "the workspace is too small"
        _vector(letter, work, lwork, 1)[...] = np.nan
        CARD.block_of(dev_info, 4)
        flat, info = _matrix(letter, A, n, n, lda), ctypes.c_int(0)
        CPU.call(letter + "potrf", _FILL[uplo], n, flat, lda, ctypes.byref(info))
        ctypes.c_int.from_address(dev_info).value = info.value
        rows, columns = np.tril_indices(n, -1) if _FILL[uplo] == "U" else np.triu_indices(n, 1)
        flat[columns * lda + rows] = np.nan  # entry (i, j) of a column-major matrix

    return potrf


def _libraries():
    cublas, cusolver = (types.ModuleType(f"cupy_backends.cuda.libs.{name}") for name in ("cublas", "cusolver"))
    cublas.CUBLAS_POINTER_MODE_HOST, cublas.CUBLAS_POINTER_MODE_DEVICE, cublas.CUBLAS_DEFAULT_MATH = 0, 1, 0
    cublas.setPointerMode = lambda handle, mode: setattr(CARD, "pointer_mode", mode)
    cublas.setMathMode = lambda handle, mode: setattr(CARD, "math_mode", mode)
    cublas.getMathMode = lambda handle: CARD.math_mode
    for letter in "sd":
        for name, make in (("gemm", _gemm), ("gemv", _gemv), ("trsm", _trsm)):
            setattr(cublas, letter + name, make(letter))
        setattr(cusolver, letter + "potrf_bufferSize", _potrf_buffer_size(letter))
        setattr(cusolver, letter + "potrf", _potrf(letter))
    return cublas, cusolver


cupy = _namespace()
cublas, cusolver = _libraries()


@contextlib.contextmanager
def installed():
    """Put the stand-in in the place of CuPy, with a fresh card; yields the card."""
    libs = types.ModuleType("cupy_backends.cuda.libs")
    libs.cublas, libs.cusolver = cublas, cusolver
    modules = {
        "cupy": cupy,
        "cupy_backends": types.ModuleType("cupy_backends"),
        "cupy_backends.cuda": types.ModuleType("cupy_backends.cuda"),
        "cupy_backends.cuda.libs": libs,
        "cupy_backends.cuda.libs.cublas": cublas,
        "cupy_backends.cuda.libs.cusolver": cusolver,
    }
    before = {name: sys.modules.get(name) for name in modules}
    CARD.reset()
    sys.modules.update(modules)
    select._cuda.cache_clear()
    try:
        yield CARD
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module
        select._cuda.cache_clear()
        CARD.reset()
