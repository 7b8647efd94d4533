"""BLAS and LAPACK on row-major blocks in place, whatever library does the work.

A row-major matrix is the transpose of a column-major one, so C = op(A) op(B) is asked for as C^T = op(B)^T op(A)^T, and
a row-major lower factor L is handed over as the upper factor U = L^T. Devices add `_call(name, *arguments)`: the
routine with that name ("dgemm"), its arguments in the order of the reference BLAS: letters, integers, floats and
arrays.
"""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from kernelfit.backend import shares
from kernelfit.backend.device import Array, Device

_SCALE, _APART = 2.0**10, 2.0**11  # of entries up to 2: the lower half of one of 2^-24 is no subnormal number yet
# Products of high halves in one sum. Tensor cores cut sums off where others round, so that errors add up. Emulated (cut
# off after every 16 products) for 1,536 images of MNIST, the first two corrections gain 3 and 8 times less than after
# float32 with sums of 768, and 1 and 2 times less with sums of 192. Shorter ones write the result more often.
_DEEP = 256
_PREFIX = {np.dtype(np.float32): "s", np.dtype(np.float64): "d"}


class Blas(Device):
    """A device whose matrix routines are those of a BLAS library."""

    def _call(self, name: str, *arguments: Any) -> None:
        """Run one routine of the library."""
        raise NotImplementedError

    def _count_shares(self, multiplications: float) -> int:
        """Return into how many shares to cut so many multiplications."""
        return 1

    def _share_out(self, run: Callable, parts: Iterable) -> None:
        """Call run(part) for each part."""
        for part in parts:
            run(part)

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
        prefix = common_prefix(A, B, C)
        m, k = A.shape[::-1] if transpose_a else A.shape
        k_b, n = B.shape[::-1] if transpose_b else B.shape
        if k != k_b or C.shape != (m, n):
            raise ValueError(f"gemm of shapes {(m, k)} and {(k_b, n)} into {C.shape}")
        count, options = self._count_shares(m * n * k), (float(alpha), float(beta), transpose_a, transpose_b)
        parts = shares.of_product(A, B, C, transpose_a, transpose_b, count) if count > 1 else [(A, B, C)]
        self._share_out(lambda part: self._multiply(prefix, part, *options), parts)

    def _multiply(self, prefix, part, alpha, beta, transpose_a, transpose_b):
        A, B, C = part
        (m, n), k = C.shape, A.shape[0 if transpose_a else 1]
        a, b = _flag(transpose_a), _flag(transpose_b)
        if n == 1 and m > 0 and k > 0:  # GEMV reads A at the speed of memory, GEMM with one column at a third of it
            x_step = 1 if transpose_b else leading(B)
            flipped = _flag(not transpose_a)
            self._call(prefix + "gemv", flipped, *A.shape[::-1], alpha, A, leading(A), B, x_step, beta, C, leading(C))
        elif C.size and not (k == 0 and beta == 1.0):  # a library may refuse a product of nothing
            self._call(prefix + "gemm", b, a, n, m, k, alpha, B, leading(B), A, leading(A), beta, C, leading(C))

    def multiply_pixels(self, A: Array, B: Array, C: Array) -> None:
        self.gemm(A, B, C, transpose_b=True)

    def subtract_halves(self, A: Array, B: Array, C: Array) -> None:
        if (len(A), len(B)) != C.shape or A.shape[1] != B.shape[1]:
            raise ValueError(f"subtract_halves of shapes {A.shape} and {B.shape} from {C.shape}")
        if common_prefix(A, B, C) != "s":
            raise ValueError(f"halves are those of float32; got {A.dtype}")
        B_high, B_low = _halves(B)
        for start in range(0, len(A), self.tile):  # so that the halves of a whole panel are never held
            rows = slice(start, start + self.tile)
            high, low = _halves(A[rows])
            for k in range(0, A.shape[1], _DEEP):
                columns = slice(k, k + _DEEP)
                self._subtract(high[:, columns], B_high[:, columns], C[rows], 1 / _SCALE**2)
            self._subtract(high, B_low, C[rows], 1 / _SCALE**2 / _APART)
            self._subtract(low, B_high, C[rows], 1 / _SCALE**2 / _APART)

    def _subtract(self, A: Array, B: Array, C: Array, factor: float) -> None:
        """C -= factor A B^T for float16 A and B, whose products are exact in float32. A device with units for it has
        its own."""
        self.gemm(A.astype(np.float32), B.astype(np.float32), C, alpha=-factor, beta=1.0, transpose_b=True)

    def syrk(self, A: Array, C: Array, *, alpha: float = 1.0, beta: float = 0.0) -> None:
        prefix = common_prefix(A, C)
        n, k = A.shape
        if C.shape != (n, n):
            raise ValueError(f"syrk of shape {A.shape} into {C.shape}")
        alpha, beta = float(alpha), float(beta)

        def run(block):
            rows, columns = (slice(*span) for span in block)
            if rows == columns:
                part, own = A[rows], C[rows, rows]
                self._call(prefix + "syrk", "U", "T", len(part), k, alpha, part, leading(part), beta, own, leading(own))
            else:
                self._multiply(prefix, (A[rows], A[columns], C[rows, columns]), alpha, beta, False, True)

        self._share_out(run, shares.of_square(n, self._count_shares(n * n * k / 2)))

    def trsm(self, L: Array, B: Array, *, right: bool = False, transpose: bool = False) -> None:
        prefix = common_prefix(L, B)
        if L.shape[0] != L.shape[1] or L.shape[0] != B.shape[1 if right else 0]:
            raise ValueError(f"trsm of a factor {L.shape} with a block {B.shape}, right={right}")
        if B.size:
            side = "L" if right else "R"  # transposing the equation swaps the sides

            def run(span):
                part = B[slice(*span)] if right else B[:, slice(*span)]
                shape, flag = part.shape[::-1], _flag(transpose)
                self._call(prefix + "trsm", side, "U", flag, "N", *shape, 1.0, L, leading(L), part, leading(part))

            count = self._count_shares(B.size * len(L) / 2)
            self._share_out(run, shares.edges(B.shape[0 if right else 1], count))


