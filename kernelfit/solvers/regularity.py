"""When is K + ridge I singular? One rule, in whatever precision it was factored.

A Cholesky factor does not see the scaling of rows and columns, so the rule is one for B = D^-1 (K + ridge I) D^-1 with
unit diagonal. What is asked is whether 1 / |B^-1|_1, which is at most the smallest eigenvalue of B, is rounding. With
u = 2^-53 (2^-24 of a float32 factor), measured: for X X^T and polynomial kernels one rank short, n = 2 to 200, rounding
left at most 3 u in place of 0, whatever n; and the matrix whose factor is found is off by 0.15 sqrt(n) u for kernels on
images, n = 2,000 to 60,000. Four times both, (12 + 0.6 sqrt(n)) u, is the bound: below it B cannot be told from a
singular matrix and no digit of a solution means anything, above it the inverse of the factor is right to a third. A
condition number of 1e12 is far from the bound: lambda_max(B) >= 1, and at n = 60,000 it is 1.8e-14.
"""

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from kernelfit.common.errors import InputError, SingularMatrixError
from kernelfit.common.progress import Progress
from kernelfit.common.rng import generator
from kernelfit.grams.matrix import Gram
from kernelfit.solvers.protocol import Triangular

_PROBES = 8  # columns of random signs, by which a Frobenius norm is estimated
_HAGER = 6  # steps at most, of two solves each; it ends by itself after two or three
_VECTORS = 8
_INVERSE_ITERATIONS = 3  # each divides what belongs to larger eigenvalues by their ratio to the smallest
_PRODUCTS = 4  # with K, at most, to bring the smallest eigenvalue down


@dataclasses.dataclass(frozen=True)
class Inverse:
    """What the norm of an inverse is estimated from, where there is no Triangular: products with it."""

    n: int
    solve: Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]
    inverse_norm: None = None


def rounding(n: int, dtype: npt.DTypeLike = np.float64) -> float:
    """Return (12 + 0.6 sqrt(n)) u: an eigenvalue of a matrix (n, n) of unit diagonal below it may be rounding."""
    return (12 + 0.6 * math.sqrt(n)) * float(np.finfo(dtype).eps) / 2


def condition_estimate(factor: Triangular | Inverse, norm_1: float) -> float:
    """Return a lower bound, usually within a factor of 3, of the 1-norm condition number of K + ridge I."""
    return float(norm_1 * (factor.inverse_norm or inverse_norm(factor)))


def inverse_norm(factor: Triangular | Inverse, roots: npt.ArrayLike = 1.0) -> float:
    """Return a lower bound, usually within a factor of 3, of |D (L L^T)^-1 D|_1 with D = diag(roots).

    By Hager's method from a few solves (Higham, "Accuracy and Stability", 2nd ed., section 15.3). It begins with the
    mean of all unit vectors or, if the inverse makes it larger, a vector that is drawn by a fixed seed: the mean does
    not see what lies across it, such as (1, -1) of two nearly equal points far from all others.
    """
    roots, n = np.reshape(roots, (-1, 1)), factor.n
    drawn = np.random.default_rng(0).standard_normal(n)
    V = np.column_stack([np.full(n, 1.0 / n), drawn / np.abs(drawn).sum()])
    norm, signs, best = 0.0, np.zeros((n, 1)), -1
    for step in range(_HAGER):
        image = roots * factor.solve(roots * V)
        sums = np.abs(image).sum(axis=0)
        found, image = float(sums.max()), image[:, [sums.argmax()]]
        if step and found <= norm:
            break
        norm, before, signs = found, signs, np.where(image < 0.0, -1.0, 1.0)
        if step == _HAGER - 1 or (signs == before).all():
            break
        slopes = np.abs(roots * factor.solve(roots * signs))
        if step and slopes[best] == slopes.max():
            break
        best = int(slopes.argmax())
        V = np.zeros((n, 1))
        V[best] = 1.0
    return norm


