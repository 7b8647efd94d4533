"""A ridge of its own for each point: A = K + ridge diag(1 / w), by the factor of a matrix with one ridge.

With R = diag(sqrt(w)), A = R^-1 (R K R + ridge I) R^-1: any solver of K + ridge I factors the matrix in the middle, and
what it answers is scaled. As a Gaussian process, point i has noise of variance ridge / w_i.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from kernelfit import backend
from kernelfit.common.errors import InputError
from kernelfit.common.files import sha256
from kernelfit.common.progress import Progress
from kernelfit.common.spans import Span
from kernelfit.grams.matrix import Gram
from kernelfit.solvers.planning.problem import Problem
from kernelfit.solvers.protocol import Factor, Solver
from kernelfit.solvers.solution import Solution


@dataclasses.dataclass(frozen=True, eq=False)
class Weighted(Solver):
    """Solves (K + ridge diag(1 / weights)) coef = Y by another Solver.

    Parameters
    ----------
    solver : Solver
        One that makes its blocks of K here: not Mpi, and not Dask, which raise UnsupportedError.
    weights : array, shape (n,)
        Positive.

    Examples
    --------
    >>> import kernelfit as kf
    >>> K = kf.gram(np.array([[0.0], [1.0]]), kf.Gaussian(bandwidth=1.0))
    >>> solver, w = kf.Cholesky(), np.array([1.0, 4.0])
    >>> coef = kf.solve(K, np.array([1.0, 2.0]), Weighted(solver, w), ridge=0.1).coef
    >>> (K.product(coef) + 0.1 * coef / w[:, None]).round(12).tolist()
    [[1.0], [2.0]]
    """

    solver: Solver
    weights: npt.NDArray[np.float64]

    @property
    def device(self) -> backend.Device | str:  # type: ignore[override]
        return self.solver.device

    def factor(self, K: Gram, *, ridge: float = 0.0, progress: Progress | None = None) -> "WeightedFactor":
        roots = np.sqrt(np.asarray(self.weights, dtype=np.float64))
        if roots.shape != K.shape[:1] or not (np.isfinite(roots).all() and roots.all()):
            raise InputError(f"weights of shape {roots.shape}; expected {K.shape[:1]} finite numbers above 0")
        return WeightedFactor(self.solver.factor(WeightedGram(K, roots), ridge=ridge, progress=progress), K, roots)

    def require(self, problem: Problem) -> None:
        self.solver.require(problem)


class WeightedGram(Gram):
    """R K R of a symmetric K, R = diag(roots); its blocks are those of K, scaled where they are made."""

    of_points = False

    def __init__(self, K: Gram, roots: npt.NDArray[np.float64]) -> None:
        self.plain, self.roots, self._scale = K, roots, K.device.array(roots)
        self.kernel, self.symmetric, self.points, self.left = K.kernel, K.symmetric, K.points, K.left
        self.device, self.shape = K.device, K.shape

    def block(self, rows: Span, columns: Span, out: npt.NDArray | None = None) -> npt.NDArray:
        out = self.plain.block(rows, columns, out)
        out *= self._scale[slice(*rows), None]
        out *= self._scale[slice(*columns)]
        return out

    def subset(self, rows: Sequence[int] | npt.NDArray) -> Gram:
        return WeightedGram(self.plain.subset(rows), self.roots[np.asarray(rows)])

    def columns(self, rows: Sequence[int] | npt.NDArray) -> npt.NDArray:
        return self.plain.columns(rows) * self._scale[:, None] * self._scale[np.asarray(rows)]

    def cached(self, *, progress: Progress | None = None) -> Gram:
        return WeightedGram(self.plain.cached(progress=progress), self.roots)

    def fingerprint(self) -> str:
        return sha256((self.plain.fingerprint() + sha256(self.roots)).encode())


class WeightedFactor(Factor):
    """The factor of A = K + ridge diag(1 / w), by that of R K R + ridge I."""

    def __init__(self, base: Factor, K: Gram, roots: npt.NDArray[np.float64]) -> None:
        super().__init__(K, ridge=base.ridge, method=base.method, report=base.report, seconds=base.seconds)
        self.base, self.roots, self._scale = base, roots, K.device.array(roots)
        self.precision, self.device = base.precision, base.device
        self.gflops, self.gemm_gflops = base.gflops, base.gemm_gflops

    def solve(self, Y: npt.ArrayLike, *, progress: Progress | None = None) -> Solution:
        Y, R = self._checked(Y), self.roots[:, None]
        inner = self.base.solve(R * Y, progress=progress)
        coef, fitted = R * inner.coef, inner.fitted / R
        solution = dataclasses.replace(inner, targets=Y, coef=coef, fitted=fitted, K=self.K, roots=self.roots)
        # Of targets of any units; coef^T K coef and the residual are those of the matrix with one ridge.
        vars(solution).update(norm=inner.norm, residual_per_output=inner.residual_per_output)
        return solution

    def half_solve(self, Y: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return self.base.half_solve(self._scaled(Y))

    def half_solve_transposed(self, Z: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return self._scaled(self.base.half_solve_transposed(Z))

    def inverse_diagonal(self, *, progress: Progress | None = None) -> npt.NDArray[np.float64]:
        return self.roots**2 * self.base.inverse_diagonal(progress=progress)

    def log_determinant(self) -> float:
        return self.base.log_determinant() - 2 * float(np.log(self.roots).sum())

    def smallest_pivot(self) -> float:
        return self.base.smallest_pivot()

    def _scaled(self, V: Any) -> Any:
        return V * (self.roots if isinstance(V, np.ndarray) else self._scale)[:, None]

    def _release(self, error: BaseException | None) -> None:
        self.base.close(error)
