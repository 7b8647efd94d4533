"""KernelInterpolator: targets that are numbers."""

from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import MultiOutputMixin, RegressorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from kernelfit.common.arrays import host_array, like
from kernelfit.common.errors import InputError
from kernelfit.common.progress import make_progress
from kernelfit.estimators.base import KernelInterpolation, ScoredArrays, checked_weights
from kernelfit.grams.matrix import gram
from kernelfit.models.posterior import predictive_covariance, predictive_variance, require_kernel_of_points
from kernelfit.models.trend import Basis, trend_deviation


class KernelInterpolator(ScoredArrays, MultiOutputMixin, RegressorMixin, KernelInterpolation):
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
        first of these makes it again, in the time of the fit, and of a precomputed kernel cannot. No copy or pickle has
        it.
    solver : Solver, optional
        How to solve: kernelfit.solvers has Cholesky, Auto, Eigen, ConjugateGradients, ... The parameters precision,
        device, memory and scratch are short forms for Auto, and exclude it.
    precision : str
        "float64"; "mixed", a float32 factor in half the memory, corrected to a relative residual of 1e-10; or "auto",
        the quicker where float64 takes seconds, unless what is asked for needs it (loo, keep_factor, optimize). What
        was taken is report_.precision. With "auto" a float64 factor is made when return_std or
        log_marginal_likelihood_ first ask for one.
    device : str
        "cpu", "cuda", or "auto" for the GPU where there is one.
    memory : int, optional
        Bytes to use at most; more than fits is an error before anything is computed.
    scratch : path, optional
        Folder on a disk where the factor may go; each fit makes a folder of its own there and removes it.
    verbose : bool
        Whether to show progress on standard error. Callbacks of scikit-learn, from 1.9 on, are told of it too:
        `model.set_callbacks(sklearn.callback.ProgressBar())`.
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
        Rows of X that weigh more than 0 and are not merged with an earlier one.
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
    NotConvergedError
        The matrix is too ill-conditioned for mixed precision, or for the steps of an iteration.
    NotEnoughMemoryError

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
        self._solve(X, Y.reshape(len(Y), -1), checked_weights(sample_weight, X))
        self.dual_coef_ = self.dual_coef_.reshape(Y.shape)
        if self.loo:
            self.loo_residuals_ = self.loo_residuals_.reshape(Y.shape)
        self._tell_doubts()
        return self

    def update(self, X: npt.ArrayLike, y: npt.ArrayLike) -> Self:
        """Take up further points X (m, d) with targets y (m,) or (m, outputs); returns self.

        The factor is extended: with A21 the rows of the new points, L21 = A21 L11^-T and L22 L22^T = A22 - L21 L21^T,
        n^2 m operations where a fit takes n^3 / 3. The function is that of a fit to all points with the bandwidth of
        this one. Without a ridge, points that equal another are merged as in fit. With `loo`, leave-one-out residuals
        are computed anew, in the time of a fit. What report_ measures is told in kernelfit.models.update.extend.

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
        self._extend(points, Y.reshape(len(Y), -1))
        self._tell_doubts()
        return self

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
        if return_std:
            spread = predictive_variance(self._factor, K, progress=progress)
        else:
            prior = gram(points, self.kernel_, device=K.device)
            spread = predictive_covariance(self._factor, K, prior, progress=progress)
        if (trend := self._fitted_trend) is not None:
            points_of = self._factor.K.points
            own = K.device.host(points_of.coordinates()) if trend == "linear" else np.empty((self._factor.n, 0))
            basis = Basis.of(trend, own)
            V = trend_deviation(self._factor, basis(own), K, basis(points))
            spread += np.einsum("pm,pm->m", V, V) if return_std else V.T @ V
        spread = np.sqrt(spread) if return_std else spread
        if mean.ndim == 2:
            spread = np.repeat(spread[..., None], mean.shape[1], axis=-1)
        return like(mean, X), like(spread, X)

    def _shaped(self, values):
        return values[:, 0] if self.dual_coef_.ndim == 1 else values
