"""Double descent: minimum-norm regression on p random features, from p far below n to far above.

Test error rises to a peak at p = n, where the features just suffice to interpolate and the norm explodes, and falls
again beyond it (Belkin, Hsu, Ma and Mandal, "Reconciling modern machine-learning practice and the classical
bias-variance trade-off", 2019, section 3). There is no ridge. p features are the first p of one endless sequence, so
that one decomposition serves a whole path, and as p grows the fit tends to the kernel interpolant.
"""

import dataclasses
import itertools
import math
import operator
import time
from typing import ClassVar

import numpy as np

from kernelfit import backend
from kernelfit.corruption import corrupt_labels, label_probability
from kernelfit.errors import InputError, NotEnoughMemoryError, SingularMatrixError
from kernelfit.measures import error_rate, one_hot
from kernelfit.points import first_duplicate, points
from kernelfit.progress import Progress
from kernelfit.randomness import generator

_BLOCK = 256  # features drawn from one stream; a constant of the sequence, so never to be changed
# Least squares lose up to condition^2 eps of their residual (Higham, "Accuracy and Stability", 2nd ed., theorem 20.1):
# beyond 1e8 nothing need be left.
_WORST_CONDITION = 1e8


@dataclasses.dataclass(frozen=True)
class FourierFeatures:
    """phi_j(x) = sqrt(2) cos(<w_j, x> + b_j), w ~ N(0, I / bandwidth^2), b uniform on [0, 2 pi).

    The mean of phi_j(x) phi_j(z) over j tends to the Gaussian kernel of this bandwidth (Rahimi and Recht, "Random
    features for large-scale kernel machines", 2007).
    """

    bandwidth: float
    name: ClassVar[str] = "fourier"

    def __post_init__(self):
        if not 1e-100 <= self.bandwidth <= 1e100:
            raise InputError(
                f"bandwidth = {self.bandwidth}; it must be a positive number, e.g. the median distance of the points"
            )

    def block(self, X, rng):
        """Return the next _BLOCK features (n, _BLOCK) of points X (n, d)."""
        W = rng.standard_normal((X.shape[1], _BLOCK)) / self.bandwidth
        return math.sqrt(2) * np.cos(X @ W + rng.uniform(0, 2 * np.pi, _BLOCK))


@dataclasses.dataclass(frozen=True)
class ReluFeatures:
    """phi_j(x) = sqrt(2) max(0, <w_j, x>), w ~ N(0, I): the hidden layer of a net of which only the last is trained.

    The mean of phi_j(x) phi_j(z) tends to the arc-cosine kernel of order 1, kernels.ArcCosine(1).
    """

    name: ClassVar[str] = "relu"

    def block(self, X, rng):
        """Return the next _BLOCK features (n, _BLOCK) of points X (n, d)."""
        return math.sqrt(2) * np.maximum(X @ rng.standard_normal((X.shape[1], _BLOCK)), 0.0)


