"""Which training labels are likely to be wrong: those that the function fitted without them contradicts most."""

import contextlib
import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from kernelfit.analysis.leaving_out import margins
from kernelfit.common.errors import InputError
from kernelfit.common.progress import Progress
from kernelfit.common.validation import check_integer
from kernelfit.datasets.labels import classes_of, one_hot
from kernelfit.solvers.cholesky import Cholesky
from kernelfit.solvers.protocol import Factor, Solver
from kernelfit.solvers.weighted import Weighted, WeightedFactor

_SUSPECT = -0.25  # a margin of 0/1 targets below which a label is not used to judge others: 0 is a tie, -1 certainty


@dataclasses.dataclass(frozen=True, eq=False)
class LabelIssues:
    """All training labels in the order in which they should be looked at, the most doubtful first.

    Attributes
    ----------
    rows : int array, shape (n,)
        Of the training points; of points that an estimator merged, the first of equal ones, which is judged for all.
    scores : float64 array, shape (n,)
        Margin of the own class over the largest other one, left out; increasing. Below 0 the label is contradicted.
    predicted : array, shape (n,)
        The class that the function says which was fitted without the point.
    against : int array, shape (explain, against)
        For each of the first rows the training points that speak against its label most, the strongest first.
    weights : float64 array, shape (explain, against)
        What each of these adds to the largest other class over the own one: all points together add -scores.
    """

    rows: npt.NDArray[np.intp]
    scores: npt.NDArray[np.float64]
    predicted: npt.NDArray[Any]
    against: npt.NDArray[np.intp]
    weights: npt.NDArray[np.float64]

    def __repr__(self):
        return f"LabelIssues(n={len(self.rows)}, contradicted={int(np.sum(self.scores < 0))})"


