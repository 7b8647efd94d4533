"""From points and targets to a checked function: merge copies, choose a bandwidth, solve, measure."""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from kernelfit.common.arrays import host_array
from kernelfit.common.errors import InputError, NotConvergedError, ScratchError, SingularMatrixError, UnsupportedError
from kernelfit.common.progress import Progress
from kernelfit.common.validation import check_number, check_targets
from kernelfit.grams.duplicates import merge_duplicates
from kernelfit.grams.matrix import Gram, as_points, gram
from kernelfit.kernels import Kernel
from kernelfit.kernels.text import as_kernel
from kernelfit.models.bandwidth import BandwidthChoice, choose_bandwidth
from kernelfit.models.expansion import KernelExpansion
from kernelfit.models.posterior import log_determinant_of, log_marginal_likelihood
from kernelfit.models.trend import Basis, Generalised, least_squares, trend_values
from kernelfit.solvers.cholesky import Cholesky
from kernelfit.solvers.planning.problem import Problem
from kernelfit.solvers.protocol import Factor, Solver, check_solver
from kernelfit.solvers.solution import Solution, doubts
from kernelfit.solvers.weighted import Weighted

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class FitReport:
    """What was solved, and how well.

    Attributes
    ----------
    n : int
        Order of the system.
    merged : int
        Training points left out of it, each identical, with its target, to an earlier one; always 0 with a ridge.
    kernel : str
        With its bandwidth.
    bandwidth_choice : BandwidthChoice or None
        All candidates of an automatic bandwidth.
    ridge : float
    method : str
        What was done, and where.
    precision : str
        "float64" or "mixed".
    relative_residual : float
        |Y_j - (K + ridge I) coef_j| / |Y_j| against recomputed Gram blocks, of the output j where it is largest.
    norm_disagreement : float
        Relative difference of the norm between two routes, one through recomputed blocks, one through the factor; of
        all outputs together or of the one where it is largest.
    condition_estimate : float or None
        Of K + ridge I in the 1-norm; a lower bound.
    smallest_pivot : float
        Of the factor; an upper bound on the smallest eigenvalue of what was factored. NaN where there is none.
    seconds : float
        The whole fit.
    log_marginal_likelihood : float or None
        Of the targets, all outputs together, under a Gaussian process with this kernel and noise of variance `ridge`,
        without the points that were merged, and at the trend that was found; None where the solver gives no
        determinant. See kernelfit.models.posterior.
    warnings : tuple of str
        What a reader of these numbers must know.
    """

    n: int
    merged: int
    kernel: str
    bandwidth_choice: BandwidthChoice | None
    ridge: float
    method: str
    precision: str
    relative_residual: float
    norm_disagreement: float
    condition_estimate: float | None
    smallest_pivot: float
    seconds: float
    log_marginal_likelihood: float | None = None
    warnings: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, eq=False)
class Fit:
    """The function of least norm through targets, and what is known of it.

    Attributes
    ----------
    function : KernelExpansion
        Over the distinct points.
    support : int array
        Which of the points given these are.
    norm : float
        RKHS norm of all outputs together.
    loo_residuals : array, shape (n, r), or None
        y_i - f^(-i)(x_i) for all points given; see Solution.left_out. Without a ridge that of a point with a copy is 0:
        the copy tells its target.
    report : FitReport
    first : int array, shape (n,)
        For every point given, the first that equals it: itself, unless it was merged.
    factor : Factor or None
        Of K + ridge I over the distinct points, where it was to be kept.
    weights : array, shape (number of distinct points,), or None
    basis : Basis or None
        Of a trend, which is no part of `function`.
    trend_coef : array, shape (1 + d, r), or None
        Of 1 and of x - basis.centre.
    """

    function: KernelExpansion
    support: npt.NDArray[np.intp] = dataclasses.field(repr=False)
    norm: float
    loo_residuals: npt.NDArray[np.float64] | None = dataclasses.field(repr=False)
    report: FitReport
    first: npt.NDArray[np.intp] = dataclasses.field(repr=False)
    factor: Factor | None = dataclasses.field(default=None, repr=False)
    weights: npt.NDArray[np.float64] | None = dataclasses.field(default=None, repr=False)
    basis: Basis | None = None
    trend_coef: npt.NDArray[np.float64] | None = dataclasses.field(default=None, repr=False)


