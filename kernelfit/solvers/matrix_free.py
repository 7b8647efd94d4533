"""Solving (K + ridge I) coef = Y from products with K alone: nothing of the size of K is ever held.

Block conjugate gradients in float64 (kernelfit.solvers.cg) with a preconditioner from few columns of K
(kernelfit.solvers.low_rank). What ends it is the residual recomputed from K, never the one by recurrence: where they
differ, the iteration begins anew from the former.
"""

import dataclasses
import math
import time

import numpy as np

from kernelfit.common.errors import KernelfitError, NotConvergedError
from kernelfit.common.progress import Progress
from kernelfit.solvers.cg import Iterations, block_cg
from kernelfit.solvers.measures import Check, check_solution, column_norms, exponents_of, in_units, relative_residuals

TOLERANCE = 1e-8
STEPS = 1000
_PATIENCE = 200  # steps without halving: unpreconditioned residuals stay level for long, and then fall
_MARGIN = 0.8  # of the tolerance: where the recurrence ends, so that the recomputed residual meets it


@dataclasses.dataclass(frozen=True)
class MatrixFreeSolution:
    """coef with (K + ridge I) coef = Y, and how it was reached.

    Attributes
    ----------
    coef : float64 array, shape (n, r)
    check : Check
        Against recomputed entries of K.
    residual_per_output : list of float
        |Y_j - (K + ridge I) coef_j| / |Y_j|, recomputed.
    residuals : list of float
        The largest of these after each step, by recurrence.
    norm_error : float
        No less than the error of the RKHS norm of all outputs together, see errors_of_norm.
    norm_error_is : str
        "bound", or "estimate".
    restarts : int
        How often the recomputed residual was found to be too large.
    resumed_steps : int
        Steps of an earlier run.
    seconds : dict
    """

    coef: np.ndarray
    check: Check
    residual_per_output: list
    residuals: list
    norm_error: float
    norm_error_is: str
    restarts: int
    resumed_steps: int
    seconds: dict


def solve_matrix_free(K, Y, M, *, ridge=0.0, tolerance=TOLERANCE, steps=STEPS, checkpoint=None, progress=None):
    """Return the MatrixFreeSolution of (K + ridge I) coef = Y.

    Parameters
    ----------
    K : object with product(V) and product_and_norm(V), as a Gram has them
        The latter is what checks the solution.
    Y : float64 array, shape (n, r)
    M : Preconditioner
    tolerance : float
        Of the recomputed relative residual of every column.
    steps : int
        At most this many products, those of an earlier run included.
    checkpoint : Checkpoint, optional
        Is kept up to date, begun from if it holds a state, and removed in the end.

    Raises
    ------
    NotConvergedError
        The state is in the checkpoint, and can be gone on with.
    """
    progress = progress or Progress()
    exponents = exponents_of(Y)  # targets of size 1, and back, by powers of two: no digit changes, no square is lost
    Y = in_units(Y, -exponents)
    done = _first_state(Y, M, checkpoint)
    resumed, restarts, seconds = len(done.residuals), 0, {"solve": 0.0, "check": 0.0}
    while True:
        start, before = time.perf_counter(), len(done.residuals)
        done = _iterate(K, Y, M, done, ridge, tolerance, steps, checkpoint, progress)
        middle = time.perf_counter()
        check = check_solution(K, Y, done.X, ridge=ridge)
        seconds["solve"] += middle - start
        seconds["check"] += time.perf_counter() - middle
        R = Y - check.fitted - ridge * done.X
        worst = check.relative_residual
        if worst <= tolerance:
            break
        given_up = len(done.residuals) >= steps or done.residuals[-1] > tolerance
        # The recurrence says solved and the truth does not: begin anew from the truth, unless that gained nothing.
        if given_up or len(done.residuals) == before or not worst < math.inf:
            _save(checkpoint, done, M)
            _close(checkpoint)
            raise NotConvergedError(_failure(done, worst, tolerance, steps, ridge, M, checkpoint))
        restarts += 1
        progress.note(f"recomputed residual {worst:.1e} after {len(done.residuals)} steps: beginning anew from it")
        done = dataclasses.replace(done, R=R, P=None)
    if checkpoint is not None:
        checkpoint.remove()
    errors, kind = errors_of_norm(done, R, M, ridge, worst)
    error = float(column_norms(in_units(errors, exponents)[:, None])[0])
    by_output = check.residual_per_output.tolist()
    check = dataclasses.replace(check, fitted=in_units(check.fitted, exponents))
    coef = in_units(done.X, exponents)
    return MatrixFreeSolution(coef, check, by_output, done.residuals, error, kind, restarts, resumed, seconds)


