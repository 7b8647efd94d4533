"""What a fitted kernel model would be without some of its examples, in closed form, from the factor that fitted it.

Throughout A = K + ridge I, coef = A^-1 Y, f = sum_j coef_j k(x_j, .), and f^(-S) is what the same procedure fits to the
examples outside S. Leaving out only S changes the coefficients by A^-1[:, S] ([A^-1]_SS)^-1 coef_S, the inverse of a
bordered matrix, so nothing is ever refitted. Labels enter through coef alone: one factor serves every labelling.
"""

import dataclasses
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from kernelfit.common.errors import InputError
from kernelfit.common.progress import Progress
from kernelfit.common.rng import generator
from kernelfit.common.spans import spans
from kernelfit.common.validation import check_integer, check_labels, check_number
from kernelfit.datasets.labels import right
from kernelfit.solvers.protocol import Factor
from kernelfit.solvers.scaling import column_norms
from kernelfit.solvers.solution import without_digits
from kernelfit.solvers.weighted import WeightedFactor

_WIDTH = 512  # unit vectors solved for at a time: wide enough for GEMM, 4 MB per 1,000 rows


def draw_folds(n: int, count: int, *, seed: int = 0) -> list[npt.NDArray[np.intp]]:
    """Return a random partition of range(n) into `count` index arrays whose sizes differ by at most one."""
    check_integer("folds", count, 1, n)
    return np.array_split(generator(seed, "folds").permutation(n), count)


def leave_fold_out(
    factor: Factor,
    Y: npt.NDArray[np.float64],
    coef: npt.NDArray[np.float64],
    folds: Iterable[npt.ArrayLike],
    *,
    progress: Progress | None = None,
) -> npt.NDArray[np.float64]:
    """Return the predictions (n, r) at each training point of the model fitted without the whole fold that holds it.

    f^(-S)(X_S) = Y_S - ([A^-1]_SS)^-1 coef_S, for any ridge >= 0 (An, Liu and Venkatesh, "Fast cross-validation
    algorithms for least squares support vector machine and kernel ridge regression", 2007). Folds of one example give
    solution.leave_one_out. Folds that keep copies or relatives of an example together predict what is really new.

    Parameters
    ----------
    factor : Factor
        Of A, shape (n, n), in float64.
    Y, coef : array, shape (n, r)
    folds : list of int arrays
        A partition of range(n). [A^-1]_SS = Z^T Z with Z = L^-1 I[:, S]: 8 n |S| bytes, twice; all folds together take
        n^3 operations, three times those of the factorisation.

    Raises
    ------
    InputError
        The folds miss an index or hold one twice, or shapes differ.
    """
    progress = progress or Progress()
    n = factor.n
    _require_shapes(n, Y=Y, coef=coef)
    parts = _checked_partition(folds, n)
    predictions = np.empty(Y.shape)
    with progress.phase("leave-fold-out", n) as advance:
        for fold in parts:
            predictions[fold] = without(factor, Y, coef, fold)
            advance(len(fold))
    return predictions


def without(
    factor: Factor, Y: npt.NDArray[np.float64], coef: npt.NDArray[np.float64], rows: npt.NDArray[np.integer]
) -> npt.NDArray[np.float64]:
    """Return f^(-S)(X_S), shape (len(S), r), for one S = rows: see leave_fold_out.

    Of points so far from all outside S that the difference leaves no digit, it is made of those alone.
    """
    Z = factor.half_columns(rows)
    own = np.linalg.solve(Z.T @ Z, coef[rows])
    found = Y[rows] - own
    far = without_digits(found, own)
    if far.any():
        K = factor.K.device.host(factor.K.columns(rows[far]))
        found[far] = K.T @ _coef_less(factor, coef, rows, own)
    return found


def coef_without(
    factor: Factor, coef: npt.NDArray[np.float64], rows: npt.NDArray[np.integer]
) -> npt.NDArray[np.float64]:
    """Return the coefficients (n, r) of f^(-S), for S = rows, distinct: 0 there, and elsewhere

        coef - A^-1[:, S] ([A^-1]_SS)^-1 coef_S,

    in 2 n^2 |S| operations and 8 n |S| bytes, where a fit without S takes n^3 / 3.
    """
    Z = factor.half_columns(rows)
    return _coef_less(factor, coef, rows, np.linalg.solve(Z.T @ Z, coef[rows]))


