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

    def gemm(
        self,
        A: Array,
        B: Array,
        C: Array,
        *,
        alpha: float = 1.0,
        beta: float = 0.0,
        transpose_a: bool = False,
        transpose_b: bool = False,
    ) -> None:
        options: Any = {"alpha": alpha, "beta": beta, "transpose_a": transpose_a, "transpose_b": transpose_b}
        on_one_thread, parts = super().gemm, [(A, B, C)]
        shapes = [A.shape[::-1] if transpose_a else A.shape, B.shape[::-1] if transpose_b else B.shape, C.shape]
        if [len(shape) for shape in shapes] == [2, 2, 2]:
            (m, k), (k_b, n), _ = shapes
            count = shares.count_shares(m * n * k, num_threads())
            if count > 1 and k == k_b and C.shape == (m, n):  # what does not fit is refused as it is
                parts = list(shares.of_product(A, B, C, transpose_a, transpose_b, count))
        parallel_map(lambda part: on_one_thread(*part, **options), parts)

    def syrk(self, A: Array, C: Array, *, alpha: float = 1.0, beta: float = 0.0) -> None:
        on_one_thread = super().syrk
        count = shares.count_shares(A.size * len(A) / 2, num_threads())
        if count == 1 or A.ndim != 2 or C.shape != (len(A), len(A)):
            return on_one_thread(A, C, alpha=alpha, beta=beta)

        def run(block):
            rows, columns = (slice(*span) for span in block)
            if rows == columns:
                on_one_thread(A[rows], C[rows, rows], alpha=alpha, beta=beta)
            else:
                self.gemm(A[rows], A[columns], C[rows, columns], alpha=alpha, beta=beta, transpose_b=True)

        parallel_map(run, shares.of_square(len(A), count))

    def trsm(self, L: Array, B: Array, *, right: bool = False, transpose: bool = False) -> None:
        on_one_thread = super().trsm
        count = shares.count_shares(B.size * len(L) / 2, num_threads())
        if count == 1 or B.ndim != 2 or L.shape != (B.shape[1 if right else 0],) * 2:
            return on_one_thread(L, B, right=right, transpose=transpose)

        def run(span):
            part = B[slice(*span)] if right else B[:, slice(*span)]
            on_one_thread(L, part, right=right, transpose=transpose)

        parallel_map(run, shares.edges(B.shape[0 if right else 1], count))

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
