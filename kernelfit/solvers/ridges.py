"""A path of ridges: (K + ridge I) coef = Y for several ridges of one K.

There are two ways, and they give the same numbers. One eigendecomposition of K serves every ridge, leave-one-out
included, at n^2 operations each (kernelfit.solvers.eigen); refactoring solves every ridge on its own, n^3 / 3
operations each, and as much again for leave-one-out. Which is quicker is a matter of constants: a Cholesky factor runs
at the rate of the matrix product, while half of the reduction to tridiagonal form runs at the speed of memory.
"""

import dataclasses
import functools
import itertools
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from kernelfit import backend
from kernelfit.common.errors import InputError, SingularMatrixError
from kernelfit.common.files import remove_if_empty
from kernelfit.common.progress import Progress, duration
from kernelfit.common.quantities import format_bytes
from kernelfit.common.stopwatch import Stopwatch
from kernelfit.common.validation import check_number, check_targets
from kernelfit.grams.matrix import Gram
from kernelfit.solvers.auto import Auto
from kernelfit.solvers.eigen import Eigen
from kernelfit.solvers.protocol import Solver, check_solver, check_system, memory_explained
from kernelfit.solvers.solution import Solution
from kernelfit.solvers.spectrum import LARGEST

METHODS = ("auto", "eigendecomposition", "refactoring")
# Measured by `python -m benchmarks eigendecomposition` with 2 threads, the best of three runs, in operations of a
# float64 matrix product. An eigendecomposition took 14.9, 14.4 and 12.3 n^3 at n = 2,000, 4,000 and 8,000. A
# factorisation took 1.9, 1.1 and 0.54 n^3 with its Gram blocks: beside n^3 / 3 about 3,000 n^2. So an
# eigendecomposition has the price of 8 ridges at n = 2,000 and of 20 at 8,000; with leave-one-out, of 6 and 13.
EIGEN_COST = 14.0
FACTOR_OVERHEAD = 3000.0


@dataclasses.dataclass(frozen=True)
class RidgePath:
    """The solutions of a path.

    Attributes
    ----------
    solutions : tuple of Solution
        In the order of `checked_ridges`: increasing.
    inverse_diagonals : tuple
        For each ridge that of K + ridge I, shape (n,), or None if it costs a factorisation and was not asked for.
    method : str
        "eigendecomposition" or "refactoring".
    reason : str
        Why this one.
    eigenvalues : (float, float) or None
        The smallest and the largest of K, where they are known.
    seconds : dict
    """

    solutions: tuple[Solution, ...]
    inverse_diagonals: tuple[npt.NDArray[np.float64] | None, ...]
    method: str
    reason: str
    eigenvalues: tuple[float, float] | None
    seconds: dict[str, float]


def checked_ridges(ridges: Iterable[float]) -> tuple[float, ...]:
    """Return the ridges as a tuple of floats in increasing order: a path has no other, and the hardest comes first.

    Raises InputError where there is none, where one is not 0 or a positive number, and where one is given twice.
    """
    if not isinstance(ridges, Iterable):
        raise InputError(f"ridges = {ridges!r}; a path takes several, such as (0, 1e-6, 1e-3)")
    ordered = tuple(sorted(check_number("ridge", ridge) for ridge in ridges))
    if not ordered:
        raise InputError("a path needs at least one ridge; 0 is no regularisation")
    for ridge, following in itertools.pairwise(ordered):
        if ridge == following:
            raise InputError(f"ridge {ridge:g} is given twice; a path holds each ridge once")
    return ordered


@memory_explained()
def ridge_path(
    K: Gram,
    Y: npt.ArrayLike,
    ridges: Iterable[float],
    solver: Solver | None = None,
    *,
    loo: bool = False,
    method: str = "auto",
    progress: Progress | None = None,
) -> RidgePath:
    """Return the RidgePath of (K + ridge I) coef = Y, Y of shape (n, r) or (n,).

    Parameters
    ----------
    K : Gram
        Symmetric, on the device of the solver.
    ridges : iterable of float
        See checked_ridges.
    solver : Solver, optional
        How to refactor: Auto() unless given.
    loo : bool
        Whether inverse diagonals are wanted even where each costs a factorisation.
    method : str
        "auto" takes what is predicted to be quicker with the solver Auto, and refactors with any other, or where an
        eigendecomposition does not resolve the smallest ridge; `reason` then says so.

    Raises
    ------
    SingularMatrixError
        The matrix is singular to working precision at the smallest ridge; nothing is ever added to it.
    InputError, NotConvergedError, ScratchError, NotEnoughDiskError, NotEnoughMemoryError
    """
    if method not in METHODS:
        raise InputError(f"method {method!r}; known are {', '.join(METHODS)}")
    ridges, progress, solver = checked_ridges(ridges), progress or Progress(), solver or Auto(loo=loo)
    check_system(K, ridges[0])
    check_solver(solver)
    Y = check_targets(Y, K.shape[0])
    if method == "eigendecomposition":
        return _by_eigendecomposition(K, Y, ridges, "asked for", progress)
    reason, solvers = "asked for", [_with_own_scratch(solver, ridge) for ridge in ridges]
    factors = [own.factor for own in solvers]
    if isinstance(solver, Auto):
        begun = next((own for own in solvers if own.unfinished()), None)  # decides the way
        choice = (begun or solvers[0]).choose(K, ridge=ridges[0], progress=progress)  # once for all ridges
        factors = [functools.partial(own.take, choice) for own in solvers]
        reason = "that of the unfinished factor" if begun else reason
    if method == "auto" and isinstance(solver, Auto) and not begun:
        chosen, reason = _choose_method(K, choice, count=len(ridges), outputs=Y.shape[1], loo=loo)
        progress.note(f"{len(ridges)} ridges by {chosen}: {reason}")
        if chosen == "eigendecomposition":
            try:
                return _by_eigendecomposition(K, Y, ridges, reason, progress)
            except SingularMatrixError as error:
                # What is singular must not depend on which way was quicker: pivots decide, as for one ridge alone.
                reason = (
                    f"an eigendecomposition does not resolve ridge {ridges[0]:g}, smallest eigenvalue {error.pivot:.1e}"
                )
            progress.note(f"{reason}; refactoring")
    path = _by_refactoring(K, Y, ridges, reason, factors, loo, progress)
    for own in solvers if getattr(solver, "scratch", None) is not None else ():
        remove_if_empty(own.scratch)
    return path


