"""Choosing a bandwidth by closed-form leave-one-out on a subsample of the training points, never on test points."""

import dataclasses
import functools
import math
from typing import Any

import numpy as np
import numpy.typing as npt

from kernelfit.common.errors import InputError, SingularMatrixError
from kernelfit.common.progress import Progress
from kernelfit.common.rng import generator
from kernelfit.common.validation import check_targets
from kernelfit.datasets.labels import right
from kernelfit.grams.base import Points
from kernelfit.grams.matrix import as_points, gram
from kernelfit.grams.points import points
from kernelfit.kernels import Kernel
from kernelfit.models.trend import Generalised
from kernelfit.solvers.cholesky import Cholesky
from kernelfit.solvers.protocol import Solver
from kernelfit.solvers.scaling import exponents_of, in_units, relative_residuals
from kernelfit.solvers.solution import doubts
from kernelfit.solvers.weighted import Weighted

# Candidates are multiples 2^(k/2) of the median distance. The search goes from narrow to wide.
_NARROWEST, _WIDEST = -4, 6
# How narrow ones are tried where wider ones are singular or worse: at least to 2^-22 of the median distance, and as far
# as neighbours are nearer; but what is 2^-40 apart are copies but for rounding, which no bandwidth should tell apart.
_LIMIT, _LAST = -44, -80
_AS_GOOD = 1e-6  # a squared error this small, of a thousandth of the targets, is as good as none
_FURTHER = 6  # steps below the widest that can be solved at which the search begins then: that one is seldom the best
_PATIENCE = 3  # candidates in a row without improvement that end the search
_MEDIAN_SAMPLE = 500
_HALVINGS = 10  # of the narrowest candidate, while the system of all points is not solved to 8 digits


@dataclasses.dataclass(frozen=True)
class BandwidthChoice:
    """The bandwidth chosen, and what every candidate got.

    Attributes
    ----------
    bandwidth : float
        The candidate with the smallest leave-one-out error; among equals, the smallest squared error. One whose matrix
        has a condition number above 1e12 is only chosen if it is better by more than a tenth, and the others leave more
        than 1e-6.
    n : int
        Size of the subsample.
    candidates : list of dict
        In increasing order, each that could be solved: bandwidth; for labels loo_error, the share of wrong
        ones; loo_squared_error, for labels the mean of |y_i - f^(-i)(x_i)|^2, for numbers this for each output over its
        mean square, averaged over the outputs: 1 is no better than f = 0, and the units of no output count;
        condition_estimate.
    """

    bandwidth: float
    n: int
    candidates: list[dict[str, Any]]

    @property
    def bandwidths(self) -> list[float]:
        """What to try in turn on all points: the candidates, the best first, then a half, ... of the least."""
        ranked = [candidate["bandwidth"] for candidate in _best_first(self.candidates)]
        return ranked + [min(ranked) / 2**k for k in range(1, _HALVINGS + 1)]

    @property
    def doubts(self) -> list[str]:
        """A sentence if the bandwidth is the narrowest that was tried, or predicts nothing; a list."""
        chosen = next(each for each in self.candidates if each["bandwidth"] == self.bandwidth)
        useless = "loo_error" not in chosen and chosen["loo_squared_error"] > 0.99
        if not useless and chosen is not self.candidates[0]:
            return []
        what = "is the narrowest that was tried"
        if useless:
            what = "predicts points that are left out no better than 0 does"
        why = ": nearly equal points may leave no wider one" if chosen is self.candidates[-1] else ""
        return [f"the bandwidth chosen, {self.bandwidth:.1e}, {what}{why}"]


