"""Estimators that choose kernel, bandwidth and ridge by cross-validation in closed form: only the last model is fitted.

For each kernel and bandwidth a reduction K = Q B Q^T to a band (kernelfit.solvers.band), of all points or of those
outside a fold, serves every ridge; what the models would predict follows from it (kernelfit.analysis.cross_validation).
"""

import dataclasses
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin, MultiOutputMixin, RegressorMixin, is_classifier
from sklearn.exceptions import FitFailedWarning
from sklearn.metrics import check_scoring
from sklearn.model_selection import check_cv
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from kernelfit.analysis.cross_validation import checked_fold, predict_left_out
from kernelfit.common.arrays import host_array, like
from kernelfit.common.errors import InputError, SingularMatrixError
from kernelfit.common.progress import Progress
from kernelfit.common.validation import check_positive
from kernelfit.datasets.labels import classes_of, one_hot, require_known
from kernelfit.estimators.base import KernelLike, ScoredArrays, SolverParameters, checked_weights
from kernelfit.estimators.callbacks import TellsCallbacks
from kernelfit.estimators.classifier import KernelInterpolationClassifier
from kernelfit.estimators.interpolator import KernelInterpolator
from kernelfit.grams.matrix import Gram, gram
from kernelfit.kernels.text import as_kernel
from kernelfit.models.bandwidth import median_distance
from kernelfit.solvers.ridges import checked_ridges

# Half octaves of the median distance, from a quarter of it to 8 times, as models.bandwidth tries them.
_MULTIPLES = 2.0 ** (np.arange(-4, 7) / 2)
RIDGES = (0.0, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0)