def _with_own_scratch(solver, ridge):
    """Return the solver with a scratch folder for this ridge: what is unfinished there is another factor's."""
    folder = getattr(solver, "scratch", None)
    return solver if folder is None else dataclasses.replace(solver, scratch=Path(folder) / f"ridge-{ridge!r}")


def _choose_method(K, choice, *, count, outputs, loo):
    """Return (method, reason): the one predicted to be quicker for `count` ridges, within the memory of the plan.

    An eigendecomposition takes the time of EIGEN_COST n^3 operations of a matrix product in float64; each factorisation
    n^3 / 3 at the rate of its precision, FACTOR_OVERHEAD n^2 in float64, and n^3 / 3 more for leave-one-out.
    """
    n, rates, memory = K.shape[0], choice.plan.rates, choice.plan.free["memory"]
    if K.device.name != "cpu":
        return "refactoring", "an eigendecomposition is done on the cpu only"
    if n > LARGEST:
        return "refactoring", f"an eigendecomposition is done up to n = {LARGEST:,}"
    needed = eigen_bytes(n, count, outputs)
    if needed > memory:
        return "refactoring", (
            f"an eigendecomposition needs {format_bytes(needed)} of {format_bytes(memory)} free memory"
        )
    eigen = EIGEN_COST * n**3 / rates.float64
    cubic, inverse = n**3 / 3, n**3 / 3 if loo else 0.0
    factors = count * (cubic / rates.gemm(choice.way.precision) + (FACTOR_OVERHEAD * n**2 + inverse) / rates.float64)
    method = "eigendecomposition" if eigen < factors else "refactoring"
    return method, (
        f"{count} factorisations{' and inverse diagonals' if loo else ''} take about {_about(factors)}, one "
        f"eigendecomposition {_about(eigen)}"
    )


def _about(seconds):
    return duration(seconds) if seconds >= 10 else f"{seconds:.1g} s"


def eigen_bytes(n: int, count: int, outputs: int) -> int:
    """Return the bytes that an eigendecomposition and the solutions of `count` ridges take.

    K and its eigenvectors; coefficients, halves and fitted values; and what any solve needs.
    """
    return 16 * n * n + 8 * n * (5 * outputs + 2) * count + backend.CPU.fixed_bytes


def _by_eigendecomposition(K, Y, ridges, reason, progress):
    watch = Stopwatch()
    first = Eigen().factor(K, ridge=ridges[0], progress=progress)
    watch.add(first.seconds)
    factors = [first, *(first.at(ridge) for ridge in ridges[1:])]
    solutions = first.solve_path(Y, factors, progress=progress)
    watch.add(solutions[0].seconds)  # of all
    with watch("leave_one_out"):
        diagonals = first.spectrum.inverse_diagonals(ridges)
    values = first.spectrum.values
    extremes = float(values[0]), float(values[-1])
    return RidgePath(tuple(solutions), tuple(diagonals), "eigendecomposition", reason, extremes, watch.seconds)


def _by_refactoring(K, Y, ridges, reason, factors, loo, progress):
    watch, solutions, diagonals = Stopwatch(), [], []
    for number, (ridge, factor) in enumerate(zip(ridges, factors, strict=True), 1):
        progress.note(f"ridge {ridge:g}, {number} of {len(ridges)}")
        with factor(K, ridge=ridge, progress=progress) as made:
            solutions.append(made.solve(Y, progress=progress))
            watch.add(made.seconds)
            watch.add(solutions[-1].seconds)
            diagonals.append(None)
            if loo:
                with watch("leave_one_out"):
                    diagonals[-1] = made.inverse_diagonal(progress=progress)
        del made  # before the next: it is half a matrix
    return RidgePath(tuple(solutions), tuple(diagonals), "refactoring", reason, None, watch.seconds)
