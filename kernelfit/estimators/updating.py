"""Fitted estimators that take up further points, and say what they would be without some."""

import dataclasses
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.utils.validation import check_is_fitted

from kernelfit.analysis.leaving_out import coef_without
from kernelfit.common.errors import InputError, UnsupportedError
from kernelfit.common.progress import make_progress
from kernelfit.estimators.saving import SavedEstimator
from kernelfit.grams.duplicates import Duplicates, find_copies, merge_duplicates
from kernelfit.grams.points import points
from kernelfit.models.fit import FitReport
from kernelfit.models.update import extend
from kernelfit.solvers.protocol import Factor

_LOST = 1e-10  # of the extent of the points of the fit, which the bandwidth goes by


class UpdatedEstimator(SavedEstimator):
    """An estimator with a _factor of its fit, which further points extend and points that leave reduce."""

    dual_coef_: npt.NDArray[np.float64]
    first_: npt.NDArray[np.intp]
    support_: npt.NDArray[np.intp]
    norm_: float
    report_: FitReport
    loo_residuals_: Any  # array of the shape of dual_coef_, or None
    verbose: bool
    _factor: Any
    _drop_factor: Callable[[], None]
    _precomputed: Callable[[], bool]

    @property
    def _fitted_trend(self) -> str | None:
        """The trend of the last fit; the parameter may have been set anew since."""
        centre = getattr(self, "trend_centre_", None)
        return None if centre is None else "linear" if len(centre) else "constant"

    def _keep_factor(self, factor: Factor, close: Callable[[], None]) -> None:
        """Hold a Factor until the next fit, or until this is no more."""
        self.__dict__["_factor"], self._close_factor = factor, weakref.finalize(self, close)

    def _extend(self, X: npt.NDArray, Y: npt.NDArray[np.float64]) -> None:
        """Take up the points X (m, d) with targets Y (m, r)."""
        if self._precomputed():
            raise UnsupportedError("of a precomputed kernel no further points are known: fit again with all of K")
        targets = getattr(self, "_targets", None)
        if targets is None:
            raise UnsupportedError(
                "an update takes up targets beside those of a fit without weights and without a trend, and a file "
                "holds none: fit again to all points"
            )
        factor, n, progress = self._factor, len(self.first_), make_progress(not self.verbose)
        new = points(X, beside=factor.K.points, device=factor.K.device)
        new.require_same_kind(factor.K.points)  # type: ignore[attr-defined]  # kernels of matrices are refused above
        _require_digits(X, new, factor.K.points)
        first = n + np.arange(len(X))
        if factor.ridge == 0:
            host, own = factor.K.device.host, merge_duplicates(X).first
            copies = find_copies(host(new.values), host(factor.K.points.values))
            first = np.where(copies >= 0, self.support_[copies], n + own)
            given = np.zeros((n, Y.shape[1]))
            given[self.support_] = targets
            pairs = Duplicates(np.append(np.arange(n), first), self.support_, np.vstack([given, Y]))
            pairs.require_equal_targets()
        kept = np.flatnonzero(first == n + np.arange(len(X)))
        coef = self.dual_coef_.reshape(n, -1)[self.support_]
        if len(kept):
            targets = np.vstack([targets, Y[kept]])
            made, function, norm, report = extend(factor, new.subset(kept), targets, self.report_, progress=progress)
            self._close_factor()
            self._keep_factor(made, made.close)
            self.function_, self.norm_, self.report_ = function, norm, report
            self._targets, coef = targets, self.function_.coef
        self.support_, self.first_ = np.append(self.support_, n + kept), np.append(self.first_, first)
        self.report_ = dataclasses.replace(self.report_, merged=len(self.first_) - len(self.support_))
        full = np.zeros((len(self.first_), coef.shape[1]))
        full[self.support_] = coef
        self.dual_coef_ = full if self.dual_coef_.ndim == 2 else full[:, 0]
        if self.loo_residuals_ is not None:
            self.loo_residuals_ = self._left_out(coef)

    def _left_out(self, coef):
        """Return leave-one-out residuals, of the shape of dual_coef_."""
        found = np.zeros((len(self.first_), coef.shape[1]))
        found[self.support_] = coef / self._factor.inverse_diagonal()[:, None]
        found[(np.bincount(self.first_, minlength=len(found)) > 1)[self.first_]] = 0.0
        return found.reshape(self.dual_coef_.shape)

    def remove(self, indices: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return the coefficients of the fit without some training points; the estimator stays as it is.

        With A = K + ridge I and S = indices, coef - A^-1[:, S] ([A^-1]_SS)^-1 coef_S: exact, from the factor of all
        points, in 2 n^2 |S| operations and 8 n |S| bytes. The bandwidth stays. A point that was merged with others
        leaves when all of them do.

        Parameters
        ----------
        indices : int array, shape (s,)
            Rows of the points that were given in fit, and after them in update.

        Returns
        -------
        array, of the shape of dual_coef_
            0 at the points that are removed.

        Raises
        ------
        InputError
            An index is out of range, or no point would be left.
        UnsupportedError
            The solver has no float64 factor; the fit has a trend.

        Examples
        --------
        >>> import numpy as np
        >>> from kernelfit import KernelInterpolator
        >>> X = np.linspace(0, 1, 9)[:, None]
        >>> y = np.sin(6 * X[:, 0])
        >>> model = KernelInterpolator(bandwidth=0.2).fit(X, y)
        >>> coef = model.remove([3, 4])
        >>> kept = np.delete(np.arange(9), [3, 4])
        >>> bool(np.allclose(coef[kept], KernelInterpolator(bandwidth=0.2).fit(X[kept], y[kept]).dual_coef_))
        True
        """
        check_is_fitted(self)
        if (trend := self._fitted_trend) is not None:
            raise UnsupportedError(f"the trend {trend!r} changes with every point that leaves: fit again without")
        n, rows = len(self.first_), np.atleast_1d(np.asarray(indices))
        if rows.ndim != 1 or (rows.size and rows.dtype.kind not in "iu"):
            raise InputError(f"indices are integers, shape (s,); got {rows.dtype} of shape {rows.shape}")
        if rows.size and not (rows.min() >= 0 and rows.max() < n):
            raise InputError(f"indices reach from {rows.min()} to {rows.max()}; the points are numbered 0 to {n - 1}")
        gone = np.isin(np.arange(n), rows)
        stay = np.bincount(self.first_[~gone], minlength=n)[self.support_] > 0
        if not stay.any():
            raise InputError(f"no point would be left of {n}; remove fewer")
        coef = self.dual_coef_.reshape(n, -1)[self.support_]
        if not stay.all():
            coef = coef_without(self._factor, coef, np.flatnonzero(~stay))
        # A copy that stays stands for a point whose own row is removed.
        place = np.full(n, n)
        np.minimum.at(place, self.first_[~gone], np.flatnonzero(~gone))
        found = np.zeros((n, coef.shape[1]))
        found[place[self.support_[stay]]] = coef[stay]
        return found.reshape(self.dual_coef_.shape)


def _require_digits(X, new, fitted):
    """Raise UnsupportedError where points (m, d), shifted as those of the fit are, have lost digits by it."""
    if X.dtype == np.uint8 or not len(X):
        return
    host = new.device.host
    lost = np.abs(host(new.coordinates()) - X.reshape(len(X), -1)).max()
    if lost > _LOST * np.abs(host(fitted.values)).max() > 0:  # of one point the extent is not known
        raise UnsupportedError(
            "points of this update lie so far from those of the fit that beside them they lose digits, up to "
            f"{lost:.1e}: fit again to all points"
        )
