"""One GPU as a device: CuPy arrays, cuBLAS and cuSOLVER in place.

CuPy's own linear algebra copies its input and wants whole arrays; the raw routines work on blocks of one array. Every
line but the calls into CuPy's libraries also runs in the CPU tests, against a stand-in for those libraries.
"""

import contextlib
import ctypes
import fcntl
import os
import tempfile
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from kernelfit.backend.blas import Blas, common_prefix, leading
from kernelfit.backend.device import Array, Shape
from kernelfit.backend.machine import describe
from kernelfit.common.errors import InputError, MissingLibraryError
from kernelfit.common.spans import spans

_REAL = {"s": ctypes.c_float, "d": ctypes.c_double}
# cuBLAS: no transpose 0, transpose 1; lower 0, upper 1; left 0, right 1; non-unit diagonal 0 (also an "N").
_ENUM = {"N": 0, "T": 1, "L": 0, "U": 1, "R": 1}
_UPPER = 1
_BLOCK = 512  # columns: deep enough for the full rate of products
_HALVES = 2, 0, 68  # CUDA_R_16F, CUDA_R_32F, CUBLAS_COMPUTE_32F
_INTEGERS = 3, 10, 72  # CUDA_R_8I, CUDA_R_32I, CUBLAS_COMPUTE_32I; the algorithm -1 is CUBLAS_GEMM_DEFAULT
_CLAIMS: list[IO[str]] = []  # files that are locked while this process lives


