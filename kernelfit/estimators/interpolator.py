"""Kernel interpolation as scikit-learn estimators; kernels, solver and measures live elsewhere."""

import contextlib
import dataclasses
import functools
import numbers
import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy.linalg import LinAlgWarning
from sklearn.base import ClassifierMixin, MultiOutputMixin, RegressorMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from kernelfit.common.arrays import host_array, like
from kernelfit.common.errors import InputError, UnsupportedError
from kernelfit.common.progress import make_progress
from kernelfit.common.validation import check_number
from kernelfit.datasets.labels import one_hot
from kernelfit.datasets.pixels import pixels_in_doubt
from kernelfit.estimators.updating import UpdatedEstimator
from kernelfit.grams.matrix import gram
from kernelfit.kernels import Kernel
from kernelfit.kernels.text import as_kernel
from kernelfit.models.bandwidth import choose_bandwidth
from kernelfit.models.fit import fit
from kernelfit.models.optimizing import optimize
from kernelfit.models.posterior import predictive_covariance, predictive_variance, require_kernel_of_points
from kernelfit.models.trend import Basis, trend_deviation, trend_values
from kernelfit.solvers.auto import Auto
from kernelfit.solvers.cholesky import Cholesky
from kernelfit.solvers.protocol import Solver, check_solver
from kernelfit.solvers.weighted import Weighted


class _ScoredArrays:
    """First of the bases: scikit-learn's scores know NumPy alone."""

    def score(self, X: npt.ArrayLike, y: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None) -> float:
        """Return what scikit-learn does: R^2 of a regressor, the accuracy of a classifier."""
        return super().score(  # type: ignore[misc]
            host_array(X), host_array(y), sample_weight
        )


