"""Other interpolants of the same labels than the one of least norm (Zhang et al., section 5).

The interpolant of least norm in the RKHS of a kernel is a combination of k(x_i, .) at the training points, and every
other f with the same values there is further out: f - f_0 vanishes on the training points, so it is orthogonal to f_0,

    |f|^2 = |f_0|^2 + |f - f_0|^2.

Two others are made here: expansions about centres that are not the training points, and the interpolant that is forced
through given labels at further points too. Nothing is regularised: a system that cannot be solved is an error.
"""

import dataclasses
from typing import cast

import numpy as np
import numpy.typing as npt

from kernelfit import backend
from kernelfit.common.errors import InputError, SingularMatrixError
from kernelfit.common.progress import Progress
from kernelfit.common.validation import check_targets
from kernelfit.grams.base import Points
from kernelfit.grams.matrix import gram
from kernelfit.grams.points import coordinates
from kernelfit.kernels import Kernel
from kernelfit.models.expansion import KernelExpansion
from kernelfit.solvers.cholesky import Cholesky
from kernelfit.solvers.scaling import column_norms, column_roots, inner_products, relative_residuals
from kernelfit.solvers.solution import ACCURATE

_LARGEST = 46_340  # n^2 entries are counted by LAPACK's 32-bit integers


@dataclasses.dataclass(frozen=True)
class Alternative:
    """Another function with the same values at the training points, and how well it was solved for.

    Attributes
    ----------
    function : KernelExpansion
    at_centres : float64 array, shape (m, r)
        f at its own centres: inner products with the coefficients, column by column, are the squared RKHS norms.
    fitted : float64 array, shape (n, r)
        f at the training points, from recomputed blocks.
    relative_residual : float
        |Y_c - fitted_c| / |Y_c| over all labels that f was to have, of the output c where it is largest.
    condition : float
        Estimate (from below) of the 1-norm condition number of the matrix that was factored: K(X, Z), or its triangular
        factor R where there are more centres than points, or K of all points.
    """

    function: KernelExpansion
    at_centres: npt.NDArray[np.float64]
    fitted: npt.NDArray[np.float64]
    relative_residual: float
    condition: float

    @property
    def norm(self) -> float:
        """The RKHS norm, sqrt(tr coef^T K(Z, Z) coef)."""
        roots = column_roots(*inner_products(self.function.coef, self.at_centres))
        return float(column_norms(roots[:, None])[0])

    def __call__(self, X: npt.ArrayLike | Points, *, progress: Progress | None = None) -> npt.NDArray[np.float64]:
        """Return f at points X, shape (m, r)."""
        own = self.function.points
        exact = isinstance(own, Points) and own.exact
        return self.function(X if exact else coordinates(X), progress=progress)


def interpolate_about(
    Z: npt.NDArray[np.float64],
    X: npt.NDArray[np.float64],
    Y: npt.ArrayLike,
    kernel: Kernel,
    *,
    progress: Progress | None = None,
) -> Alternative:
    """Return the Alternative about centres Z with f(X) = Y, of least norm where there are more centres than points.

    m = n: K(X, Z) coef = Y by an LU factorisation with partial pivoting, in place. m > n: the minimum of
    tr coef^T K(Z, Z) coef under K(X, Z) coef = Y. With K(Z, Z) = L L^T and w = L^T coef it is the w of least Euclidean
    norm under B^T w = Y, B = L^-1 K(Z, X). With B = Q R it is w = B (R^T R)^-1 Y, the seminormal equations, whose error
    grows with the condition number of B and not with its square (Higham, "Accuracy and Stability", 2nd ed., section
    21.3), and coef = K(Z, Z)^-1 K(Z, X) (R^T R)^-1 Y needs no Q. Forming B^T B would square the condition number.

    Takes 8 n m bytes, twice for m > n, and then half of K(Z, Z); otherwise K(Z, Z) is seen by blocks alone.

    Parameters
    ----------
    Z : float64 array, shape (m, d), m >= n
    X : float64 array, shape (n, d)
    Y : array, shape (n,) or (n, r)

    Raises
    ------
    SingularMatrixError
        The system is singular to working precision, or is solved to fewer than 8 digits.
    InputError
        Fewer centres than points, or more points than LAPACK can count.

    Examples
    --------
    >>> import numpy as np
    >>> from kernelfit.kernels import Gaussian
    >>> X = np.linspace(0, 1, 6)[:, None]
    >>> Y = np.sin(6 * X)
    >>> least = interpolate_about(X, X, Y, Gaussian(bandwidth=0.3))  # centres at the points themselves
    >>> other = interpolate_about(X + 0.05, X, Y, Gaussian(bandwidth=0.3))
    >>> bool(np.allclose(other.fitted, Y)), other.norm > least.norm
    (True, True)
    """
    n, m = len(X), len(Z)
    _require_values_elsewhere(kernel)
    Y = check_targets(Y, n)
    if m < n:
        raise InputError(f"{m} centres for {n} points; there must be n centres or more")
    if m > _LARGEST:
        raise InputError(f"{m:,} centres; LAPACK's index ends at {_LARGEST:,}. Take fewer points, `n_train`")
    K = gram(Z, kernel)
    solve = _square if m == n else _least_norm
    coef, condition = solve(K, Z, X, Y, progress)
    fitted = gram(X, kernel, K.points).product(coef, progress=progress)
    residual = float(relative_residuals(Y, fitted).max())
    if not residual <= ACCURATE:
        raise SingularMatrixError(
            f"the expansion about {m} centres fits {n} points to a relative residual of {residual:.1e} only, condition "
            f"number at least {condition:.1e}. {_CAUSES}",
            row=0,
        )
    at_centres = K.product(coef, progress=progress)
    return Alternative(KernelExpansion(kernel, K.points, coef), at_centres, fitted, residual, condition)


