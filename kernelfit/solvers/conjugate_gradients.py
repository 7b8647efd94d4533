"""Solving (K + ridge I) coef = Y from products with K alone: nothing of the size of K is ever held.

Block conjugate gradients in float64 (kernelfit.solvers.cg) with a preconditioner from few columns of K
(kernelfit.solvers.low_rank). What ends it is the residual recomputed from K, never the one by recurrence: where they
differ, the iteration begins anew from the former.
"""

import dataclasses
import math
import numbers
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from kernelfit import backend
from kernelfit.common.errors import (
    InputError,
    KernelfitError,
    NotConvergedError,
    NotEnoughDiskError,
    ScratchError,
    UnsupportedError,
)
from kernelfit.common.files import sha256
from kernelfit.common.progress import Progress
from kernelfit.common.validation import check_integer, check_path, check_positive
from kernelfit.grams.matrix import Gram
from kernelfit.solvers.cg import Iterations, block_cg
from kernelfit.solvers.checkpoint import Checkpoint
from kernelfit.solvers.low_rank import Preconditioner, planned_rank, precondition
from kernelfit.solvers.protocol import Factor, Solver, check_system, goes_on, memory_explained
from kernelfit.solvers.scaling import column_norms, exponents_of, in_units, relative_residuals
from kernelfit.solvers.solution import Solution, residuals

TOLERANCE = 1e-8
STEPS = 1000
_PATIENCE = 200  # steps without halving: unpreconditioned residuals stay level for long, and then fall
_MARGIN = 0.8  # of the tolerance: where the recurrence ends, so that the recomputed residual meets it


@dataclasses.dataclass(frozen=True, kw_only=True)
class ConjugateGradients(Solver):
    """Block conjugate gradients with a preconditioner of low rank, in this process.

    Parameters
    ----------
    tolerance : float
        Of the recomputed relative residual of every right-hand side, above 0 and below 1.
    rank : int, optional
        Of the preconditioner; planned from memory unless given, 0 for none.
    steps : int
        Products with K at most.
    memory : int, optional
        Bytes to use at most.
    outputs : int
        Right-hand sides to come, which memory is reckoned for.
    scratch : path, optional
        Folder for the state, to go on with by `resume`.
    seed : int
        Of the pivots of the preconditioner.
    """

    tolerance: float = TOLERANCE
    rank: int | None = None
    steps: int = STEPS
    memory: int | None = None
    outputs: int = 10
    scratch: str | Path | None = None
    resume: bool = False
    seed: int = 0

    def __post_init__(self):
        if not (isinstance(self.tolerance, numbers.Real) and 0 < self.tolerance < 1):
            raise InputError(f"tolerance = {self.tolerance!r}; it is a relative residual, between 0 and 1")
        check_integer("steps", self.steps)
        if self.rank is not None:
            check_integer("rank", self.rank, 0)
        if self.memory is not None:
            check_positive("memory", self.memory)
        check_integer("outputs", self.outputs, 0)
        check_integer("seed", self.seed, 0)
        check_path("scratch", self.scratch)
        if self.resume and self.scratch is None:
            raise InputError("`resume` goes on with the state in a `scratch` folder; name that folder")

    @memory_explained()
    def factor(self, K: Gram, *, ridge: float = 0.0, progress: Progress | None = None) -> "ConjugateGradientsFactor":
        ridge = check_system(K, ridge)
        if K.device.name != "cpu":
            raise InputError(f"conjugate gradients run on the cpu; this K is on {K.device.name}")
        return ConjugateGradientsFactor(K, self, ridge=ridge, method="block conjugate gradients")


class Operator(Protocol):
    """What multiplies with K: a Gram, or others for it."""

    def product(self, V: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]: ...
    def product_and_norm(self, V: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], float]: ...


