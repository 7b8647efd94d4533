"""A path of ridges: (K + ridge I) coef = Y for several ridges of one K.

There are two ways, and they give the same numbers. One eigendecomposition of K serves every ridge, leave-one-out
included, at n^2 operations each (kernelfit.solvers.spectrum); refactoring solves every ridge on its own, n^3 / 3
operations each, and as much again for leave-one-out. Which is quicker is a matter of constants: a Cholesky factor runs
at the rate of the matrix product, while half of the reduction to tridiagonal form runs at the speed of memory.
"""

import dataclasses
import itertools
import numbers

import numpy as np

from kernelfit import backend
from kernelfit.common.errors import InputError, SingularMatrixError
from kernelfit.common.progress import Progress, duration
from kernelfit.common.quantities import format_bytes
from kernelfit.common.stopwatch import Stopwatch
from kernelfit.solvers.measures import Check, relative_residuals
from kernelfit.solvers.planning.rates import measure_rates
from kernelfit.solvers.solve import memory_explained, solve
from kernelfit.solvers.spectrum import LARGEST, require_regular, spectrum

METHODS = ("auto", "eigendecomposition", "refactoring")
# Measured by benchmarks/ridge.py --constants with 2 threads, the best of three runs, in operations of a float64 matrix
# product. An eigendecomposition took 14.9, 14.4 and 12.3 n^3 at n = 2,000, 4,000 and 8,000. A factorisation took 1.9,
# 1.1 and 0.54 n^3 with its Gram blocks: beside n^3 / 3 about 3,000 n^2. So an eigendecomposition has the price of 8
# ridges at n = 2,000 and of 20 at 8,000; with leave-one-out, of 6 and 13.
EIGEN_COST = 14.0
FACTOR_OVERHEAD = 3000.0


@dataclasses.dataclass(frozen=True)
class RidgeSolution:
    """The solution for one ridge of a path.

    Attributes
    ----------
    ridge : float
    coef : float64 array, shape (n, r)
    check : Check
        Residual and fitted values from recomputed Gram blocks.
    energy : (array, array)
        Two arrays (n, r) whose columns' inner products are Y^T (K + ridge I)^-1 Y without use of `check`.
    condition_estimate : float or None
        Of K + ridge I: in the 1-norm, a lower bound, or from its extreme eigenvalues where they are known.
    inverse_diagonal : array, shape (n,), or None
        Of K + ridge I, for leave-one-out; None if it costs a factorisation and was not asked for.
    way : str
        How it was solved in the end.
    """

    ridge: float
    coef: np.ndarray
    check: Check
    energy: tuple
    condition_estimate: float | None
    inverse_diagonal: np.ndarray | None
    way: str


@dataclasses.dataclass(frozen=True)
class RidgePath:
    """The solutions of a path.

    Attributes
    ----------
    solutions : tuple of RidgeSolution
        In the order of `checked_ridges`: increasing.
    method : str
        "eigendecomposition" or "refactoring".
    reason : str
        Why this one.
    eigenvalues : (float, float) or None
        The smallest and the largest of K, where they are known.
    seconds : dict
    """

    solutions: tuple
    method: str
    reason: str
    eigenvalues: tuple | None
    seconds: dict


def checked_ridges(ridges):
    """Return the ridges as a tuple of floats in increasing order: a path has no other, and the hardest comes first.

    Raises InputError where there is none, where one is not 0 or a positive number, and where one is given twice.
    """
    ridges = tuple(ridges)
    for ridge in ridges:
        if not (isinstance(ridge, numbers.Real) and 0 <= ridge < float("inf")):
            raise InputError(f"ridge = {ridge!r}; it must be 0 or a positive number")
    ordered = tuple(sorted(map(float, ridges)))
    if not ordered:
        raise InputError("a path needs at least one ridge; 0 is no regularisation")
    for ridge, following in itertools.pairwise(ordered):
        if ridge == following:
            raise InputError(f"ridge {ridge:g} is given twice; a path holds each ridge once")
    return ordered


@memory_explained()
def ridge_path(
    gram,
    Y,
    ridges,
    way,
    *,
    loo=False,
    method="auto",
    fallback=None,
    scratch=None,
    memory=None,
    rates=None,
    progress=None,
):
    """Return the RidgePath of (K + ridge I) coef = Y, Y of shape (n, r) in float64.

    Parameters
    ----------
    gram : Gram
        Symmetric K on the device of the way.
    ridges : iterable of float
        See checked_ridges.
    way : Way
        How to refactor.
    loo : bool
        Whether inverse diagonals are wanted even where each costs a factorisation.
    method : str
        "auto" takes what `choose_method` returns, and refactors where an eigendecomposition does not resolve the
        smallest ridge; `reason` then says so.
    fallback, scratch
        As for kernelfit.solvers.solve.solve.
    memory : int, optional
        Bytes that an eigendecomposition may take; those that are free unless given.
    rates : Rates, optional
        Measured unless given.

    Raises
    ------
    SingularMatrixError
        The matrix is singular to working precision at the smallest ridge; nothing is ever added to it.
    InputError, NotConvergedError, ScratchError, NotEnoughDiskError, NotEnoughMemoryError
    """
    if method not in METHODS:
        raise InputError(f"method {method!r}; known are {', '.join(METHODS)}")
    ridges, progress = checked_ridges(ridges), progress or Progress()
    if method == "eigendecomposition":
        return _by_eigendecomposition(gram, Y, ridges, "asked for", progress)
    reason = "asked for"
    if method == "auto":
        chosen, reason = choose_method(
            gram, way, count=len(ridges), outputs=Y.shape[1], loo=loo, memory=memory, rates=rates
        )
        progress.note(f"{len(ridges)} ridges by {chosen}: {reason}")
        if chosen == "eigendecomposition":
            try:
                return _by_eigendecomposition(gram, Y, ridges, reason, progress)
            except SingularMatrixError as error:
                # What is singular must not depend on which way was quicker: pivots decide, as for one ridge alone.
                reason = (
                    f"an eigendecomposition does not resolve ridge {ridges[0]:g}, smallest eigenvalue {error.pivot:.1e}"
                )
            progress.note(f"{reason}; refactoring")
    return _by_refactoring(gram, Y, ridges, reason, way, loo, fallback, scratch, progress)