def added_to_inverse(factor: Triangular, m: int, diagonal: npt.NDArray[np.float64]) -> float:
    """Return about how much the last m points add to |B^-1|_1, and seldom less, B = L L^T scaled to a unit diagonal.

    With W the last m columns of L^-T, (L L^T)^-1 is that of the points before and W W^T; with D^2 = diag(diagonal),
    |D W W^T D|_1 <= sqrt(n) |D W|_F^2, which is exact for m up to 8, and else estimated by W times 8 columns of signs.
    """
    n = factor.n
    signs = np.eye(m) if m <= _PROBES else generator(0, "signs").choice([-1.0, 1.0], (m, _PROBES)) / math.sqrt(_PROBES)
    W = factor.half_solve_transposed(np.vstack([np.zeros((n - m, signs.shape[1])), signs]))
    return float(math.sqrt(n) * np.sum(diagonal @ W**2))


def require_regular(gram: Gram, factor: Triangular, roots: npt.NDArray, pivots: npt.NDArray) -> float | None:
    """Return |(K + ridge I)^-1|_1, estimated from below, or None if the diagonal varies, from a float64 factor.

    Parameters
    ----------
    roots : array, shape (n,)
        Roots of the diagonal of K + ridge I.
    pivots : array, shape (n,)
        Squares of the diagonal of the factor.

    Raises
    ------
    SingularMatrixError
        By the rule of this module, at the row whose pivot is the smallest part of its diagonal entry.
    """
    found = inverse_norm(factor, roots)
    if not found * rounding(factor.n) < 1:
        row = int(np.argmin(pivots / roots**2))
        raise singular(gram, factor.ridge, row, _seen(1 / found, factor.n), pivot=float(pivots[row]))
    return found / roots[0] ** 2 if (roots == roots[0]).all() else None


def check_pivots(gram: Gram, ridge: float, start: int, roots: npt.NDArray, diagonal: npt.NDArray, failed: int) -> None:
    """Raise SingularMatrixError unless every pivot is far enough above the rounding error of its diagonal entry.

    Parameters
    ----------
    gram, ridge
        Of the matrix that is factored, for the message.
    start : int
        Row of the first of the pivots.
    roots, diagonal : array
        Diagonal of the factor, whose squares are the pivots, and of the matrix.
    failed : int
        0, or the number of the pivot, counted from 1, at which the factorisation stopped.
    """
    n = gram.shape[0]
    pivots = np.square(roots)
    error = rounding(n) if roots.dtype == np.float64 else 0.0  # a pivot / K_ii is not below the smallest eigenvalue
    bad = ~(pivots > error * np.abs(diagonal))
    if failed:
        bad[failed - 1 :] = True
    if not bad.any():
        return
    local = int(np.argmax(bad))
    row = start + local
    if not np.isfinite(diagonal[local]):
        raise InputError(f"the kernel is not finite at training point {row}: K[{row}, {row}] = {diagonal[local]}")
    pivot = float("nan") if failed == local + 1 else float(pivots[local])
    seen = "its pivot is not positive" if np.isnan(pivot) else f"its pivot is {pivot:.1e} of {diagonal[local]:.1e}"
    raise singular(gram, ridge, row, seen, pivot=pivot)