@dataclasses.dataclass(eq=False, repr=False)
class _CrossValidated(TellsCallbacks, BaseEstimator, SolverParameters):
    """Choose among kernels x bandwidths x ridges, then fit `_plain` to all points."""

    _plain: ClassVar[type[KernelInterpolator] | type[KernelInterpolationClassifier]]
    _loo_scoring: ClassVar[str]

    kernels: KernelLike | Iterable[KernelLike] = "gaussian"
    _: dataclasses.KW_ONLY
    bandwidths: Iterable[float] | str = "auto"
    ridges: Iterable[float] = RIDGES
    cv: Any = None
    scoring: str | Callable | None = None

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.pairwise = self._template()._precomputed()
        return tags

    def _kernel_list(self):
        several = isinstance(self.kernels, Iterable) and not isinstance(self.kernels, str)
        return _listed("kernels", self.kernels) if several else [self.kernels]

    def _template(self):
        """Return the plain estimator with what is not chosen."""
        shared = {field.name: getattr(self, field.name) for field in dataclasses.fields(SolverParameters)}
        return self._plain(self._kernel_list()[0], **shared)

    def _search(self, X, y, Y, groups, weights, classes=None):
        """Score every candidate on targets Y (n, r), set what is known of it, and fit the best.

        Of labels of `classes`, Y has a column for each.
        """
        n, folds = len(X), None
        # What weighs 0 is neither fitted nor scored.
        kept = np.arange(n) if weights is None else np.flatnonzero(weights)
        if len(kept) < 2:
            raise InputError(f"n_samples = {len(kept)}, of weight above 0; leaving out takes two or more")
        if self.cv is not None:
            cv = check_cv(self.cv, y, classifier=is_classifier(self))
            folds = [checked_fold(n, *split, kept) for split in cv.split(X, y, groups)]
        elif groups is not None:
            raise InputError("groups were given, and cv=None leaves out one point at a time; give `cv=GroupKFold()`")
        if weights is None or len(kept) == n:
            self._score_all(X, y, Y, folds, weights, classes)
        else:
            own = X[np.ix_(kept, kept)] if self._template()._precomputed() else X[kept]
            self._score_all(own, y[kept], Y[kept], folds, weights[kept], classes)
        best = {name: value for name, value in self.best_params_.items() if value is not None}
        self.best_estimator_ = self._template().set_params(**best).fit(X, y, sample_weight=weights)
        for name in ("dual_coef_", "norm_", "loo_residuals_", "report_", "function_", "kernel_", "support_"):
            setattr(self, name, getattr(self.best_estimator_, name))

    def _score_all(self, X, y, Y, folds, weights, classes):
        """Set what is known of every candidate, and which is the best."""
        ridges, kernels = checked_ridges(_listed("ridges", self.ridges)), self._kernel_list()
        size = float(np.abs(Y).max(initial=0.0))
        if size and not 1e-150 < size < 1e150:
            raise InputError(
                f"y reaches {size:.1e}, and squares of that are no numbers to score; divide y by a constant"
            )
        tested = [slice(None)] if folds is None else [fold.test for fold in folds]
        given = _GivenNumbers() if classes is None else _Given(classes=classes)
        scored = [np.array(True)] * len(tested) if classes is None else _trained(Y > 0, folds)
        scoring = self._loo_scoring if self.scoring is None and folds is None else self.scoring
        if isinstance(scoring, list | tuple | set | dict):
            raise InputError(f"scoring = {scoring!r}; a choice takes one score: a name or a callable")
        self.scorer_ = check_scoring(given.fit(None), scoring)

        def score(predictions, rows):
            weighed = {} if weights is None else {"sample_weight": weights[rows]}
            try:
                return float(self.scorer_(given, predictions, y[rows], **weighed))
            except TypeError as error:
                if not weighed:
                    raise
                raise InputError(
                    f"scoring = {scoring!r} takes no sample_weight: {error}. Give a score that does, or no weights"
                ) from error
            except AttributeError as error:
                raise InputError(f"scoring = {scoring!r} needs what these predictions have not: {error}") from error

        parameters, scores, failures = [], [], []

        def search(progress):
            for kernel, bandwidth, K in _matrices(X, kernels, self.bandwidths, progress):
                for ridge, found in zip(ridges, predict_left_out(K, Y, ridges, folds, weights), strict=True):
                    parameters.append({"kernel": kernel, "bandwidth": bandwidth, "ridge": ridge})
                    if isinstance(found, SingularMatrixError):
                        failures.append(found)
                        scores.append([np.nan] * len(tested))
                    else:
                        known = (np.where(own, f, -np.inf) for own, f in zip(scored, found, strict=True))
                        scores.append([score(f, rows) for f, rows in zip(known, tested, strict=True)])

        self._told(search, X, y)
        self._choose(parameters, np.array(scores), failures)

    def _choose(self, parameters, scores, failures):
        """Set cv_results_ and the best of it, the first among equals."""
        if len(failures) == len(parameters):
            raise failures[-1]
        if failures:
            warnings.warn(
                f"{len(failures)} of {len(parameters)} candidates are singular to working precision, and their scores "
                f"NaN: {failures[0]}",
                FitFailedWarning,
                stacklevel=5,
            )
        mean = scores.mean(axis=1)
        if not np.isfinite(mean).any():
            raise InputError(f"scoring = {self.scoring!r} gave no candidate a finite score")
        ranked = np.where(np.isnan(mean), -np.inf, mean)
        results: dict[str, Any] = {"params": parameters}
        results |= {
            f"param_{name}": np.ma.array([each[name] for each in parameters], dtype=object) for name in parameters[0]
        }
        results |= {f"split{k}_test_score": column for k, column in enumerate(scores.T)}
        results |= {"mean_test_score": mean, "std_test_score": scores.std(axis=1)}
        results["rank_test_score"] = 1 + (ranked[:, None] < ranked[None]).sum(axis=1).astype(np.int32)
        self.cv_results_, self.n_splits_ = results, scores.shape[1]
        self.best_index_ = int(ranked.argmax())
        self.best_params_, self.best_score_ = parameters[self.best_index_], float(mean[self.best_index_])

    def _checked(self, X):
        check_is_fitted(self)
        return validate_data(self, host_array(X), reset=False, dtype=self.best_estimator_._dtypes())

    def predict(self, X: npt.ArrayLike) -> npt.NDArray:
        """Return what the best estimator predicts at X, shape (m,) or (m, outputs), as an array of the library of X."""
        points = self._checked(X)
        return like(self.best_estimator_.predict(points), X)

    def save(self, path: str | Path) -> None:
        """Write best_estimator_ to `path`; `kernelfit.load_model` returns it, which predicts as this does.

        See KernelInterpolator.save.
        """
        check_is_fitted(self)
        self.best_estimator_.save(path)