def errors_of_norm(done, R, M, ridge, worst):
    """Return (errors, "bound" or "estimate") of the RKHS norms of interpolants with residuals R (n, r), one each.

    With A = K + ridge I and e the error of coef, the norm is off by at most |e|_K <= |e|_A, and that of all outputs
    together by at most the root of the sum of squares.

    With a ridge, K >= F F^T for the preconditioner M = F F^T + (ridge + shift) I, so that
    A >= ridge / (ridge + shift) M and |e|_A^2 = R^T A^-1 R <= (1 + shift / ridge) R^T M^-1 R: a bound.

    Without, the steps themselves say by how much |e|_A^2 fell (Hestenes and Stiefel, 1952; Strakos and Tichy, "On error
    estimation in the conjugate gradient method", 2002): what the steps gained since the residual was ten times as large
    exceeds what is left if as much is left to gain as then at most, an estimate.
    """
    if ridge > 0:
        return np.sqrt((1 + M.shift / ridge) * np.sum(R * M.solve(R), axis=0)), "bound"
    if not done.residuals:
        return np.zeros(R.shape[1]), "estimate"
    last = done.residuals[-1]
    delay = next((d for d, value in enumerate(reversed(done.residuals)) if value >= 10 * last), len(done.residuals))
    gained = np.sum(done.gains[-max(1, delay) :], axis=0)
    # The gains are those of the recurrence; rounding may have left more.
    return np.sqrt(np.maximum(0.0, gained)) * max(1.0, worst / last), "estimate"


def rank_of_state(checkpoint):
    """Return the rank of the preconditioner that the state in a Checkpoint was made with."""
    return checkpoint.found[1]["preconditioner"][0]


def _iterate(K, Y, M, done, ridge, tolerance, steps, checkpoint, progress):
    """Return the Iterations from `done` on, saved from time to time."""
    sofar, goal = done, _MARGIN * tolerance

    def digits(residual):
        return -math.log10(min(1.0, max(float(residual), goal)))

    reached = digits(relative_residuals(Y, Y - done.R).max(initial=0.0))
    with progress.phase("conjugate gradients", digits(goal), done=reached) as advance:

        def tell(residual):
            nonlocal reached
            if digits(residual) > reached:
                advance(digits(residual) - reached)
                reached = digits(residual)

        def after_step(state):
            nonlocal sofar
            sofar = state
            tell(state.residuals[-1])
            if checkpoint is not None and checkpoint.due:
                _save(checkpoint, state, M)

        try:
            ended = block_cg(
                lambda V: K.product(V) + ridge * V,
                M.solve,
                Y,
                tolerance=goal,
                steps=steps,
                patience=_PATIENCE,
                start=done,
                after_step=after_step,
            )
        except KernelfitError:  # of a product, so that the state is the one after the latest step
            _save(checkpoint, sofar, M)
            _close(checkpoint)
            raise
        tell(ended.residuals[-1] if ended.residuals else 1.0)
        return ended


def _first_state(Y, M, checkpoint):
    if checkpoint is None or checkpoint.found is None:
        return Iterations(np.zeros_like(Y), Y.copy())
    arrays, facts = checkpoint.found
    # Directions belong to their preconditioner.
    P = arrays["P"] if facts["preconditioner"] == _describe(M) and arrays["P"].size else None
    return Iterations(arrays["X"], arrays["R"], P, arrays["residuals"].tolist(), list(arrays["gains"]))


def _save(checkpoint, done, M):
    if checkpoint is not None:
        arrays = {"X": done.X, "R": done.R, "P": np.zeros((0, 0)) if done.P is None else done.P}
        arrays |= {"residuals": np.array(done.residuals), "gains": np.array(done.gains)}
        checkpoint.save(arrays, {"preconditioner": _describe(M)})


def _close(checkpoint):
    if checkpoint is not None:
        checkpoint.close()


def _describe(M):
    return [M.rank, M.ridge, M.shift]


def _failure(done, worst, tolerance, steps, ridge, M, checkpoint):
    taken = len(done.residuals)
    kept = (
        f"The state is in {checkpoint.folder}: go on with --resume"
        if checkpoint is not None
        else "No state was kept, for want of a --scratch folder"
    )
    first = "too few --steps" if taken >= steps else "rounding: the matrix is too near singular for this tolerance"
    return (
        f"after {taken} steps of conjugate gradients the recomputed relative residual is {worst:.1e}, not "
        f"{tolerance:.0e}. Likely causes: (a) {first}; (b) a preconditioner of rank {M.rank:,} is too coarse; (c) "
        f"ridge {ridge:g} and the bandwidth leave the matrix ill-conditioned. Try more --steps, a larger --rank, a "
        f"larger --tolerance, a ridge, or another --engine. {kept}"
    )
