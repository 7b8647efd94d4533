"""From points and targets to a checked interpolant: merge copies, choose a bandwidth, solve, measure."""

import dataclasses
import hashlib
import time

import numpy as np

from kernelfit.common.errors import InputError, SingularMatrixError
from kernelfit.gram.matrix import Gram, gram
from kernelfit.kernels import Kernel, Precomputed
from kernelfit.models.bandwidth import BandwidthChoice
from kernelfit.solvers import measures
from kernelfit.solvers.panel_cholesky import CholeskyFactor, cholesky

_HALVINGS = 10  # of the narrowest candidate, while its system is not solved to 8 digits


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
        All candidates of an automatic bandwidth. The best is used whose system of all points can be solved to 8
        digits, or else a half, a quarter, ... of the narrowest: leave-one-out likes wide bandwidths for smooth
        targets, up to where rounding takes over.
    ridge : float
    relative_residual : float
        |Y_j - (K + ridge I) coef_j| / |Y_j| against recomputed Gram blocks, of the output j where it is largest.
    norm_disagreement : float
        Relative difference of the norm between two routes, one through recomputed blocks, one through the factor; of
        all outputs together or of the one where it is largest.
    condition_estimate : float
        Of K + ridge I in the 1-norm; a lower bound.
    smallest_pivot : float
        Of the factor; an upper bound on the smallest eigenvalue of K + ridge I.
    seconds : float
        The whole fit.
    warnings : tuple of str
        What kernelfit.solvers.measures.doubts has to say about these numbers.
    """

    n: int
    merged: int
    kernel: str
    bandwidth_choice: BandwidthChoice | None
    ridge: float
    relative_residual: float
    norm_disagreement: float
    condition_estimate: float
    smallest_pivot: float
    seconds: float
    warnings: tuple = ()


@dataclasses.dataclass(frozen=True)
class Interpolant:
    """f(x) = sum_i coef_i k(x_i, x), with what is known of it.

    Attributes
    ----------
    kernel : Kernel
    coef : float64 array, shape (n, r)
        0 at points that are merged with an earlier one.
    support : int array
        The points that are not.
    points : object
        The columns of gram(Z, kernel, points), whose product with coef[support] is f(Z).
    norm : float
        sqrt(tr(coef^T K coef)).
    loo_residuals : array, shape (n, r), or None
        y_i - f^(-i)(x_i) = coef_i / [(K + ridge I)^-1]_ii (Rasmussen and Williams, 2006, equation 5.12).
    report : FitReport
    """

    kernel: Kernel
    coef: np.ndarray
    support: np.ndarray
    points: object
    norm: float
    loo_residuals: np.ndarray | None
    report: FitReport


def interpolate(X, Y, kernel, *, choose, ridge=0.0, loo=False):
    """Solve (K + ridge I) coef = Y; return an Interpolant.

    Parameters
    ----------
    X : array, shape (n, d), or K (n, n) for a Precomputed kernel
    Y : float64 array, shape (n, r)
    loo : bool
        Whether to compute leave-one-out residuals, n^3 / 3 operations more.
    choose : function (X, Y, kernel, ridge) -> BandwidthChoice
        Asked if the bandwidth of the kernel is open: models.bandwidth.choose_bandwidth, for labels or numbers.

    Raises
    ------
    SingularMatrixError
        Identical points have different targets, or the matrix is singular to working precision.
    InputError
        Targets so large that coefficients or norm are beyond the largest number.
    """
    start, n, precomputed = time.perf_counter(), len(X), isinstance(kernel, Precomputed)
    # With a ridge a repeated point weighs more, and merging would change the problem.
    support, twins = distinct_points(X, Y) if ridge == 0 else (np.arange(n), np.zeros(n, bool))
    merged = n - len(support)
    if merged:
        X = X[np.ix_(support, support)] if precomputed else X[support]
    # Targets are brought to size 1 by powers of two, which change no digit, and the solution back: neither residual nor
    # norm depends on the units of an output.
    exponents = measures.exponents_of(Y)
    Y = measures.in_units(Y[support], -exponents)
    try:
        choice, system = _system(X, Y, kernel, ridge, choose)
    except SingularMatrixError as error:
        if merged:
            error.add_note(f"{merged} copies of earlier points were merged; rows are counted without them")
        raise
    factor, coef, check = system.factor, system.coef, system.check
    half = factor.half_solve(Y)
    norm = measures.rkhs_norm(coef, check.fitted, (half, half), ridge)
    scaled, norms = measures.in_units(coef, exponents), measures.in_units(np.array(norm.per_output), exponents)
    if not (np.isfinite(scaled).all() and not np.isinf(norms).any()):
        raise InputError(
            f"targets reach {np.ldexp(1.0, exponents.max()):.1e}, so that coefficients or norm are beyond the largest "
            "number of float64. Divide y by a constant"
        )
    loo_residuals = None
    if loo:
        loo_residuals = measures.in_units(_spread(coef / factor.inverse_diagonal()[:, None], support, n), exponents)
        loo_residuals[twins] = 0.0  # whichever of two twins is left out, the other is fitted
    numbers = {
        "relative_residual": check.relative_residual,
        "norm_disagreement": norm.disagreement,
        "condition_estimate": measures.condition_estimate(factor, check.norm_1),
    }
    return Interpolant(
        kernel=system.kernel,
        coef=_spread(scaled, support, n),
        support=support,
        points=np.empty((len(support), 0)) if precomputed else system.K.points,  # of K itself only the size is needed
        norm=float(measures.column_norms(norms[:, None])[0]),
        loo_residuals=loo_residuals,
        report=FitReport(
            n=len(support),
            merged=merged,
            kernel=str(system.kernel),
            bandwidth_choice=choice,
            ridge=ridge,
            **numbers,
            smallest_pivot=factor.smallest_pivot(),
            seconds=time.perf_counter() - start,
            warnings=(*measures.doubts(**numbers), *(choice.doubts if choice else ())),
        ),
    )


def distinct_points(X, Y):
    """Return the rows of X that equal no earlier row, and a mask of all rows that equal some other row.

    The function of least norm through all points is the one through these. Raises SingularMatrixError where two rows
    are equal and their targets are not.
    """
    first, support, twins = {}, [], np.zeros(len(X), bool)
    for j, row in enumerate(X):
        # Adding 0 makes 0.0 of -0.0, an equal number in other bytes.
        i = first.setdefault(hashlib.blake2b((row + row.dtype.type(0)).tobytes(), digest_size=16).digest(), j)
        if i == j:
            support.append(j)
            continue
        if (Y[i] != Y[j]).any():
            raise SingularMatrixError(
                f"training points {i} and {j} are identical but their targets are not, so no function fits both. "
                "Remove one of them, or give a ridge, e.g. 1e-6",
                row=j,
                duplicate=i,
            )
        twins[[i, j]] = True
    return np.array(support), twins


@dataclasses.dataclass(frozen=True)
class _System:
    """A kernel's (K + ridge I) coef = Y, solved and checked."""

    kernel: Kernel
    K: Gram
    factor: CholeskyFactor
    coef: np.ndarray
    check: measures.Check


