"""Compiled passes of formulas: a tile of inner products is read once, and a tile of entries written once."""

import functools
import math

import numpy as np

from kernelfit.backend.native import LateModule, may_compile, native
from kernelfit.kernels import arrays
from kernelfit.kernels.arrays import Formula, Pass

_SCALARS = LateModule("kernelfit.kernels.scalars")
_COLUMNS = 64  # whose coordinates stay in a core's cache while rows pass by


@functools.cache
def tile_pass(from_products: Formula, formula: Formula, integers: tuple[int, ...]) -> Pass:
    """Return the compiled pass from inner products to entries, which returns how many it left NaN.

    run(T, a, b, p, q, parameters, offset, slack, near, out): T (m, k) holds inner products of shifted points, a (m,)
    and b (k,) undo the shift, p (m,) and q (k,) are squared norms (of the shifted points for kernels of distances),
    parameters is a tuple of floats, out (m, k) is float64, or float32 to round each value once. Where row i and column
    i + offset are the same point, the entry is exactly that of a point with itself.

    NaN is what inner products do not tell: squared distances below slack (p + q) + near, and cosines within `near` of 1
    or -1. Where numba is told not to compile (NUMBA_DISABLE_JIT), array expressions do it.
    """
    if not may_compile():
        return arrays.tile_pass(from_products, formula, integers, np)

    @native()
    def run(T, a, b, p, q, parameters, offset, slack, near, out):
        missing, last = 0, parameters + integers
        for i in range(T.shape[0]):
            a_i, p_i = a[i], p[i]
            for j in range(T.shape[1]):
                out[i, j] = from_products(
                    _SCALARS, formula, np.float64(T[i, j]), a_i + b[j], p_i, q[j], slack, near, *last
                )
            if 0 <= i + offset < T.shape[1]:
                out[i, i + offset] = from_products(_SCALARS, formula, p_i, 0.0, p_i, p_i, 0.0, -math.inf, *last)
            if near > -math.inf:
                for j in range(T.shape[1]):
                    missing += out[i, j] != out[i, j]
        return missing

    return run


@functools.cache
def difference_pass(from_differences: Formula, formula: Formula, integers: tuple[int, ...], order: int = 2) -> Pass:
    """Return the compiled pass that makes what is NaN in out (m, k) from the squared distances of A (m, d), B (k, d).

    run(A, B, weights, p, q, sign, parameters, out) returns how many are NaN still. For kernels of distances, A and B
    are the points, and differences are multiplied by weights (d,), unless these are None; with order 1 absolute
    differences are summed, not squares. For those of the angle they are unit vectors, p and q squared norms, and sign
    is 1, or -1 where B are the opposite unit vectors; entries whose squared distance is above 2 stay NaN.

    A squared distance is summed coordinate after coordinate; many in one row are made together, in vector operations.
    """
    if not may_compile():
        return arrays.difference_pass(from_differences, formula, integers, order, np)

    @native()
    def fill(A, B, weights, p, q, sign, parameters, turned, sums, out):
        d, left, last = A.shape[1], 0, parameters + integers
        for start in range(0, len(B), _COLUMNS):
            width = min(_COLUMNS, len(B) - start)
            ready = False
            for i in range(len(A)):
                missing = 0
                for j in range(start, start + width):
                    missing += out[i, j] != out[i, j]
                if missing == 0:
                    continue
                together = missing * 8 > width
                if together:
                    if not ready:
                        for j in range(width):
                            for t in range(d):
                                turned[t, j] = B[start + j, t]
                        ready = True
                    for j in range(_COLUMNS):
                        sums[j] = 0.0
                    for t in range(d):
                        value = A[i, t]
                        for j in range(_COLUMNS):
                            difference = value - turned[t, j]
                            if weights is not None:
                                difference *= weights[t]
                            sums[j] += difference * difference if order == 2 else abs(difference)
                if missing == width:  # without a branch, so that this too is done in vector operations
                    for j in range(width):
                        value = from_differences(_SCALARS, formula, sums[j], p[i], q[start + j], sign, *last)
                        left += value != value
                        out[i, start + j] = value
                    continue
                for j in range(start, start + width):
                    if out[i, j] == out[i, j]:
                        continue
                    if together:
                        squared = sums[j - start]
                    else:
                        squared = 0.0
                        for t in range(d):
                            difference = A[i, t] - B[j, t]
                            if weights is not None:
                                difference = difference * weights[t]
                            squared += difference * difference if order == 2 else abs(difference)
                    value = from_differences(_SCALARS, formula, squared, p[i], q[j], sign, *last)
                    left += value != value
                    out[i, j] = value
        return left

    def run(A, B, weights, p, q, sign, parameters, out):
        turned, sums = np.zeros((A.shape[1], _COLUMNS)), np.empty(_COLUMNS)
        return fill(A, B, weights, p, q, sign, parameters, turned, sums, out)

    return run
