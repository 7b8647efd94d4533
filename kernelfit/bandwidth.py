"""Choosing a bandwidth by closed-form leave-one-out on a subsample of the training points, never on test points."""

import dataclasses

import numpy as np

from kernelfit.errors import InputError, SingularMatrixError
from kernelfit.gram import gram
from kernelfit.measures import check_solution, error_rate, leave_one_out, one_hot
from kernelfit.points import Points, points
from kernelfit.progress import Progress
from kernelfit.randomness import generator
from kernelfit.solvers.cholesky import cholesky

# Multiples of the median distance, half an octave apart. The search goes from narrow to wide.
_MULTIPLES = tuple(2.0 ** (k / 2) for k in range(-4, 7))
_HALVINGS = 20  # of the narrowest, while its matrix is singular
_FURTHER = 3  # more halvings then: the widest that can be factored is seldom the best
ACCURATE = 1e-8  # largest relative residual of a system that counts as solved: 8 digits
_PATIENCE = 3  # candidates in a row without improvement that end the search
_MEDIAN_SAMPLE = 500


@dataclasses.dataclass(frozen=True)
class BandwidthChoice:
    """The bandwidth chosen, and what every candidate got.

    Attributes
    ----------
    bandwidth : float
        The candidate with the smallest leave-one-out error; among equals, the smallest squared error.
    n : int
        Size of the subsample.
    candidates : list of dict
        bandwidth, loo_error, loo_squared_error for each that could be factored, in increasing order.
    """

    bandwidth: float
    n: int
    candidates: list


def choose_bandwidth(X, y, kernel, *, n_classes, ridge=0.0, subsample=3000, seed=0, progress=None):
    """Return the BandwidthChoice for a kernel with an open bandwidth.

    Parameters
    ----------
    X : array, shape (n, ...), or Points
    y : int array, shape (n,)
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
    progress = progress or Progress()
    rows = generator(seed, "bandwidth").permutation(len(X))[:subsample]
    X = X.subset(rows) if isinstance(X, Points) else X[rows]
    y, Y = y[rows], one_hot(y[rows], n_classes)
    candidates, best, worse = [], None, 0
    widths = _from_narrow_to_wide(X, Y, kernel, ridge)
    with progress.phase("bandwidth", len(widths), at_most=True) as advance:
        for bandwidth in widths:
            try:
                scores = _leave_one_out_scores(gram(X, kernel.with_bandwidth(bandwidth)), Y, ridge)
            except SingularMatrixError:
                break  # too wide; wider ones are more singular still
            loo_error, squared = error_rate(scores, y), float(np.mean(np.sum((scores - Y) ** 2, axis=1)))
            candidates.append({"bandwidth": float(bandwidth), "loo_error": loo_error, "loo_squared_error": squared})
            advance(1)
            if best is None or (loo_error, squared) < best[:2]:
                best, worse = (loo_error, squared, float(bandwidth)), 0
            else:
                worse += 1
                if worse == _PATIENCE:
                    break
    return BandwidthChoice(best[2], len(rows), candidates)


def _from_narrow_to_wide(X, Y, kernel, ridge):
    """Return the candidates; the narrowest is halved until its matrix can be factored."""
    widths = median_distance(X) * np.array(_MULTIPLES)
    for halving in range(_HALVINGS + 1):
        try:
            _accurate_solve(gram(X, kernel.with_bandwidth(widths[0] / 2**halving)), Y, ridge)
        except SingularMatrixError as error:
            singular = error
            continue
        narrower = halving + _FURTHER if halving else 0
        return [*(widths[0] / 2.0**k for k in range(narrower, 0, -1)), *widths]
    raise SingularMatrixError(
        f"no bandwidth could be chosen: even at {widths[0] / 2**_HALVINGS:.3g} the matrix of {len(X)} training points "
        "is singular. Are there equal or nearly equal points? Name a --bandwidth, or give a ridge, e.g. 1e-6",
        row=singular.row,
    ) from singular


def median_distance(X):
    """Return the median Euclidean distance between different points among the first 500 (pixels / 255)."""
    sample = X.part(0, min(len(X), _MEDIAN_SAMPLE)) if isinstance(X, Points) else points(X[:_MEDIAN_SAMPLE])
    median = float(np.median(sample.distances()))
    if median == 0:
        raise InputError("more than half of the training points are identical; no bandwidth can tell them apart")
    return median


def _leave_one_out_scores(matrix, Y, ridge):
    factor, coef = _accurate_solve(matrix, Y, ridge)
    return leave_one_out(Y, coef, factor.inverse_diagonal())


def _accurate_solve(matrix, Y, ridge):
    """Return (factor, coef); raises SingularMatrixError where too few digits of coef would be left."""
    factor = cholesky(matrix, ridge=ridge)
    coef = factor.solve(Y)
    residual = check_solution(matrix, Y, coef, ridge=ridge).relative_residual
    if not residual <= ACCURATE:
        raise SingularMatrixError(f"solved to a relative residual of {residual:.1e} only", row=0)
    return factor, coef