def find_label_issues(
    model: Any, y: npt.ArrayLike, *, explain: int = 20, against: int = 3, progress: Progress | None = None
) -> LabelIssues:
    """Return the LabelIssues of training labels, ranked by leave-one-out margins.

    With 0/1 targets Y and A = K + ridge I, f^(-i)(x_i) = y_i - [A^-1 Y]_i / [A^-1]_ii: what the function fitted without
    point i says of it. Labels S whose margin is below -0.25 are then trusted no more, and every label is judged by the
    function fitted without it and without S. In that function f_c = sum_j coef_jc k(x_j, .), a point j speaks against
    the label a of x_i, and for the largest other class b, by (coef_jb - coef_ja) k(x_i, x_j).

    A ridge matters: an interpolant believes wrong labels near a point as it believes right ones. Without a hint, take
    kernelfit.models.ridge.choose_ridge, which the command kernelfit label-issues takes.

    Parameters
    ----------
    model : KernelInterpolationClassifier, KernelInterpolationClassifierCV or Factor
        A fitted one, or the factor of K + ridge I in float64, which is not closed. Labels never touch the factor.
    y : array, shape (n,)
        Labels of the training points, numbers or texts, of at least two classes.
    explain : int
        For how many labels, the first ones, to find what speaks against them.
    against : int
        Points for each.

    Notes
    -----
    Takes two inverse diagonals and one more factor, of the points outside S: n^3 operations, and 4 n^2 bytes beside
    the factor.

    Raises
    ------
    InputError
        Labels of one class alone, or not one for each training point.
    UnsupportedError
        The factor has no triangular solves.

    Examples
    --------
    >>> import numpy as np
    >>> from kernelfit import KernelInterpolationClassifier, load_dataset
    >>> data = load_dataset("digits", n_train=500)
    >>> y = data.y_train.copy()
    >>> y[[100, 200]] = (y[[100, 200]] + 1) % 10
    >>> model = KernelInterpolationClassifier(bandwidth=1.4, ridge=0.3).fit(data.X_train.reshape(500, -1), y)
    >>> issues = find_label_issues(model, y)
    >>> sorted(issues.rows[:2].tolist()), bool((issues.predicted[:2] == data.y_train[issues.rows[:2]]).all())
    ([100, 200], True)
    """
    progress = progress or Progress()
    check_integer("explain", explain, 0)
    check_integer("against", against, 1)
    model = getattr(model, "best_estimator_", model)
    if not isinstance(model, Factor) and not hasattr(model, "support_"):
        raise InputError(f"model is a {type(model).__name__}; give a fitted KernelInterpolationClassifier or a Factor")
    if hasattr(model, "trend_coef_"):
        raise InputError("the model was fitted with a trend, which leave-one-out of the kernel alone leaves out")
    factor = model if isinstance(model, Factor) else model._factor
    originals = np.arange(factor.n) if isinstance(model, Factor) else model.support_
    n_given = factor.n if isinstance(model, Factor) else len(model.dual_coef_)
    if np.shape(y) != (n_given,):
        raise InputError(f"y has shape {np.shape(y)}; give one label for each of {n_given} training points")
    names, labels = classes_of(y)
    labels = labels[originals]
    Y = one_hot(labels, len(names))
    judge = _Judge(factor, np.arange(factor.n), Y, factor.K, progress)
    trusted = np.flatnonzero(margins(judge.scores, labels) >= _SUSPECT)
    with contextlib.ExitStack() as stack:
        if 0 < len(trusted) < factor.n:
            solver: Solver = Cholesky(device=factor.K.device)
            if isinstance(factor, WeightedFactor):
                solver = Weighted(solver, factor.roots[trusted] ** 2)
            K = factor.K.subset(trusted)
            rest = stack.enter_context(solver.factor(K, ridge=factor.ridge, progress=progress))
            judge = _Judge(rest, trusted, Y, factor.K, progress)
        found = margins(judge.scores, labels)
        order = np.argsort(found, kind="stable")
        first = order[:explain]
        others = judge.scores.copy()
        others[np.arange(len(labels)), labels] = -np.inf
        parts = judge.parts(first, others.argmax(axis=1)[first], labels[first])
    strongest = np.argsort(-parts, axis=1, kind="stable")[:, :against]
    return LabelIssues(
        rows=originals[order],
        scores=found[order],
        predicted=names[judge.scores.argmax(axis=1)[order]],
        against=originals[strongest],
        weights=np.take_along_axis(parts, strongest, axis=1),
    )


class _Judge:
    """The functions that are fitted to some rows of K, less the point that each judges.

    Attributes
    ----------
    scores : float64 array, shape (n, classes)
        Of each point by the function that was fitted without it.
    """

    def __init__(self, factor, rows, Y, K, progress):
        """Take the factor of these rows."""
        self._factor, self._rows, self._K = factor, rows, K
        solution = factor.solve(Y[rows], progress=progress)
        self._diagonal = factor.inverse_diagonal(progress=progress)
        self._coef = np.zeros(Y.shape)
        self._coef[rows] = solution.coef
        self.scores = K.product(self._coef, progress=progress) if len(rows) < len(Y) else np.empty(Y.shape)
        self.scores[rows] = solution.left_out(self._diagonal)

    def parts(self, points, toward, away):
        """Return what each point adds to class `toward` over class `away` at some points, shape (len(points), n).

        Leaving out point i changes the coefficients by -A^-1 e_i coef_i / [A^-1]_ii.
        """
        place = np.full(len(self._coef), -1)
        place[self._rows] = np.arange(len(self._rows))
        made = np.empty((len(points), len(self._coef)))
        for k, (i, b, a) in enumerate(zip(points, toward, away, strict=True)):
            coef = self._coef[:, b] - self._coef[:, a]
            if place[i] >= 0:
                unit = np.zeros((len(self._rows), 1))
                unit[place[i]] = 1.0
                column = self._factor.apply_inverse(unit)[:, 0]
                coef[self._rows] -= column * (coef[i] / self._diagonal[place[i]])
                coef[i] = 0.0
            made[k] = coef * self._K.device.host(self._K.block((i, i + 1), (0, len(coef))))[0]
        return made
