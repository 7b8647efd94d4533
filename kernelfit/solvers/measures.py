"""Measures of an interpolant: errors, norm by two routes, residual, condition, leave-one-out, and what they warn of."""

import dataclasses

import numpy as np

ACCURATE = 1e-8  # largest relative residual of a system that counts as solved: 8 digits


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
        Relative difference between the two routes, of `total` or of the output where it is largest; infinite where a
        square came out negative.
    """

    total: float
    per_output: list
    disagreement: float


def rkhs_norm(coef, fitted, energy, ridge=0.0):
    """Return the RKHS norm of f = sum_i coef_i k(x_i, .), |f_c|^2 = coef_c^T K coef_c, by two routes.

    The first multiplies coef with K coef from recomputed Gram blocks. The second does not know them: with
    (K + ridge I) coef = Y, coef^T K coef = Y^T coef - ridge |coef|^2 column by column, and Y^T coef = |L^-1 Y|^2 where
    there is a factor L L^T = K + ridge I. They agree only if coef solves the system, and the factor belongs to it.

    The entries of K, rounded to eps, determine coef^T K coef to about eps |K| |coef|^2 and no better: a small ridge on
    a matrix of low rank leaves coefficients so large that digits of the norm are lost. The second route has the
    rounding of the factor too and subtracts two large terms, so that the first is usually the better, and the distance
    between them says how many digits both have.

    Parameters
    ----------
    coef, fitted : array, shape (n, r)
        (K + ridge I)^-1 Y and K coef.
    energy : (array, array)
        L^-1 Y twice, or Y and coef: their inner products column by column are Y^T (K + ridge I)^-1 Y.
    """
    own, others, shrunk = (_inner_products(*pair) for pair in ((coef, fitted), energy, (coef, coef)))
    exponents = np.maximum(others[1], shrunk[1])
    others = np.ldexp(others[0], others[1] - exponents) - ridge * np.ldexp(shrunk[0], shrunk[1] - exponents), exponents
    (total, per_output), (other, other_per_output) = _roots(*own), _roots(*others)
    ours, theirs = np.append(per_output, total), np.append(other_per_output, other)
    disagreement = float((np.abs(ours - theirs) / np.maximum(np.maximum(ours, theirs), np.finfo(float).tiny)).max())
    return Norm(total, per_output.tolist(), disagreement if np.isfinite(disagreement) else float("inf"))


def exponents_of(V):
    """Return integers e, one for each column of V (n, r), with 2^e <= its largest entry < 2^(e + 1); 0 for zeros."""
    largest = np.maximum(V.max(axis=0, initial=0.0), -V.min(axis=0, initial=0.0))
    return np.where(largest > 0, np.frexp(largest)[1] - 1, 0)


def in_units(V, exponents):
    """Return V with its columns times 2^exponents, and V itself where all of these are 0.

    With -exponents_of(V), every column comes to size 1: no digit changes, and no square over- or underflows.
    """
    with np.errstate(over="ignore"):
        return np.ldexp(V, exponents) if exponents.any() else V


def _inner_products(U, V):
    """Return (m, e) with the inner products m 2^e of the columns of U and V."""
    e, f = exponents_of(U), exponents_of(V)
    return np.einsum("ij,ij->j", in_units(U, -e), in_units(V, -f)), e + f


def _roots(squares, exponents):
    """Return (root of the sum, roots) of squares 2^exponents; infinite beyond the largest number."""
    largest = int(exponents.max(where=squares != 0, initial=-5000)) // 2 * 2
    with np.errstate(invalid="ignore", over="ignore"):  # rounding may leave a negative square: NaN, never 0
        total = np.ldexp(np.sqrt(np.ldexp(squares, exponents - largest).sum()), largest // 2)
        return float(total), np.ldexp(np.sqrt(np.ldexp(squares, exponents % 2)), exponents // 2)


def leave_one_out(Y, coef, inverse_diagonal):
    """Return the predictions (n, r) at each training point of the interpolant fitted without that point.

    f^(-i)(x_i) = y_i - coef_i / [(K + ridge I)^-1]_ii, exact for any ridge >= 0 (Rasmussen and Williams, "Gaussian
    processes for machine learning", 2006, equation 5.12).

    Examples
    --------
    >>> import numpy as np
    >>> from kernelfit.gram.matrix import gram
    >>> from kernelfit.kernels import Gaussian
    >>> from kernelfit.solvers.panel_cholesky import cholesky
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
    residual_per_output : float64 array, shape (r,)
        |Y_j - (K + ridge I) coef_j| / |Y_j|, or without the division where Y_j = 0.
    norm_1 : float
        Largest absolute column sum of K + ridge I.
    """

    fitted: np.ndarray
    residual_per_output: np.ndarray
    norm_1: float

    @property
    def relative_residual(self):
        """The largest residual of all outputs: pooled, a small output could be wrong in every digit beside a large."""
        return float(self.residual_per_output.max(initial=0.0))


def check_solution(gram, Y, coef, *, ridge=0.0, norm_1=None, progress=None):
    """Recompute K by blocks and return a Check of (K + ridge I) coef = Y; norm_1 saves a part of it if known."""
    if norm_1 is None:
        fitted, norm = gram.product_and_norm(coef, progress=progress)
        norm_1 = norm + ridge  # a kernel has a diagonal >= 0, so that the ridge adds to every absolute column sum
    else:
        fitted = gram.product(coef, progress=progress)
    return Check(fitted, relative_residuals(Y, fitted + ridge * coef if ridge else fitted), norm_1)


def relative_residuals(Y, reached):
    """Return |Y_j - reached_j| / |Y_j| for each column j, shape (r,), or without the division where Y_j = 0.

    Examples
    --------
    >>> import numpy as np
    >>> relative_residuals(np.array([[1e200, 1.0], [0.0, 0.0]]), np.array([[1e200, 0.5], [0.0, 0.0]])).tolist()
    [0.0, 0.5]
    """
    size = column_norms(Y)
    return column_norms(Y - reached) / np.where(size == 0, 1.0, size)


def column_norms(V):
    """Return the Euclidean norm of each column of V, whatever its units: no square over- or underflows."""
    exponents = exponents_of(V)
    V = in_units(V, -exponents)
    return in_units(np.sqrt(np.einsum("ij,ij->j", V, V)), exponents)


def condition_estimate(factor, norm_1):
    """Return a lower bound, usually within a factor of 3, of the 1-norm condition number of K + ridge I."""
    return float(norm_1 * (factor.inverse_norm or inverse_norm(factor)))


def inverse_norm(factor, roots=1.0):
    """Return a lower bound, usually within a factor of 3, of |D (L L^T)^-1 D|_1 with D = diag(roots).

    By Hager's method from a few solves (Higham, "Accuracy and Stability", 2nd ed., section 15.3).
    """
    from scipy.sparse.linalg import LinearOperator, onenormest

    roots = np.reshape(roots, (-1, 1))

    def solve(V):
        return (roots * factor.solve(roots * V.reshape(factor.n, -1))).reshape(V.shape)

    inverse = LinearOperator(
        (factor.n, factor.n), matvec=solve, rmatvec=solve, matmat=solve, rmatmat=solve, dtype=float
    )
    return float(onenormest(inverse, t=1))  # t = 1 draws no random numbers


def doubts(relative_residual=None, *, norm_disagreement=None, condition_estimate=None):
    """Return what a reader of these numbers must know, one sentence for each that is bad; None is "not measured".

    Each bound is where fewer than about six to eight digits are left; NaN is bad. Every command and estimator asks
    here, so that the same numbers warn everywhere.

    Examples
    --------
    >>> doubts(relative_residual=1e-12, norm_disagreement=6.3e-3)
    ['two routes to the norm differ by 6.3e-03']
    """
    found = []
    if relative_residual is not None and not relative_residual <= ACCURATE:
        found.append(f"the relative residual is {relative_residual:.1e}: the system is not solved to 8 digits")
    if norm_disagreement is not None and not norm_disagreement <= 1e-6:
        found.append(f"two routes to the norm differ by {norm_disagreement:.1e}")
    if condition_estimate is not None and not condition_estimate <= 1e12:
        found.append(
            f"the condition number is at least {condition_estimate:.1e}: the coefficients have few correct digits"
        )
    return found
