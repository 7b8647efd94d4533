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
from kernelfit.common.errors import InputError

_REAL = {"s": ctypes.c_float, "d": ctypes.c_double}
# cuBLAS: no transpose 0, transpose 1; lower 0, upper 1; left 0, right 1; non-unit diagonal 0 (also an "N").
_ENUM = {"N": 0, "T": 1, "L": 0, "U": 1, "R": 1}
_UPPER = 1
_CLAIMS: list[IO[str]] = []  # files that are locked while this process lives


class Cuda(Blas):
    """The device of CuPy arrays: the GPU that is current when it is opened.

    Attributes
    ----------
    number : int
        Of that GPU, among those that this process sees.

    Parameters
    ----------
    cupy, cublas, cusolver : module
        cupy and the two modules of cupy_backends.cuda.libs.
    """

    name = "cuda"
    tile = 4096  # 16 million entries: large enough to fill any GPU
    panel = 2048
    probe = 8192

    def __init__(self, cupy: Any, cublas: Any, cusolver: Any, **sizes: int) -> None:
        super().__init__(**sizes)
        self.xp, self._cublas, self._cusolver = cupy, cublas, cusolver
        self.number = cupy.cuda.Device().id

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

    def syrk(self, A: Array, C: Array, *, alpha: float = 1.0, beta: float = 0.0) -> None:
        self.gemm(A, A, C, alpha=alpha, beta=beta, transpose_b=True)  # cuBLAS's syrk is slower than its gemm

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


def open_cuda(number: int | None = None, **sizes: int) -> Cuda:
    """Return a GPU, the current one unless a number is given, as a Cuda(**sizes).

    Raises InputError that says what is missing.
    """
    try:
        import cupy
    except ImportError as error:
        raise InputError(
            f"device cuda needs CuPy, which is not installed or does not load ({error}): "
            "pip install 'kernelfit[gpu12]' for CUDA 12, or 'kernelfit[gpu13]' for CUDA 13"
        ) from error
    try:
        cupy.cuda.runtime.getDeviceCount()
        from cupy_backends.cuda.libs import cublas, cusolver

        with cupy.cuda.Device(number):
            cupy.cuda.device.get_cublas_handle(), cupy.cuda.device.get_cusolver_handle()
            bool(cupy.zeros(1).any())  # compiles a kernel
            return Cuda(cupy, cublas, cusolver, **sizes)
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
        with contextlib.suppress(OSError):  # another process has it
            file = open(Path(tempfile.gettempdir()) / f"kernelfit-gpu-{name}.lock", "a")  # noqa: SIM115 (kept open)
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _CLAIMS.append(file)
            return number
    return os.getpid() % count
