"""The CPU as a device: NumPy arrays, SciPy's BLAS and LAPACK."""

import contextlib
import math
import mmap
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from kernelfit.backend import lapack, shares
from kernelfit.backend.blas import Blas, common_prefix, leading
from kernelfit.backend.device import Array, Shape
from kernelfit.backend.machine import describe, free_memory
from kernelfit.backend.threads import num_threads, parallel_map, single_threaded_blas

_LEAF = 256  # rows of a matrix that LAPACK factors on one thread
_PRIVATE = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS


class Cpu(Blas):
    """The device of NumPy arrays."""

    name = "cpu"
    # Large enough for GEMM, small enough for a core's cache; half of a panel, as panels are then made of whole tiles
    # that are kept, and of these less lies above the diagonal.
    tile = 576
    panel = 1152  # a multiple of 384, the depth of the blocks in which OpenBLAS multiplies float64
    probe = 2048
    fixed_bytes = 200_000_000  # compiled passes, BLAS buffers and the tiles of a product, measured at about 150 MB

    def empty(self, shape: Shape, dtype: npt.DTypeLike = np.float64) -> np.ndarray:
        return np.empty(shape, dtype)

    def touched(self, shape: Shape, dtype: npt.DTypeLike = np.float64) -> np.ndarray:
        # The operating system hands out memory at the first write to each page. Doing that here, with all threads,
        # keeps its cost (seconds per GB on some virtual machines) out of the arithmetic that follows.
        array = np.empty(shape, dtype)
        pages = array.reshape(-1).view(np.uint8)[::4096]
        parallel_map(lambda part: part.fill(0), np.array_split(pages, num_threads()))
        return array

    def reserved(self, shape: tuple[int, ...], dtype: npt.DTypeLike = np.float64) -> np.ndarray:
        try:
            memory = mmap.mmap(-1, max(1, math.prod(shape) * np.dtype(dtype).itemsize), flags=_PRIVATE)
        except OSError as error:
            raise MemoryError(f"an array of shape {shape} and {np.dtype(dtype).name} cannot be had: {error}") from error
        if hasattr(mmap, "MADV_NOHUGEPAGE"):  # huge pages, 2 MB each, would span rows of which a part is never written
            with contextlib.suppress(OSError):  # a system without huge pages
                memory.madvise(mmap.MADV_NOHUGEPAGE)
        return np.frombuffer(memory, dtype, math.prod(shape)).reshape(shape)

    def transfer_buffer(self, count: int, dtype: npt.DTypeLike = np.float64) -> np.ndarray:
        return self.touched(count, dtype)

    def free_memory(self) -> int:
        return free_memory()

    def array(self, host: npt.ArrayLike) -> np.ndarray:
        return np.asarray(host)

    def host(self, array: Array) -> np.ndarray:
        return array

    def fetch(self, array: Array, host: np.ndarray) -> None:
        host[...] = array

    def fill(self, array: Array, host: np.ndarray) -> None:
        array[...] = host

    def current(self) -> contextlib.AbstractContextManager:
        return contextlib.nullcontext()

    def map(self, function: Callable, items: Iterable) -> list:
        return parallel_map(function, items)

    def synchronize(self) -> None:
        pass

    def describe(self) -> dict:
        return describe()

    def potrf(self, A: Array) -> int:
        n, half = len(A), len(A) // 2
        if n < _LEAF or num_threads() == 1:
            with single_threaded_blas():
                return lapack.potrf(common_prefix(A), "U", n, A, leading(A))
        # By halves (Golub and Van Loan, section 4.2.6): all but the leaves are products and solves that are shared out.
        failed = self.potrf(A[:half, :half])
        if failed:
            return failed
        self.trsm(A[:half, :half], A[half:, :half], right=True, transpose=True)
        self.syrk(A[half:, :half], A[half:, half:], alpha=-1.0, beta=1.0)
        failed = self.potrf(A[half:, half:])
        return failed and half + failed

    def _call(self, name: str, *arguments: Any) -> None:
        with single_threaded_blas():
            lapack.call(name, *arguments)

    def _count_shares(self, multiplications: float) -> int:
        return shares.count_shares(multiplications, num_threads())

    def _share_out(self, run: Callable, parts: Iterable) -> None:
        parallel_map(run, parts)
