"""Double descent: minimum-norm regression on p random features, from p far below n to far above.

Test error rises to a peak at p = n, where the features just suffice to interpolate and the norm explodes, and falls
again beyond it (Belkin, Hsu, Ma and Mandal, "Reconciling modern machine-learning practice and the classical
bias-variance trade-off", 2019). There is no ridge. p features are the first p of one endless sequence, so
that one decomposition serves a whole path, and as p grows the fit tends to the kernel interpolant.
"""

import dataclasses
import math
import time
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from kernelfit import backend
from kernelfit.common.errors import InputError, NotEnoughMemoryError, SingularMatrixError
from kernelfit.common.progress import Progress
from kernelfit.common.validation import check_labels
from kernelfit.corruption import corrupt_labels, label_probability
from kernelfit.datasets.labels import error_rate, one_hot
from kernelfit.grams.duplicates import merge_duplicates
from kernelfit.grams.points import coordinates
from kernelfit.theory.random_features import RandomFeatures, checked_grid, feature_matrix, minimum_norm_path

# What rounding of the features, times the condition number, must stay below for two digits of theta to be right.
_LARGEST_ERROR = 1e-2
# Least squares lose up to condition^2 eps of their residual (Higham, "Accuracy and Stability", 2nd ed., theorem 20.1):
# beyond 1e8 nothing need be left.
_WORST_CONDITION = 1e8


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
    seeds: list[int]
    grid: list[int]
    train_error: list[list[float | None]]
    train_squared_error: list[list[float | None]]
    test_error: list[list[float | None]]
    test_squared_error: list[list[float | None]]
    norm: list[list[float | None]]
    condition: list[list[float | None]]
    warnings: list[str]
    seconds: float

    def __post_init__(self) -> None:
        for name in _CURVES:
            runs = getattr(self, name)
            if not self.grid or not runs or {len(run) for run in runs} != {len(self.grid)}:
                raise InputError(
                    f"{name} has no value for each of the {len(self.grid)} numbers of features of the grid"
                )

    def mean(self, curve: str) -> list[float]:
        """Return a curve's mean over the seeds, one number for each p; e.g. mean("test_error")."""
        return np.mean(np.array(getattr(self, curve), dtype=np.float64), axis=0).tolist()  # None is NaN

    def peak(self) -> int:
        """Return the p of the largest mean test_squared_error."""
        means = np.array(self.mean("test_squared_error"))
        return self.grid[int(np.argmax(np.where(np.isnan(means), -np.inf, means)))]


_CURVES = ("train_error", "train_squared_error", "test_error", "test_squared_error", "norm", "condition")


def default_grid(n: int) -> list[int]:
    """Return 15 values of p from n / 8 to 8 n, closest around n."""
    shares = (1 / 8, 1 / 4, 1 / 2, 0.7, 0.8, 0.9, 0.95, 1, 1.05, 1.1, 1.25, 1.5, 2, 4, 8)
    return sorted({max(1, round(share * n)) for share in shares})


def double_descent(
    X_train: npt.ArrayLike,
    y_train: npt.NDArray,
    X_test: npt.ArrayLike,
    y_test: npt.NDArray,
    *,
    n_classes: int,
    features: RandomFeatures,
    label_noise: float = 0.2,
    grid: Sequence[int] | None = None,
    seeds: Iterable[int] = (0, 1, 2),
    progress: Progress | None = None,
) -> DoubleDescent:
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
        As corruption.corrupt_labels; without any the peak is lower.
    grid : increasing integers, optional
        default_grid(n) unless given.
    """
    start = time.perf_counter()
    progress = progress or Progress()
    probability = label_probability(label_noise)
    X, Z = _centred(X_train, X_test)
    y_test, seeds = check_labels(y_test, len(Z), n_classes), list(seeds)
    if not seeds:
        raise InputError("seeds is empty; give one or more")
    labels = np.column_stack([corrupt_labels(y_train, n_classes, probability, seed)[0] for seed in seeds])
    grid = None if grid is None else checked_grid(grid)
    if grid is None or grid[-1] >= len(X):  # some p are to fit all labels
        found = merge_duplicates(X, labels)
        if pair := found.contradiction:
            raise SingularMatrixError(
                f"training points {pair[0]} and {pair[1]} are identical and their labels, once some are replaced, are "
                f"not, so no p interpolates. Remove one of them, or keep the grid below n = {len(X)}",
                row=pair[1],
                duplicate=pair[0],
            )
        X, labels = found.distinct(X), labels[found.support]
    n, m = len(X), len(Z)
    grid = checked_grid(default_grid(n)) if grid is None else grid
    _check_memory(n, m, grid[-1])
    worst = min(_WORST_CONDITION, _LARGEST_ERROR / features.rounding(X))
    curves: dict[str, list[list[float | None]]] = {name: [] for name in _CURVES}
    warnings: list[str] = []
    # What one p costs tells little of another, and all of the same p with another seed.
    with progress.phase("double descent", {str(p): len(seeds) for p in grid}) as advance:
        for seed, y in zip(seeds, labels.T, strict=True):
            Y, Y_test = one_hot(y, n_classes), one_hot(y_test, n_classes)
            F, F_test = (feature_matrix(features, part, grid[-1], seed=seed) for part in (X, Z))
            steps = []
            for p, theta, condition in minimum_norm_path(F, Y, grid):
                fitted, scores = F[:, :p] @ theta, F_test[:, :p] @ theta
                norm = math.sqrt(p) * float(np.linalg.norm(theta))
                train = error_rate(fitted, y), _squared_error(fitted, Y)
                steps.append((*train, error_rate(scores, y_test), _squared_error(scores, Y_test), norm, condition))
                if condition > worst:
                    warnings.append(
                        f"seed {seed}, p = {p}: the condition number is at least {condition:.1e}, so theta may have no "
                        "correct digit. A smaller bandwidth makes features less alike, if points are not far apart"
                    )
                advance(1, f"p = {p:,}", kind=str(p))
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


def _centred(X_train, X_test):
    X, Z = (coordinates(part) for part in (X_train, X_test))
    if X.shape[1] != Z.shape[1]:
        raise InputError(
            f"training points have {X.shape[1]} coordinates, test points {Z.shape[1]}; give both one shape"
        )
    mean = X.mean(axis=0)
    return X - mean, Z - mean


def _squared_error(scores, Y):
    return float(np.mean(np.sum((scores - Y) ** 2, axis=1)))


def _check_memory(n, m, largest):
    # F of both splits, the new features stacked under R and LAPACK's copy of that, and a few triangles.
    needed, free = 8 * (largest * (3 * n + m) + 5 * n * n), backend.free_memory()
    if needed > free:
        raise NotEnoughMemoryError(
            f"{largest} features of {n} training and {m} test points need {needed / 1e9:.1f} GB, and "
            f"{free / 1e9:.1f} GB are free. End the grid earlier, or use fewer points"
        )
