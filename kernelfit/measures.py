"""Measures of an interpolant: errors, norm by two routes, residual, condition, leave-one-out."""

import dataclasses

import numpy as np


def one_hot(y, n_classes):
    """Return 0/1 targets, float64 of shape (n, n_classes), for labels y."""
    Y = np.zeros((len(y), n_classes))
    Y[np.arange(len(y)), y] = 1.0
    return Y


def error_rate(scores, y):
    """Return the fraction of rows of `scores` (n, classes) whose largest entry is not at y (n,); NaN is an error.

    Examples
    --------
    >>> import numpy as np
    >>> error_rate(np.array([[0.9, 0.1], [0.4, 0.6], [0.8, 0.3]]), np.array([0, 1, 1])).hex()
    '0x1.5555555555555p-2'
    """
    return float(np.mean((np.argmax(scores, axis=1) != y) | ~np.isfinite(scores).all(axis=1)))


def to_plus_minus_one(V):
    """Turn anything linear in 0/1 one-hot targets, shape (n, classes), into the same for -1/+1 targets.

    With Y' = 2 Y - 1 and rows of Y that sum to one, Y' = 2 Y - Y 1 1^T, so A Y' = 2 A Y - (A Y) 1 1^T for every A.
    """
    return 2.0 * V - V.sum(axis=1, keepdims=True)


@dataclasses.dataclass(frozen=True)
class Norm:
    """RKHS norm of the interpolant, all outputs together and each alone.

    Attributes
    ----------
    total : float
        sqrt(sum over outputs of |f_c|^2).
    per_output : list of float
        |f_c|.
    disagreement : float
        Relative difference of `total` between the two routes; infinite where a square came out negative.
    """

    total: float
    per_output: list
    disagreement: float


def rkhs_norm(coef, fitted, energy, ridge=0.0):
    """Return the RKHS norm of f = sum_i coef_i k(x_i, .), |f_c|^2 = coef_c^T K coef_c, by two routes.

    The first multiplies coef with K coef from recomputed Gram blocks. The second does not know them: with
    (K + ridge I) coef = Y, coef^T K coef = Y^T coef - ridge |coef|^2 column by column, and Y^T coef = |L^-1 Y|^2 where
    there is a factor L L^T = K + ridge I. They agree only if coef solves the system, and the factor belongs to it.

    Parameters
    ----------
    coef, fitted : array, shape (n, r)
        (K + ridge I)^-1 Y and K coef.
    energy : (array, array)
        L^-1 Y twice, or Y and coef: their inner products column by column are Y^T (K + ridge I)^-1 Y.
    """
    squares = np.einsum("ij,ij->j", coef, fitted)
    others = np.einsum("ij,ij->j", *energy) - ridge * np.einsum("ij,ij->j", coef, coef)
    with np.errstate(invalid="ignore"):  # rounding may leave a negative square: NaN, never 0
        total, other = float(np.sqrt(squares.sum())), float(np.sqrt(others.sum()))
        per_output = np.sqrt(squares).tolist()
    disagreement = abs(total - other) / max(total, other, np.finfo(float).tiny)
    return Norm(total, per_output, disagreement if np.isfinite(disagreement) else float("inf"))


def leave_one_out(Y, coef, inverse_diagonal):
    """Return the predictions (n, r) at each training point of the interpolant fitted without that point.

    f^(-i)(x_i) = y_i - coef_i / [(K + ridge I)^-1]_ii, exact for any ridge >= 0 (Rasmussen and Williams, "Gaussian
    processes for machine learning", 2006, equation 5.12).

    Examples
    --------
    >>> import numpy as np
    >>> from kernelfit.gram import gram
    >>> from kernelfit.kernels import Gaussian
    >>> from kernelfit.solvers.cholesky import cholesky
    >>> X = np.linspace(0, 1, 8)[:, None]
    >>> kernel, Y = Gaussian(bandwidth=0.2), np.sin(6 * X)
    >>> factor = cholesky(gram(X, kernel))
    >>> left_out = leave_one_out(Y, factor.solve(Y), factor.inverse_diagonal())
    >>> without = cholesky(gram(X[1:], kernel)).solve(Y[1:])  # really leaving the first one out
    >>> bool(np.isclose(left_out[0], gram(X[:1], kernel, X[1:]).product(without)[0]))
    True
    """
    return Y - coef / inverse_diagonal[:, None]


@dataclasses.dataclass(frozen=True)
class Check:
    """What one pass over recomputed Gram blocks tells of a solution.

    Attributes
    ----------
    fitted : array, shape (n, r)
        K coef: the interpolant at the training points.
    relative_residual : float
        |Y - (K + ridge I) coef|_F / |Y|_F, or without the division where Y = 0.
    norm_1 : float
        Largest absolute column sum of K + ridge I.
    """

    fitted: np.ndarray
    relative_residual: float
    norm_1: float


def check_solution(gram, Y, coef, *, ridge=0.0, norm_1=None, progress=None):
    """Recompute K by blocks and return a Check of (K + ridge I) coef = Y; norm_1 saves a part of it if known."""
    if norm_1 is None:
        fitted, norm = gram.product_and_norm(coef, progress=progress)
        norm_1 = norm + ridge  # a kernel has a diagonal >= 0, so that the ridge adds to every absolute column sum
    else:
        fitted = gram.product(coef, progress=progress)
    return Check(fitted, relative_residual(Y, coef, fitted, ridge), norm_1)


def relative_residual(Y, coef, fitted, ridge=0.0):
    """Return |Y - (K + ridge I) coef|_F / |Y|_F for fitted = K coef, or without the division where Y = 0."""
    residual = Y - fitted - ridge * coef
    return float(np.linalg.norm(residual) / (np.linalg.norm(Y) or 1.0))


def condition_estimate(factor, norm_1):
    """Return a lower bound, usually within a factor of 3, of the 1-norm condition number of K + ridge I.

    |A^-1|_1 is estimated by Hager's method from a few solves (Higham, "Accuracy and Stability", 2nd ed., section 15.3).
    """
    from scipy.sparse.linalg import LinearOperator, onenormest

    def solve(V):
        return factor.solve(V.reshape(factor.n, -1)).reshape(V.shape)

    inverse = LinearOperator(
        (factor.n, factor.n), matvec=solve, rmatvec=solve, matmat=solve, rmatmat=solve, dtype=float
    )
    return float(norm_1 * onenormest(inverse, t=1))  # t = 1 draws no random numbers
