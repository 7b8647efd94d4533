"""What both estimators share: parameters, the fit, and the factor that further questions need."""

import contextlib
import dataclasses
import functools
import numbers
import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.linalg import LinAlgWarning
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from kernelfit.common.arrays import host_array
from kernelfit.common.errors import InputError, ScratchError, UnsupportedError
from kernelfit.common.progress import make_progress
from kernelfit.common.validation import check_number
from kernelfit.datasets.pixels import pixels_in_doubt
from kernelfit.estimators.callbacks import TellsCallbacks
from kernelfit.estimators.updating import UpdatedEstimator
from kernelfit.grams.matrix import gram
from kernelfit.kernels import Kernel
from kernelfit.kernels.text import as_kernel
from kernelfit.models.bandwidth import choose_bandwidth
from kernelfit.models.fit import fit
from kernelfit.models.optimizing import distinct_points, optimize
from kernelfit.models.posterior import likelihood_of
from kernelfit.models.trend import trend_values
from kernelfit.solvers.auto import Auto
from kernelfit.solvers.protocol import Solver, check_solver
from kernelfit.solvers.weighted import Weighted


class ScoredArrays:
    """First of the bases: scikit-learn's scores know NumPy alone."""

    def score(self, X: npt.ArrayLike, y: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None) -> float:
        """Return what scikit-learn does: R^2 of a regressor, the accuracy of a classifier."""
        return super().score(  # type: ignore[misc]
            host_array(X), host_array(y), sample_weight
        )


KernelLike = str | Kernel | Callable[[npt.NDArray[np.float64], npt.NDArray[np.float64]], npt.NDArray[np.float64]]


@dataclasses.dataclass(eq=False, repr=False)  # for its constructor, whose parameters scikit-learn reads
class SolverParameters:
    """How to solve, and what to compute beside."""

    _: dataclasses.KW_ONLY
    loo: bool = False
    solver: Solver | None = None
    precision: str = "auto"
    device: str = "cpu"
    memory: int | None = None
    scratch: str | Path | None = None
    verbose: bool = False


