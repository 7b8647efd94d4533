"""A trend beside a kernel: f(x) = h(x)^T beta + sum_i coef_i k(x_i, x), h(x) = 1 or (1, x): universal kriging.

With A = K + ridge I and H the rows h(x_i), beta = (H^T A^-1 H)^-1 H^T A^-1 Y, the generalised least squares, and
coef = A^-1 (Y - H beta), so that H^T coef = 0: the kernel adds what the trend does not tell (Cressie, "Statistics for
spatial data", 1993, section 3.4; Rasmussen and Williams, 2006, equation 2.42). One factor answers for Y and H.
"""

import dataclasses
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from kernelfit.common.errors import InputError
from kernelfit.common.progress import Progress
from kernelfit.grams.matrix import Gram
from kernelfit.solvers.protocol import Factor
from kernelfit.solvers.scaling import column_norms
from kernelfit.solvers.solution import Solution, leave_one_out

TRENDS = ("constant", "linear")
_UNDETERMINED = 1e-10  # of [A^-1]_ii: rounding leaves 1e-15, and points that a trend does not hang on nearly all


@dataclasses.dataclass(frozen=True, eq=False)
class Basis:
    """h(x): 1, and if linear (x - centre) / scale for those coordinates that vary.

    Attributes
    ----------
    centre, scale : float64 arrays, shape (d,)
        Mean and standard deviation of the training points; of shape (0,) for a constant trend.
    """

    centre: npt.NDArray[np.float64]
    scale: npt.NDArray[np.float64]

    @classmethod
    def of(cls, trend: str, X: npt.NDArray, *, of_matrix: bool = False) -> Self:
        """Return the Basis of a trend for training points X (n, ...); raises InputError where there is none."""
        if not isinstance(trend, str) or trend not in TRENDS:
            raise InputError(f"trend = {trend!r}; give None, 'constant' or 'linear'")
        if trend == "constant":
            return cls(np.empty(0), np.empty(0))
        if of_matrix:
            raise InputError("a precomputed kernel has no coordinates for a linear trend; give trend='constant'")
        C = _coordinates(X)
        D = C - C[0]  # without rounding where C varies little about a large number, and 0 of what is constant
        mean = D.mean(axis=0)
        return cls(C[0] + mean, column_norms(D - mean) / np.sqrt(len(C)))

    def __call__(self, X: npt.NDArray) -> npt.NDArray[np.float64]:
        """Return the rows h(x), shape (m, p)."""
        if not len(self.scale):
            return np.ones((len(X), 1))
        varying = self.scale > 0
        rest = (_coordinates(X)[:, varying] - self.centre[varying]) / self.scale[varying]
        return np.column_stack([np.ones(len(X)), rest])

    def unscaled(self, beta: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return the coefficients (1 + d, r) of 1 and x - centre, for those of h (p, r)."""
        out, varying = np.zeros((1 + len(self.scale), beta.shape[1])), self.scale > 0
        out[0] = beta[0]
        out[1:][varying] = beta[1:] / self.scale[varying, None]
        return out


def trend_values(
    X: npt.NDArray, centre: npt.NDArray[np.float64], coef: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return coef[0] + (x - centre)^T coef[1:] for the points X, shape (m, r)."""
    return coef[0] + (_coordinates(X) - centre) @ coef[1:] if len(centre) else np.repeat(coef[:1], len(X), axis=0)


def least_squares(
    H: npt.NDArray[np.float64], Y: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return (beta, Y - H beta) of ordinary least squares: what is left is solved in its own units.

    The fit with the kernel is the same for Y and for Y - H beta but for the trend, whatever beta is.

    Raises
    ------
    InputError
        The columns of H are linearly dependent: there are too few points, or coordinates that others determine.
    """
    if not H.shape[1]:
        return np.zeros((0, Y.shape[1])), Y
    beta, _, rank, _ = np.linalg.lstsq(H, Y, rcond=None)
    if rank < H.shape[1]:
        raise InputError(
            f"the trend is not determined: of its {H.shape[1]} functions only {rank} are independent at the "
            f"n_samples = {len(H)} training points. Give more points, or trend='constant'"
        )
    rest = Y - H @ beta
    # Sums of p products: what rounding leaves of a trend is no target.
    rounded = column_norms(rest) <= 16 * H.shape[1] * np.finfo(float).eps * column_norms(Y)
    rest[:, rounded] = 0.0
    return np.asarray(beta, dtype=np.float64), rest


@dataclasses.dataclass(frozen=True, eq=False)
class Generalised:
    """The fit of a trend and a kernel together.

    Attributes
    ----------
    beta : float64 array, shape (p, r)
    solution : Solution
        Of the targets Y - H beta.
    leverage : float64 array, shape (n,)
        The diagonal of A^-1 H (H^T A^-1 H)^-1 H^T A^-1.
    """

    beta: npt.NDArray[np.float64]
    solution: Solution
    leverage: npt.NDArray[np.float64]

    @classmethod
    def of(cls, factor: Factor, both: Solution, r: int, *, progress: Progress | None = None) -> Self:
        """Return the fit for the Solution of a Factor of A for targets [Y, H], Y the first r columns."""
        Y, H = both.targets[:, :r], both.targets[:, r:]
        if not H.shape[1]:
            return cls(np.zeros((0, r)), both, np.zeros(len(Y)))
        Q = (both.quadratic + both.quadratic.T) / 2
        root = _root(Q[r:, r:])
        beta = _solved(root, _solved(root, Q[r:, :r]), trans="T")
        half = _solved(root, both.coef[:, r:].T)
        # Solved again, and not combined, so that the residual is that of these targets, however small they are.
        return cls(beta, factor.solve(Y - H @ beta, progress=progress), np.einsum("ij,ij->j", half, half))

    def left_out(self, Y: npt.NDArray[np.float64], inverse_diagonal: npt.NDArray[np.float64]) -> npt.NDArray:
        """Return the predictions (n, r) at each training point of the function fitted, with its trend, without it.

        With B = A^-1 - A^-1 H (H^T A^-1 H)^-1 H^T A^-1, f^(-i)(x_i) = y_i - (B Y)_i / B_ii (Dubrule, "Cross validation
        of kriging in a unique neighborhood", 1983); B Y = coef. NaN for a point without which the trend is not
        determined: B_ii is 0 there.
        """
        if not len(self.beta):
            return self.solution.left_out(inverse_diagonal)
        own = inverse_diagonal - self.leverage
        own[own <= _UNDETERMINED * inverse_diagonal] = np.nan
        return leave_one_out(Y, self.solution.coef, own)


def trend_deviation(
    factor: Factor, H: npt.NDArray[np.float64], K_test: Gram, H_test: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return V (p, m) with V^T V the covariance that the unknown beta adds to that of a known one.

    V = L^-1 (H_test - K_test A^-1 H)^T with L L^T = H^T A^-1 H (Rasmussen and Williams, 2006, equation 2.42).
    """
    coef = K_test.device.host(factor.apply_inverse(K_test.device.array(H)))
    return _solved(_root(H.T @ coef), (H_test - K_test.product(coef)).T)


def _root(Q):
    try:
        return np.linalg.cholesky((Q + Q.T) / 2)
    except np.linalg.LinAlgError as error:
        raise InputError(
            "the trend is not determined to working precision: H^T A^-1 H is singular. Give a ridge, or trend=None"
        ) from error


def _coordinates(X: Any) -> npt.NDArray[np.float64]:
    X = np.asarray(X)
    C = X.reshape(len(X), -1).astype(np.float64)
    return C / 255 if X.dtype == np.uint8 else C


def _solved(root, B, trans="N"):
    from scipy.linalg import solve_triangular  # loads much that a fit without a trend does not need

    return solve_triangular(root, B, lower=True, trans=trans)
