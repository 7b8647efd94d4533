"""What is to be solved, as far as memory and time depend on it."""

import dataclasses
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from kernelfit.grams.matrix import Gram
from kernelfit.kernels import Kernel


def eighth(n: int, least: int, most: int) -> int:
    """Return the largest power of two that is at most n / 8, but no less than `least` and no more than `most`.

    What is tried on so few of n points takes about a hundredth of the operations of all.
    """
    return min(max(least, 1 << max(0, (n // 8).bit_length() - 1)), most)


@dataclasses.dataclass(frozen=True)
class Problem:
    """What is to be solved: n points of d coordinates given as `dtype` (d = 0: a precomputed kernel), and the rest.

    of_products tells whether the kernel is made of inner products, see Kernel; held whether the points are in memory
    already, as kernels use them.
    """

    n: int
    n_test: int
    d: int
    outputs: int
    dtype: npt.DTypeLike = np.uint8
    loo: bool = False
    of_products: bool = True
    held: bool = False

    @classmethod
    def of_points(cls, X: npt.NDArray, kernel: Kernel, outputs: int, *, n_test: int = 0, loo: bool = False) -> Self:
        """Return the Problem of points X (n, ...), or of K for a precomputed kernel, of which nothing is made yet."""
        d = 0 if kernel.of_matrix else int(np.prod(X.shape[1:]))
        return cls(len(X), n_test, d, outputs, X.dtype, loo, kernel.of_products)

    @classmethod
    def of(cls, K: Gram, **others: Any) -> Self:
        """Return the Problem of a symmetric Gram whose points are made."""
        pixels = getattr(K.points, "exact", False)
        known = {"dtype": np.uint8 if pixels else np.float64, "held": True}
        return cls(n=K.shape[0], d=K.points.d, of_products=K.kernel.of_products, **known | others)