@dataclasses.dataclass(eq=False, repr=False)
class KernelInterpolation(TellsCallbacks, UpdatedEstimator, SolverParameters):
    """f(x) = sum_i coef_i k(x_i, x) with (K + ridge I) coef = Y; both estimators share it."""

    _score = "squared_error"  # what an automatic bandwidth is chosen by

    kernel: KernelLike = "gaussian"
    _: dataclasses.KW_ONLY
    bandwidth: float | Sequence[float] | str = "auto"
    ridge: float = 0.0
    trend: str | None = None
    optimize: str | None = None
    keep_factor: bool = False

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.pairwise = self._precomputed()
        return tags

    def _precomputed(self):
        try:
            return as_kernel(self.kernel).of_matrix
        except InputError:  # is told by fit
            return False

    def _dtypes(self):
        """Of X: float64, but that uint8 stays what it is everywhere in kernelfit, pixels / 255 with exact distances.

        A float32 K stays too: whether it is symmetric is a matter of its own rounding.
        """
        return [np.float64, np.float32 if self._precomputed() else np.uint8]

    def _solve(self, X, Y, weights):
        """Solve for the targets Y (n, r) and set what both estimators have; what fails leaves the earlier fit."""
        self._drop_factor()  # of an earlier fit: there is no room for two
        optimum = None
        kernel = self._kernel_with_bandwidth()
        doubtful = pixels_in_doubt(X)
        if doubtful:
            warnings.warn(f"{doubtful}. Give X.astype(float) to have the numbers as they are", stacklevel=3)
        options = {"ridge": check_number("ridge", self.ridge), "loo": self.loo, "score": self._score}
        options |= {"weights": weights, "trend": self.trend, "keep_factor": self.keep_factor}

        def solve(progress):
            nonlocal optimum
            with contextlib.ExitStack() as stack:
                solver, own = stack.enter_context(_opened(self._chosen_solver(Y.shape[1]))), kernel
                if self.optimize is not None:
                    own, optimum = self._optimized(X, Y, kernel, solver, weights, progress)
                    options["ridge"] = optimum.ridge
                found = fit(X, Y, own, solver, **options, progress=progress)
                if found.factor is not None:
                    stack.enter_context(found.factor)
                    self._keep_factor(found.factor, stack.pop_all().close)
                return found

        found = self._told(solve, X, Y)
        self.first_ = found.first
        self._targets = Y[found.support] if weights is None and self.trend is None else None  # what an update needs
        self.function_, self.support_, self.report_ = found.function, found.support, found.report
        self.norm_, self.loo_residuals_, self.sample_weight_ = found.norm, found.loo_residuals, found.weights
        centre = None if found.basis is None else found.basis.centre
        for name, value in (("trend_centre_", centre), ("trend_coef_", found.trend_coef), ("optimization_", optimum)):
            vars(self).pop(name, None)
            if value is not None:
                setattr(self, name, value)
        self.dual_coef_ = np.zeros(Y.shape)
        self.dual_coef_[self.support_] = found.function.coef

    def _tell_doubts(self):
        """Warn of what is doubtful about the numbers, once all of them are set: a warning may be an error."""
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
        """Of the targets, see FitReport; None where the solver gives no determinant.

        Where the fit took mixed precision, a float64 factor is made when this is first asked for.
        """
        if self.report_.precision != "mixed" or self.solver is not None or self.precision == "mixed":
            return self.report_.log_marginal_likelihood
        w = 1.0 if self.sample_weight_ is None else self.sample_weight_[:, None]
        quadratic = self.norm_**2 + self.function_.ridge * float(np.sum(self.function_.coef**2 / w))
        return likelihood_of(quadratic, self._factor.log_determinant(), *self.function_.coef.shape)

    @functools.cached_property
    def _factor(self):
        """The Factor of the fitted K + ridge I, made when it is first asked for; a copy and a pickle are without it."""
        check_is_fitted(self)
        if self.kernel_.of_matrix:
            raise UnsupportedError("a precomputed kernel matrix is not kept after the fit. Take `keep_factor=True`")
        solver = self._chosen_solver(1)
        if getattr(solver, "precision", None) == "mixed":
            raise UnsupportedError(
                "a float32 factor has no triangular solves to float64 accuracy, which this needs. Take "
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
            asked = self.precision == "auto" and (self.keep_factor or self.optimize is not None)  # of a float64 factor
            return Auto(**short, loo=bool(self.loo or asked), outputs=outputs)
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

    def _optimized(self, X, Y, kernel, solver, weights, progress):
        """Return the Kernel, and the Optimization, that `optimize` finds from what the parameters say."""
        if weights is not None or self.trend is not None:
            raise InputError(f"optimize = {self.optimize!r} was asked for beside weights or a trend; it knows neither")
        start, found = self.bandwidth, as_kernel(self.kernel)
        if not found.open_bandwidth:
            raise InputError(
                f"optimize = {self.optimize!r} was asked for, but the kernel {found} has no open bandwidth; give the "
                "kernel without its bandwidth, and that as `bandwidth`"
            )
        if kernel.open_bandwidth:  # "auto"
            own = distinct_points(X, Y, kernel) if self.ridge == 0 else (X, Y)
            start = choose_bandwidth(*own, kernel, score=self._score, ridge=self.ridge).bandwidth
        options = {"objective": self.optimize, "solver": solver, "progress": progress}
        optimum = optimize(X, Y, found, bandwidth=start, ridge=self.ridge, **options)
        if not optimum.converged:
            warnings.warn(
                f"the search by {self.optimize} did not converge: {optimum.message}", ConvergenceWarning, stacklevel=4
            )
        return found.with_bandwidth(optimum.bandwidth), optimum

    def _points(self, X):
        """Return points to predict as f takes them; with a precomputed kernel X is the cross matrix (m, n)."""
        check_is_fitted(self)
        X = validate_data(self, host_array(X), reset=False, dtype=self._dtypes())
        return X[:, self.support_] if self.kernel_.of_matrix and len(self.support_) < X.shape[1] else X

    def _scores(self, X):
        return self._values(self._points(X))

    def _values(self, points):
        """Return f, with its trend, at points as f takes them."""
        values = self.function_(points)
        if self._fitted_trend is not None:
            values += trend_values(points, self.trend_centre_, self.trend_coef_)
        return values


def checked_weights(sample_weight: npt.ArrayLike | None, X: Any) -> npt.NDArray[np.float64] | None:
    """Return the weights (n,) of samples as float64, or None."""
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
            try:
                Path(scratch).mkdir(parents=True, exist_ok=True)
                folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="kernelfit-", dir=scratch))
            except OSError as error:
                raise ScratchError(f"`scratch` {scratch} is no folder that can be written: {error}") from error
            solver = dataclasses.replace(solver, scratch=folder)
        yield stack.enter_context(solver.opened())


# The parameters that stand for a Solver, and what they are unless given.
_SHORT_FORMS = {"precision": "auto", "device": "cpu", "memory": None, "scratch": None}
