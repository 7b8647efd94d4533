"""What the rest of the package asks of a device: the contract that Cpu and Cuda fulfil, and nothing beyond it."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import numpy.typing as npt

Array = Any  # numpy.ndarray on the CPU, cupy.ndarray on a GPU
Shape = int | tuple[int, ...]


class Device:
    """Where arrays live and matrices are multiplied and factored.

    An *array* below is one of the device (NumPy's on the CPU, CuPy's on a GPU), a *host array* is NumPy's. A *matrix*
    is a row-major array (rows, columns), float32 or float64, whose rows have no gaps within and any distance from each
    other, such as a block of a larger matrix. Matrices of one call have one dtype; others, and shapes that do not fit,
    raise ValueError. Memory that there is not raises MemoryError, or CuPy's OutOfMemoryError, which is one. Work may be
    asked for from several threads; on a GPU it is done in the order of asking, and methods may return before it is.

    Attributes
    ----------
    name : str
        "cpu" or "cuda". Whatever depends on the kind of device looks here, never at which object it is.
    xp : module
        The array namespace: numpy or cupy.
    tile : int
        Rows and columns of a Gram tile that are made at a time.
    panel : int
        Most columns of a matrix that are factored as one.
    probe : int
        Rows of a matrix product that shows the full rate.
    fixed_bytes : int
        What a solve takes of the device whatever the size of the problem.
    pixel : dtype
        What pixels less 128 are held as: float32, whose products are summed in float32, or int8, in int32.
    longest : int
        So many products of pixels `multiply_pixels` sums exactly.
    number : int
        Which of several of its kind it is.

    Parameters
    ----------
    tile, panel : int, optional
        Other sizes than those of the class; small ones let little problems have many tiles and panels.
    """

    name: str = ""
    xp: Any = np
    tile: int = 0
    panel: int = 0
    probe: int = 0
    fixed_bytes: int = 0
    pixel: np.dtype = np.dtype(np.float32)
    longest: int = 1024  # partial sums are integers of at most 2^24
    number: int = 0

    def __init__(self, *, tile: int | None = None, panel: int | None = None) -> None:
        self.tile = self.tile if tile is None else tile
        self.panel = self.panel if panel is None else panel

    # ---- memory ------------------------------------------------------------------------------------------------------

    def empty(self, shape: Shape, dtype: npt.DTypeLike = np.float64) -> Array:
        """Return a new array of any content."""
        raise NotImplementedError

    def touched(self, shape: Shape, dtype: npt.DTypeLike = np.float64) -> Array:
        """Return a new array of any content whose memory is there already, not only promised."""
        raise NotImplementedError

    def reserved(self, shape: tuple[int, ...], dtype: npt.DTypeLike = np.float64) -> Array:
        """Return a new array of zeros. On a CPU only what is written takes memory, page by page."""
        raise NotImplementedError

    def transfer_buffer(self, count: int, dtype: npt.DTypeLike = np.float64) -> np.ndarray:
        """Return a new host array, shape (count,), of any content, from and to which copies are fast."""
        raise NotImplementedError

    def free_memory(self) -> int:
        """Return the bytes of the device that the process may still use."""
        raise NotImplementedError

    # ---- copies ------------------------------------------------------------------------------------------------------

    def array(self, host: npt.ArrayLike) -> Array:
        """Return a host array of any shape and dtype on the device: the same where it is there already, as on a CPU."""
        raise NotImplementedError

    def host(self, array: Array) -> np.ndarray:
        """Return an array as a host array, of the same shape and dtype; on the CPU the same."""
        raise NotImplementedError

    def fetch(self, array: Array, host: np.ndarray) -> None:
        """Overwrite a host array with an array of its shape and dtype, both contiguous; it is complete on return.

        What the device was asked to do with the array must be done: `synchronize` first.
        """
        raise NotImplementedError

    def fill(self, array: Array, host: np.ndarray) -> None:
        """Overwrite an array with a host array of its shape and dtype, both contiguous: the inverse of `fetch`."""
        raise NotImplementedError

    # ---- work --------------------------------------------------------------------------------------------------------

    def current(self) -> AbstractContextManager:
        """Return a context in which this thread works with this one of several GPUs: it begins with the first."""
        raise NotImplementedError

    def map(self, function: Callable, items: Iterable) -> list:
        """Return [function(item) for item in items], on all threads of the host where that is worth it."""
        raise NotImplementedError

    def synchronize(self) -> None:
        """Wait until all work that the device was asked for is done."""
        raise NotImplementedError

    def describe(self) -> dict:
        """Return what the numbers of a run on this device depend on, as a JSON-ready dict."""
        raise NotImplementedError

    # ---- matrices ----------------------------------------------------------------------------------------------------

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
        """Overwrite C (m, n) with alpha op(A) op(B) + beta C, where op is the identity or the transpose.

        op(A) is (m, k), op(B) is (k, n), and any of the three may be 0. With beta = 0, C may hold anything before, NaN
        included. C shares no memory with A or B.

        Where `pixel` is int8, A and B may be of it, with C of int32, for the product A B^T alone.
        """
        raise NotImplementedError

    def multiply_pixels(self, A: Array, B: Array, C: Array) -> None:
        """Overwrite C (m, n) with A B^T, exactly, for A (m, k) and B (n, k) of dtype `pixel` with k up to `longest`.

        C is float32 for pixels in float32, int32 for those in int8.
        """
        raise NotImplementedError

    def subtract_halves(self, A: Array, B: Array, C: Array) -> None:
        """Overwrite C (m, n) with C - A B^T for A (m, k) and B (n, k), all float32, with entries of A and B up to 2.

        Each is split into two of float16, x = (high + low / 2^11) / 2^10, and of the four products the three largest
        are summed in float32 (Markidis et al., "NVIDIA tensor core programmability, performance & precision", 2018;
        Ootomo and Yokota, "Recovering single precision accuracy from tensor cores", 2022). Entries above 2^-24 have
        22 bits, those below an error of 2^-46. On a CPU this is the same arithmetic, and no quicker than `gemm`.
        """
        raise NotImplementedError

    def syrk(self, A: Array, C: Array, *, alpha: float = 1.0, beta: float = 0.0) -> None:
        """Overwrite the lower triangle of C (n, n) with that of alpha A A^T + beta C, for A (n, k).

        What lies above the diagonal may change too.
        """
        raise NotImplementedError

    def trsm(self, L: Array, B: Array, *, right: bool = False, transpose: bool = False) -> None:
        """Overwrite B (m, n) with op(L)^-1 B for L (m, m), or if `right` with B op(L)^-1 for L (n, n).

        Of L only the lower triangle is read; op is the identity or the transpose.
        """
        raise NotImplementedError

    def potrf(self, A: Array) -> int:
        """Overwrite the lower triangle of A (n, n), of which only that is read, with its Cholesky factor.

        Return 0, or the row, counted from 1, whose pivot was not positive; what is above the diagonal may change.
        """
        raise NotImplementedError
