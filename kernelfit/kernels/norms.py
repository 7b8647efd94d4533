"""Norms of points, where a kernel divides by them."""

from typing import Any

import numpy as np
import numpy.typing as npt

from kernelfit.common.errors import InputError
from kernelfit.kernels.base import Points

# A smaller squared norm may have lost digits to underflow: this is 1e17 times the smallest number that has them all.
SMALLEST_SQ_NORM = 1e-290


def norm_product(xp: Any, p: Any, q: Any) -> Any:
    """|x| |z| from p = |x|^2 and q = |z|^2: one root, unless the product of the squares leaves float64."""
    product = p * q
    return xp.where((product > 1e-290) & (product < 1e300), xp.sqrt(product), xp.sqrt(p) * xp.sqrt(q))


def unit_vectors(points: Points) -> npt.NDArray[np.float64]:
    """Return x / |x| of Points as an array (n, d) on their device; 0 for x = 0."""
    X, xp = points.coordinates(), points.device.xp
    norms = xp.sqrt((X * X).sum(axis=1))
    return X / xp.where(norms > 0, norms, 1.0)[:, None]


def require_digits_of_norms(*sides: Points) -> None:
    """Raise InputError where a squared norm that is divided by has lost digits to underflow; 0 is handled."""
    for side in sides:
        norms = side.original_sq_norms
        lost = (norms > 0) & (norms < SMALLEST_SQ_NORM)
        if lost.any():
            row = side.start + int(np.flatnonzero(side.device.host(lost))[0])
            raise InputError(
                f"point {row} is too small for a kernel that divides by |x|: |x|^2 has lost its digits in float64. "
                "Scale the points, or leave it out"
            )
