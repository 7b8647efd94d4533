"""Further points for a function that is fitted: its factor grows, and nothing is factored again."""

import dataclasses
import time

import numpy as np
import numpy.typing as npt

from kernelfit.common.progress import Progress
from kernelfit.common.rng import generator
from kernelfit.grams.base import Points
from kernelfit.grams.matrix import Gram
from kernelfit.models.expansion import KernelExpansion
from kernelfit.models.fit import FitReport, pivot_of
from kernelfit.models.posterior import log_determinant_of, log_marginal_likelihood
from kernelfit.solvers.protocol import Factor
from kernelfit.solvers.scaling import exponents_of, in_units
from kernelfit.solvers.solution import Solution, doubts

_CHECKED = 64  # rows of the system, beside the new ones, whose residual is measured: all would cost a whole K


def extend(
    factor: Factor, points: Points, Y: npt.NDArray[np.float64], report: FitReport, *, progress: Progress | None = None
) -> tuple[Factor, KernelExpansion, float, FitReport]:
    """Return (factor, function, norm, report) of a fit with points after those of its factor, which stays open.

    In the report, relative_residual is that of the rows of the new points and of 64 others, drawn by a fixed seed,
    scaled to all rows; norm_disagreement is that of Y^T coef and |L^-1 Y|^2, both through the factor;
    condition_estimate is None.

    Parameters
    ----------
    factor : Factor
        Of n points, float64 Cholesky in memory: see Factor.extended.
    points : Points
        m further ones, prepared beside those of the factor.
    Y : float64 array, shape (n + m, r)
        Targets of all.
    report : FitReport
        Of the fit so far.

    Raises
    ------
    UnsupportedError
        The factor cannot be extended.
    SingularMatrixError
    """
    begin = time.perf_counter()
    n, N = factor.n, factor.n + len(points)
    exponents = exponents_of(Y)
    scaled = in_units(Y, -exponents)
    made, half = factor.extended(Gram(factor.K.points.joined(points), factor.K.kernel), scaled, progress=progress)
    coef = made.half_solve_transposed(half)
    rows = np.append(np.sort(generator(0, "checked rows").permutation(n)[:_CHECKED]), np.arange(n, N))
    K = Gram(made.K.points.subset(rows), made.K.kernel, made.K.points)
    gone = scaled[rows] - K.product(coef, progress=progress) - made.ridge * coef[rows]
    sizes = np.linalg.norm(scaled, axis=0)
    lengths = np.linalg.norm(gone, axis=0) * np.sqrt(N / len(rows))
    residual = float((lengths / np.where(sizes > 0, sizes, 1.0)).max())
    # K coef is not made: the Solution is one for its norm and likelihood alone.
    fitted, unknown = scaled - made.ridge * coef, float("nan")
    solution = Solution(
        scaled, coef, fitted, half.T @ half, made.ridge, unknown, None, made.method, made.report, made.seconds
    ).in_units(exponents)
    norm = solution.norm
    updated = dataclasses.replace(
        report,
        n=N,
        precision=made.precision,
        method=f"{made.method}, extended by {len(points):,} points; residual of {len(rows):,} rows",
        relative_residual=residual,
        norm_disagreement=norm.disagreement,
        condition_estimate=None,
        smallest_pivot=pivot_of(made),
        log_marginal_likelihood=log_marginal_likelihood(solution, log_determinant_of(made)),
        seconds=time.perf_counter() - begin,
        warnings=tuple(doubts(residual, norm_disagreement=norm.disagreement)),
    )
    function = KernelExpansion(made.K.kernel, made.K.points.as_columns(), solution.coef, ridge=made.ridge)
    return made, function, norm.total, updated