def _matrices(X, kernels, bandwidths, progress: Progress):
    """Yield (kernel as it was given, bandwidth or None, K) of each candidate; inner products are made once a kernel."""
    automatic = isinstance(bandwidths, str)
    if automatic and bandwidths != "auto":
        raise InputError(f"bandwidths = {bandwidths!r}; give positive numbers, or 'auto'")
    for name in kernels:
        kernel = as_kernel(name)
        if not kernel.open_bandwidth:
            yield name, None, gram(X, kernel)
            continue
        median = median_distance(X, kernel.metric) if automatic else 0.0
        chosen = (median * _MULTIPLES).tolist() if automatic else _listed("bandwidths", bandwidths)
        first = gram(X, kernel.with_bandwidth(check_positive("bandwidth", chosen[0])))
        points = (first.cached(progress=progress) if len(chosen) > 1 else first).points
        with progress.phase("cross-validation", len(chosen)) as advance:
            for bandwidth in chosen:
                yield name, bandwidth, Gram(points, kernel.with_bandwidth(check_positive("bandwidth", bandwidth)))
                advance(1)


def _trained(own, folds):
    """Return for each fold which classes its model is trained on, shape (1, k); without folds for each point, (n, k).

    `own` says of which class a point is. Raises InputError for a model that would know one class alone.
    """
    if folds is None:
        found = [own.sum(axis=0) - own > 0]
    else:
        found = [np.delete(own, fold.out, axis=0).any(axis=0)[None] for fold in folds]
    for k, known in enumerate(found):
        if (known.sum(axis=1) < 2).any():
            part = "without one of the points the others are" if folds is None else f"split {k} of cv trains on points"
            raise InputError(f"{part} of one class alone; give more points of each, or a stratified cv")
    return found


def _listed(name, values):
    """Return a list of at least one value, which every fit reads anew."""
    if isinstance(values, Iterator) or not isinstance(values, Iterable):
        raise InputError(f"{name} = {values!r}; give a list or an array, which can be read more than once")
    if not len(found := list(values)):
        raise InputError(f"{name} is empty; give one or more")
    return found


class _Given(ClassifierMixin, BaseEstimator):
    """What a scorer asks for predictions: its X are function values (m, k), which are there already."""

    def __init__(self, classes=None):
        self.classes = classes

    def fit(self, X, y=None):
        self.classes_ = self.classes
        return self

    def predict(self, scores):
        return self.classes_[scores.argmax(axis=1)]

    def decision_function(self, scores):
        return scores[:, 1] - scores[:, 0] if len(self.classes_) == 2 else scores


class _GivenNumbers(RegressorMixin, BaseEstimator):
    """The same for numbers."""

    def fit(self, X, y=None):
        return self

    def predict(self, scores):
        return scores[:, 0] if scores.shape[1] == 1 else scores


