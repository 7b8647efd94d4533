"""Solving by K = Q B Q^T with a band B, from which (K + ridge I)^-1 = Q (B + ridge I)^-1 Q^T follows for every ridge.

One reduction (kernelfit.solvers.reduction) is all that a path of ridges needs: a factor of B + ridge I costs next to
nothing.
"""

import dataclasses

import numpy as np
import numpy.typing as npt

from kernelfit.common.errors import InputError
from kernelfit.common.progress import Progress
from kernelfit.common.stopwatch import Stopwatch
from kernelfit.grams.matrix import Gram
from kernelfit.solvers.protocol import Factor, Solver, check_system, memory_explained
from kernelfit.solvers.reduction import STRIP, WIDTH, Band, band
from kernelfit.solvers.regularity import Inverse, condition_estimate, inverse_norm
from kernelfit.solvers.spectrum import filled, singular


@dataclasses.dataclass(frozen=True)
class Banded(Solver):
    """K = Q B Q^T with a band B on the CPU; `Factor.at` gives the factor of another ridge for next to nothing.

    It takes 4/3 n^3 operations, those of 4 Cholesky factorisations, nearly all in matrix products, and the memory of
    a full matrix and a half; leave-one-out takes as much again, once for all ridges. A matrix whose smallest
    eigenvalue is below the rounding error of the largest is called singular, as by Eigen.

    Examples
    --------
    >>> import numpy as np
    >>> from kernelfit.grams.matrix import gram
    >>> X = np.linspace(0, 1, 8)[:, None]
    >>> with Banded().factor(gram(X, "gaussian(bandwidth=0.2)"), ridge=1e-3) as factor:
    ...     coefs = [factor.at(ridge).solve(np.sin(6 * X)).coef for ridge in (1e-3, 0.1)]
    >>> [coef.shape for coef in coefs]
    [(8, 1), (8, 1)]
    """

    @memory_explained()
    def factor(self, K: Gram, *, ridge: float = 0.0, progress: Progress | None = None) -> "BandFactor":
        watch, ridge = Stopwatch(), check_system(K, ridge)
        if K.device.name != "cpu":
            raise InputError(f"the reduction to a band is done on the cpu, not on {K.device.name}; take Cholesky()")
        with watch("factor"), (progress or Progress()).phase("band", 1) as advance:
            made = band(filled(K), K.device)
            advance(1)
        return BandFactor(K, made, ridge=ridge, seconds=watch.seconds)


