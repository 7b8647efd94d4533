"""The float64 answer from a float32 factor, in half the memory and about half the time of a float64 one.

The panel Cholesky runs in float32, and its factor M solves for corrections, coef += M^-1 (Y - K coef), of which the
residual is in float64 against the exact K, made again block by block, or from inner products that are kept where memory
allows. The residual that ends it is the check of the solution, always from blocks that are made again. Where a
correction gains too little, M preconditions block conjugate gradients instead. Where float32 finds a pivot that is not
positive, a multiple of the identity is added to the matrix that is factored, never to the problem.
"""

import dataclasses
import time

import numpy as np

from kernelfit.common.errors import InputError, NotConvergedError, SingularMatrixError
from kernelfit.common.progress import Progress
from kernelfit.solvers.cg import block_cg
from kernelfit.solvers.measures import ACCURATE, Check, check_solution, exponents_of, in_units
from kernelfit.solvers.panel_cholesky import CholeskyFactor, cholesky
from kernelfit.solvers.regularity import judged

TOLERANCE = 1e-10
STEPS = 30
_GAIN = 10.0  # by which a correction must reduce the residual; below it conjugate gradients gain more
_SHIFTS = 3


@dataclasses.dataclass(frozen=True)
class MixedSolution:
    """(K + ridge I) coef = Y, and how it was reached.

    Attributes
    ----------
    coef : float64 array, shape (n, r)
    check : Check
        Against recomputed Gram blocks.
    factor : CholeskyFactor
        float32, of K + (ridge + shift) I.
    breakdowns : list of float
        Shifts with which the float32 factorisation failed before.
    residuals : list of float
        Relative residual after each step, of the output where it is largest.
    condition_estimate : float or None
        Of K + ridge I in the 1-norm; a lower bound, with or without a shift. None if it was not estimated.
    seconds : dict
    """

    coef: np.ndarray
    check: Check
    factor: CholeskyFactor
    breakdowns: list
    residuals: list
    condition_estimate: float | None
    seconds: dict


def solve_mixed(
    gram,
    Y,
    make_panels,
    *,
    ridge=0.0,
    first_shift=0.0,
    keep=False,
    estimate=True,
    tolerance=TOLERANCE,
    factorise=cholesky,
    progress=None,
):
    """Return the MixedSolution of (K + ridge I) coef = Y.

    Parameters
    ----------
    gram : Gram
    Y : float64 array, shape (n, r), NumPy
    make_panels : callable
        shift -> a new float32 storage for the factor with that shift.
    first_shift : float
        Where to begin among shifts(gram, ridge): an earlier run got this far. Any other value is ignored.
    keep : bool
        Keep inner products, see Gram.cached.
    estimate : bool
        Whether to estimate the condition where float32 did not break down, by a few solves; where it did, products with
        K tell what is singular.
    tolerance : float
        Of the relative residual of every output.
    factorise : callable
        kernelfit.solvers.panel_cholesky.cholesky, or another with its contract.

    Raises
    ------
    SingularMatrixError
        K + ridge I is singular to float64 (kernelfit.solvers.regularity), whether or not Y has a solution.
    NotConvergedError
        float32 broke down with every shift or cannot hold the entries of K, or the steps stopped gaining before the
        residual was below the tolerance or what rounding in float64 allows.
    """
    progress = progress or Progress()
    start, kept = time.perf_counter(), gram
    if keep:
        kept = gram.cached(progress=progress)
        gram.device.synchronize()
    before = {"keep": time.perf_counter() - start}
    factor, breakdowns, seconds = _factored(kept, make_panels, factorise, ridge, first_shift, progress)
    seconds |= before
    exponents = exponents_of(Y)  # targets of size 1, and back, by powers of two: no digit changes, no square is lost
    try:
        coef, check, residuals = _corrected(gram, kept, in_units(Y, -exponents), factor, tolerance, seconds, progress)
        start = time.perf_counter()
        condition = judged(kept, factor, check.norm_1, estimate=estimate, progress=progress)
        seconds["condition"] += time.perf_counter() - start
    except (NotConvergedError, SingularMatrixError):
        factor.panels.finish()
        raise
    except BaseException:
        factor.panels.abandon()
        raise
    check = dataclasses.replace(check, fitted=in_units(check.fitted, exponents))
    return MixedSolution(in_units(coef, exponents), check, factor, breakdowns, residuals, condition, seconds)