def feature_matrix(features, X, count, *, seed=0):
    """Return the first `count` features of points X, float64 (n, d), as an array (n, count).

    Features are drawn in blocks, each from a stream of its own: asking for more leaves the first as they were.
    """
    F = np.empty((len(X), count))
    for start in range(0, count, _BLOCK):
        stop = min(start + _BLOCK, count)
        rng = generator(seed, "random features", features.name, start // _BLOCK)
        F[:, start:stop] = features.block(X, rng)[:, : stop - start]
    return F


def minimum_norm_path(F, Y, grid):
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
    SingularMatrixError
        A feature (p <= n) or a point (p > n) is an exact combination of earlier ones. What is merely near to that shows
        in `condition`, the 2-norm condition number of F_p, from below, within a per cent or so.
    """
    n = len(F)
    grid = _checked_grid(grid, F.shape[1])
    below = [p for p in grid if p <= n]
    if below:
        Q, R = np.linalg.qr(F[:, : below[-1]])
        projected, L = Q.T @ Y, np.ascontiguousarray(R.T)
        for p in below:
            theta, part = projected[:p].copy(), L[:p, :p]
            _require_regular(part, f"feature {{}} of {p} is a combination of earlier ones on the training points")
            backend.trsm(part, theta, transpose=True)
            yield p, theta, _condition(part)
    R, done = np.empty((0, n)), 0
    for p in grid[len(below) :]:
        R, done = np.linalg.qr(np.vstack([R, F[:, done:p].T]), mode="r"), p
        L = np.ascontiguousarray(R.T)
        _require_regular(L, f"training point {{}} has the features of a combination of earlier ones at p = {p}")
        coef = np.array(Y, dtype=np.float64)
        backend.trsm(L, coef)
        backend.trsm(L, coef, transpose=True)
        yield p, F[:, :p].T @ coef, _condition(L)


@dataclasses.dataclass(frozen=True)
class DoubleDescent:
    """Errors, norm and condition along p; JSON-ready through dataclasses.asdict.

    Every curve is a list over seeds of lists over `grid`. A seed draws both the features and the label noise.

    Attributes
    ----------
    features : str
    n_train, n_test, d, n_classes : int
    label_noise : float
        Probability that a training label is replaced; test labels are not touched.
    seeds, grid : list of int
    train_error, test_error : list of list of float
        Share of points whose largest score is not at the label (training: the noisy label).
    train_squared_error, test_squared_error : list of list of float
        Mean over points of |f(x) - one-hot label|^2. At p >= n the former is the residual that rounding left.
    norm : list of list of float
        sqrt(p) |theta|: the norm of f where features are scaled to make a kernel, k_p = phi phi^T / p.
    condition : list of list of float
        Of the training features, in the 2-norm.
    warnings : list of str
    seconds : float
    """

    features: str
    n_train: int
    n_test: int
    d: int
    n_classes: int
    label_noise: float
    seeds: list
    grid: list
    train_error: list
    train_squared_error: list
    test_error: list
    test_squared_error: list
    norm: list
    condition: list
    warnings: list
    seconds: float

    def mean(self, curve):
        """Return a curve's mean over the seeds, one number for each p; e.g. mean("test_error")."""
        return np.mean(getattr(self, curve), axis=0).tolist()

    def peak(self):
        """Return the p of the largest mean test_squared_error."""
        return self.grid[int(np.argmax(self.mean("test_squared_error")))]


_CURVES = ("train_error", "train_squared_error", "test_error", "test_squared_error", "norm", "condition")


def default_grid(n):
    """Return 15 values of p from n / 8 to 8 n, closest around n."""
    shares = (1 / 8, 1 / 4, 1 / 2, 0.7, 0.8, 0.9, 0.95, 1, 1.05, 1.1, 1.25, 1.5, 2, 4, 8)
    return sorted({max(1, round(share * n)) for share in shares})


def double_descent(
    X_train,
    y_train,
    X_test,
    y_test,
    *,
    n_classes,
    features,
    label_noise=0.2,
    grid=None,
    seeds=(0, 1, 2),
    progress=None,
):
    """Fit one-hot targets on p random features for every p of the grid and every seed; return a DoubleDescent.

    Points are centred by the training mean: a Gaussian kernel does not notice, and ReLU features divide the points
    where they are instead of being dead, or linear, on all of them.

    Parameters
    ----------
    X_train, X_test : array, shape (n, ...), (m, ...)
        uint8 pixels, which stand for x / 255, or floating point.
    y_train, y_test : int array
    features : FourierFeatures or ReluFeatures
    label_noise : float
        As corruption.corrupt_labels; without any the peak is low.
    grid : increasing integers, optional
        default_grid(n) unless given.
    """
    start = time.perf_counter()
    progress = progress or Progress()
    probability = label_probability(label_noise)
    X, Z = _centred(X_train, X_test)
    n, m = len(X), len(Z)
    grid = _checked_grid(default_grid(n) if grid is None else grid)
    _check_memory(n, m, grid[-1])
    pair = first_duplicate(X) if grid[-1] >= n else None
    if pair:
        raise SingularMatrixError(
            f"training points {pair[0]} and {pair[1]} are identical, so no p interpolates. Remove one of them, or keep "
            f"the grid below n = {n}",
            row=pair[1],
            duplicate=pair[0],
        )
    seeds = list(seeds)
    curves, warnings = {name: [] for name in _CURVES}, []
    with progress.phase("double descent", len(seeds) * len(grid)) as advance:
        for seed in seeds:
            y, _ = corrupt_labels(y_train, n_classes, probability, seed)
            Y, Y_test = one_hot(y, n_classes), one_hot(y_test, n_classes)
            F, F_test = (feature_matrix(features, part, grid[-1], seed=seed) for part in (X, Z))
            steps = []
            for p, theta, condition in minimum_norm_path(F, Y, grid):
                fitted, scores = F[:, :p] @ theta, F_test[:, :p] @ theta
                norm = math.sqrt(p) * float(np.linalg.norm(theta))
                train = error_rate(fitted, y), _squared_error(fitted, Y)
                steps.append((*train, error_rate(scores, y_test), _squared_error(scores, Y_test), norm, condition))
                if condition > _WORST_CONDITION:
                    warnings.append(
                        f"seed {seed}, p = {p}: the condition number is at least {condition:.1e}, so theta may have no "
                        "correct digit. A smaller bandwidth makes features less alike"
                    )
                advance(1)
            for name, values in zip(_CURVES, zip(*steps, strict=True), strict=True):
                curves[name].append(list(values))
    return DoubleDescent(
        features=str(features),
        n_train=n,
        n_test=m,
        d=X.shape[1],
        n_classes=n_classes,
        label_noise=probability,
        seeds=seeds,
        grid=grid,
        **curves,
        warnings=warnings,
        seconds=round(time.perf_counter() - start, 4),
    )


def _condition(L):
    """2-norm condition number of a lower triangle: Lanczos on L L^T and on its inverse, O(p^2)."""
    p = len(L)
    if p <= 64:  # small enough for all singular values, and Lanczos wants room
        return float(np.linalg.cond(L))
    from scipy.sparse.linalg import LinearOperator, eigsh

    def inverse(v):
        x = np.array(v, dtype=np.float64).reshape(p, 1)
        backend.trsm(L, x)
        backend.trsm(L, x, transpose=True)
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


def _centred(X_train, X_test):
    X, Z = (points(part).coordinates() for part in (X_train, X_test))
    if X.shape[1] != Z.shape[1]:
        raise InputError(
            f"training points have {X.shape[1]} coordinates, test points {Z.shape[1]}; give both one shape"
        )
    mean = X.mean(axis=0)
    return X - mean, Z - mean


def _squared_error(scores, Y):
    return float(np.mean(np.sum((scores - Y) ** 2, axis=1)))


def _checked_grid(grid, largest=math.inf):
    try:
        checked = [operator.index(p) for p in grid]
    except TypeError:
        checked = []
    increasing = all(p < q for p, q in itertools.pairwise(checked))
    if not (checked and checked[0] >= 1 and increasing and checked[-1] <= largest):
        most = "" if largest == math.inf else f", at most {largest}, the number of features"
        raise InputError(f"grid = {grid}; it must hold increasing integers of at least 1{most}")
    return checked


def _check_memory(n, m, largest):
    # F of both splits, the new features stacked under R and LAPACK's copy of that, and a few triangles.
    needed, free = 8 * (largest * (3 * n + m) + 5 * n * n), backend.free_memory()
    if needed > free:
        raise NotEnoughMemoryError(
            f"{largest} features of {n} training and {m} test points need {needed / 1e9:.1f} GB, and "
            f"{free / 1e9:.1f} GB are free. End the grid earlier, or use fewer points"
        )
