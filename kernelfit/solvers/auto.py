"""The solver that plans: what fits, what is quickest, and float64 where float32 fails."""

import dataclasses
import functools
from pathlib import Path
from typing import Any

import numpy.typing as npt

from kernelfit import backend
from kernelfit.common.errors import InputError, NotConvergedError
from kernelfit.common.progress import Progress
from kernelfit.common.stopwatch import Stopwatch
from kernelfit.common.validation import check_integer, check_path, check_positive, check_targets
from kernelfit.grams.matrix import Gram
from kernelfit.solvers.planning.forecast import forecast
from kernelfit.solvers.planning.plan import SOON, STEPS, Plan, Way, check_precision, plan_solve
from kernelfit.solvers.planning.problem import Problem
from kernelfit.solvers.planning.rates import measure_rates, probe_of
from kernelfit.solvers.protocol import Factor, Solver, check_solver, check_system
from kernelfit.solvers.scratch import unfinished
from kernelfit.solvers.solution import Solution

_FORECAST_PAYS = 5.0  # seconds of a solve; a forecast takes one


@dataclasses.dataclass(frozen=True, kw_only=True)
class Auto(Solver):
    """Cholesky in the quickest way that fits into memory or onto the scratch disk.

    Whether float32 with corrections will do is forecast from a sample of K where it matters; where it fails all the
    same, a float64 factor takes its place, if it fits and `precision` allows it, and report["fallback"] says why.

    Parameters
    ----------
    precision : str
        "auto", "float64" or "mixed".
    storage : str
        "auto", "memory", "host" or "disk".
    device : str or device
        "cpu", "cuda", or "auto" for the GPU where there is one.
    memory : int, optional
        Bytes to use at most, of those that are free on the device.
    scratch : path, optional
        Folder on a disk where panels of the factor may go.
    resume : bool
        Go on with an unfinished factor there.
    seed : int
        Of the sample of the forecast.
    outputs, n_test : int
        Right-hand sides and test points to come: what the plan counts memory and time for.
    loo : bool
        Whether the inverse diagonal will be asked for, which takes a float64 factor.
    """

    precision: str = "auto"
    storage: str = "auto"
    device: backend.Device | str = "auto"
    memory: int | None = None
    scratch: str | Path | None = None
    resume: bool = False
    seed: int = 0
    outputs: int = 10
    n_test: int = 0
    loo: bool = False

    def __post_init__(self):
        check_precision(self.precision, self.loo)
        if self.resume and self.scratch is None:
            raise InputError("`resume` goes on with the factor in a `scratch` folder; name that folder")
        if self.memory is not None:
            check_positive("memory", self.memory)
        check_path("scratch", self.scratch)
        for name in ("seed", "outputs", "n_test"):
            check_integer(name, getattr(self, name), 0)

    def plan(self, problem: Problem, *, device: backend.Device | None = None, steps: int | None = STEPS) -> Plan:
        """Return the Plan of a Problem; an unfinished factor that is to be gone on with decides the way."""
        device = backend.device(self.device) if device is None else device
        found = self.unfinished()
        plan = plan_solve(
            problem,
            device=device,
            precision=self.precision,
            storage=self.storage,
            scratch=self.scratch,
            width=found["width"] if found else None,
            memory=self.memory,
            rates=_rates(device, self.scratch, probe_of(problem.n, device)),
            steps=steps,
        )
        if not found:
            return plan
        on_disk = {way.precision: way for way in plan.ways if way.storage == "disk"}
        # Where its precision is not possible, Scratch says that it is another's.
        same = on_disk.get("float64" if found["dtype"] == "float64" else "mixed", min(on_disk.values(), key=str))
        return dataclasses.replace(plan, chosen=None if same.missing else same)

    def require(self, problem: Problem) -> None:
        self.plan(problem).require()

    def choose(self, K: Gram, *, ridge: float = 0.0, progress: Progress | None = None) -> "Choice":
        """Return the Choice of a way for K + ridge I."""
        progress, watch, ridge = progress or Progress(), Stopwatch(), check_system(K, ridge)
        problem = Problem.of(K, n_test=self.n_test, outputs=self.outputs, loo=self.loo)
        plan = self.plan(problem, device=K.device)
        reason = self._reason(plan)
        if self._worth_a_forecast(plan):
            with watch("forecast"):
                expected = forecast(K, ridge=ridge, seed=self.seed)
                plan = self.plan(problem, device=K.device, steps=expected.steps)
            reason = expected.reason
            progress.note(reason)
        way = plan.require()
        progress.note(str(plan))
        return Choice(plan, way, reason, watch.seconds)

    def factor(self, K: Gram, *, ridge: float = 0.0, progress: Progress | None = None) -> Factor:
        choice = self.choose(K, ridge=ridge, progress=progress)
        factor = self.take(choice, K, ridge=ridge, progress=progress)
        factor.seconds |= choice.seconds
        return factor

    def take(self, choice: "Choice", K: Gram, *, ridge: float = 0.0, progress: Progress | None = None) -> Factor:
        """Return the Factor of K + ridge I in the way of a Choice."""
        progress = progress or Progress()

        def make(way):
            progress.expect("solve", way.phases)
            solver = way.solver(scratch=self.scratch, resume=self.resume)
            factor = solver.factor(K, ridge=ridge, progress=progress)
            factor.gemm_gflops = choice.plan.rates.gemm(way.precision, halves=way.halves) / 1e9
            factor.report |= {"reason": choice.reason, "kept_bytes": way.cached_bytes}
            return factor

        other = choice.plan.fallback(choice.way)

        def second(failure):
            progress.note(f"{failure}; going on with a {other}")
            factor = make(other)
            factor.report["fallback"] = failure
            return factor

        try:
            factor = make(choice.way)
        except NotConvergedError as error:
            if other is None:
                raise
            failure = str(error)
        else:
            if other is not None:
                factor.otherwise = second
            return factor
        # Out of the except block: the error holds the frames that hold the float32 panels, whose memory is needed now.
        return second(failure)

    def unfinished(self) -> dict[str, Any] | None:
        """Return the identity of the unfinished factor to go on with, or None."""
        return unfinished(self.scratch) if self.resume and self.scratch is not None else None

    def _reason(self, plan):
        """Return why the plan's precision, in words."""
        if self.precision != "auto":
            return "asked for"
        if self.loo:
            return "leave-one-out needs it"
        if self.unfinished():
            return "that of the unfinished factor"
        if len(_possible(plan)) < 2:
            return "the other does not fit"
        return "quicker here" if plan.chosen.seconds > SOON else "quick enough"

    def _worth_a_forecast(self, plan):
        """Whether there are two precisions to choose from, and more at stake than the forecast costs."""
        return not self.unfinished() and len(_possible(plan)) > 1 and plan.chosen.seconds > _FORECAST_PAYS


