"""Random features, nested: p features are the first p of one endless sequence, and minimum-norm fits on any p of them.

As p grows the features tend to a kernel, and the minimum-norm fit on them to the kernel interpolant.
"""

import dataclasses
import itertools
import math
import operator
from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from kernelfit import backend
from kernelfit.common.errors import InputError, SingularMatrixError
from kernelfit.common.rng import generator
from kernelfit.common.spans import spans
from kernelfit.common.validation import check_number, check_targets
from kernelfit.kernels.formula import rounding

_BLOCK = 256  # features drawn from one stream; a constant of the sequence, so never to be changed


@dataclasses.dataclass(frozen=True)
class FourierFeatures:
    """phi_j(x) = sqrt(2) cos(<w_j, x> + b_j), w ~ N(0, I / bandwidth^2), b uniform on [0, 2 pi).

    The mean of phi_j(x) phi_j(z) over j tends to the Gaussian kernel of this bandwidth (Rahimi and Recht, "Random
    features for large-scale kernel machines", 2007).
    """

    bandwidth: float
    name: ClassVar[str] = "fourier"

    def __post_init__(self) -> None:
        check_number("bandwidth", self.bandwidth, 1e-100, 1e100)

    def rounding(self, X: npt.NDArray) -> float:
        """Return by how much a feature of points X may be off: the rounding of <w, x> / bandwidth."""
        return rounding(X.shape[1]) * (1 + float(np.abs(X).max()) / self.bandwidth)

    def block(self, X: npt.NDArray, rng: np.random.Generator) -> npt.NDArray[np.float64]:
        """Return the next _BLOCK features (n, _BLOCK) of points X (n, d)."""
        W = rng.standard_normal((X.shape[1], _BLOCK)) / self.bandwidth
        return math.sqrt(2) * np.cos(X @ W + rng.uniform(0, 2 * np.pi, _BLOCK))


@dataclasses.dataclass(frozen=True)
class ReluFeatures:
    """phi_j(x) = sqrt(2) max(0, <w_j, x>), w ~ N(0, I): the hidden layer of a net of which only the last is trained.

    The mean of phi_j(x) phi_j(z) tends to the arc-cosine kernel of order 1, kernels.ArcCosine(1).
    """

    name: ClassVar[str] = "relu"

    def rounding(self, X: npt.NDArray) -> float:
        """Return by how much a feature of points X may be off, relative to |x|."""
        return rounding(X.shape[1])

    def block(self, X: npt.NDArray, rng: np.random.Generator) -> npt.NDArray[np.float64]:
        """Return the next _BLOCK features (n, _BLOCK) of points X (n, d)."""
        return math.sqrt(2) * np.maximum(X @ rng.standard_normal((X.shape[1], _BLOCK)), 0.0)


RandomFeatures = FourierFeatures | ReluFeatures