class _KernelInterpolation(UpdatedEstimator):
    """f(x) = sum_i coef_i k(x_i, x) with (K + ridge I) coef = Y; both estimators share it."""

    _score = "squared_error"  # what an automatic bandwidth is chosen by

    def __init__(
        self,
        kernel: str
        | Kernel
        | Callable[[npt.NDArray[np.float64], npt.NDArray[np.float64]], npt.NDArray[np.float64]] = "gaussian",
        *,
        bandwidth: float | Sequence[float] | str = "auto",
        ridge: float = 0.0,
        trend: str | None = None,
        optimize: str | None = None,
        loo: bool = False,
        keep_factor: bool = False,
        solver: Solver | None = None,
        precision: str = "float64",
        device: str = "cpu",
        memory: int | None = None,
        scratch: str | Path | None = None,
        verbose: bool = False,
    ):
        self.kernel = kernel
        self.bandwidth = bandwidth
        self.ridge = ridge
        self.trend = trend
        self.optimize = optimize
        self.loo = loo
        self.keep_factor = keep_factor
        self.solver = solver
        self.precision = precision
        self.device = device
        self.memory = memory
        self.scratch = scratch
        self.verbose = verbose

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.pairwise = self._precomputed()
        return tags

    def _precomputed(self):
        kernel = self.kernel
        return kernel.of_matrix if isinstance(kernel, Kernel) else isinstance(kernel, str) and kernel == "precomputed"

    def _dtypes(self):
        """Of X: float64, but that uint8 stays what it is everywhere in kernelfit, pixels / 255 with exact distances.

        A float32 K stays too: whether it is symmetric is a matter of its own rounding.
        """
        return [np.float64, np.float32 if self._precomputed() else np.uint8]

    def _solve(self, X, Y, weights):
        """Solve for the targets Y (n, r) and set what both estimators have."""
        self._drop_factor()  # of an earlier fit: there is no room for two
        kernel = self._kernel_with_bandwidth()
        doubtful = pixels_in_doubt(X)
        if doubtful:
            warnings.warn(f"{doubtful}. Give X.astype(float) to have the numbers as they are", stacklevel=3)
        options = {"ridge": check_number("ridge", self.ridge), "loo": self.loo, "score": self._score}
        options |= {"weights": weights, "trend": self.trend, "progress": make_progress(not self.verbose)}
        with contextlib.ExitStack() as stack:
            solver = stack.enter_context(_opened(self._chosen_solver(Y.shape[1])))
            if self.optimize is not None:
                kernel, options["ridge"] = self._optimized(X, Y, kernel, solver, weights)
            found = fit(X, Y, kernel, solver, keep_factor=self.keep_factor, **options)
            if found.factor is not None:
                stack.enter_context(found.factor)
                self._keep_factor(found.factor, stack.pop_all().close)
        self.first_ = found.first
        self._targets = Y[found.support] if weights is None and self.trend is None else None  # what an update needs
        self.function_, self.support_, self.report_ = found.function, found.support, found.report
        self.norm_, self.loo_residuals_, self.sample_weight_ = found.norm, found.loo_residuals, found.weights
        if found.basis is not None:
            self.trend_centre_, self.trend_coef_ = found.basis.centre, found.trend_coef
        self.dual_coef_ = np.zeros(Y.shape)
        self.dual_coef_[self.support_] = found.function.coef
        if self.report_.warnings:
            ill = (self.report_.condition_estimate or 0) > 1e8
            warnings.warn(
                "; ".join(self.report_.warnings)
                + ". The kernel matrix is ill-conditioned: try a smaller bandwidth, or a larger ridge" * ill,
                LinAlgWarning,
                stacklevel=3,
            )

    @property
    def kernel_(self) -> Kernel:
        """The Kernel with its bandwidth."""
        return self.function_.kernel

    @property
    def log_marginal_likelihood_(self) -> float | None:
        """Of the targets, see FitReport; None where the solver gives no determinant."""
        return self.report_.log_marginal_likelihood

    @functools.cached_property
    def _factor(self):
        """The Factor of the fitted K + ridge I, made when it is first asked for; a copy and a pickle are without it."""
        check_is_fitted(self)
        solver = self._chosen_solver(1)
        if getattr(solver, "precision", None) == "mixed":
            raise UnsupportedError(
                "a float32 factor has no triangular solves to float64 accuracy, which a standard deviation needs. Take "
                '`precision="float64"`'
            )
        if isinstance(solver, Auto):
            solver = dataclasses.replace(solver, loo=True)  # what it needs is what this does: float64
        with contextlib.ExitStack() as stack:
            solver = stack.enter_context(_opened(solver))
            solver = solver if self.sample_weight_ is None else Weighted(solver, self.sample_weight_)
            K = gram(self.function_.points, self.kernel_, device=solver.device)
            progress = make_progress(not self.verbose)
            factor = stack.enter_context(solver.factor(K, ridge=self.function_.ridge, progress=progress))
            factor.half_solve(np.zeros((factor.n, 1)))  # one that cannot is not kept
            self._keep_factor(factor, stack.pop_all().close)
        return factor

    def _drop_factor(self):
        vars(self).pop("_factor", None)
        vars(self).pop("_close_factor", lambda: None)()

    def __getstate__(self):
        kept = {"_factor", "_close_factor"}
        return {name: value for name, value in super().__getstate__().items() if name not in kept}

    def _chosen_solver(self, outputs):
        short = {name: getattr(self, name) for name in _SHORT_FORMS}
        if self.solver is None:
            return Cholesky() if short == _SHORT_FORMS else Auto(**short, loo=bool(self.loo), outputs=outputs)
        check_solver(self.solver)
        if short != _SHORT_FORMS:
            changed = ", ".join(name for name, value in short.items() if value != _SHORT_FORMS[name])
            raise InputError(f"solver = {self.solver} was given beside {changed}; give one or the other")
        return self.solver

    def _kernel_with_bandwidth(self):
        """Return the Kernel that the parameters name; its bandwidth stays open only for "auto"."""
        kernel = as_kernel(self.kernel)
        if isinstance(self.bandwidth, str) and self.bandwidth == "auto":
            return kernel
        if isinstance(self.bandwidth, str) or not isinstance(self.bandwidth, numbers.Real | Sequence | np.ndarray):
            raise InputError(f"bandwidth = {self.bandwidth!r}; give a positive number, one for each feature, or 'auto'")
        if not kernel.open_bandwidth:
            raise InputError(f"bandwidth {self.bandwidth} was given, but the kernel {kernel} has no open bandwidth")
        return kernel.with_bandwidth(self.bandwidth)

    def _optimized(self, X, Y, kernel, solver, weights):
        """Return (Kernel, ridge) that `optimize` finds from what the parameters say, and set optimization_."""
        if weights is not None or self.trend is not None:
            raise InputError(f"optimize = {self.optimize!r} was asked for beside weights or a trend; it knows neither")
        start, found = self.bandwidth, as_kernel(self.kernel)
        if kernel.open_bandwidth:  # "auto"
            start = choose_bandwidth(X, Y, kernel, score=self._score, ridge=self.ridge).bandwidth
        options = {"objective": self.optimize, "solver": solver, "progress": make_progress(not self.verbose)}
        self.optimization_ = optimize(X, Y, found, bandwidth=start, ridge=self.ridge, **options)
        if not self.optimization_.converged:
            warnings.warn(
                f"the search by {self.optimize} did not converge: {self.optimization_.message}",
                ConvergenceWarning,
                stacklevel=4,
            )
        return found.with_bandwidth(self.optimization_.bandwidth), self.optimization_.ridge

    def _points(self, X):
        """Return points to predict as f takes them; with a precomputed kernel X is the cross matrix (m, n)."""
        check_is_fitted(self)
        X = validate_data(self, host_array(X), reset=False, dtype=self._dtypes())
        return X[:, self.support_] if self._precomputed() and len(self.support_) < X.shape[1] else X

    def _scores(self, X):
        return self._values(self._points(X))

    def _values(self, points):
        """Return f, with its trend, at points as f takes them."""
        values = self.function_(points)
        return values if self.trend is None else values + trend_values(points, self.trend_centre_, self.trend_coef_)


