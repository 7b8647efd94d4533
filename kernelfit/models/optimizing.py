"""Bandwidths and ridge that are best by leave-one-out or by likelihood, found by their gradients.

With A = K + ridge I, C = A^-1, coef = C Y (n, r) and d = diag C, both objectives have a gradient sum_ij M_ij dA_ij. M
is made in strips of columns, beside the derivatives of K, so that no n x n array but the factor is held:

    log p(Y) = -1/2 tr(Y^T C Y) - r/2 log det A - n r/2 log 2 pi        M = 1/2 (coef coef^T - r C)
    loo = 1/(n r) sum_ij (coef_ij / d_i)^2                          n r M = 2 C diag(s) C - coef U^T - U coef^T

with U = C (coef / d^2) and s_i = sum_j coef_ij^2 / d_i^3. (Rasmussen and Williams, "Gaussian processes for machine
learning", 2006, equations 5.9 and 5.12 to 5.13.)
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from kernelfit.common.errors import InputError, SingularMatrixError
from kernelfit.common.progress import Progress
from kernelfit.common.spans import spans
from kernelfit.common.validation import check_integer, check_number, check_targets
from kernelfit.grams.duplicates import merge_duplicates
from kernelfit.grams.matrix import Gram, gram
from kernelfit.kernels import Kernel
from kernelfit.kernels.slopes import slope
from kernelfit.kernels.text import as_kernel
from kernelfit.models.posterior import likelihood_of
from kernelfit.solvers.cholesky import Cholesky
from kernelfit.solvers.protocol import Solver
from kernelfit.solvers.scaling import exponent_of

OBJECTIVES = ("loo", "likelihood")
_WIDTH = 512  # columns of M at a time
_RANGE = math.log(1e4)  # how far from where it began a logarithm may go
# What a matrix that cannot be solved is worth, above the worst that could, for the line search to step back.
_WORSE = 10.0


@dataclasses.dataclass(frozen=True)
class Optimization:
    """What was found, and how.

    Attributes
    ----------
    objective : str
        "loo", which is made small, or "likelihood", made large.
    bandwidth : float or tuple of float
    ridge : float
    value, start_value : float
        Of the objective at the end, which is the best that was seen, and at the beginning.
    gradient : tuple of float
        At the end, by the logarithms of the bandwidths and, where the ridge is not 0, of the ridge.
    iterations, evaluations : int
    converged : bool
        Whether L-BFGS-B ended by its own criteria.
    message : str
        Why it ended, and whether at a bound of the search, 10^4 times where it began either way: there a feature, or
        the ridge, as good as does not count.
    """

    objective: str
    bandwidth: float | tuple[float, ...]
    ridge: float
    value: float
    start_value: float
    gradient: tuple[float, ...]
    iterations: int
    evaluations: int
    converged: bool
    message: str


def gradient(
    X: npt.NDArray,
    Y: npt.ArrayLike,
    kernel: Kernel | str,
    *,
    bandwidth: float | Sequence[float],
    ridge: float = 0.0,
    objective: str = "likelihood",
    solver: Solver | None = None,
    progress: Progress | None = None,
) -> tuple[float, npt.NDArray[np.float64]]:
    """Return (value, gradient) of an objective by log bandwidth, or those of all features, and last by log ridge.

    It takes 2 n^3 operations for the likelihood and 4 n^3 for leave-one-out, beside the factor's n^3 / 3.

    Parameters
    ----------
    X : array, shape (n, d)
    Y : array, shape (n, r) or (n,)
    kernel : Kernel or its text
        With an open bandwidth.
    bandwidth : float, or one for each feature
    objective : str
        "likelihood", log p(Y) of all outputs; or "loo", the mean squared error of leaving out each point in turn.
    solver : Solver, optional
        Of a float64 factor with triangular solves; Cholesky() unless given.

    Raises
    ------
    InputError, SingularMatrixError, UnsupportedError

    Examples
    --------
    >>> import numpy as np
    >>> X = np.linspace(0, 1, 20)[:, None]
    >>> value, slopes = gradient(X, np.sin(6 * X), "gaussian", bandwidth=0.3, ridge=1e-3)
    >>> slopes.shape
    (2,)
    """
    if objective not in OBJECTIVES:
        raise InputError(f"objective {objective!r}; known are {', '.join(OBJECTIVES)}")
    kernel, Y = as_kernel(kernel), check_targets(Y, len(X))
    solver = Cholesky() if solver is None else solver
    K = gram(X, kernel.with_bandwidth(bandwidth), device=solver.device)
    features: list[int | None] = [None] if np.ndim(bandwidth) == 0 else [*range(len(bandwidth))]  # type: ignore[arg-type]
    slopes = [Gram(K.points, slope(kernel, bandwidth, feature)) for feature in features]
    n, r = Y.shape
    sums = np.zeros(len(slopes) + 1)
    with solver.factor(K, ridge=check_number("ridge", ridge), progress=progress) as factor:
        solution = factor.solve(Y, progress=progress)
        coef = solution.coef
        if objective == "likelihood":
            value = likelihood_of(float(np.trace(solution.quadratic)), factor.log_determinant(), n, r)
            if not math.isfinite(value):
                raise InputError("the likelihood of targets as large as these is no number; divide Y by a constant")
        else:
            d = factor.inverse_diagonal(progress=progress)[:, None]
            value = float(np.mean((coef / d) ** 2))
            U, s = factor.apply_inverse(coef / d**2), np.sum(coef**2, axis=1, keepdims=True) / d**3
        with (progress or Progress()).phase("gradient", n) as advance:
            for start, stop in spans(0, n, _WIDTH):
                columns = factor.half_solve_transposed(factor.half_columns(range(start, stop)))  # of C
                if objective == "likelihood":
                    M = 0.5 * (coef[start:] @ coef[start:stop].T - r * columns[start:])
                else:
                    M = 2.0 * factor.apply_inverse(s * columns)[start:]
                    M -= coef[start:] @ U[start:stop].T + U[start:] @ coef[start:stop].T
                    M /= n * r
                sums[-1] += ridge * np.trace(M)
                M[stop - start :] *= 2.0  # what is below the diagonal stands for what is above it too
                for k, derivative in enumerate(slopes):
                    block = derivative.block((start, n), (start, stop))
                    sums[k] += np.vdot(M, K.device.host(block))
                advance(stop - start)
    assert value is not None
    return value, sums if ridge else sums[:-1]


def distinct_points(X: npt.NDArray, Y: npt.ArrayLike, kernel: Kernel) -> tuple[npt.NDArray, npt.NDArray]:
    """Return X and Y without copies of a point that have its target; raises SingularMatrixError of other copies."""
    found = merge_duplicates(X, check_targets(Y, len(X)), pairwise=kernel.of_matrix)
    found.require_equal_targets()
    return found.distinct(X), np.asarray(Y)[found.support]


def optimize(
    X: npt.NDArray,
    Y: npt.ArrayLike,
    kernel: Kernel | str,
    *,
    bandwidth: float | Sequence[float],
    ridge: float = 0.0,
    objective: str = "likelihood",
    solver: Solver | None = None,
    max_iterations: int = 100,
    progress: Progress | None = None,
) -> Optimization:
    """Return the Optimization that begins at `bandwidth` and `ridge`; a ridge of 0 stays 0.

    By SciPy's L-BFGS-B on logarithms, of log loo or of log p(Y) / n. It finds a local optimum, often one of several.
    Parameters and errors are those of `gradient`. Without a ridge, copies of a point that have its target are left out.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.linspace(0, 1, 40)[:, None]
    >>> y = np.sin(6 * X[:, 0]) + 0.1 * np.random.default_rng(0).standard_normal(40)
    >>> found = optimize(X, y, "gaussian", bandwidth=1.0, ridge=1.0)
    >>> found.value > found.start_value, found.converged, 0.1 < found.bandwidth < 1
    (True, True, True)
    """
    from scipy.optimize import minimize

    kernel, ridge = as_kernel(kernel), check_number("ridge", ridge)
    kernel.with_bandwidth(bandwidth)  # raises InputError where that cannot be
    check_integer("max_iterations", max_iterations)
    if ridge == 0:
        X, Y = distinct_points(X, Y, kernel)
    first = np.log(np.append(bandwidth, ridge) if ridge else np.atleast_1d(np.asarray(bandwidth, dtype=float)))
    scalar, best, worst = np.ndim(bandwidth) == 0, None, -math.inf
    exponent = 0
    if objective == "loo":  # a mean square: the same digits in whatever units of the targets
        Y = check_targets(Y, len(X))
        exponent = exponent_of(Y)
        Y = np.ldexp(Y, -exponent)

    def parameters(theta):
        values = np.exp(theta)
        widths = values[:-1] if ridge else values
        return float(widths[0]) if scalar else tuple(widths.tolist()), float(values[-1]) if ridge else 0.0

    def evaluate(theta):
        nonlocal best, worst
        widths, own = parameters(theta)
        try:
            value, slopes = gradient(
                X, Y, kernel, bandwidth=widths, ridge=own, objective=objective, solver=solver, progress=progress
            )
        except SingularMatrixError:
            if best is None:
                raise
            return worst + _WORSE, np.zeros(len(theta))
        if objective == "likelihood":
            cost, scaled = -value / len(X), -slopes / len(X)
        else:  # of targets that are 0 both are 0
            positive = max(value, np.finfo(np.float64).tiny)
            cost, scaled = math.log(positive), slopes / positive
        worst = max(worst, cost)
        if best is None or cost < best[0]:
            best = cost, theta.copy(), value, slopes
        return cost, scaled

    bounds = [(each - _RANGE, each + _RANGE) for each in first]
    start_value = None

    def first_kept(theta):
        nonlocal start_value
        cost = evaluate(theta)
        start_value = best[2] if start_value is None else start_value
        return cost

    result = minimize(
        first_kept, first, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": max_iterations}
    )
    assert best is not None and start_value is not None
    _, theta, value, slopes = best
    with np.errstate(over="ignore", under="ignore"):
        value, start_value = (float(np.ldexp(each, 2 * exponent)) for each in (value, start_value))
        slopes = np.ldexp(slopes, 2 * exponent)
    inside = bool((np.abs(theta - first) < 0.999 * _RANGE).all())
    message = str(result.message) if inside else f"{result.message}; at a bound of the search"
    widths, own = parameters(theta)
    return Optimization(
        objective, widths, own, value, start_value, tuple(slopes.tolist()),
        int(result.nit), int(result.nfev), bool(result.success), message,
    )  # fmt: skip
