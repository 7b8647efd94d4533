"""Passes of formulas as array expressions, for devices where numba does not compile: GPUs.

CuPy fuses an expression into one kernel; with NumPy the same expression runs step by step, which is how it is tested.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

Formula = Callable[..., Any]  # of one pair of points, or of a tile: see kernelfit.kernels.formula
Pass = Callable[..., int]

_LONGEST = 16  # repetitions in one fused kernel; the compiler's time grows with them, so longer ones run step by step
_PIECE = 2**24  # coordinates of pairs of points that are gathered at a time: 128 MB


def tile_pass(from_products: Formula, formula: Formula, integers: tuple[int, ...], xp: Any) -> Pass:
    """Return the pass of kernelfit.kernels.compiled.tile_pass on arrays of the namespace xp."""
    values = _fused(from_products, formula, integers, xp)

    def run(T, a, b, p, q, parameters, offset, slack, near, out):
        # Rows and columns are cut out here: inside of a fused expression arrays have no indices.
        out[...] = values(T, a[:, None], b[None, :], p[:, None], q[None, :], slack, near, *parameters)
        first, last = max(0, -offset), min(len(p), out.shape[1] - offset)
        if first < last:  # entries of a point with itself: s = p exactly
            rows, same = xp.arange(first, last), p[first:last]
            none = xp.zeros_like(same)
            out[rows, rows + offset] = values(same, none, none, same, same, 0.0, -math.inf, *parameters)
        # Looking for NaN waits for the device.
        return 0 if near == -math.inf else int(xp.isnan(out).sum())

    return run


def difference_pass(
    from_differences: Formula, formula: Formula, integers: tuple[int, ...], order: int, xp: Any
) -> Pass:
    """Return the pass of kernelfit.kernels.compiled.difference_pass on arrays of the namespace xp."""

    def run(A, B, weights, p, q, sign, parameters, out):
        rows, columns = xp.nonzero(xp.isnan(out))
        step = max(1, _PIECE // A.shape[1])
        for start in range(0, len(rows), step):
            i, j = rows[start : start + step], columns[start : start + step]
            difference = A[i].astype(float) - B[j]  # pixels may be int8
            if weights is not None:
                difference = difference * weights
            squared = (difference * difference if order == 2 else xp.abs(difference)).sum(axis=1)
            out[i, j] = from_differences(xp, formula, squared, p[i], q[j], sign, *parameters, *integers)
        return int(xp.isnan(out).sum())

    return run


@functools.cache
def _fused(from_products: Formula, formula: Formula, integers: tuple[int, ...], xp: Any) -> Formula:
    def values(T, a, b, p, q, slack, near, *parameters):
        return from_products(xp, formula, T, a + b, p, q, slack, near, *parameters, *integers)

    return xp.fuse(values) if hasattr(xp, "fuse") and max(integers, default=0) <= _LONGEST else values