def feature_matrix(features: RandomFeatures, X: npt.NDArray, count: int, *, seed: int = 0) -> npt.NDArray[np.float64]:
    """Return the first `count` features of points X, float64 (n, d), as an array (n, count).

    Features are drawn in blocks, each from a stream of its own: asking for more leaves the first as they were.
    """
    F = np.empty((len(X), count))
    for start, stop in spans(0, count, _BLOCK):
        rng = generator(seed, "random features", features.name, start // _BLOCK)
        F[:, start:stop] = features.block(X, rng)[:, : stop - start]
    return F


def minimum_norm_path(
    F: npt.NDArray, Y: npt.NDArray, grid: Sequence[int]
) -> Iterator[tuple[int, npt.NDArray[np.float64], float]]:
    """Yield (p, theta, condition) for each p of an increasing grid: theta (p, r) of least norm among the least squares.

    p <= n: F_n = Q R once, 4/3 n^3 operations; its first p columns and R[:p, :p] are the decomposition of F_p, so that
    each p costs one triangular solve, p^2 r. p > n: F_p^T = Q R without Q, grown from the R before by the new features
    alone (the R of [R; new rows], 2 n^2 a feature and 4/3 n^3 a grid point). Then theta = F_p^T R^-1 R^-T Y, the
    seminormal equations, whose error for underdetermined systems grows with the condition number and not with its
    square (Higham, "Accuracy and Stability", 2nd ed., section 21.3); forming F F^T would square it.

    Parameters
    ----------
    F : array, shape (n, P)
        Features, P at least the last of the grid.
    Y : array, shape (n, r)
    grid : increasing positive integers

    Raises
    ------
    InputError
        F is no matrix of finite numbers, Y does not fit it, or the grid does not increase up to P at most.
    SingularMatrixError
        A feature (p <= n) or a point (p > n) is an exact combination of earlier ones. What is merely near to that shows
        in `condition`, the 2-norm condition number of F_p, from below, within a per cent or so.
    """
    F = np.asarray(F, dtype=np.float64)
    if F.ndim != 2 or not np.isfinite(F).all():
        raise InputError(f"features of shape {F.shape}; give finite numbers of shape (n, P), a row for each point")
    n = len(F)
    Y = check_targets(Y, n)
    grid = checked_grid(grid, F.shape[1])
    below = [p for p in grid if p <= n]
    if below:
        Q, R = np.linalg.qr(F[:, : below[-1]])
        projected, L = Q.T @ Y, np.ascontiguousarray(R.T)
        for p in below:
            theta, part = projected[:p].copy(), L[:p, :p]
            _require_regular(part, f"feature {{}} of {p} is a combination of earlier ones on the training points")
            backend.CPU.trsm(part, theta, transpose=True)
            yield p, theta, _condition(part)
    R, done = np.empty((0, n)), 0
    for p in grid[len(below) :]:
        R = np.linalg.qr(np.vstack([R, F[:, done:p].T]), mode="r")  # type: ignore[assignment]
        done = p
        L = np.ascontiguousarray(R.T)
        _require_regular(L, f"training point {{}} has the features of a combination of earlier ones at p = {p}")
        coef = np.array(Y, dtype=np.float64)
        backend.CPU.trsm(L, coef)
        backend.CPU.trsm(L, coef, transpose=True)
        yield p, F[:, :p].T @ coef, _condition(L)


def _condition(L):
    """2-norm condition number of a lower triangle: Lanczos on L L^T and on its inverse, O(p^2)."""
    p = len(L)
    if p <= 64:  # small enough for all singular values, and Lanczos wants room
        return float(np.linalg.cond(L))
    from scipy.sparse.linalg import LinearOperator, eigsh

    def inverse(v):
        x = np.array(v, dtype=np.float64).reshape(p, 1)
        backend.CPU.trsm(L, x)
        backend.CPU.trsm(L, x, transpose=True)
        return x[:, 0]

    def largest_eigenvalue(matvec):
        operator = LinearOperator((p, p), matvec=matvec, dtype=np.float64)
        v0 = generator(0, "condition").standard_normal(p)
        # An eigenvalue to 1 % is a singular value to half of that.
        return float(eigsh(operator, k=1, tol=0.01, v0=v0, return_eigenvectors=False)[0])

    return math.sqrt(largest_eigenvalue(lambda v: L @ (L.T @ v.ravel())) * largest_eigenvalue(inverse))


def _require_regular(L, what):
    zero = np.flatnonzero(L.diagonal() == 0)
    if len(zero):
        row = int(zero[0])
        raise SingularMatrixError(
            f"{what.format(row)}, so there is no unique fit. Likely causes: (a) equal or proportional points; (b) a "
            "feature that is zero on all of them. Remove what is repeated, or take other features",
            row=row,
            pivot=0.0,
        )


def checked_grid(grid: Iterable[int], largest: float = math.inf) -> list[int]:
    try:
        checked = [operator.index(p) for p in grid]
    except TypeError:
        checked = []
    increasing = all(p < q for p, q in itertools.pairwise(checked))
    if not (checked and checked[0] >= 1 and increasing and checked[-1] <= largest):
        most = "" if largest == math.inf else f", at most {largest}, the number of features"
        raise InputError(f"grid = {grid}; it must hold increasing integers of at least 1{most}")
    return checked
