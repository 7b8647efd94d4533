"""KernelInterpolationClassifier: labels of classes."""

import dataclasses
from typing import Self

import numpy as np
import numpy.typing as npt
from sklearn.base import ClassifierMixin
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from kernelfit.common.arrays import host_array, like
from kernelfit.common.errors import InputError
from kernelfit.common.validation import check_number
from kernelfit.datasets.labels import classes_of, one_hot, require_known
from kernelfit.estimators.base import KernelInterpolation, ScoredArrays, checked_weights


@dataclasses.dataclass(eq=False, repr=False)
class KernelInterpolationClassifier(ScoredArrays, ClassifierMixin, KernelInterpolation):
    """Fit 0/1 class indicators by functions of least RKHS norm, K coef = Y, and predict the class of the largest.

    Takes the parameters of KernelInterpolator, and has its attributes; what differs:

    Parameters
    ----------
    bandwidth : float or "auto"
        "auto": least closed-form leave-one-out classification error (kernelfit.models.bandwidth.choose_bandwidth).
    class_weight : dict, "balanced" or None
        Weight of each class, as everywhere in scikit-learn: factors of the sample weights. "balanced" gives all classes
        the same total weight. Needs a ridge, without which no class gives way to another.

    Attributes
    ----------
    classes_ : array, shape (k,)
    dual_coef_ : array, shape (n, k)
        Two classes have two columns as well, so that norm_ is the one that `kernelfit solve` reports (0/1 targets).
    loo_residuals_ : array, shape (n, k), or None
        Y - loo_residuals_ are the leave-one-out scores.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> X, y = load_digits(return_X_y=True)
    >>> model = KernelInterpolationClassifier(bandwidth=20.0).fit(X[:500], y[:500])
    >>> model.score(X[:500], y[:500])  # it interpolates
    1.0
    >>> model.score(X[500:1000], y[500:1000]) > 0.9
    True
    """

    _score = "error"

    _: dataclasses.KW_ONLY
    class_weight: dict | str | None = None

    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None) -> Self:
        """Fit to X (n, d) and labels y (n,) of at least two classes, with weights (n,) of the samples; returns self."""
        X, y = host_array(X), host_array(y)
        require_known(y)
        X, y = validate_data(self, X, y, dtype=self._dtypes())
        classes, labels = classes_of(y)
        check_classification_targets(y)
        weights = checked_weights(sample_weight, X)
        if self.class_weight is not None:
            if check_number("ridge", self.ridge) == 0:
                raise InputError(
                    f"class_weight = {self.class_weight!r} was given without a ridge: an interpolant fits every label "
                    "whatever it weighs. Give `ridge=1e-3`, or leave class_weight out"
                )
            if isinstance(self.class_weight, str) and self.class_weight == "balanced":
                totals = np.bincount(labels, weights)  # by weights: weight k is as good as k copies
                balanced = (totals.sum() / (len(totals) * np.where(totals > 0, totals, 1.0)))[labels]
            elif isinstance(self.class_weight, dict):
                balanced = _of_classes(self.class_weight, classes.tolist())[labels]
            else:
                balanced = compute_sample_weight(self.class_weight, y)
            weights = balanced if weights is None else weights * balanced
        self._solve(X, one_hot(labels, len(classes)), weights)
        self.classes_ = classes
        self._tell_doubts()
        return self

    def update(self, X: npt.ArrayLike, y: npt.ArrayLike) -> Self:
        """Take up further points X (m, d) with labels y (m,), each of a class in classes_; returns self.

        See KernelInterpolator.update.

        Examples
        --------
        >>> from sklearn.datasets import load_digits
        >>> X, y = load_digits(return_X_y=True)
        >>> model = KernelInterpolationClassifier(bandwidth=20.0, keep_factor=True).fit(X[:300], y[:300])
        >>> model.update(X[300:500], y[300:500]).score(X[:500], y[:500])
        1.0
        """
        check_is_fitted(self)
        points, labels = host_array(X), host_array(y)
        points, labels = validate_data(self, points, labels, reset=False, dtype=self._dtypes())
        known = np.isin(labels, self.classes_)
        if not known.all():
            raise InputError(
                f"label {labels[~known][0]!r} is none of the classes of the fit, {self.classes_}; fit again"
            )
        self._extend(points, one_hot(np.searchsorted(self.classes_, labels), len(self.classes_)))
        self._tell_doubts()
        return self

    def decision_function(self, X: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return f(X), shape (m, k); for two classes f_1(X) - f_0(X), shape (m,)."""
        scores = self._scores(X)
        return like(scores[:, 1] - scores[:, 0] if len(self.classes_) == 2 else scores, X)

    def predict(self, X: npt.ArrayLike) -> npt.NDArray:
        """Return the class whose function is largest at each point, shape (m,)."""
        largest = self._scores(X).argmax(axis=1)
        return like(self.classes_[largest], X)


def _of_classes(weights, classes):
    """Return the weight of each class as scikit-learn does, which takes texts of digits for numbers."""
    unknown = [name for name in weights if name not in classes]
    if unknown and not all(name in weights for name in classes):
        raise InputError(f"class_weight names {unknown[0]!r}, which is none of the classes {classes}")
    found = np.array([weights.get(name, 1.0) for name in classes], dtype=np.float64)
    if not (np.isfinite(found) & (found >= 0)).all():
        raise InputError(f"class_weight = {weights}; weights are finite numbers, none negative")
    return found
