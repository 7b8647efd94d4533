"""The solution of (K + ridge I) coef = Y, whoever solved it, and the means to judge it."""

import dataclasses
import functools
from typing import Any

import numpy as np
import numpy.typing as npt

from kernelfit.grams.matrix import Gram
from kernelfit.solvers.scaling import (
    column_norms,
    column_roots,
    exponents_of,
    in_units,
    inner_products,
    relative_residuals,
)

_FEW_DIGITS = 1e-6  # of a target: a prediction below this is not what a difference of such numbers tells
_ROUNDING = 1e-13
_ENTRIES = 2**22  # of K at a time: 32 MB
ACCURATE = 1e-8  # largest relative residual of a system that counts as solved: 8 digits


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Solution:
    """coef with (K + ridge I) coef = Y, and what tells how good it is.

    Attributes
    ----------
    targets : float64 array, shape (n, r)
        Y.
    coef : float64 array, shape (n, r)
    fitted : float64 array, shape (n, r)
        K coef from recomputed blocks: the function at the training points.
    quadratic : float64 array, shape (r, r)
        Y^T (K + ridge I)^-1 Y without use of `fitted`: from L^-1 Y of a float64 factor, else Y^T coef.
    ridge : float
    norm_1 : float
        Largest absolute column sum of K + ridge I.
    condition_estimate : float or None
        Of K + ridge I in the 1-norm, a lower bound; None where it would cost too much, or there is no factor.
    method : str
        For people: what was done, and where.
    report : dict
        JSON-ready: what the solver has to say of the factor and of this solution.
    seconds : dict
        Of this solution, by phase: solve, refine, check, condition.
    K : Gram or None
        For what needs its entries again.
    roots : float64 array, shape (n,), or None
        Square roots of the weights of points: the system is K + ridge diag(1 / roots^2), of which residual, norm_1 and
        condition are those of diag(roots) K diag(roots) + ridge I, which was factored.
    """

    targets: npt.NDArray[np.float64]
    coef: npt.NDArray[np.float64]
    fitted: npt.NDArray[np.float64]
    quadratic: npt.NDArray[np.float64]
    ridge: float
    norm_1: float
    condition_estimate: float | None
    method: str
    report: dict[str, Any]
    seconds: dict[str, float]
    K: Gram | None = None
    roots: npt.NDArray[np.float64] | None = None

    def __repr__(self):
        n, r = self.coef.shape
        found = f"norm={self.norm.total:.6g}, relative_residual={self.relative_residual:.1e}"
        return f"Solution(n={n}, r={r}, {found}, method={self.method!r})"

    @functools.cached_property
    def residual_per_output(self) -> npt.NDArray[np.float64]:
        """|Y_j - (K + ridge I) coef_j| / |Y_j|, shape (r,), or without the division where Y_j = 0."""
        targets, coef, fitted = self._as_factored()
        return residuals(targets, coef, fitted, self.ridge)

    @property
    def relative_residual(self) -> float:
        """The largest residual of all outputs: pooled, a small output could be wrong in every digit beside a large."""
        return float(self.residual_per_output.max(initial=0.0))

    @functools.cached_property
    def norm(self) -> "Norm":
        """The Norm of the function, by two routes."""
        _, coef, fitted = self._as_factored()
        return rkhs_norm(coef, fitted, self.quadratic, self.ridge)

    def _as_factored(self):
        """Return targets, coefficients and fitted values of the matrix with one ridge for all points."""
        if self.roots is None:
            return self.targets, self.coef, self.fitted
        R = self.roots[:, None]
        return R * self.targets, self.coef / R, R * self.fitted

    def combined(self, T: npt.NDArray[np.float64]) -> "Solution":
        """Return the Solution of the targets Y T, T of shape (r, s), for which nothing has to be solved.

        Rows of T that are zero cost nothing. What was measured of the whole stays: norm_1, condition, seconds.
        """
        used = np.flatnonzero(T.any(axis=1))
        quadratic, exponents = self._of_size_1()
        own = exponents[used]
        # Made of targets of size 1, whose squares are numbers whatever those of these are; T takes up the rest.
        T = np.ldexp(T[used], own[:, None])
        back = exponents_of(T)
        T = in_units(T, -back)
        arrays: dict[str, Any] = {
            name: in_units(getattr(self, name)[:, used], -own) @ T for name in ("targets", "coef", "fitted")
        }
        made = dataclasses.replace(self, **arrays, quadratic=T.T @ quadratic[np.ix_(used, used)] @ T)
        return made.in_units(back)

    def left_out(self, inverse_diagonal: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return what `leave_one_out` does, with the inverse diagonal that a Factor gives."""
        ridge = self.ridge if self.roots is None else self.ridge / self.roots**2
        return leave_one_out(self.targets, self.coef, inverse_diagonal, self.K, ridge)

    def in_units(self, exponents: npt.NDArray[np.intp]) -> "Solution":
        """Return the Solution of targets whose columns are 2^exponents times these: the same digits of everything.

        Norms are taken over as they are, since the squares that they come from may be beyond the largest number.
        """
        if not exponents.any():
            return self
        arrays: dict[str, Any] = {
            name: in_units(getattr(self, name), exponents) for name in ("targets", "coef", "fitted")
        }
        quadratic = in_units(in_units(self.quadratic, exponents).T, exponents)
        scaled = dataclasses.replace(self, **arrays, quadratic=quadratic)
        per_output = in_units(np.array(self.norm.per_output), exponents)
        total = float(column_norms(per_output[:, None])[0])
        vars(scaled)["norm"] = Norm(total, per_output.tolist(), self.norm.disagreement)
        vars(scaled)["residual_per_output"] = self.residual_per_output
        whole, before = self._of_size_1()
        vars(scaled)["_unit"] = whole, before + exponents
        return scaled

    def _of_size_1(self):
        """Return (quadratic, exponents) of the targets before any change of units: what `combined` makes others of."""
        return vars(self).get("_unit", (self.quadratic, np.zeros(len(self.quadratic), np.intp)))

    def doubts(self) -> list[str]:
        """Return what a reader of these numbers must know, a list of sentences."""
        return doubts(
            self.relative_residual, norm_disagreement=self.norm.disagreement, condition_estimate=self.condition_estimate
        )


@dataclasses.dataclass(frozen=True)
class Norm:
    """RKHS norm of a function, all outputs together and each alone.

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
    per_output: list[float]
    disagreement: float


def leave_one_out(
    Y: npt.NDArray[np.float64],
    coef: npt.NDArray[np.float64],
    inverse_diagonal: npt.NDArray[np.float64],
    K: Gram | None = None,
    ridge: float | npt.NDArray[np.float64] = 0.0,
) -> npt.NDArray[np.float64]:
    """Return the predictions (n, r) at each training point of the function fitted without that point.

    f^(-i)(x_i) = y_i - coef_i / C_ii with C = (K + ridge I)^-1, exact for any ridge >= 0 (Rasmussen and Williams,
    "Gaussian processes for machine learning", 2006, equation 5.12). Of points so far from all others, or of so large a
    ridge of their own, that this leaves no digit of a prediction, it is made of the others alone, where K is given:

        f^(-i)(x_i) = sum_{j != i} K_ij coef_j - coef_i / C_ii (1 - (K_ii + ridge) C_ii)

    `ridge` may be an array, one for each point.
    """
    own = coef / inverse_diagonal[:, None]
    found = Y - own
    if K is None:
        return found
    n, width = len(Y), max(1, _ENTRIES // len(Y))
    lost, ridges = without_digits(found, own), np.broadcast_to(ridge, len(Y))
    if np.ndim(ridge):  # of points of hardly any weight the coefficients of an orthogonal reduction have few digits
        lost |= np.abs(1 - (K.diagonal() + ridges) * inverse_diagonal) < _FEW_DIGITS
    for start in range(0, n, width):
        rows = start + np.flatnonzero(lost[start : start + width])
        if not len(rows):
            continue
        others = K.device.host(K.block((rows[0], rows[-1] + 1), (0, n)))[rows - rows[0]]
        place = np.arange(len(rows))
        rest = 1 - (others[place, rows] + ridges[rows]) * inverse_diagonal[rows]
        rest[np.abs(rest) < _ROUNDING] = 0.0  # of the order of K_ij^2, far below the sum
        others[place, rows] = 0.0
        found[rows] = others @ coef - own[rows] * rest[:, None]
    return found


def without_digits(found: npt.NDArray[np.float64], own: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Return which rows of found (n, r) have no digits to rely on, as what is left of a target less own (n, r)."""
    return np.abs(found).max(axis=1, initial=0.0) < _FEW_DIGITS * np.abs(own).max(axis=1, initial=0.0)


def residuals(
    Y: npt.NDArray[np.float64], coef: npt.NDArray[np.float64], fitted: npt.NDArray[np.float64], ridge: float
) -> npt.NDArray[np.float64]:
    """Return |Y_j - (K + ridge I) coef_j| / |Y_j| for fitted = K coef, shape (r,)."""
    return relative_residuals(Y, fitted + ridge * coef if ridge else fitted)


def rkhs_norm(
    coef: npt.NDArray[np.float64],
    fitted: npt.NDArray[np.float64],
    quadratic: npt.NDArray[np.float64],
    ridge: float = 0.0,
) -> Norm:
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
    quadratic : array, shape (r, r)
        Y^T (K + ridge I)^-1 Y, of which the diagonal is used.
    """
    own, shrunk = inner_products(coef, fitted), inner_products(coef, coef)
    others = np.frexp(quadratic.diagonal())
    exponents = np.maximum(others[1], shrunk[1])
    others = np.ldexp(others[0], others[1] - exponents) - ridge * np.ldexp(shrunk[0], shrunk[1] - exponents), exponents
    (total, per_output), (other, other_per_output) = _roots(*own), _roots(*others)
    ours, theirs = np.append(per_output, total), np.append(other_per_output, other)
    disagreement = float((np.abs(ours - theirs) / np.maximum(np.maximum(ours, theirs), np.finfo(float).tiny)).max())
    return Norm(total, per_output.tolist(), disagreement if np.isfinite(disagreement) else float("inf"))


def _roots(squares, exponents):
    """Return (root of the sum, roots) of squares 2^exponents; infinite beyond the largest number."""
    largest = int(exponents.max(where=squares != 0, initial=-5000)) // 2 * 2
    with np.errstate(invalid="ignore", over="ignore"):  # rounding may leave a negative square: NaN, never 0
        total = np.ldexp(np.sqrt(np.ldexp(squares, exponents - largest).sum()), largest // 2)
    return float(total), column_roots(squares, exponents)


def doubts(
    relative_residual: float | None = None,
    *,
    norm_disagreement: float | None = None,
    condition_estimate: float | None = None,
) -> list[str]:
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
