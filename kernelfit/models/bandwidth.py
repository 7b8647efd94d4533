"""Choosing a bandwidth by closed-form leave-one-out on a subsample of the training points, never on test points."""

import dataclasses
import functools
import math

import numpy as np

from kernelfit.common.errors import InputError, SingularMatrixError
from kernelfit.common.progress import Progress
from kernelfit.common.rng import generator
from kernelfit.gram.matrix import gram
from kernelfit.gram.points import Points, points
from kernelfit.solvers.measures import (
    check_solution,
    condition_estimate,
    doubts,
    error_rate,
    exponents_of,
    in_units,
    leave_one_out,
    one_hot,
    relative_residuals,
)
from kernelfit.solvers.panel_cholesky import cholesky

# Candidates are multiples 2^(k/2) of the median distance. The search goes from narrow to wide.
_NARROWEST, _WIDEST = -4, 6
# How narrow ones are tried where wider ones are singular or worse: at least to 2^-22 of the median distance, and as far
# as neighbours are nearer; but what is 2^-40 apart are copies but for rounding, which no bandwidth should tell apart.
_LIMIT, _LAST = -44, -80
_AS_GOOD = 1e-6  # a squared error this small, of a thousandth of the targets, is as good as none
_FURTHER = 6  # steps below the widest that can be solved at which the search begins then: that one is seldom the best
_PATIENCE = 3  # candidates in a row without improvement that end the search
_MEDIAN_SAMPLE = 500


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
    candidates: list

    @property
    def best_first(self):
        """The bandwidths of all candidates, the best first."""
        return [candidate["bandwidth"] for candidate in _best_first(self.candidates)]

    @property
    def doubts(self):
        """A sentence if the bandwidth is the narrowest that was tried, or predicts nothing; a list."""
        chosen = next(each for each in self.candidates if each["bandwidth"] == self.bandwidth)
        useless = "loo_error" not in chosen and chosen["loo_squared_error"] > 0.99
        if not useless and chosen is not self.candidates[0]:
            return []
        what = "is the narrowest that was tried"
        if useless:
            what = "predicts points that are left out no better than 0 does"
        return [f"the bandwidth chosen, {self.bandwidth:.1e}, {what}: nearly equal points may leave no wider one"]


def choose_bandwidth(X, y, kernel, *, n_classes=None, ridge=0.0, subsample=3000, seed=0, progress=None):
    """Return the BandwidthChoice for a kernel with an open bandwidth.

    Candidates are half octaves of the median distance, from a quarter of it to 8 times, each checked to be solved to 8
    digits. The search goes from narrow to wide, and ends where three in a row are no improvement, or where one cannot
    be solved: wider ones are more singular still. Where even the first cannot be, it begins at a narrower one that can;
    where the narrowest is the best of all, it goes on to narrower ones by the same rule.

    Parameters
    ----------
    X : array, shape (n, ...), or Points
    y : int array, shape (n,), or float64 array, shape (n, r)
        Labels 0 .. n_classes - 1, judged by how many are wrong; or, without n_classes, numbers, by squared error.
    kernel : Kernel
    subsample : int
        Points used, drawn without replacement by `seed`; fewer if there are fewer.

    Raises
    ------
    SingularMatrixError
        No candidate gave a matrix that could be factored (duplicates among the points).
    """
    if not kernel.open_bandwidth:
        raise InputError(f"kernel {kernel} has no open bandwidth to choose")
    rows = generator(seed, "bandwidth").permutation(len(X))[:subsample]
    X = X.subset(rows) if isinstance(X, Points) else X[rows]
    Y, score = (y[rows], _score_of_numbers) if n_classes is None else (one_hot(y[rows], n_classes), _score_of_labels)
    Y = in_units(Y, -exponents_of(Y))  # by powers of two: the same digits in whatever units
    median, limit, failures = median_distance(X), _narrowest(X), []

    @functools.cache
    def tried(k):
        """Return the candidate of the multiple 2^(k / 2), or None if it cannot be solved."""
        bandwidth = float(median * 2.0 ** (k / 2))
        try:
            factor, coef, condition = _accurate_solve(gram(X, kernel.with_bandwidth(bandwidth)), Y, ridge)
        except SingularMatrixError as error:
            failures.append(error)
            return None
        advance(1)
        left_out = leave_one_out(Y, coef, factor.inverse_diagonal())
        return {"bandwidth": bandwidth} | score(Y, left_out) | {"condition_estimate": condition}

    with (progress or Progress()).phase("bandwidth", _WIDEST - _NARROWEST + 1, at_most=True) as advance:
        candidates = _search(tried, limit)
    if not candidates:
        raise SingularMatrixError(
            f"no bandwidth could be chosen: even at {median * 2.0 ** (limit / 2):.3g} the matrix of {len(X)} training "
            "points is singular. Are there equal or nearly equal points? Name a bandwidth, or give a ridge, e.g. 1e-6",
            row=failures[-1].row,
        ) from failures[-1]
    return BandwidthChoice(_best_first(candidates)[0]["bandwidth"], len(X), candidates)


def median_distance(X):
    """Return the median Euclidean distance between different points among the first 500 (pixels / 255).

    Pairs of equal points have no part in it: with many of them the median would be 0, which no kernel can use.
    """
    distances = _distances(X)
    if not (distances > 0).any():
        raise InputError(
            f"the first {min(len(X), _MEDIAN_SAMPLE)} training points are identical; no bandwidth can tell them apart"
        )
    return float(np.median(distances[distances > 0]))


def _distances(X):
    sample = X.part(0, min(len(X), _MEDIAN_SAMPLE)) if isinstance(X, Points) else points(X[:_MEDIAN_SAMPLE])
    return sample.distances()


def _narrowest(X):
    """Return k of the narrowest candidate that is tried, from the median distance of a point to its nearest."""
    from scipy.spatial.distance import squareform

    distances = squareform(_distances(X))
    nearest = np.where(distances > 0, distances, np.inf).min(axis=1)
    steps = 2 * math.log2(float(np.median(nearest)) / median_distance(X))
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


def _score_of_labels(Y, left_out):
    squared = float(np.mean(np.sum((left_out - Y) ** 2, axis=1)))
    return {"loo_error": error_rate(left_out, Y.argmax(axis=1)), "loo_squared_error": squared}


def _score_of_numbers(Y, left_out):
    return {"loo_squared_error": float(np.mean(relative_residuals(Y, left_out) ** 2))}


def _accurate_solve(matrix, Y, ridge):
    """Return (factor, coef, condition estimate); raises SingularMatrixError where it is not solved to 8 digits."""
    factor = cholesky(matrix, ridge=ridge)
    coef = factor.solve(Y)
    check = check_solution(matrix, Y, coef, ridge=ridge)
    found = doubts(check.relative_residual)
    if found:
        raise SingularMatrixError(found[0], row=0)
    return factor, coef, condition_estimate(factor, check.norm_1)