def fit(
    X: npt.NDArray,
    Y: npt.ArrayLike,
    kernel: Kernel | str = "gaussian",
    solver: Solver | None = None,
    *,
    ridge: float = 0.0,
    loo: bool = False,
    score: str = "squared_error",
    keep_factor: bool = False,
    weights: npt.ArrayLike | None = None,
    trend: str | None = None,
    progress: Progress | None = None,
) -> Fit:
    """Return the Fit of (K + ridge I) coef = Y; with weights w, of (K + ridge diag(1 / w)) coef = Y.

    Parameters
    ----------
    X : array, shape (n, d), or K (n, n) for a precomputed kernel
    Y : array of numbers, shape (n, r) or (n,)
    kernel : Kernel, its text, or a function of two matrices (a, d), (b, d) that returns (a, b)
        With an open bandwidth, this is chosen by leave-one-out: models.bandwidth.choose_bandwidth.
    solver : Solver, optional
        Cholesky() unless given.
    loo : bool
        Whether to compute leave-one-out residuals, n^3 / 3 operations more.
    score : str
        What a bandwidth is chosen by: "squared_error", or "error" of 0/1 targets of classes.
    keep_factor : bool
        Whether the Fit has the factor, which is to be closed then.
    weights : array, shape (n,), optional
        Of the points, none negative. What weighs 0 is left out; without a ridge no other weight changes the function.
    trend : str, optional
        "constant" or "linear": functions that are fitted beside the kernel, without a norm; see models.trend.

    Raises
    ------
    SingularMatrixError
        Identical points have different targets, or the matrix is singular to working precision.
    UnsupportedError
        Leave-one-out was asked of a solver that has no float64 factor.
    InputError, NotConvergedError, NotEnoughMemoryError, NotEnoughDiskError, ScratchError

    Examples
    --------
    >>> import numpy as np
    >>> from kernelfit.kernels import Gaussian
    >>> X = np.linspace(0, 1, 20)[:, None]
    >>> found = fit(X, np.sin(6 * X), Gaussian(bandwidth=0.1))
    >>> bool(np.allclose(found.function(X), np.sin(6 * X))), found.report.relative_residual < 1e-8
    (True, True)
    """
    start, kernel, solver = time.perf_counter(), as_kernel(kernel), Cholesky() if solver is None else solver
    check_solver(solver)
    ridge, data = check_number("ridge", ridge), as_points(X)
    if not isinstance(data, np.ndarray) or data.ndim == 0 or data.dtype.kind not in "fiub":  # before copies are sought
        shown = f"{data.dtype} of shape {data.shape}" if isinstance(data, np.ndarray) else type(X).__name__
        raise InputError(f"points are an array (n, ...) of numbers; got {shown}")
    n = len(data)
    Y = check_targets(Y, n)
    support, repeated, original, first = np.arange(n), np.zeros(n, bool), (data, Y), np.arange(n)
    w = None if weights is None else _checked_weights(weights, n)
    if w is not None and not w.all():
        support = np.flatnonzero(w)
        data, Y, repeated = data[np.ix_(support, support)] if kernel.of_matrix else data[support], Y[support], w == 0
    merged, choice = 0, None
    if ridge == 0:  # with one a repeated point weighs more, and merging would change the problem
        found = merge_duplicates(data, Y, pairwise=kernel.of_matrix)
        found.require_equal_targets()
        repeated[support[found.repeated]], first[support] = True, support[found.first]
        data, Y, support, merged = found.distinct(data), Y[found.support], support[found.support], found.merged
    w = None if w is None or ridge == 0 else w[support]
    basis = None if trend is None else Basis.of(trend, data, of_matrix=kernel.of_matrix)
    if data is original[0] and data.dtype == np.float64 and not kernel.of_matrix:
        data = data.copy()  # f keeps its points, whatever becomes of the caller's
    H = np.empty((len(Y), 0)) if basis is None else basis(data)
    beta, Y = least_squares(H, Y)
    try:
        if kernel.open_bandwidth:
            solver.require(Problem.of_points(data, kernel, Y.shape[1] + H.shape[1], loo=loo))
            choice = _choice(data, Y, kernel, progress=progress, score=score, ridge=ridge, weights=w, H=H)
        own, *others = [kernel] if choice is None else map(kernel.with_bandwidth, choice.bandwidths)
        K = gram(data, own, device=solver.device)
        weighted = solver if w is None else Weighted(solver, w)
        both = np.hstack([Y, H])
        K, factor, solution, passed = solve_first(K, both, weighted, others=others, ridge=ridge, progress=progress)
    except SingularMatrixError as error:
        if merged:
            error.add_note(f"{merged} copies of earlier points were merged; rows are counted without them")
        raise
    residuals, undefined = None, 0
    with contextlib.ExitStack() as stack:
        stack.enter_context(factor)
        made = Generalised.of(factor, solution, Y.shape[1], progress=progress)
        solution = made.solution
        if loo:
            residuals = np.zeros((n, Y.shape[1]))
            residuals[support] = Y - made.left_out(Y, factor.inverse_diagonal(progress=progress))
            undefined = int(np.isnan(residuals).any(axis=1).sum())
            residuals[repeated] = 0.0  # whichever of two twins is left out, the other is fitted
        pivot, method, precision = pivot_of(factor), factor.method, factor.precision
        likelihood = log_marginal_likelihood(solution, log_determinant_of(factor))
        if keep_factor:
            stack.pop_all()
    report = FitReport(
        n=len(support),
        merged=merged,
        kernel=str(K.kernel),
        bandwidth_choice=choice,
        ridge=ridge,
        method=method,
        precision=precision,
        relative_residual=solution.relative_residual,
        norm_disagreement=solution.norm.disagreement,
        condition_estimate=solution.condition_estimate,
        smallest_pivot=pivot,
        seconds=time.perf_counter() - start,
        log_marginal_likelihood=likelihood,
        warnings=(*solution.doubts(), *(choice.doubts if choice else ()), *passed, *_undefined(undefined)),
    )
    function = KernelExpansion(K.kernel, K.points.as_columns(), solution.coef, ridge=ridge)
    kept = factor if keep_factor else None
    coef = None if basis is None else basis.unscaled(beta + made.beta)
    if residuals is not None and weights is not None:
        _predict_what_weighs_nothing(residuals, weights, original, function, support, basis, coef)
    return Fit(function, support, solution.norm.total, residuals, report, first, kept, w, basis, coef)