def _halves(A):
    """Return (high, low), float16, with A = (high + low / _APART) / _SCALE to 22 bits."""
    scaled = A * np.float32(_SCALE)
    high = scaled.astype(np.float16)
    scaled -= high
    scaled *= np.float32(_APART)
    return high, scaled.astype(np.float16)


def common_prefix(*arrays: Array) -> str:
    """Check that the arrays are what BLAS can work on in place, and return the letter of their dtype."""
    for array in arrays:
        if array.ndim != 2 or array.dtype not in _PREFIX or array.dtype != arrays[0].dtype:
            raise ValueError(
                f"BLAS needs matrices of one dtype, float32 or float64; got {[(a.dtype, a.shape) for a in arrays]}"
            )
        row, column = array.strides
        # An array of no entries has no strides to speak of: CuPy says 0.
        backwards = len(array) > 1 and row < array.shape[1] * array.itemsize  # or rows that share memory
        if array.size and ((array.shape[1] > 1 and column != array.itemsize) or row % array.itemsize or backwards):
            raise ValueError(f"BLAS needs rows without gaps, one after another; got strides {array.strides}")
    if not getattr(arrays[-1].flags, "writeable", True):
        raise ValueError("the matrix to overwrite is read-only")
    return _PREFIX[arrays[0].dtype]


def leading(A: Array) -> int:
    """Return the leading dimension: elements from one row to the next."""
    return max(1, A.strides[0] // A.itemsize if len(A) > 1 else A.shape[1])


def _flag(transpose: bool) -> str:
    return "T" if transpose else "N"
