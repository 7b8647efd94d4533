"""Minimum-norm least squares, primal and dual, and the curvature that all global solutions share."""

import dataclasses

import numpy as np
import numpy.typing as npt

from kernelfit.common.errors import InputError
from kernelfit.common.validation import check_targets
from kernelfit.grams.points import coordinates
from kernelfit.solvers.scaling import column_norms, relative_residuals


@dataclasses.dataclass(frozen=True)
class LeastSquares:
    """The solution of min |X W - Y|_F with the smallest |W|_F, and how good it is.

    Attributes
    ----------
    weights : float64 array, shape (d,) or (d, r)
        W = X^+ Y (primal).
    dual_coef : float64 array, shape (n,) or (n, r)
        A = (X X^T)^+ Y with W = X^T A: the weights are a combination of the training points.
    singular_values : float64 array, shape (rank,)
        Those of X that count as nonzero, largest first.
    row_space : float64 array, shape (d, rank)
        Orthonormal basis V of the span of the training points; P_null = I - V V^T.
    relative_residual : float
        |X W_c - Y_c| / |Y_c| of the output c where it is largest: rounding where Y can be interpolated, more where it
        cannot.
    """

    weights: np.ndarray
    dual_coef: np.ndarray
    singular_values: np.ndarray
    row_space: np.ndarray
    relative_residual: float

    @property
    def rank(self) -> int:
        """Numerical rank of X; below min(n, d), some training points depend on others."""
        return len(self.singular_values)

    @property
    def condition(self) -> float:
        """|X| |X^+|, the condition number of X on its row space."""
        return float(self.singular_values[0] / self.singular_values[-1])

    @property
    def norm(self) -> float:
        """|W|_F."""
        return float(column_norms(self.weights.reshape(-1, 1))[0])

    def outside_row_space(self, W: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return P_null W, the part of W (d, ...) that no prediction on the training points sees."""
        return W - self.row_space @ (self.row_space.T @ W)


def minimum_norm(X: npt.ArrayLike, Y: npt.ArrayLike) -> LeastSquares:
    """Return the LeastSquares with the smallest norm among all minimisers of |X W - Y|_F.

    From the thin SVD X = U S V^T of numerical rank r,

        primal  W = X^+ Y = V S^-1 U^T Y,        dual  W = X^T A,  A = (X X^T)^+ Y = U S^-2 U^T Y.

    With n <= d and full rank this is X W = Y and X X^T A = Y, the solution that gradient descent from zero finds (Zhang
    et al., section 5). X X^T itself, whose condition number is the square of that of X, is never formed. A deficient
    rank is no error: as in numpy.linalg.lstsq, singular values below eps max(n, d) times the largest count as zero, and
    `rank` tells how many were left.

    Parameters
    ----------
    X : array, shape (n, ...)
        uint8 stands for pixels / 255.
    Y : array, shape (n,) or (n, r)

    Raises
    ------
    InputError
        X and Y do not fit each other, are not finite, or X is zero.

    Examples
    --------
    >>> import numpy as np
    >>> found = minimum_norm(np.array([[1.0, 1.0, 0.0], [0.0, 0.0, 2.0]]), np.array([2.0, 2.0]))
    >>> found.weights.round(12).tolist(), found.rank
    ([1.0, 1.0, 1.0], 2)
    """
    X, targets = prepare(X, Y)
    U, S, Vt = decompose(X)
    projected = U.T @ targets / S[:, None]
    weights, dual_coef = Vt.T @ projected, U @ (projected / S[:, None])
    residual = relative_residuals(targets, X @ weights).max(initial=0.0)
    shape = np.shape(Y)[1:]
    return LeastSquares(weights.reshape(-1, *shape), dual_coef.reshape(-1, *shape), S, Vt.T, float(residual))


@dataclasses.dataclass(frozen=True)
class Curvature:
    """The Hessian of L(w) = |X w - y|^2 / (2 n).

    Attributes
    ----------
    eigenvalues : float64 array, shape (d,)
        Those of X^T X / n, largest first.
    rank : int
        How many are not zero; d - rank is the dimension of the set of global solutions.
    """

    eigenvalues: np.ndarray
    rank: int


def curvature(X: npt.ArrayLike) -> Curvature:
    """Return the Curvature of the squared loss: the same at every w, so that it tells no global solution from another.

    The Hessian X^T X / n depends neither on w nor on y, hence these are the only arguments. All solutions
    w_min + P_null v have this curvature, the one of minimum norm and the ones that generalise worst (section 5).
    """
    X = coordinates(X)
    _, S, _ = decompose(X)
    eigenvalues = np.zeros(X.shape[1])
    eigenvalues[: len(S)] = S**2 / len(X)
    return Curvature(eigenvalues, len(S))


def prepare(X: npt.ArrayLike, Y: npt.ArrayLike) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return X as float64 (n, d), pixels divided by 255, and Y as float64 (n, r)."""
    X = coordinates(X)
    return X, check_targets(Y, len(X))


def decompose(
    X: npt.NDArray[np.float64],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the thin SVD U (n, rank), S (rank,), V^T (rank, d) of X, without what is zero to working precision."""
    U, values, Vt = np.linalg.svd(X, full_matrices=False)
    # The SVD moves each singular value by up to about eps max(n, d) times the largest; less than that is noise.
    rank = int(np.count_nonzero(values > np.finfo(float).eps * max(X.shape) * values[0]))
    if rank == 0:
        raise InputError(f"X of shape {X.shape} is zero; no weights can change what it predicts")
    return U[:, :rank], values[:rank], Vt[:rank]