def _weights(sample_weight, X):
    if sample_weight is None:
        return None
    weights = host_array(sample_weight)
    return _check_sample_weight(weights, X, dtype=np.float64, ensure_non_negative=True)


@contextlib.contextmanager
def _opened(solver):
    """Yield a Solver to use; in its scratch folder each factor has a folder of its own."""
    with contextlib.ExitStack() as stack:
        scratch = getattr(solver, "scratch", None)
        if scratch is not None and not solver.resume:
            Path(scratch).mkdir(parents=True, exist_ok=True)
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="kernelfit-", dir=scratch))
            solver = dataclasses.replace(solver, scratch=folder)
        yield stack.enter_context(solver.opened())


# The parameters that stand for a Solver, and what they are unless given.
_SHORT_FORMS = {"precision": "float64", "device": "cpu", "memory": None, "scratch": None}


class KernelInterpolator(_ScoredArrays, MultiOutputMixin, RegressorMixin, _KernelInterpolation):
    """Fit the function of least RKHS norm through all targets: f(x) = sum_i coef_i k(x_i, x), K coef = y.

    With a ridge, (K + ridge I) coef = y, and with weights w of the samples, (K + ridge diag(1 / w)) coef = y. Far from
    the data a Gaussian's f goes to 0, or to the trend if there is one: f(x) = h(x)^T beta + sum_i coef_i k(x_i, x) with
    h(x) = 1 or (1, x), beta = (H^T A^-1 H)^-1 H^T A^-1 y and A coef = y - H beta, A the matrix of before: universal
    kriging (kernelfit.models.trend has the sources).

    Parameters
    ----------
    kernel : str, Kernel or callable
        A text that kernelfit.kernels.text.parse_kernel reads ("gaussian", "laplacian", "polynomial(degree=3)",
        "gaussian + 0.1 * linear", "precomputed", ...), a kernelfit.kernels.Kernel, or a function of two float64
        matrices (a, d), (b, d) that returns the kernel matrix (a, b); several threads may call it at once.
        With "precomputed", X is K (n, n) in fit and the cross matrix (m, n) in predict, float64 or float32.
    bandwidth : float, one for each feature, or "auto"
        For a kernel whose bandwidth is open. "auto": the multiple of the median distance with the least closed-form
        leave-one-out squared error on up to 3,000 training points, drawn by a fixed seed; the error of each output is
        relative to its mean square. See kernelfit.models.bandwidth.choose_bandwidth and FitReport.bandwidth_choice.
    ridge : float
        Added to the diagonal of K; 0 unless given, and never changed.
    loo : bool
        Whether to compute loo_residuals_, which takes about as long as the fit itself. It is asked for before the fit,
        because the factor it needs, half an n x n matrix, is not kept (nor pickled) with the estimator.
    keep_factor : bool
        Whether to keep the factor until the next fit, for `update`, `remove` and return_std, 4 n^2 bytes. Otherwise the
        first of these makes it again, in the time of the fit. No copy or pickle has it.
    solver : Solver, optional
        How to solve: kernelfit.solvers has Cholesky, Auto, Eigen, ConjugateGradients, ... The parameters precision,
        device, memory and scratch are short forms for Auto, and exclude it.
    precision : str
        "float64"; "mixed", a float32 factor in half the memory, corrected to the same answer; or "auto", the quicker.
    device : str
        "cpu", "cuda", or "auto" for the GPU where there is one.
    memory : int, optional
        Bytes to use at most; more than fits is an error before anything is computed.
    scratch : path, optional
        Folder on a disk where the factor may go; each fit makes a folder of its own there and removes it.
    verbose : bool
        Whether to show progress on standard error.
    trend : None, "constant" or "linear"
        Functions that are fitted beside the kernel and have no norm: adding one of them to y adds it to f.
    optimize : None, "loo" or "likelihood"
        Begin at `bandwidth` and `ridge` and go on to those of least leave-one-out squared error, or largest marginal
        likelihood, by their gradients (kernelfit.models.optimizing): with a bandwidth for each feature, all of them. A
        ridge of 0 stays 0. That the search did not converge is told by a ConvergenceWarning.

    Attributes
    ----------
    dual_coef_ : array, shape (n,) or (n, outputs)
        0 at points that were merged with an earlier one, or weigh 0.
    trend_coef_, trend_centre_ : arrays, shapes (1 + d, outputs) and (d,), where there is a trend
        The trend is trend_coef_[0] + (x - trend_centre_) @ trend_coef_[1:]; d is 0 if it is constant.
    sample_weight_ : array or None
        Of the points support_, where there are weights and a ridge.
    norm_ : float
        RKHS norm of f, sqrt(tr(coef^T K coef)) over all outputs.
    loo_residuals_ : array of the shape of y, or None
        y_i - f^(-i)(x_i), where f^(-i) is fitted without point i; in closed form, coef_i / [(K + ridge I)^-1]_ii.
    optimization_ : kernelfit.models.optimizing.Optimization
        Where `optimize` was asked for: what it found, in how many steps, and whether it converged.
    report_ : kernelfit.models.fit.FitReport
    function_ : kernelfit.models.expansion.KernelExpansion
        f itself but for the trend, over the points that were not merged.
    kernel_ : Kernel
        With its bandwidth.
    log_marginal_likelihood_ : float or None
        log p(y) of a Gaussian process with this kernel and noise of variance ridge / w, all outputs together, at the
        trend that was found; None where the solver gives no determinant. Merged points do not count.
    support_ : int array
        Rows of X that are not merged with an earlier one.
    first_ : int array, shape (n,)
        For every row of X the first that it was merged with: itself, if it was not.
    n_features_in_, feature_names_in_ : as everywhere in scikit-learn

    Notes
    -----
    All is computed in float64, whatever came. Data frames of pandas and polars, and arrays of torch, CuPy and all that
    speak DLPack, are taken as they are; fitted attributes are NumPy's, predictions of the library of X.

    X holds numbers used as they are, or uint8 pixels, which stand for x / 255 as everywhere in kernelfit; uint8 numbers
    that do not look like pixels are told by a UserWarning.
    Identical points make K singular. Without a ridge, copies of a point that have its target too are left out: the
    function of least norm is the same without them. Copies with another target raise SingularMatrixError.

    Without a ridge, positive sample weights change nothing: f goes through all targets whatever they weigh, which is
    also where a ridge that goes to 0 leads. A point that weighs 0 is as good as not there, with a ridge and without.

    What is doubtful about the numbers of a fit is told by a LinAlgWarning, and kept in report_.warnings.

    Raises
    ------
    InputError
        A parameter is outside what is accepted.
    SingularMatrixError
        Identical points have different targets, or the matrix is singular to working precision.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.linspace(0, 1, 20)[:, None]
    >>> model = KernelInterpolator(bandwidth=0.1).fit(X, np.sin(6 * X[:, 0]))
    >>> bool(abs(model.predict([[0.512]])[0] - np.sin(6 * 0.512)) < 1e-4), model.report_.relative_residual < 1e-8
    (True, True)
    """

    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None) -> Self:
        """Fit to X (n, d) and targets y (n,) or (n, outputs), with weights (n,) of the samples; returns self."""
        X, y = host_array(X), host_array(y)
        X, y = validate_data(self, X, y, dtype=self._dtypes(), multi_output=True, y_numeric=True)
        Y = np.asarray(y, dtype=np.float64)
        self._solve(X, Y.reshape(len(Y), -1), _weights(sample_weight, X))
        self.dual_coef_ = self.dual_coef_.reshape(Y.shape)
        if self.loo:
            self.loo_residuals_ = self.loo_residuals_.reshape(Y.shape)
        return self

    def update(self, X: npt.ArrayLike, y: npt.ArrayLike) -> Self:
        """Take up further points X (m, d) with targets y (m,) or (m, outputs); returns self.

        The factor is extended: with A21 the rows of the new points, L21 = A21 L11^-T and L22 L22^T = A22 - L21 L21^T,
        n^2 m operations where a fit takes n^3 / 3. The function is that of a fit to all points with the bandwidth of
        this one. Without a ridge, points that equal another are merged as in fit. With `loo`, leave-one-out residuals
        are computed anew, in the time of a fit. What report_ measures is told in kernelfit.models.update.Extension.

        Raises
        ------
        UnsupportedError
            The factor is not float64 Cholesky in memory; the kernel is precomputed; the fit has weights or a trend.
        SingularMatrixError
            A new point equals another one with another target, or depends on others to working precision. The
            estimator stays as it was.

        Examples
        --------
        >>> import numpy as np
        >>> X = np.linspace(0, 1, 9)[:, None]
        >>> y = np.sin(6 * X[:, 0])
        >>> model = KernelInterpolator(bandwidth=0.2, keep_factor=True).fit(X[:7], y[:7]).update(X[7:], y[7:])
        >>> whole = KernelInterpolator(bandwidth=0.2).fit(X, y)
        >>> bool(np.allclose(model.dual_coef_, whole.dual_coef_)), model.report_.n
        (True, 9)
        """
        check_is_fitted(self)
        points, targets = host_array(X), host_array(y)
        points, targets = validate_data(
            self, points, targets, reset=False, dtype=self._dtypes(), multi_output=True, y_numeric=True
        )
        Y = np.asarray(targets, dtype=np.float64)
        if Y.shape[1:] != self.dual_coef_.shape[1:]:
            raise InputError(f"y has shape {Y.shape}; the targets of the fit had {self.dual_coef_.shape[1:]} beside n")
        return self._extend(points, Y.reshape(len(Y), -1))

    def predict(self, X: npt.ArrayLike, return_std: bool = False, return_cov: bool = False) -> Any:
        """Return f(X), shape (m,) or (m, outputs), and on request how far it may deviate.

        Parameters
        ----------
        X : array, shape (m, d)
            An array of torch or CuPy, or another that speaks DLPack, gives results of its library on its device.
        return_std : bool
            Whether to return (f(X), the standard deviation) of a Gaussian process with covariance kernel_ and noise of
            variance ridge, without the noise: sqrt(k(x, x) - k(x)^T (K + ridge I)^-1 k(x)), of the shape of f(X), the
            same for all outputs; with sample weights the noise is ridge / w, and a trend adds what its coefficients may
            deviate. It does not see y: scale the kernel, "2.0 * gaussian", to the size of the targets. 0 at training
            points of an interpolant but for the root of rounding, about sqrt(n eps k(x, x)).
        return_cov : bool
            Whether to return (f(X), the covariance), shape (m, m) or (m, m, outputs).

        Notes
        -----
        Either needs the factor of K + ridge I, half an n x n matrix, which `fit` gives back. It is made again when it
        is first asked for, in the time of the fit, and kept until the next fit; no copy or pickle has it.

        Raises
        ------
        UnsupportedError
            Of a precomputed kernel k(x, x) is not known; a float32 factor, or conjugate gradients, cannot tell.
        InputError
            Both were asked for.
        """
        if return_std and return_cov:
            raise InputError("return_std and return_cov: give one; the former is the root of the latter's diagonal")
        points = self._points(X)
        mean = self._shaped(self._values(points))
        if not (return_std or return_cov):
            return like(mean, X)
        require_kernel_of_points(self.kernel_)
        K = gram(points, self.kernel_, self._factor.K.points)
        progress = make_progress(not self.verbose)
        spread = (predictive_variance if return_std else predictive_covariance)(self._factor, K, progress=progress)
        if self.trend is not None:
            own = self._factor.K.points.coordinates() if self.trend == "linear" else np.empty((self._factor.n, 0))
            basis = Basis.of(self.trend, K.device.host(own))
            V = trend_deviation(self._factor, basis(own), K, basis(points))
            spread += np.einsum("pm,pm->m", V, V) if return_std else V.T @ V
        spread = np.sqrt(spread) if return_std else spread
        if mean.ndim == 2:
            spread = np.repeat(spread[..., None], mean.shape[1], axis=-1)
        return like(mean, X), like(spread, X)

    def _shaped(self, values):
        return values[:, 0] if self.dual_coef_.ndim == 1 else values


