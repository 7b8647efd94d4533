"""Block conjugate gradients: the float64 answer from products with A, and a preconditioner that is near it.

All right-hand sides share their search directions (O'Leary, "The block conjugate gradient algorithm and related
methods", 1980), so r of them search a space r times larger than each alone. Directions are made orthonormal at every
step, and those that depend on others to working precision are left out, so that nothing breaks down when residuals
become dependent (Ji and Li, "A breakdown-free block conjugate gradient method", 2017). A column that has converged asks
for no more directions of its own.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from kernelfit.backend.device import Array

_DEPENDENT = 1e-10  # singular values below this times the largest, of columns brought to one size, are rounding
_ROUNDING = 1e3 * np.finfo(np.float64).eps  # that of a residual, relative to what it began from


@dataclasses.dataclass(frozen=True)
class Iterations:
    """What block_cg did, and all that it needs to go on.

    Attributes
    ----------
    X, R : float64 arrays, shape (n, r), on the device of Y
        The solution, and its residual by recurrence; recompute it to be sure.
    P : float64 array, shape (n, at most r), or None
        Directions of the next step; None where they are to begin anew from R.
    residuals : list of float
        Largest |R_j| / |Y_j| of all columns j after each step.
    gains : list of float64 arrays, shape (r,)
        By how much each step reduced the squared error (X - A^-1 Y)_j^T A (X - A^-1 Y)_j of each column.
    """

    X: Array
    R: Array
    P: Array | None = None
    residuals: list[float] = dataclasses.field(default_factory=list)
    gains: list[Array] = dataclasses.field(default_factory=list)


def block_cg(
    multiply: Callable[[Array], Array],
    precondition: Callable[[Array], Array],
    Y: Array,
    *,
    xp: Any = np,
    tolerance: float = 1e-10,
    steps: int = 30,
    patience: int = 4,
    start: Iterations | None = None,
    after_step: Callable[[Iterations], None] = lambda done: None,
) -> Iterations:
    """Solve A X = Y for symmetric positive definite A; returns Iterations.

    Parameters
    ----------
    multiply, precondition : callable
        V -> A V and V -> M^-1 V for float64 V of shape (n, at most r), with M symmetric positive definite and near A.
    Y : float64 array, shape (n, r), of the namespace xp
    tolerance : float
        Of the relative residual of every column.
    steps : int
        At most this many products with A, those of `start` included.
    patience : int
        Ends earlier where the largest residual has not halved over so many steps.
    start : Iterations, optional
        Go on from here; its arrays are overwritten.
    after_step : callable
        Called with the Iterations so far where there will be another step.
    """
    sizes = xp.linalg.norm(Y, axis=0)
    sizes = xp.where(sizes == 0, 1.0, sizes)
    done = start or Iterations(xp.zeros_like(Y), Y.copy())
    X, R, P, residuals, gains = (getattr(done, field.name) for field in dataclasses.fields(Iterations))
    if P is None:
        relative = xp.linalg.norm(R, axis=0) / sizes
        if not bool((relative > tolerance).any()):
            return done
        P = _orthonormal(precondition(R[:, relative > 0]), _DEPENDENT, xp)
    before = len(residuals)
    while len(residuals) < steps:
        Q = multiply(P)
        energy = P.T @ Q
        energy = (energy + energy.T) / 2
        slope = P.T @ R
        step = _solved(energy, slope, xp)
        if step is None:  # A is singular in these directions: no step leads on
            residuals.append(float((xp.linalg.norm(R, axis=0) / sizes).max()))
            return Iterations(X, R, None, residuals, gains)
        X += P @ step
        R -= Q @ step
        gains.append((step * slope).sum(axis=0))
        relative = xp.linalg.norm(R, axis=0) / sizes
        residuals.append(float(relative.max()))
        # NaN ends it too.
        if not residuals[-1] > tolerance or _stagnates(residuals[before:], patience):
            return Iterations(X, R, None, residuals, gains)
        Z = precondition(R[:, relative > tolerance])
        # The rounding of a residual stays as the residual shrinks.
        dependent = max(_DEPENDENT, _ROUNDING / residuals[-1])
        P = _orthonormal(Z - P @ xp.linalg.solve(energy, Q.T @ Z), dependent, xp)
        after_step(Iterations(X, R, P, residuals, gains))
    return Iterations(X, R, P, residuals, gains)


def _solved(A, B, xp):
    """Return A^-1 B, or None where a finite A is singular: NumPy says so, CuPy divides by zero."""
    try:
        X = xp.linalg.solve(A, B)
    except np.linalg.LinAlgError:
        return None
    return X if bool(xp.isfinite(X).all() | ~xp.isfinite(A).all()) else None


def _orthonormal(V, dependent, xp):
    """Return orthonormal columns that span those of V, less what is below `dependent` times the largest part."""
    sizes = xp.linalg.norm(V, axis=0)
    Q, T = xp.linalg.qr(V / xp.where(sizes == 0, 1.0, sizes))
    if not bool(xp.isfinite(T).all()):  # the residual will say so
        return Q
    U, values, _ = xp.linalg.svd(T, full_matrices=False)
    return Q @ U[:, values > dependent * values[0]]


def _stagnates(residuals, patience):
    return len(residuals) > patience and residuals[-1] > residuals[-1 - patience] / 2