def _coef_less(factor, coef, rows, own):
    """Return what coef_without does, for own = ([A^-1]_SS)^-1 coef_S."""
    V = np.zeros_like(coef)
    V[rows] = own
    found = coef - factor.apply_inverse(V)
    found[rows] = 0.0
    return found


@dataclasses.dataclass(frozen=True)
class Stability:
    """How far the predictor moves when one example leaves the training set.

    Attributes
    ----------
    norms : array, shape (n,)
        |f - f^(-i)|_H = sqrt(sum over outputs of |f_c - f_c^(-i)|_H^2).
    sup_norms : array, shape (n,)
        norms times sup_x sqrt(k(x, x)), a bound of |f(x) - f^(-i)(x)| (over the outputs, the 2-norm) at every x.
    """

    norms: npt.NDArray[np.float64]
    sup_norms: npt.NDArray[np.float64]

    @classmethod
    def of(
        cls, coef: npt.NDArray[np.float64], changes: npt.NDArray[np.float64], largest_diagonal: float
    ) -> "Stability":
        """Return that of coefficients (n, r), for the unit_changes (n,) of their factor: as `stability`, in n r."""
        check_number("largest_diagonal", largest_diagonal)
        norms = column_norms(coef.T) * changes
        return cls(norms, norms * np.sqrt(largest_diagonal))


def stability(
    factor: Factor,
    coef: npt.NDArray[np.float64],
    inverse_diagonal: npt.NDArray[np.float64],
    *,
    largest_diagonal: float,
    progress: Progress | None = None,
) -> Stability:
    """Return the Stability of f = sum_i coef_i k(x_i, .), exactly.

    With C = A^-1 the coefficients change by C e_i coef_i / C_ii, so that the square of the norm of the change is
    coef_i^2 (C K C)_ii / C_ii^2, and C K C = C - ridge C^2:

        |f - f^(-i)|_H = |coef_i| / C_ii  sqrt(C_ii - ridge |C e_i|^2),   for ridge 0   |coef_i| / sqrt(C_ii).

    Bousquet and Elisseeff, "Stability and generalization", 2002, theorem 22, bound such a change for all training sets
    at once by a multiple of 1 / ridge. For an interpolant that is infinite; the change on these data is not. By the
    reproducing property |f(x) - f^(-i)(x)| <= |f - f^(-i)|_H sqrt(k(x, x)).

    Parameters
    ----------
    factor : Factor
    coef : array, shape (n, r)
    inverse_diagonal : array, shape (n,)
        factor.inverse_diagonal(): with ridge 0 there is no other work to do. A ridge > 0 needs whole columns of C,
        2 n^3 operations, six times those of the factorisation.
    largest_diagonal : float
        sup_x k(x, x) over the points of interest; 1 for Gaussian and Laplacian kernels.
    """
    require_one_ridge(factor)
    _require_shapes(factor.n, coef=coef)
    check_number("largest_diagonal", largest_diagonal)
    return Stability.of(coef, unit_changes(factor, inverse_diagonal, progress=progress), largest_diagonal)


def unit_changes(
    factor: Factor, inverse_diagonal: npt.NDArray[np.float64], *, progress: Progress | None = None
) -> npt.NDArray[np.float64]:
    """Return |f - f^(-i)|_H / |coef_i|, shape (n,), of `stability`: the part that no labels enter, and that costs."""
    squares = inverse_diagonal
    if factor.ridge > 0:
        squares = squares - factor.ridge * _squared_inverse_columns(factor, progress or Progress())
    with np.errstate(invalid="ignore"):  # rounding may leave a negative square: NaN, never 0
        return np.sqrt(squares) / inverse_diagonal


def require_one_ridge(factor: Factor) -> None:
    """Raise InputError for the factor of a fit with weights, where each point has a ridge of its own."""
    if isinstance(factor, WeightedFactor):
        raise InputError("this is known for one ridge, and weights give each point its own; take a fit without weights")


@dataclasses.dataclass(frozen=True)
class Memorisation:
    """How much each training example's own label is needed to predict it.

    Attributes
    ----------
    scores : int array, shape (n,)
        1[f(x_i) is right] - 1[f^(-i)(x_i) is right]: 0 or 1 for an interpolant, -1 too with a ridge.
    soft : array, shape (n,)
        Margin of f minus margin of f^(-i) at x_i, which also ranks examples of equal score.
    """

    scores: npt.NDArray[np.int64]
    soft: npt.NDArray[np.float64]