def choose_method(gram, way, *, count, outputs, loo, memory=None, rates=None):
    """Return (method, reason): the one predicted to be quicker for `count` ridges, within the memory.

    An eigendecomposition takes the time of EIGEN_COST n^3 operations of a matrix product in float64; each factorisation
    n^3 / 3 at the rate of its precision, FACTOR_OVERHEAD n^2 in float64, and n^3 / 3 more for leave-one-out.
    """
    n = gram.shape[0]
    if gram.device is not backend.CPU:
        return "refactoring", "an eigendecomposition is done on the cpu only"
    if n > LARGEST:
        return "refactoring", f"an eigendecomposition is done up to n = {LARGEST:,}"
    rates = rates or measure_rates(gram.device)
    memory = gram.device.free_memory() if memory is None else memory
    needed = eigen_bytes(n, count, outputs)
    if needed > memory:
        return "refactoring", (
            f"an eigendecomposition needs {format_bytes(needed)} of {format_bytes(memory)} free memory"
        )
    eigen = EIGEN_COST * n**3 / rates.float64
    cubic, inverse = n**3 / 3, n**3 / 3 if loo else 0.0
    factors = count * (cubic / rates.gemm(way.precision) + (FACTOR_OVERHEAD * n**2 + inverse) / rates.float64)
    method = "eigendecomposition" if eigen < factors else "refactoring"
    return method, (
        f"{count} factorisations{' and inverse diagonals' if loo else ''} take about {_about(factors)}, one "
        f"eigendecomposition {_about(eigen)}"
    )


def _about(seconds):
    return duration(seconds) if seconds >= 10 else f"{seconds:.1g} s"


def eigen_bytes(n, count, outputs):
    """Return the bytes that an eigendecomposition and the solutions of `count` ridges take.

    K and its eigenvectors; coefficients, scaled copies, halves and fitted values; and what any solve needs.
    """
    return 16 * n * n + 8 * n * (5 * outputs + 2) * count + backend.CPU.fixed_bytes


def _by_eigendecomposition(gram, Y, ridges, reason, progress):
    watch = Stopwatch()
    with watch("factor"), progress.phase("eigendecomposition", 1) as advance:
        made = spectrum(gram)
        advance(1)
    for ridge in ridges:
        require_regular(made, ridge, gram)
    with watch("solve"):
        halves = made.halves(Y, ridges)
        coefs = made.coefficients(halves, ridges)
    with watch("leave_one_out"):
        diagonals = made.inverse_diagonals(ridges)
    with watch("check"):  # K is made again once, for all ridges
        product, norm = gram.product_and_norm(np.hstack(coefs), progress=progress)
        fitted = np.split(product, len(ridges), axis=1)
    solutions = tuple(
        RidgeSolution(
            ridge,
            coef,
            Check(own, relative_residuals(Y, own + ridge * coef), norm + ridge),
            (half, half),
            made.condition(ridge),
            diagonal,
            "eigendecomposition in float64, in memory",
        )
        for ridge, coef, own, half, diagonal in zip(ridges, coefs, fitted, halves, diagonals, strict=True)
    )
    extremes = float(made.values[0]), float(made.values[-1])
    return RidgePath(solutions, "eigendecomposition", reason, extremes, watch.seconds)


def _by_refactoring(gram, Y, ridges, reason, way, loo, fallback, scratch, progress):
    watch, solutions = Stopwatch(), []
    for number, ridge in enumerate(ridges, 1):
        progress.note(f"ridge {ridge:g}, {number} of {len(ridges)}")
        solution = solve(gram, Y, way, ridge=ridge, fallback=fallback, scratch=scratch, progress=progress)
        watch.add(solution.seconds)
        diagonal = None
        with solution:
            if loo:
                with watch("leave_one_out"):
                    diagonal = solution.factor.inverse_diagonal(progress=progress)
        solutions.append(
            RidgeSolution(
                ridge,
                solution.coef,
                solution.check,
                solution.energy,
                solution.condition_estimate,
                diagonal,
                str(solution.way),
            )
        )
        del solution  # before the next: its factor is half a matrix
    return RidgePath(tuple(solutions), "refactoring", reason, None, watch.seconds)