def solve_first(
    K: Gram,
    Y: npt.NDArray[np.float64],
    solver: Solver,
    *,
    others: Iterable[Kernel] = (),
    ridge: float = 0.0,
    progress: Progress | None = None,
) -> tuple[Gram, Factor, Solution, list[str]]:
    """Return (K, its Factor, the Solution, what was passed over) of the first kernel that is solved: see first_solved.

    Where there are no `others`, the solution is returned however good it is. The factor is to be closed.
    """
    kernels = [K.kernel, *others]

    def attempt(kernel):
        own = K if kernel is K.kernel else gram(K.points, kernel)
        with contextlib.ExitStack() as stack:
            factor = stack.enter_context(solver.factor(own, ridge=ridge, progress=progress))
            solution = factor.solve(Y, progress=progress)
            if others:
                require_digits(solution)
            stack.pop_all()  # it stays open
        return own, factor, solution

    found, passed = first_solved(attempt, kernels, progress=progress)
    return *found, passed


def first_solved(
    attempt: Callable[[Kernel], T], kernels: Sequence[Kernel], *, progress: Progress | None = None
) -> tuple[T, list[str]]:
    """Return what `attempt` returned for the first of several kernels whose system could be solved, and warnings.

    Leave-one-out on a part of the points likes wide bandwidths for smooth targets, up to where rounding takes over; on
    all points the system may be singular, or too much for a float32 factor or an iteration. So each is checked on all,
    in this order. An attempt that goes on with what a scratch folder holds raises ScratchError where that belongs to
    another kernel: it goes on at the one whose it is. A sentence of the warnings names each kernel that only the way to
    solve was too coarse for: in float64 it might be taken.
    """
    failed = refused = None
    passed = []
    for kernel in kernels:
        try:
            found = attempt(kernel)
        except (SingularMatrixError, NotConvergedError) as error:
            failed, refused = error, None
            if isinstance(error, NotConvergedError):
                passed.append(f"{kernel} has the smaller leave-one-out error, and was passed over: {error}")
        except ScratchError as error:
            refused = refused or error
        else:
            if refused is not None and progress is not None:
                progress.note(f"went on with {kernel}, to which what the scratch folder held belongs")
            return found, passed
    if refused is not None:
        raise refused
    assert failed is not None
    if len(kernels) == 1 or isinstance(failed, NotConvergedError):
        raise failed
    raise SingularMatrixError(
        f"no bandwidth could be chosen: none of {len(kernels)} kernels, {kernels[0]} the first and {kernels[-1]} the "
        "last, gives a system of all points that can be solved to 8 digits. Are there nearly equal points? Give a "
        "bandwidth, or a ridge, e.g. `ridge=1e-6`",
        row=failed.row,
    ) from failed


def require_digits(solution: Solution) -> None:
    """Raise SingularMatrixError if a system was solved to fewer than 8 digits."""
    if found := doubts(solution.relative_residual):
        raise SingularMatrixError(found[0], row=0)


def pivot_of(factor: Factor) -> float:
    """Return the smallest pivot of a Factor, or NaN where there is none."""
    try:
        return factor.smallest_pivot()
    except UnsupportedError:
        return float("nan")


def _checked_weights(weights, n):
    w = np.asarray(host_array(weights))
    if w.shape != (n,) or w.dtype.kind not in "fiub" or not (np.isfinite(w).all() and (w >= 0).all() and w.any()):
        raise InputError(
            f"weights are {w.dtype} of shape {w.shape}; expected ({n},) finite numbers, none negative and not all 0"
        )
    return w.astype(np.float64)


def _undefined(count):
    """Return what a reader of leave-one-out residuals must know, a list of sentences."""
    points = f"{count} point{'s' if count > 1 else ''}"
    return [f"without {points} the trend is not determined: leave-one-out is not defined there, and NaN"] * (count > 0)


def _predict_what_weighs_nothing(residuals, weights, original, function, support, basis, coef):
    """Set the residuals of points that were left out: f was fitted without them."""
    rows = np.flatnonzero(np.asarray(weights) == 0)
    if not len(rows):
        return
    X, Y = original
    values = function(X[np.ix_(rows, support)] if function.kernel.of_matrix else X[rows])
    residuals[rows] = Y[rows] - values - (0.0 if basis is None else trend_values(X[rows], basis.centre, coef))


def _choice(X, Y, kernel, **options):
    if len(X) < 2:
        raise InputError(
            "an automatic bandwidth needs points to leave out in turn, and there is only one different point "
            "(n_samples = 1). Give a bandwidth"
        )
    return choose_bandwidth(X, Y, kernel, **options)