class KernelInterpolationClassifier(_ScoredArrays, ClassifierMixin, _KernelInterpolation):
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

    def __init__(
        self,
        kernel: str
        | Kernel
        | Callable[[npt.NDArray[np.float64], npt.NDArray[np.float64]], npt.NDArray[np.float64]] = "gaussian",
        *,
        bandwidth: float | Sequence[float] | str = "auto",
        ridge: float = 0.0,
        class_weight: dict | str | None = None,
        trend: str | None = None,
        optimize: str | None = None,
        loo: bool = False,
        keep_factor: bool = False,
        solver: Solver | None = None,
        precision: str = "float64",
        device: str = "cpu",
        memory: int | None = None,
        scratch: str | Path | None = None,
        verbose: bool = False,
    ):
        super().__init__(
            kernel,
            bandwidth=bandwidth,
            ridge=ridge,
            trend=trend,
            optimize=optimize,
            loo=loo,
            keep_factor=keep_factor,
            solver=solver,
            precision=precision,
            device=device,
            memory=memory,
            scratch=scratch,
            verbose=verbose,
        )
        self.class_weight = class_weight

    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None) -> Self:
        """Fit to X (n, d) and labels y (n,) of at least two classes, with weights (n,) of the samples; returns self."""
        X, y = host_array(X), host_array(y)
        X, y = validate_data(self, X, y, dtype=self._dtypes())
        check_classification_targets(y)
        self.classes_, labels = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise InputError(
                f"all {len(labels)} training labels are of one class, {self.classes_[0]!r}; give two or more"
            )
        weights = _weights(sample_weight, X)
        if self.class_weight is not None:
            if check_number("ridge", self.ridge) == 0:
                raise InputError(
                    f"class_weight = {self.class_weight!r} was given without a ridge: an interpolant fits every label "
                    "whatever it weighs. Give `ridge=1e-3`, or leave class_weight out"
                )
            balance = self.class_weight
            if (
                isinstance(balance, str) and balance == "balanced"
            ):  # by weights, so that weight k is as good as k copies
                totals = np.bincount(labels, weights)
                shares = totals.sum() / (len(totals) * np.where(totals > 0, totals, 1.0))
                balance = dict(zip(self.classes_.tolist(), shares, strict=True))
            balanced = compute_sample_weight(balance, y)
            weights = balanced if weights is None else weights * balanced
        self._solve(X, one_hot(labels, len(self.classes_)), weights)
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
        return self._extend(points, one_hot(np.searchsorted(self.classes_, labels), len(self.classes_)))

    def decision_function(self, X: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return f(X), shape (m, k); for two classes f_1(X) - f_0(X), shape (m,)."""
        scores = self._scores(X)
        return like(scores[:, 1] - scores[:, 0] if len(self.classes_) == 2 else scores, X)

    def predict(self, X: npt.ArrayLike) -> npt.NDArray:
        """Return the class whose function is largest at each point, shape (m,)."""
        largest = self._scores(X).argmax(axis=1)
        return like(self.classes_[largest], X)