class Cuda(Blas):
    """The device of CuPy arrays: the GPU that is current when it is opened.

    Parameters
    ----------
    cupy, cublas, cusolver : module
        cupy and the two modules of cupy_backends.cuda.libs.
    number : int
        Of the GPU, among those that this process sees.
    """

    name = "cuda"
    tile = 4096  # 16 million entries: large enough to fill any GPU
    panel = 2048
    probe = 8192
    pixel = np.dtype(np.int8)
    longest = 2**17 - 1  # sums of products of at most 2^14 in int32

    def __init__(self, cupy: Any, cublas: Any, cusolver: Any, *, number: int = 0, **sizes: int) -> None:
        super().__init__(**sizes)
        self.xp, self._cublas, self._cusolver, self.number = cupy, cublas, cusolver, number

    def __reduce__(self) -> tuple[Any, ...]:
        return _opened_again, (self.number, {"tile": self.tile, "panel": self.panel})  # modules are not pickled

    @property
    def fixed_bytes(self) -> int:  # type: ignore[override]
        # Inner products, the values before they are stored, the tile itself and one for a sum or product of kernels, 8
        # bytes an entry each, and the workspaces of cuBLAS and cuSOLVER.
        return 32 * self.tile**2 + 128_000_000

    def empty(self, shape: Shape, dtype: npt.DTypeLike = np.float64) -> Array:
        return self.xp.empty(shape, dtype)

    def touched(self, shape: Shape, dtype: npt.DTypeLike = np.float64) -> Array:
        return self.empty(shape, dtype)

    def reserved(self, shape: tuple[int, ...], dtype: npt.DTypeLike = np.float64) -> Array:
        return self.xp.zeros(shape, dtype)

    def array(self, host: npt.ArrayLike) -> Array:
        return self.xp.asarray(host)

    def host(self, array: Array) -> np.ndarray:
        return self.xp.asnumpy(array)

    # Both copies go on a stream of their own, so that a thread that reads ahead or writes behind copies while the
    # default stream computes. What they copy is complete: their callers synchronize before they hand it over.

    def fetch(self, array: Array, host: np.ndarray) -> None:
        with array.device, self.xp.cuda.Stream(non_blocking=True) as stream:
            array.get(stream=stream, out=host)
            stream.synchronize()

    def fill(self, array: Array, host: np.ndarray) -> None:
        with array.device, self.xp.cuda.Stream(non_blocking=True) as stream:
            array.set(host, stream=stream)
            stream.synchronize()

    def transfer_buffer(self, count: int, dtype: npt.DTypeLike = np.float64) -> np.ndarray:
        size = max(1, count * np.dtype(dtype).itemsize)
        try:  # not from CuPy's pool, which rounds up to a power of two and gives nothing back
            memory = self.xp.cuda.PinnedMemoryPointer(self.xp.cuda.PinnedMemory(size), 0)
        except self.xp.cuda.runtime.CUDARuntimeError as error:
            raise MemoryError(f"{size:,} bytes of page-locked host memory cannot be had: {error}") from error
        return np.frombuffer(memory, dtype, count)

    def current(self) -> AbstractContextManager:
        return self.xp.cuda.Device(self.number)

    def map(self, function: Callable, items: Iterable) -> list:
        return [function(item) for item in items]

    def free_memory(self) -> int:
        pool = self.xp.get_default_memory_pool()
        free = self.xp.cuda.Device().mem_info[0] + pool.free_bytes()
        limit = pool.get_limit()  # 0: none
        return min(free, limit - pool.used_bytes()) if limit else free

    def synchronize(self) -> None:
        self.xp.cuda.get_current_stream().synchronize()

    def describe(self) -> dict:
        properties = self.xp.cuda.runtime.getDeviceProperties(self.xp.cuda.Device().id)
        return describe() | {
            "gpu": properties["name"].decode(),
            "gpu_memory": properties["totalGlobalMem"],
            "cupy": self.xp.__version__,
            "cuda": self.xp.cuda.runtime.runtimeGetVersion(),
        }

    def multiply_pixels(self, A: Array, B: Array, C: Array) -> None:
        shapes, dtypes = (len(A), len(B), A.shape[1]), (A.dtype, B.dtype, C.dtype)
        if (*C.shape, B.shape[1]) != shapes or dtypes != (np.int8, np.int8, np.int32):
            raise ValueError(f"pixels: {dtypes[0]} {A.shape} and {dtypes[1]} {B.shape} into {dtypes[2]} {C.shape}")
        if C.size:
            # The integer units take rows and numbers of them in fours, and are quickest with rows in sixteens.
            A, B = self._padded(A, 1), self._padded(B, 4)
            whole = C if C.shape[1] == len(B) and not leading(C) % 4 else self.xp.empty((len(A), len(B)), np.int32)
            self._gemm_ex(A, B, whole, 1, 0, ctypes.c_int32, _INTEGERS)
            if whole is not C:
                C[...] = whole[:, : C.shape[1]]

    def _subtract(self, A, B, C, factor):
        if C.size and A.shape[1]:
            self._gemm_ex(A, B, C, -factor, 1.0, ctypes.c_float, _HALVES)

    def _padded(self, A, multiple):
        """Return a matrix of int8 with zeros after its rows and columns, where their numbers are no multiples."""
        rows, columns = -(-len(A) // multiple) * multiple, -(-A.shape[1] // 16) * 16
        if A.shape == (rows, columns) and leading(A) % 16 == 0 and A.data.ptr % 16 == 0:
            return A
        padded = self.xp.zeros((rows, columns), A.dtype)
        padded[: len(A), : A.shape[1]] = A
        return padded

    def _gemm_ex(self, A, B, C, alpha, beta, scalar, kinds):
        """C = alpha A B^T + beta C, of which C is of a wider type than A and B; kinds are theirs, C's, and of sums."""
        handle, (m, k), n = self.xp.cuda.device.get_cublas_handle(), A.shape, len(B)
        self._cublas.setPointerMode(handle, self._cublas.CUBLAS_POINTER_MODE_HOST)
        alpha, beta = scalar(alpha), scalar(beta)
        one, other = ctypes.addressof(alpha), ctypes.addressof(beta)
        kind, wider, sums = kinds
        left, right = (B.data.ptr, kind, leading(B)), (A.data.ptr, kind, leading(A))
        self._cublas.gemmEx(handle, 1, 0, n, m, k, one, *left, *right, other, C.data.ptr, wider, leading(C), sums, -1)

    def syrk(self, A: Array, C: Array, *, alpha: float = 1.0, beta: float = 0.0) -> None:
        if C.shape != (len(A), len(A)):
            raise ValueError(f"syrk of shape {A.shape} into {C.shape}")
        # cuBLAS's syrk is slower than its gemm; what lies above the diagonal is left out by whole blocks.
        for start in range(0, len(A), _BLOCK):
            columns = A[start : start + _BLOCK]
            self.gemm(A[start:], columns, C[start:, start : start + _BLOCK], alpha=alpha, beta=beta, transpose_b=True)

    def trsm(self, L: Array, B: Array, *, right: bool = False, transpose: bool = False) -> None:
        if not (right and transpose and len(B) > 2 * len(L) > 2 * _BLOCK):
            super().trsm(L, B, right=right, transpose=transpose)
            return
        # B L^-T by blocks of columns, with the blocks on the diagonal inverted: products, at several times the rate of
        # cuBLAS's trsm. An error of an inverse is multiplied by the condition of that block alone (Du Croz and Higham,
        # "Stability of methods for matrix inversion", 1992).
        for start, stop in spans(0, len(L), _BLOCK):
            block, inverse = B[:, start:stop], self.xp.zeros((stop - start, stop - start), L.dtype)
            self.gemm(B[:, :start], L[start:stop, :start], block, alpha=-1.0, beta=1.0, transpose_b=True)
            self.xp.fill_diagonal(inverse, 1.0)
            super().trsm(L[start:stop, start:stop], inverse)
            for row in range(0, len(B), 4 * self.tile):  # what is held beside B is small
                part = block[row : row + 4 * self.tile]
                product = self.empty(part.shape, B.dtype)
                self.gemm(part, inverse, product, transpose_b=True)
                part[...] = product

    def potrf(self, A: Array) -> int:
        prefix = common_prefix(A)
        handle = self.xp.cuda.device.get_cusolver_handle()
        pointer, n, ld = A.data.ptr, len(A), leading(A)
        size = getattr(self._cusolver, prefix + "potrf_bufferSize")(handle, _UPPER, n, pointer, ld)
        work, info = self.xp.empty(max(1, size), A.dtype), self.xp.zeros(1, np.int32)
        getattr(self._cusolver, prefix + "potrf")(handle, _UPPER, n, pointer, ld, work.data.ptr, size, info.data.ptr)
        return int(info[0])

    def _call(self, name: str, *arguments: Any) -> None:
        """Call a routine of cuBLAS: the handle first, enumerations for letters, scalars by reference to the host."""
        handle = self.xp.cuda.device.get_cublas_handle()
        self._cublas.setPointerMode(handle, self._cublas.CUBLAS_POINTER_MODE_HOST)
        converted, alive = [], []
        for argument in arguments:
            if isinstance(argument, str):
                argument = _ENUM[argument]
            elif isinstance(argument, float):
                alive.append(_REAL[name[0]](argument))
                argument = ctypes.addressof(alive[-1])
            elif not isinstance(argument, int):
                argument = argument.data.ptr
            converted.append(argument)
        getattr(self._cublas, name)(handle, *converted)


def _opened_again(number: int, sizes: dict[str, int]) -> Cuda:
    """Return the GPU of a pickle, which may be another of that number; raises InputError where there is none."""
    return open_cuda(number, **sizes)


def open_cuda(number: int | None = None, **sizes: int) -> Cuda:
    """Return a GPU, the current one unless a number is given, as a Cuda(**sizes).

    Raises MissingLibraryError, or InputError, that says what is missing.
    """
    try:
        import cupy
    except ImportError as error:
        raise MissingLibraryError(
            f"device cuda needs CuPy, which is not installed or does not load ({error}): "
            "pip install 'kernelfit[gpu12]' for CUDA 12, or 'kernelfit[gpu13]' for CUDA 13"
        ) from error
    try:
        cupy.cuda.runtime.getDeviceCount()
        from cupy_backends.cuda.libs import cublas, cusolver

        with cupy.cuda.Device(number):
            cupy.cuda.device.get_cublas_handle(), cupy.cuda.device.get_cusolver_handle()
            bool(cupy.zeros(1).any())  # compiles a kernel
            return Cuda(cupy, cublas, cusolver, number=cupy.cuda.Device().id, **sizes)
    except Exception as error:  # no driver, no GPU, or CUDA's libraries or compiler missing: each has its own class
        raise InputError(
            f"device cuda: CuPy {cupy.__version__} finds no GPU that it can use ({error}). Is the driver installed "
            "(nvidia-smi), and does the CuPy package fit its CUDA version?"
        ) from error


def claim_gpu() -> int:
    """Return the number of a GPU that no other process of this host has claimed; where all are, one to be shared.

    A claim is a lock on a file in the folder for temporary ones; it ends with the process.
    """
    import cupy

    count = cupy.cuda.runtime.getDeviceCount()
    for number in range(count):
        name = cupy.cuda.Device(number).pci_bus_id.replace(":", "-")  # whatever number the GPU has in other processes
        with contextlib.suppress(OSError), contextlib.ExitStack() as unless_claimed:  # another process has it
            file = open(Path(tempfile.gettempdir()) / f"kernelfit-gpu-{name}.lock", "a")  # noqa: SIM115 (kept open)
            unless_claimed.enter_context(file)
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            unless_claimed.pop_all()
            _CLAIMS.append(file)
            return number
    return os.getpid() % count