def _corrected(gram, kept, Y, factor, tolerance, seconds, progress):
    """Return (coef, its Check, relative residuals by step): corrections while they gain, then conjugate gradients.

    `kept` is the same matrix as `gram`, quicker to multiply with; the last check is made with `gram`.
    """
    device, xp, ridge = gram.device, gram.device.xp, factor.ridge
    start, sizes = time.perf_counter(), np.linalg.norm(Y, axis=0)
    sizes[sizes == 0] = 1.0

    def multiply(V):
        return kept.product(V, progress=progress) + ridge * V

    def small(check, coef):
        # Every output by itself. A backward error of half an eps: where that is more than the tolerance, no float64
        # solver promises less. Large coefficients alone must not do: what is not solved to 8 digits is not solved.
        attainable = np.finfo(np.float64).eps / 2 * check.norm_1 * np.linalg.norm(coef, axis=0) / sizes
        return bool((check.residual_per_output <= np.maximum(tolerance, np.minimum(attainable, ACCURATE))).all())

    def precondition(R):
        scale = xp.abs(R).max(axis=0)
        scale[scale == 0] = 1.0  # columns are brought to one size, so that float32 neither overflows nor loses them
        return factor.solve(R / scale).astype(np.float64) * scale

    coef, residual, relative, residuals, norm_1 = np.zeros_like(Y), Y, 1.0, [], None
    gaining = True
    for _ in range(STEPS):
        if gaining:
            change, reached = precondition(device.array(residual)), True
        else:
            goal = 0.7 * tolerance / relative
            done = block_cg(multiply, precondition, device.array(residual), xp=xp, tolerance=goal, steps=STEPS)
            residuals += [relative * value for value in done.residuals]
            change, reached = done.X, done.residuals[-1] <= goal
        candidate = coef + device.host(change)
        check = check_solution(kept, Y, candidate, ridge=ridge, norm_1=norm_1, progress=progress)
        residuals.append(check.relative_residual)
        norm_1, seconds["refine"] = check.norm_1, time.perf_counter() - start
        if small(check, candidate) and kept is not gram:
            check = check_solution(gram, Y, candidate, ridge=ridge, norm_1=norm_1, progress=progress)
            seconds["check"] = time.perf_counter() - start - seconds["refine"]
        if small(check, candidate):
            return candidate, check, residuals
        if not reached:
            break
        gaining = gaining and check.relative_residual <= relative / _GAIN
        if check.relative_residual < relative:
            coef, residual, relative = candidate, Y - check.fitted - ridge * candidate, check.relative_residual
    raise NotConvergedError(
        f"the float32 factor is too coarse a preconditioner: after {len(residuals)} steps the relative residual is "
        f"{check.relative_residual:.1e}, not {tolerance:.0e}. Use --precision float64"
    )


def shifts(gram, ridge):
    """Return what to add to the matrix before it is factored in float32: nothing, then more with every breakdown.

    A pivot of a float32 factor is off by up to a few times sqrt(n) eps K_ii; beyond 4 of these (less the ridge, which
    does the same) it should stay positive.
    """
    n = gram.shape[0]
    unit = 4 * np.sqrt(n) * np.finfo(np.float32).eps / 2 * float(gram.diagonal().mean())
    larger = [max(0.0, 4**k * unit - ridge) for k in range(_SHIFTS)]
    return [0.0, *(float(shift) for shift in larger if shift > 0)]


def _factored(gram, make_panels, factorise, ridge, first_shift, progress):
    largest = float(np.max(gram.diagonal()))
    if float(np.finfo(np.float32).max) < largest < np.inf:  # entries of L L^T are no larger than those of the diagonal
        raise NotConvergedError(
            f"float32 cannot hold a kernel whose diagonal reaches {largest:.1e}. Use --precision float64"
        )
    tried = shifts(gram, ridge)
    first = tried.index(first_shift) if first_shift in tried else 0
    breakdowns = tried[:first]
    for shift in tried[first:]:
        panels = make_panels(shift)
        try:
            factor = factorise(gram, ridge=ridge, shift=shift, panels=panels, progress=progress)
        except SingularMatrixError as error:
            panels.finish()
            breakdowns.append(shift)
            progress.note(f"float32 breaks down at training point {error.row} with a shift of {shift:.1e}")
        except InputError:
            panels.finish()  # it would fail again
            raise
        except BaseException:
            panels.abandon()
            raise
        else:
            return factor, breakdowns, dict(factor.seconds)
    raise NotConvergedError(
        f"float32 cannot factor K + {ridge:g} I, not even with {breakdowns[-1]:.1e} on its diagonal. Use --precision "
        "float64, a smaller bandwidth, or a ridge"
    )