def memorisation(
    fitted: npt.NDArray[np.float64], left_out: npt.NDArray[np.float64], y: npt.NDArray[np.integer]
) -> Memorisation:
    """Return the Memorisation of labels y (n,) by f with scores fitted (n, classes), left_out without each example.

    mem(i) = Pr[h(x_i) = y_i] - Pr[h^(-i)(x_i) = y_i] (Feldman and Zhang, "What neural networks memorize and why", 2020,
    equation 1) over the randomness of training. Here there is none, and leave-one-out is closed: exact, where nets need
    thousands of trainings. By definition the mean score is the leave-one-out error minus the training error.
    """
    scores = right(fitted, y).astype(int) - right(left_out, y).astype(int)
    return Memorisation(scores, margins(fitted, y) - margins(left_out, y))


def margins(scores: npt.ArrayLike, y: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return the score of the own class minus the largest other one, shape (n,), for scores (n, classes) and labels y.

    Negative where the row is an error, and 0 where it is one because classes tie. The scores may be those of training,
    leave-one-out or test points.

    Examples
    --------
    >>> margins([[0.9, 0.1, 0.0], [0.2, 0.1, 0.7]], [0, 0]).round(6).tolist()
    [0.8, -0.5]
    """
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim != 2 or scores.shape[1] < 2:
        raise InputError(
            f"margins need scores (n, classes) of at least 2 classes; got {scores.shape}. Of a single -1/+1 output f, "
            "pass [-f, f]"
        )
    y = check_labels(y, *scores.shape)
    others = scores.copy()
    others[np.arange(len(y)), y] = -np.inf
    return scores[np.arange(len(y)), y] - others.max(axis=1)


def margin_distribution(values: npt.NDArray[np.float64]) -> dict[str, float]:
    """Return what to know of margins (n,), JSON-ready: mean, the share below 0, and five quantiles."""
    if not len(values):
        raise InputError("there are no margins; give those of one example or more")
    quantiles = np.quantile(values, _QUANTILES)
    named = {f"quantile_{round(100 * q):02d}": float(value) for q, value in zip(_QUANTILES, quantiles, strict=True)}
    return {"mean": float(np.mean(values)), "negative": float(np.mean(values < 0)), **named}


_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def _squared_inverse_columns(factor, progress):
    """|A^-1 e_i|^2, shape (n,)."""
    n = factor.n
    squares = np.empty(n)
    with progress.phase("stability", n) as advance:
        for span in spans(0, n, _WIDTH):
            rows = np.arange(*span)
            columns = factor.apply_inverse(_unit_columns(n, rows))
            squares[rows] = np.einsum("ij,ij->j", columns, columns)
            advance(len(rows))
    return squares


def _unit_columns(n, rows):
    columns = np.zeros((n, len(rows)))
    columns[rows, np.arange(len(rows))] = 1.0
    return columns


def _require_shapes(n, **arrays):
    for name, array in arrays.items():
        if np.ndim(array) != 2 or len(array) != n:
            raise InputError(f"{name} has shape {np.shape(array)}; the factor is of order {n}, so ({n}, r) is expected")


def _checked_partition(folds, n):
    folds = [np.asarray(fold) for fold in folds]
    folds = [fold for fold in folds if fold.size]
    if any(fold.ndim != 1 or fold.dtype.kind not in "iu" for fold in folds):
        raise InputError("each fold is a one-dimensional array of integers, the indices of its examples")
    counts = np.zeros(n, dtype=int)
    for fold in folds:
        if fold.min() < 0 or fold.max() >= n:
            outside = fold.min() if fold.min() < 0 else fold.max()
            raise InputError(f"a fold holds index {outside}; the examples are numbered 0 to {n - 1}")
        np.add.at(counts, fold, 1)
    if (counts != 1).any():
        index = int(np.argmax(counts != 1))
        raise InputError(
            f"folds must hold each of the {n} examples once, and example {index} is in them {counts[index]} times. "
            "Pass a partition, e.g. from draw_folds, or [np.flatnonzero(group == g) for g in np.unique(group)]"
        )
    return folds
