"""Solving by an eigendecomposition of K, which serves every ridge."""

import dataclasses
from collections.abc import Sequence
from typing import Self

import numpy as np
import numpy.typing as npt

from kernelfit.common.progress import Progress
from kernelfit.common.stopwatch import Stopwatch
from kernelfit.grams.matrix import Gram
from kernelfit.solvers.protocol import Factor, Solver, check_system, memory_explained
from kernelfit.solvers.solution import Solution
from kernelfit.solvers.spectrum import Spectrum, require_regular, spectrum


@dataclasses.dataclass(frozen=True)
class Eigen(Solver):
    """K = Q diag(lambda) Q^T on the CPU, up to n = 32,000; `Factor.at` gives the factor of another ridge for nothing.

    It takes the time of about 40 Cholesky factorisations and the memory of two full matrices. A matrix whose smallest
    eigenvalue is below the rounding error of the largest is called singular here; a Cholesky factor may resolve more.
    """

    @memory_explained()
    def factor(self, K: Gram, *, ridge: float = 0.0, progress: Progress | None = None) -> "EigenFactor":
        watch, ridge = Stopwatch(), check_system(K, ridge)
        with watch("factor"), (progress or Progress()).phase("eigendecomposition", 1) as advance:
            made = spectrum(K)
            advance(1)
        return EigenFactor(K, made, ridge=ridge, seconds=watch.seconds)


class EigenFactor(Factor):
    """K + ridge I = Q diag(lambda + ridge) Q^T.

    Attributes
    ----------
    spectrum : Spectrum
    """

    spectrum: Spectrum

    def __init__(self, K: Gram, spectrum: Spectrum, *, ridge: float, seconds: dict[str, float] | None = None):
        method = "eigendecomposition in float64, in memory"
        super().__init__(K, ridge=ridge, method=method, report={}, seconds=seconds or {})
        require_regular(spectrum, self.ridge, K)
        self.spectrum, self._values = spectrum, spectrum.values + self.ridge

    def at(self, ridge: float) -> "EigenFactor":
        """Return the factor of K + ridge I for another ridge, which shares the decomposition."""
        return EigenFactor(self.K, self.spectrum, ridge=ridge)

    def half_solve(self, Y: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return (lambda + ridge)^-1/2 Q^T Y, shape (n, r)."""
        return (self.spectrum.vectors.T @ Y) / np.sqrt(self._values)[:, None]

    def half_columns(self, rows: npt.ArrayLike) -> npt.NDArray[np.float64]:
        return self.spectrum.vectors[np.asarray(rows)].T / np.sqrt(self._values)[:, None]

    def half_solve_transposed(self, Z: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return Q (lambda + ridge)^-1/2 Z, shape (n, r)."""
        return self.spectrum.vectors @ (Z / np.sqrt(self._values)[:, None])

    def inverse_diagonal(self, *, progress: Progress | None = None) -> npt.NDArray[np.float64]:
        return self.spectrum.inverse_diagonals([self.ridge])[0]

    def log_determinant(self) -> float:
        return float(np.log(self._values).sum())

    def smallest_pivot(self) -> float:
        return float(self._values[0])

    def _release(self, error: BaseException | None) -> None:
        self.spectrum = None  # type: ignore[assignment]  # others may share it

    def _solve(self, Y, watch, progress):
        return self._solve_path(Y, [self], watch, progress)[0]

    def solve_path(
        self, Y: npt.ArrayLike, factors: Sequence[Self], *, progress: Progress | None = None
    ) -> list[Solution]:
        """Return a Solution of Y for each of some factors of this decomposition: K is made again once for all."""
        Y, exponents = self._of_size_1(Y)
        solutions = self._solve_path(Y, factors, Stopwatch(), progress or Progress())
        return [self._in_units_of(solution, exponents) for solution in solutions]

    def _solve_path(self, Y, factors, watch, progress):
        with watch("solve"):
            projected = self.spectrum.vectors.T @ Y
            halves = [projected / np.sqrt(factor._values)[:, None] for factor in factors]
            scaled = [half / np.sqrt(factor._values)[:, None] for half, factor in zip(halves, factors, strict=True)]
            coefs = np.split(self.spectrum.vectors @ np.hstack(scaled), len(factors), axis=1)
        with watch("check"):
            fitted, norm = self.K.product_and_norm(np.hstack(coefs), progress=progress)
        solutions, parts = [], np.split(fitted, len(factors), axis=1)
        for factor, coef, half, own in zip(factors, coefs, halves, parts, strict=True):
            factor._norm_1 = norm + factor.ridge
            values = factor._values
            condition = float(values[-1] / values[0])  # in the 2-norm, which is at most that in the 1-norm
            solutions.append(factor._solution(Y, coef, own, half.T @ half, watch, condition=condition))
        return solutions