def _solved(X, Y, kernel, ridge):
    K = gram(X, kernel)
    factor = cholesky(K, ridge=ridge)
    coef = factor.solve(Y)
    return _System(kernel, K, factor, coef, measures.check_solution(K, Y, coef, ridge=ridge))


def _system(X, Y, kernel, ridge, choose):
    """Return the BandwidthChoice, or None if the kernel leaves none open, and the _System solved."""
    if not kernel.open_bandwidth:
        return None, _solved(X, Y, kernel, ridge)
    if len(X) < 2:
        raise InputError(
            "an automatic bandwidth needs points to leave out in turn, and there is only one different point "
            "(n_samples = 1). Give a bandwidth"
        )
    choice, singular = choose(X, Y, kernel, ridge), None
    bandwidths = choice.best_first
    bandwidths += [min(bandwidths) / 2**k for k in range(1, _HALVINGS + 1)]
    for bandwidth in bandwidths:
        try:
            system = _solved(X, Y, kernel.with_bandwidth(bandwidth), ridge)
        except SingularMatrixError as error:
            singular = error
            continue
        if not measures.doubts(system.check.relative_residual):
            return choice, system
        del system  # before the next: half an n x n matrix
    raise SingularMatrixError(
        f"no bandwidth could be chosen: none of {len(bandwidths)} from {min(bandwidths):.3g} to {max(bandwidths):.3g} "
        f"gives a system of {len(X)} points that can be solved to 8 digits. Are there nearly equal points? Give a "
        "bandwidth, or a ridge, e.g. 1e-6",
        row=0 if singular is None else singular.row,
    ) from singular


def _spread(values, support, n):
    out = np.zeros((n, values.shape[1]))
    out[support] = values
    return out