def judged(
    gram: Gram, factor: Triangular, norm_1: float, *, estimate: bool = True, progress: Progress | None = None
) -> float | None:
    """Return a lower bound of the condition number of K + ridge I from a float32 factor, or None if not estimated.

    Where the factor needed a shift, or is itself too near a singular matrix for float32 to tell, its inverse says
    little about that of K. Then it serves to find approximate eigenvectors of the smallest eigenvalues of B, which are
    judged by products with K in float64: a Rayleigh quotient is never below the smallest eigenvalue.

    Parameters
    ----------
    norm_1 : float
        Of K + ridge I.
    estimate : bool
        Whether to spend some solves where the factorisation went well.

    Raises
    ------
    SingularMatrixError
        A Rayleigh quotient is not above the bound: in float64 too K + ridge I cannot be told from a singular matrix.
    """
    ridge, n = factor.ridge, factor.n
    diagonal = gram.diagonal() + ridge
    if not (diagonal > 0).all():
        row = int(np.argmin(diagonal > 0))
        raise singular(gram, ridge, row, "its diagonal entry is not positive", pivot=float(diagonal[row]))
    roots = np.sqrt(diagonal)
    if factor.shift == 0:
        if not estimate:
            return None
        found = inverse_norm(factor, roots)
        if found * rounding(n, np.float32) < 1:
            constant = (roots == roots[0]).all()
            return float(norm_1 * (found / roots[0] ** 2 if constant else inverse_norm(factor)))
    value, vector = _smallest(gram, factor, roots[:, None], progress)
    if not value > rounding(n):
        # Of twins, whose eigenvector has two equal entries, the later.
        row = int(np.flatnonzero(np.abs(vector) >= 0.5 * np.abs(vector).max())[-1])
        raise singular(gram, ridge, row, _seen(value, n))
    return float(norm_1 * np.sum((vector / roots) ** 2) / value)


def _smallest(gram, factor, roots, progress):
    """Return (Rayleigh quotient, unit vector) of B near its smallest eigenvalue, by a float32 factor near it."""

    def inverse(V):
        scaled = roots * V
        sizes = np.abs(scaled).max(axis=0)  # so that float32 does not overflow
        return roots * factor.solve(scaled / sizes).astype(np.float64) * sizes

    def multiply(V):
        return (gram.product(V / roots, progress=progress) + factor.ridge * (V / roots)) / roots

    n = factor.n
    # All eigenvectors of a small matrix: those of the factor carry the rounding of float32.
    V = np.random.default_rng(0).standard_normal((n, n if n <= 2 * _VECTORS else _VECTORS))
    for _ in range(_INVERSE_ITERATIONS):
        V = np.linalg.qr(inverse(V))[0]
    BV = multiply(V)
    values, turned = np.linalg.eigh((V.T @ BV + BV.T @ V) / 2)
    for _ in range(_PRODUCTS - 1):
        if n <= 2 * _VECTORS or not values[0] > rounding(n):
            break
        V, BV = V @ turned, BV @ turned
        before, width = values[0], V.shape[1]
        more = inverse(BV - V * values)
        # Orthogonal to V even where V has all there is to find, and the rest is rounding.
        more = np.linalg.qr(np.hstack([V, more]))[0][:, width:]
        V, BV = np.hstack([V, more]), np.hstack([BV, multiply(more)])
        values, turned = np.linalg.eigh((V.T @ BV + BV.T @ V) / 2)
        values, turned = values[:width], turned[:, :width]
        if values[0] > before / 2:
            break
    return float(values[0]), V @ turned[:, 0]


def singular(gram: Gram, ridge: float, row: int, seen: str, *, pivot: float = float("nan")) -> SingularMatrixError:
    """Return the SingularMatrixError of K + ridge I at a training point, with its likely causes."""
    twin = gram.duplicate_of(row)
    if twin is not None:
        cause = f"Training points {twin} and {row} are identical. Remove one, or give a ridge, e.g. 1e-6"
    else:
        cause = (
            "No earlier point is identical to it. Likely causes: (a) the bandwidth is too wide: try a smaller one; "
            "(b) the kernel has finite rank (linear, low-degree polynomial) below n: use fewer points, or another "
            "kernel; (c) nearly equal points; (d) the kernel is not positive definite. A ridge, e.g. 1e-6, makes the "
            "problem regular"
        )
    return SingularMatrixError(
        f"K + {ridge:g} I is numerically singular at training point {row} of {gram.shape[0]}: {seen}, below the "
        f"rounding error. {cause}",
        row=row,
        pivot=pivot,
        duplicate=twin,
    )


def _seen(value, n):
    return f"scaled to a unit diagonal, it has an eigenvalue of about {value:.1e}, not above {rounding(n):.1e}"