def choose_bandwidth(
    X: npt.NDArray | Points,
    Y: npt.ArrayLike,
    kernel: Kernel,
    *,
    score: str = "squared_error",
    ridge: float = 0.0,
    subsample: int = 3000,
    seed: int = 0,
    weights: npt.NDArray[np.float64] | None = None,
    H: npt.NDArray[np.float64] | None = None,
    progress: Progress | None = None,
) -> BandwidthChoice:
    """Return the BandwidthChoice for a kernel with an open bandwidth.

    Candidates are half octaves of the median distance, from a quarter of it to 8 times, each checked to be solved to 8
    digits. The search goes from narrow to wide, and ends where three in a row are no improvement, or where one cannot
    be solved: wider ones are more singular still. Where even the first cannot be, it begins at a narrower one that can;
    where the narrowest is the best of all, it goes on to narrower ones by the same rule.

    Parameters
    ----------
    X : array, shape (n, ...), or Points
    Y : array, shape (n, r) or (n,)
    kernel : Kernel
    score : str
        "squared_error", or "error": Y are 0/1 targets of classes, and what counts is how many are wrong.
    subsample : int
        Points used, drawn without replacement by `seed`; fewer if there are fewer.
    weights : array, shape (n,), optional
        Of the points, in the system (see solvers.weighted) and in the error.
    H : array, shape (n, p), optional
        Functions of a trend, which is fitted again without each point (see models.trend).

    Raises
    ------
    SingularMatrixError
        No candidate gave a matrix that could be factored (duplicates among the points).
    """
    if not kernel.open_bandwidth:
        raise InputError(f"kernel {kernel} has no open bandwidth to choose")
    X = as_points(X)
    if not isinstance(X, Points) and not X.ndim:
        raise InputError(f"points are an array (n, ...) of numbers; got {X.dtype} of shape ()")
    Y = check_targets(Y, len(X))
    rows = generator(seed, "bandwidth").permutation(len(X))[:subsample]
    X = X[rows]
    if score not in _SCORES:
        raise InputError(f"score {score!r}; known are {', '.join(_SCORES)}")
    Y, H = Y[rows], np.empty((len(rows), 0)) if H is None else H[rows]
    Y = in_units(Y, -exponents_of(Y))  # by powers of two: the same digits in whatever units
    both, w = np.hstack([Y, H]), None if weights is None else weights[rows]
    solver: Solver = Cholesky() if w is None else Weighted(Cholesky(), w)
    distances, failures = _distances(X, kernel.metric), []  # of the first, which are drawn already
    median = _median(distances)
    limit = _narrowest(distances, median)
    seen = gram(X, kernel.with_bandwidth(float(median))).cached().points  # inner products are those of every bandwidth

    @functools.cache
    def tried(k):
        """Return the candidate of the multiple 2^(k / 2), or None if it cannot be solved."""
        bandwidth = float(median * 2.0 ** (k / 2))
        try:
            factor = solver.factor(gram(seen, kernel.with_bandwidth(bandwidth)), ridge=ridge)
            solution = factor.solve(both)
            found = doubts(solution.relative_residual)
            if found:
                raise SingularMatrixError(found[0], row=0)
        except SingularMatrixError as error:
            failures.append(error)
            return None
        advance(1)
        left_out = Generalised.of(factor, solution, Y.shape[1]).left_out(Y, factor.inverse_diagonal())
        known = np.isfinite(left_out).all(axis=1)  # not of points without which a trend is not determined
        if not known.any():
            raise InputError(f"the trend needs each of the {len(X)} training points; give more, or name a bandwidth")
        scores = _SCORES[score](Y[known], left_out[known], None if w is None else w[known])
        return {"bandwidth": bandwidth} | scores | {"condition_estimate": solution.condition_estimate}

    with (progress or Progress()).phase("bandwidth", _WIDEST - _NARROWEST + 1, at_most=True) as advance:
        candidates = _search(tried, limit)
    if not candidates:
        raise SingularMatrixError(
            f"no bandwidth could be chosen: even at {median * 2.0 ** (limit / 2):.3g} the matrix of {len(X)} training "
            "points is singular. Are there equal or nearly equal points? Name a bandwidth, or give a ridge, e.g. 1e-6",
            row=failures[-1].row,
        ) from failures[-1]
    return BandwidthChoice(_best_first(candidates)[0]["bandwidth"], len(X), candidates)


def median_distance(X: npt.NDArray | Points, metric: str = "euclidean") -> float:
    """Return the median distance between different points among 500, drawn by a fixed seed (pixels / 255).

    Pairs of equal points have no part in it: with many of them the median would be 0, which no kernel can use.
    """
    rows = generator(0, "bandwidth").permutation(len(X))[:_MEDIAN_SAMPLE]  # whatever the order of the points
    return _median(_distances(X[rows], metric))


def _distances(X, metric):
    return points(X[:_MEDIAN_SAMPLE]).distances(metric)


def _median(distances):
    positive = distances[distances > 0]
    if not len(positive):
        raise InputError(
            f"{len(distances)} training points that were drawn are identical; no bandwidth can tell them apart"
        )
    return float(np.median(positive))


def _narrowest(distances, median):
    """Return k of the narrowest candidate that is tried, from the median distance of a point to its nearest."""
    nearest = np.where(distances > 0, distances, np.inf).min(axis=1)
    steps = 2 * math.log2(float(np.median(nearest)) / median)
    return max(_LAST, min(_LIMIT, math.floor(steps) - _FURTHER))


def _search(tried, limit):
    """Return the candidates that tried(k) gave, by increasing k, of which none is far below the limit."""
    found = {}

    def walk(steps):
        worse = 0
        for k in steps:
            candidate = tried(k)
            if candidate is None:
                break
            worse = worse + 1 if found and _rank(candidate) >= min(map(_rank, found.values())) else 0
            found[k] = candidate
            if worse == _PATIENCE:
                break

    first = next((k for k in range(_NARROWEST, limit - 1, -2) if tried(k)), None)
    if first is None:
        return []
    start = first if first == _NARROWEST else first - _FURTHER
    walk(range(start, _WIDEST + 1))
    if found and min(found, key=lambda k: _rank(found[k])) == start:
        walk(range(start - 1, limit - _FURTHER - 1, -1))
    return [found[k] for k in sorted(found)]


def _best_first(candidates):
    ranked = sorted(candidates, key=_rank)
    best = ranked[0]
    for candidate in ranked:
        as_good = candidate["loo_squared_error"] <= max(1.1 * best["loo_squared_error"], _AS_GOOD)
        if not doubts(condition_estimate=candidate["condition_estimate"]):
            if as_good and candidate.get("loo_error") == best.get("loo_error"):
                ranked.remove(candidate)
                return [candidate, *ranked]
            break
    return ranked


def _rank(candidate):
    return candidate.get("loo_error", 0.0), candidate["loo_squared_error"]


def _score_of_labels(Y, left_out, w):
    squared = float(np.average(np.sum((left_out - Y) ** 2, axis=1), weights=w))
    wrong = ~right(left_out, Y.argmax(axis=1))
    return {"loo_error": float(np.average(wrong, weights=w)), "loo_squared_error": squared}


def _score_of_numbers(Y, left_out, w):
    R = 1.0 if w is None else np.sqrt(w)[:, None]
    return {"loo_squared_error": float(np.mean(relative_residuals(R * Y, R * left_out) ** 2))}


_SCORES = {"squared_error": _score_of_numbers, "error": _score_of_labels}