def interpolate_also(
    X_more: npt.NDArray,
    Y_more: npt.ArrayLike,
    X: npt.NDArray,
    Y: npt.ArrayLike,
    kernel: Kernel,
    *,
    progress: Progress | None = None,
) -> Alternative:
    """Return the Alternative of least norm with f(X) = Y and f(X_more) = Y_more, whose centres are all these points.

    Parameters
    ----------
    X, X_more : array, shape (n, ...) and (m, ...)
        Of one kind, uint8 pixels or floating point.
    Y, Y_more : array, shape (n,) or (n, r), and (m,) or (m, r)

    Raises
    ------
    SingularMatrixError
        A further point equals a training point, or nearly does.
    """
    _require_values_elsewhere(kernel)
    if X.dtype != X_more.dtype:
        raise InputError(f"points of {X.dtype} and {X_more.dtype}; give one kind")
    targets = np.concatenate([check_targets(Y, len(X)), check_targets(Y_more, len(X_more))])
    K = gram(np.concatenate([X, X_more]), kernel)
    solution = Cholesky().factor(K, progress=progress).solve(targets, progress=progress)
    return Alternative(
        KernelExpansion(kernel, K.points, solution.coef),
        solution.fitted,
        solution.fitted[: len(X)],
        solution.relative_residual,
        cast(float, solution.condition_estimate),  # a factor in memory has one
    )


def _require_values_elsewhere(kernel):
    if kernel.of_matrix:
        raise InputError("a precomputed kernel has no values at other points; give a kernel on points")


def bytes_about(n: int, m: int, d: int, outputs: int) -> int:
    """Return the bytes that interpolate_about needs at its peak: system, coordinates, vectors, and the rest."""
    system = 8 * n * n if m == n else 16 * n * m + 4 * m * m
    return system + 16 * d * (n + m) + 8 * 6 * outputs * (n + m) + backend.CPU.fixed_bytes


_CAUSES = (
    "Likely causes: (a) centres so far from the points that k(x, z) is nearly 0, or nearly the same for all; (b) "
    "centres nearly equal to each other; (c) a bandwidth too wide or too narrow; (d) a kernel of finite rank below n. "
    "Draw other centres, or try another bandwidth"
)


def _square(K, Z, X, Y, progress):
    """Return (coef, condition) of K(X, Z) coef = Y."""
    from scipy.linalg import lapack

    n = len(X)
    # K(Z, X) in rows is K(X, Z) in columns: what LAPACK overwrites without a copy.
    A = _cross(K, Z, X).T
    norm_1 = max(float(np.abs(A[:, k : k + 64]).sum(axis=0).max()) for k in range(0, n, 64))
    lu, pivots, info = lapack.dgetrf(A, overwrite_a=1)
    if info > 0:
        _refuse(n, n, info - 1, "a pivot of its LU factorisation is exactly 0")
    reciprocal, _ = lapack.dgecon(lu, norm_1)
    condition = _checked(reciprocal, n, n)
    coef, _ = lapack.dgetrs(lu, pivots, Y)
    return np.ascontiguousarray(coef), condition


def _least_norm(K, Z, X, Y, progress):
    """Return (coef, condition) of the least tr coef^T K(Z, Z) coef under K(X, Z) coef = Y."""
    from scipy.linalg import lapack, solve_triangular

    try:
        factor = Cholesky().factor(K, progress=progress)
    except SingularMatrixError as error:
        error.add_note("the points of this matrix are the centres, in the order in which they were drawn")
        raise
    B = np.asfortranarray(factor.half_solve(_cross(K, Z, X)))  # columns, whose QR is several times quicker than rows'
    workspace = int(lapack.dgeqrf(B, lwork=-1, overwrite_a=1)[2][0])
    qr, *_ = lapack.dgeqrf(B, lwork=workspace, overwrite_a=1)
    R = np.triu(qr[: len(X)])
    del B, qr
    reciprocal, _ = lapack.dtrcon(R)
    condition = _checked(reciprocal, len(X), len(Z))
    v = solve_triangular(R, solve_triangular(R, Y, trans="T", check_finite=False), check_finite=False)
    return factor.apply_inverse(gram(Z, K.kernel, X).product(v, progress=progress)), condition


def _cross(K, Z, X):
    """Return K(Z, X), float64 of shape (m, n) in rows."""
    return gram(Z, K.kernel, X).block((0, len(Z)), (0, len(X)))


def _checked(reciprocal, n, m):
    """Return the condition number, or raise where no digit of a solution would mean anything."""
    if not reciprocal > np.finfo(float).eps:
        _refuse(n, m, 0, f"its reciprocal condition number is {reciprocal:.1e}, not above the rounding unit")
    return 1 / reciprocal


def _refuse(n, m, row, seen):
    raise SingularMatrixError(
        f"the matrix of {n} points and {m} centres is numerically singular: {seen}. {_CAUSES}", row=row
    )