class ConjugateGradientsFactor(Factor):
    """K + ridge I as something to multiply with, and a preconditioner that is made for the first targets.

    Parameters
    ----------
    K : Gram
    operator : Operator, optional
        What makes the products; K itself unless given.
    report : dict, optional
        What there is to say beside.
    """

    solver: ConjugateGradients
    operator: Operator
    M: Preconditioner | None

    def __init__(
        self,
        K: Gram,
        solver: ConjugateGradients,
        *,
        ridge: float,
        method: str,
        operator: Operator | None = None,
        report: dict[str, Any] | None = None,
    ):
        report = {"reason": "the only one of conjugate gradients", "tolerance": solver.tolerance} | (report or {})
        super().__init__(K, ridge=ridge, method=method, report=report, seconds={})
        self.solver, self.operator, self.M = solver, operator or K, None
        self._begun, self._finished = 0, list[Checkpoint]()

    def solve(self, Y: npt.ArrayLike, *, progress: Progress | None = None) -> Solution:
        solution = super().solve(Y, progress=progress)
        errors = in_units(solution.report.pop("norm_errors"), exponents_of(solution.targets))
        error, rounding = float(column_norms(errors[:, None])[0]), solution.norm.disagreement * solution.norm.total
        if not rounding <= error:  # of coef^T K coef, which the error of coef does not bound
            solution.report["norm_error_is"] = "estimate"
        solution.report["norm_error"] = error + rounding
        return solution

    def _release(self, error: BaseException | None) -> None:
        self.M = None
        for checkpoint in self._finished:
            checkpoint.close() if goes_on(error) or isinstance(error, NotConvergedError) else checkpoint.remove()

    def _cannot(self, what):
        return UnsupportedError(
            f"conjugate gradients have no {what}, for they make no factor of K. Take Cholesky(), "
            'and in a command `engine="local"`'
        )

    def _solve(self, Y, watch, progress):
        checkpoint = self._checkpoint(Y)
        try:
            self._prepare(checkpoint, watch, progress)
            done, fitted, found = _solved(self, Y, checkpoint, watch, progress)
        except BaseException:
            if checkpoint is not None:
                checkpoint.close()
            raise
        if checkpoint is not None:
            self._keep(checkpoint, done, progress)
        return self._solution(Y, done.X, fitted, Y.T @ done.X, watch, **found)

    def _keep(self, checkpoint, done, progress):
        """Keep the state until all targets are solved: a run that is killed at later ones comes here first."""
        try:
            _save(checkpoint, done, self.M)
        except (ScratchError, NotEnoughDiskError) as error:  # what is solved is not lost for that
            progress.note(f"the state of this solve is not kept: {error}")
            checkpoint.remove()
        self._finished.append(checkpoint)

    def _prepare(self, checkpoint, watch, progress):
        """Make the preconditioner, once: of the rank that was asked for, of the state to go on with, or as planned."""
        if self.M is not None:
            return
        rank, K = self.solver.rank, self.K
        if rank is None and checkpoint is not None and checkpoint.found:
            rank = checkpoint.found[1]["preconditioner"][0]
        if rank is None:  # half of the memory is left for others: workers on this host, what is made beside it
            memory = min(backend.free_memory() // 2, self.solver.memory or np.inf)
            rank = planned_rank(K.shape[0], K.points.d, memory)
        progress.note(f"{self.method}, preconditioner of rank {rank:,}")
        with watch("precondition"):
            self.M = precondition(K, rank, ridge=self.ridge, seed=self.solver.seed, progress=progress)
        self.report["preconditioner"] = {"rank": self.M.rank, "shift": self.M.shift}

    def _checkpoint(self, Y):
        if self.solver.scratch is None:
            return None
        identity = {"n": len(Y), "ridge": self.ridge, "matrix": self.K.fingerprint()}
        identity["targets"] = sha256(np.ascontiguousarray(Y))
        self._begun += 1
        return Checkpoint(self.solver.scratch, identity, number=self._begun, resume=self.solver.resume)

    def _fitted(self, coef, progress):
        fitted, norm = self.operator.product_and_norm(coef)
        self._norm_1 = norm + self.ridge
        return fitted


def _solved(factor, Y, checkpoint, watch, progress):
    """Return (Iterations, K coef, what to report) for targets of size 1.

    Raises NotConvergedError; the state is in the checkpoint then, and can be gone on with.
    """
    M, ridge, solver = factor.M, factor.ridge, factor.solver
    done = _first_state(Y, M, checkpoint)
    resumed, restarts = len(done.residuals), 0
    while True:
        before = len(done.residuals)
        with watch("solve"):
            done = _iterate(factor, Y, done, checkpoint, progress)
        with watch("check"):
            fitted = factor._fitted(done.X, progress)
        R, by_output = Y - fitted - ridge * done.X, residuals(Y, done.X, fitted, ridge)
        worst = float(by_output.max(initial=0.0))
        if worst <= solver.tolerance:
            break
        given_up = len(done.residuals) >= solver.steps or done.residuals[-1] > solver.tolerance
        # The recurrence says solved and the truth does not: begin anew from the truth, unless that gained nothing.
        if given_up or len(done.residuals) == before or not worst < math.inf:
            _save(checkpoint, done, M)
            raise NotConvergedError(_failure(done, worst, factor, checkpoint))
        restarts += 1
        progress.note(f"recomputed residual {worst:.1e} after {len(done.residuals)} steps: beginning anew from it")
        done = dataclasses.replace(done, R=R, P=None)
    errors, kind = errors_of_norm(done, R, M, ridge, worst)
    return (
        done,
        fitted,
        {
            "steps": len(done.residuals),
            "residuals": done.residuals,
            "residual_per_output": by_output.tolist(),
            "norm_errors": errors,
            "norm_error_is": kind,
            "restarts": restarts,
            "resumed_steps": resumed,
        },
    )


def errors_of_norm(
    done: Iterations, R: npt.NDArray[np.float64], M: Preconditioner, ridge: float, worst: float
) -> tuple[npt.NDArray[np.float64], str]:
    """Return (errors, "bound" or "estimate") of the RKHS norms of functions with residuals R (n, r), one each.

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
    last = done.residuals[-1] if done.residuals else 0.0
    if last == 0:  # exact: no step was needed, or the last one left nothing
        return np.zeros(R.shape[1]), "estimate"
    delay = next((d for d, value in enumerate(reversed(done.residuals)) if value >= 10 * last), len(done.residuals))
    gained = np.sum(done.gains[-max(1, delay) :], axis=0)
    # The gains are those of the recurrence; rounding may have left more.
    return np.sqrt(np.maximum(0.0, gained)) * max(1.0, worst / last), "estimate"


def _iterate(factor, Y, done, checkpoint, progress):
    """Return the Iterations from `done` on, saved from time to time."""
    M, solver, sofar = factor.M, factor.solver, done
    goal = _MARGIN * solver.tolerance

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
                lambda V: factor.operator.product(V) + factor.ridge * V,
                M.solve,
                Y,
                tolerance=goal,
                steps=solver.steps,
                patience=_PATIENCE,
                start=done,
                after_step=after_step,
            )
        except KernelfitError:  # of a product, so that the state is the one after the latest step
            _save(checkpoint, sofar, M)
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


def _describe(M):
    return [M.rank, M.ridge, M.shift]


def _failure(done, worst, factor, checkpoint):
    taken, M, solver = len(done.residuals), factor.M, factor.solver
    kept = (
        f"The state is in {checkpoint.folder}: go on with `resume`"
        if checkpoint is not None
        else "No state was kept, for want of a `scratch` folder"
    )
    first = (
        "too few `steps`" if taken >= solver.steps else "rounding: the matrix is too near singular for this tolerance"
    )
    return (
        f"after {taken} steps of conjugate gradients the recomputed relative residual is {worst:.1e}, not "
        f"{solver.tolerance:.0e}. Likely causes: (a) {first}; (b) a preconditioner of rank {M.rank:,} is too coarse; "
        f"(c) ridge {factor.ridge:g} and the bandwidth leave the matrix ill-conditioned. Try more `steps`, a larger "
        f"`rank`, a larger `tolerance`, a ridge, or another solver. {kept}"
    )