class BandFactor(Factor):
    """K + ridge I = Q L L^T Q^T, where L has the blocks `diagonal` and `below`.

    Attributes
    ----------
    band : Band
    """

    band: Band

    def __init__(
        self, K: Gram, made: Band, *, ridge: float, seconds: dict[str, float] | None = None, regular: bool = False
    ):
        super().__init__(K, ridge=ridge, method="band factor in float64, in memory", report={}, seconds=seconds or {})
        self.band, self._L = made, _factored(made, self.ridge, K.device)
        if regular and self._L is not None:
            return
        rounding = self.n * np.finfo(float).eps * (made.norm + self.ridge)  # n eps lambda_max: see Spectrum.resolves
        inner = Inverse(self.n, self.solve_turned)
        if self._L is None or not inverse_norm(inner) * rounding < 1:
            self._require_regular(rounding)

    def at(self, ridge: float) -> "BandFactor":
        """Return the factor of K + ridge I for another ridge, which shares Q and B; a larger one leaves it regular."""
        return BandFactor(self.K, self.band, ridge=ridge, regular=ridge >= self.ridge)

    def solve_turned(self, V: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return (B + ridge I)^-1 V, shape (n, r): what lies between band.turn and band.turn_back."""
        return self._backward(self._forward(np.array(V, order="C")))

    def half_solve(self, Y: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return L^-1 Q^T Y, shape (n, r)."""
        return self._forward(self.band.turn(Y))

    def half_columns(self, rows: npt.ArrayLike) -> npt.NDArray[np.float64]:
        rows = np.asarray(rows)
        together = len(rows) and (np.diff(rows) == 1).all()  # a slice is copied several times as fast
        columns = self.band.turned[:, slice(rows[0], rows[-1] + 1) if together else rows]
        return self._forward(np.array(columns, order="C"))

    def inverse_diagonal(self, *, progress: Progress | None = None) -> npt.NDArray[np.float64]:
        _ = self.band.turned  # once, before the threads

        def part(start):
            Z = self.half_columns(range(start, min(start + STRIP, self.n)))
            return np.einsum("ij,ij->j", Z, Z)

        return np.concatenate(self.K.device.map(part, range(0, self.n, STRIP)))

    def half_solve_transposed(self, Z: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return Q L^-T Z, shape (n, r)."""
        return self.band.turn_back(self._backward(np.array(Z, order="C")))

    def log_determinant(self) -> float:
        return float(2 * sum(np.log(block.diagonal()).sum() for block in self._L[0]))

    def smallest_pivot(self) -> float:
        return float(min((block.diagonal() ** 2).min() for block in self._L[0]))

    def _release(self, error: BaseException | None) -> None:
        self.band = self._L = None  # type: ignore[assignment]  # others may share the band

    def _estimate_condition(self):
        return condition_estimate(Inverse(self.n, self.apply_inverse), self._norm_1)

    def _forward(self, Z):
        """Overwrite Z (n, r) with L^-1 Z."""
        diagonal, below = self._L
        for p, block in enumerate(diagonal):
            own = _rows(Z, p)
            if p:
                self.K.device.gemm(below[p - 1], _rows(Z, p - 1), own, alpha=-1.0, beta=1.0)
            self.K.device.trsm(block, own)
        return Z

    def _backward(self, Z):
        """Overwrite Z (n, r) with L^-T Z."""
        diagonal, below = self._L
        for p in reversed(range(len(diagonal))):
            own = _rows(Z, p)
            if p < len(below):
                self.K.device.gemm(below[p], _rows(Z, p + 1), own, alpha=-1.0, beta=1.0, transpose_a=True)
            self.K.device.trsm(diagonal[p], own, transpose=True)
        return Z

    def _require_regular(self, rounding):
        """Raise SingularMatrixError unless the smallest eigenvalue is above rounding, as Eigen does.

        By inverse iteration; where there is no factor, from that of a matrix that is off by rounding. The eigenvector
        has its largest parts at the points that the error names.
        """
        if not rounding:  # K is 0
            raise singular(np.eye(1, self.n)[0], 0.0, 0.0, self.ridge, self.K)
        shift, broken = rounding, self._L is None
        while self._L is None:
            self._L, shift = _factored(self.band, self.ridge + shift, self.K.device), 4 * shift
        v = np.random.default_rng(0).standard_normal((self.n, 1))
        for _ in range(3):
            v = self._backward(self._forward(v / np.linalg.norm(v)))
        smallest = 1.0 / np.linalg.norm(v)
        if broken or not smallest > rounding:
            raise singular(self.band.turn_back(v)[:, 0], smallest, self.band.norm + self.ridge, self.ridge, self.K)


def _rows(Z, p):
    return Z[p * WIDTH : (p + 1) * WIDTH]


def _factored(made, ridge, device):
    """Return the blocks (diagonal, below) of L with L L^T = B + ridge I, or None where a pivot is not positive."""
    diagonal, below = [], []
    for p, block in enumerate(made.diagonal):
        block = block + ridge * np.eye(len(block))
        if p:
            beside = made.below[p - 1].copy()
            device.trsm(diagonal[-1], beside, right=True, transpose=True)
            below.append(beside)
            block -= beside @ beside.T
        if device.potrf(block):
            return None
        diagonal.append(np.tril(block))
    return diagonal, below