@dataclasses.dataclass(frozen=True)
class Choice:
    """What was planned, and the way to take: plan, way, why this precision, and what choosing took."""

    plan: Plan
    way: Way
    reason: str
    seconds: dict[str, float]


def _possible(plan):
    return {way.precision for way in plan.ways if not way.missing}


@functools.cache
def _rates(device, scratch, probe):
    """Return the Rates of this machine, measured once in a process for each device, scratch folder and size."""
    return measure_rates(device, scratch, probe)


def solve(
    K: Gram, Y: npt.ArrayLike, solver: Solver | None = None, *, ridge: float = 0.0, progress: Progress | None = None
) -> Solution:
    """Return the Solution of (K + ridge I) coef = Y, whose factor is freed at once.

    Parameters
    ----------
    K : Gram
        Symmetric, shape (n, n), on the device of the solver.
    Y : array of numbers, shape (n, r) or (n,)
    solver : Solver, optional
        Auto() on the device of K unless given.

    Examples
    --------
    >>> import kernelfit as kf
    >>> import numpy as np
    >>> X = np.linspace(0, 1, 8)[:, None]
    >>> solution = kf.solve(kf.gram(X, kf.Gaussian(bandwidth=0.2)), np.sin(6 * X))
    >>> round(solution.norm.total, 4), solution.relative_residual < 1e-10
    (1.7114, True)
    """
    check_system(K, ridge)
    Y = check_targets(Y, K.shape[0])
    solver = Auto(device=K.device, outputs=Y.shape[1]) if solver is None else solver
    check_solver(solver)
    with solver.factor(K, ridge=ridge, progress=progress) as factor:
        return factor.solve(Y, progress=progress)