class KernelInterpolatorCV(ScoredArrays, MultiOutputMixin, RegressorMixin, _CrossValidated):
    """KernelInterpolator whose kernel, bandwidth and ridge are chosen by cross-validation in closed form.

    For each kernel and bandwidth one reduction K = Q B Q^T to a band B serves every ridge and every fold: with
    A = K + ridge I, the predictions without a fold S are Y_S - ([A^-1]_SS)^-1 [A^-1 Y]_S. Where that takes fewer
    operations, as with up to about 5 folds, K of the points outside each fold is reduced instead. Scores are those of
    GridSearchCV over KernelInterpolator with the same folds, but for rounding. Sources: kernelfit.solvers.band,
    kernelfit.analysis.cross_validation.

    Parameters
    ----------
    kernels : kernel, or several
        Each a text, a Kernel or a function as for KernelInterpolator.
    bandwidths : list or array of float, or "auto"
        For those kernels whose bandwidth is open. "auto": 11 half octaves of the median distance, from a quarter of it
        to 8 times.
    ridges : list or array of float
        0 or positive. A ridge for which K + ridge I is singular to working precision has NaN scores, as ridge 0 where
        points are equal.
    cv : None, int, splitter or iterable of (train, test)
        None leaves out one point at a time, and scores all that are predicted so at once; otherwise as in GridSearchCV.
        Points that are neither trained on nor tested are left out too.
    scoring : str or callable, optional
        As in scikit-learn. Unless given: with cv=None the negative mean squared error, else R^2.
    loo, solver, precision, device, memory, scratch, verbose
        Of the final fit: see KernelInterpolator. The choice is made in float64 on the CPU, with two and a half full
        matrices in memory. There is no trend to choose with: subtract one first, or search with GridSearchCV.

    Attributes
    ----------
    best_params_ : dict
        kernel, bandwidth (None where it was not open), ridge.
    best_score_, best_index_ : float, int
    cv_results_ : dict
        As that of GridSearchCV without times: params, param_*, split*_test_score, mean_test_score, std_test_score,
        rank_test_score.
    n_splits_ : int
    scorer_ : callable
    best_estimator_ : KernelInterpolator
        Fitted to all points; dual_coef_, norm_, loo_residuals_, report_, function_, kernel_ and support_ are its own.

    Raises
    ------
    InputError
        A parameter is outside what is accepted; a test point is among those trained on.
    SingularMatrixError
        No candidate can be solved.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.linspace(0, 1, 40)[:, None]
    >>> y = np.sin(6 * X[:, 0]) + 0.1 * np.random.default_rng(0).standard_normal(40)
    >>> model = KernelInterpolatorCV(bandwidths=(0.02, 0.2), ridges=(1e-3, 0.1)).fit(X, y)
    >>> model.best_params_, model.best_score_ > -0.02, len(model.cv_results_["params"])
    ({'kernel': 'gaussian', 'bandwidth': 0.2, 'ridge': 0.001}, True, 4)
    """

    _plain = KernelInterpolator
    _loo_scoring = "neg_mean_squared_error"

    def fit(
        self,
        X: npt.ArrayLike,
        y: npt.ArrayLike,
        groups: npt.ArrayLike | None = None,
        sample_weight: npt.ArrayLike | None = None,
    ) -> Self:
        """Choose and fit on X (n, d) and targets y (n,) or (n, outputs); `groups` (n,) go to cv.split. Returns self.

        Weights (n,) of the samples, none negative, weigh in the scores too, as in GridSearchCV of scikit-learn 1.9.
        """
        X, y = host_array(X), host_array(y)
        X, y = validate_data(self, X, y, dtype=self._template()._dtypes(), multi_output=True, y_numeric=True)
        y = np.asarray(y, dtype=np.float64)
        self._search(X, y, y.reshape(len(y), -1), groups, checked_weights(sample_weight, X))
        return self


class KernelInterpolationClassifierCV(ScoredArrays, ClassifierMixin, _CrossValidated):
    """KernelInterpolationClassifier whose kernel, bandwidth and ridge are chosen by cross-validation in closed form.

    Takes the parameters of KernelInterpolatorCV, and has its attributes; what differs:

    Parameters
    ----------
    scoring : str or callable, optional
        Accuracy unless given. Scores that need probabilities are not to be had.

    Attributes
    ----------
    classes_ : array, shape (k,)
    best_estimator_ : KernelInterpolationClassifier

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> X, y = load_digits(return_X_y=True)
    >>> model = KernelInterpolationClassifierCV(bandwidths=(5.0, 20.0), ridges=(1e-3, 0.1)).fit(X[:500], y[:500])
    >>> model.best_params_["bandwidth"], model.score(X[500:1000], y[500:1000]) > 0.9
    (20.0, True)
    """

    _plain = KernelInterpolationClassifier
    _loo_scoring = "accuracy"

    def fit(
        self,
        X: npt.ArrayLike,
        y: npt.ArrayLike,
        groups: npt.ArrayLike | None = None,
        sample_weight: npt.ArrayLike | None = None,
    ) -> Self:
        """Choose and fit on X (n, d) and labels y (n,) of at least two classes; returns self.

        See KernelInterpolatorCV.fit. Weights of classes are sample weights: scikit-learn's
        `compute_sample_weight(class_weight, y)`.
        """
        X, y = host_array(X), host_array(y)
        require_known(y)
        X, y = validate_data(self, X, y, dtype=self._template()._dtypes())
        classes, labels = classes_of(y)
        check_classification_targets(y)
        self._search(X, y, one_hot(labels, len(classes)), groups, checked_weights(sample_weight, X), classes)
        self.classes_ = classes
        return self

    def decision_function(self, X: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return f(X), shape (m, k); for two classes f_1(X) - f_0(X), shape (m,)."""
        points = self._checked(X)
        return like(self.best_estimator_.decision_function(points), X)
