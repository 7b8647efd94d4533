"""What models with many ridges and one K predict of points that they were not fitted to: nothing is fitted twice.

There are two ways to leave out folds S, which give the same numbers. One reduction of K to a band with its Q serves all
folds (analysis.leaving_out), at n |S|^2 operations for each fold and ridge. Or K of the points outside each fold is
reduced without Q, 4/3 (n - |S|)^3 operations that serve every ridge. With few folds and many ridges the second takes
less: with n = 5,000 and 10 ridges a quarter at 3 folds, seven tenths at 5.
"""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from kernelfit.analysis.leaving_out import without
from kernelfit.common.errors import InputError, SingularMatrixError
from kernelfit.grams.matrix import Gram
from kernelfit.solvers.band import BandFactor
from kernelfit.solvers.cholesky import Cholesky
from kernelfit.solvers.reduction import WIDTH, band
from kernelfit.solvers.solution import leave_one_out
from kernelfit.solvers.spectrum import filled
from kernelfit.solvers.weighted import WeightedGram


@dataclasses.dataclass(frozen=True, eq=False)
class Fold:
    """What is left out together, and what of it is predicted: positions of points, the former in increasing order."""

    out: npt.NDArray[np.intp]
    test: npt.NDArray[np.intp]


def checked_fold(n: int, train: npt.NDArray, test: npt.NDArray, kept: npt.NDArray[np.intp]) -> Fold:
    """Return the Fold of what a split of n points does not train on, in the numbers of those that are `kept`.

    Raises InputError where a part is empty, both have points in common, or one is trained on twice.
    """
    train, test = np.arange(n)[train], np.arange(n)[test]
    if len(np.unique(train)) < len(train):
        raise InputError("a split of cv trains on some points twice; closed forms need each at most once")
    if len(kept) < n:
        train, test = (np.flatnonzero(np.isin(kept, part)) for part in (train, test))
    out = np.setdiff1d(np.arange(len(kept)), train)
    if not len(out) or not len(test) or not len(train) or not np.isin(test, out).all():
        raise InputError(
            f"a split of cv trains on {len(train)} points and tests {len(test)}, some of them the same; test points "
            "must be left out of training, and neither part may be empty, nor all of weight 0"
        )
    return Fold(out, test)


Predictions = list[npt.NDArray[np.float64]] | SingularMatrixError


def predict_left_out(
    K: Gram,
    Y: npt.NDArray[np.float64],
    ridges: Sequence[float],
    folds: Sequence[Fold] | None = None,
    weights: npt.NDArray[np.float64] | None = None,
) -> list[Predictions]:
    """Return for each ridge the predictions of each Fold, or without folds of all points left out one at a time.

    Parameters
    ----------
    K : Gram
        Symmetric, shape (n, n), on the CPU. Two full matrices are held beside what it keeps itself.
    Y : float64 array, shape (n, r)
    ridges : sequence of float
        Increasing.
    folds : list of Fold, optional
    weights : array, shape (n,), optional
        Positive; as those of kernelfit.solvers.weighted.

    Returns
    -------
    list of lists of arrays, or SingularMatrixError
        For each ridge and fold f^(-S)(X_test), shape (len(test), r); without folds one array (n, r). In the place of a
        ridge for which K + ridge I is singular to working precision, the error.
    """
    if weights is not None:
        return _weighted(K, Y, ridges, folds, weights)
    if folds is not None and _reduces_each(K.shape[0], len(ridges), folds):
        return _fold_by_fold(K, Y, ridges, folds)
    made = band(filled(K), K.device)
    _ = made.turned  # once, before the threads
    errors, first = _first_regular(K, made, ridges)

    def predict(ridge):
        factor = first.at(ridge)
        coef = factor.apply_inverse(Y)
        if folds is None:
            return coef, factor.inverse_diagonal()
        return [without(factor, Y, coef, fold.out)[np.searchsorted(fold.out, fold.test)] for fold in folds]

    regular = ridges[len(errors) :]
    found = K.device.map(predict, regular)
    if folds is None:
        pairs = zip(found, regular, strict=True)
        found = [[leave_one_out(Y, coef, diagonal, K, ridge)] for (coef, diagonal), ridge in pairs]
    return errors + found


def _weighted(K, Y, ridges, folds, weights):
    plain = [ridge for ridge in ridges if ridge == 0]  # without a ridge weights change nothing, and would only round
    positive = [ridge for ridge in ridges if ridge > 0]
    found, roots = predict_left_out(K, Y, plain, folds) if plain else [], np.sqrt(weights)[:, None]
    if not positive:
        return found
    tested = [slice(None)] if folds is None else [fold.test for fold in folds]
    for made in predict_left_out(WeightedGram(K, roots[:, 0]), roots * Y, positive, folds):
        if not isinstance(made, SingularMatrixError):
            made = [f / roots[rows] for f, rows in zip(made, tested, strict=True)]
        found.append(made)
    return found


def _reduces_each(n, count, folds):
    """Return whether a reduction for each fold takes fewer operations than those of K for `count` ridges."""
    sizes = np.array([len(fold.out) for fold in folds], dtype=np.float64)
    each = n**2 * WIDTH * 3 / len(folds) + n * sizes**2 + sizes**3 / 3
    return 4 / 3 * ((n - sizes) ** 3).sum() + n**3 / 3 < 8 / 3 * n**3 + count * each.sum()


def _fold_by_fold(K, Y, ridges, folds):
    whole = filled(K)
    predictions = [*_singular(K, whole, ridges)]
    for fold in folds:
        train = np.setdiff1d(np.arange(len(Y)), fold.out)
        made = band(_square(whole, train, K.device), K.device)
        found, first = _first_regular(K.subset(train), made, ridges)
        if first is not None:
            turned = made.turn(Y[train])
            solve = functools.partial(_solve_turned, first, turned)
            coef = made.turn_back(np.hstack(K.device.map(solve, ridges[len(found) :])))
            found += np.split(whole[np.ix_(fold.test, train)] @ coef, len(ridges) - len(found), axis=1)
        for k, values in enumerate(found):
            if isinstance(predictions[k], list):
                predictions[k] = values if isinstance(values, SingularMatrixError) else [*predictions[k], values]
    return predictions


def _square(whole, rows, device):
    """Return whole[rows, rows], gathered by all threads."""
    square = device.touched((len(rows), len(rows)))

    def gather(start):
        part = rows[start : start + device.tile]
        np.take(whole[part], rows, axis=1, out=square[start : start + len(part)], mode="clip")

    device.map(gather, range(0, len(rows), device.tile))
    return square


def _solve_turned(factor, turned, ridge):
    return factor.at(ridge).solve_turned(turned)


def _singular(K, whole, ridges):
    """Yield for each ridge the error of K + ridge I where it is singular, or [].

    The points outside a fold may be regular where all are not. Only a ridge below the rounding error of the largest
    eigenvalue, which the norm of K bounds, can leave them so.
    """
    rounding = len(whole) * np.finfo(float).eps * max(np.abs(row).sum() for row in whole)
    regular = False
    for ridge in ridges:
        regular = regular or ridge > rounding
        try:
            if not regular:
                Cholesky().factor(K, ridge=ridge).close()
                regular = True
            yield []
        except SingularMatrixError as error:
            yield error


def _first_regular(K, made, ridges):
    """Return (errors of the leading ridges for which the matrix is singular, BandFactor of the next or None)."""
    errors = []
    for ridge in ridges:
        try:
            return errors, BandFactor(K, made, ridge=ridge)
        except SingularMatrixError as error:
            errors.append(error)
    return errors, None
