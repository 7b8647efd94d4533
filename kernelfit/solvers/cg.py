"""Block conjugate gradients: the float64 answer from a preconditioner of lower precision.

All right-hand sides share their search directions (O'Leary, "The block conjugate gradient algorithm and related
methods", 1980), so r of them search a space r times larger than each alone. Directions are made orthonormal at every
step, which keeps the small systems well conditioned when some columns converge before others.
"""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Iterations:
    """What block_cg did.

    Attributes
    ----------
    X : float64 array, shape (n, r), on the device of Y
    residuals : list of float
        |Y - A X|_F / |Y|_F after each step, by recurrence; recompute it to be sure.
    """

    X: object
    residuals: list


def block_cg(multiply, precondition, Y, *, xp=np, tolerance=1e-10, steps=30):
    """Solve A X = Y for symmetric positive definite A; returns Iterations.

    Parameters
    ----------
    multiply, precondition : callable
        V -> A V and V -> M^-1 V for float64 V of shape (n, r), with M symmetric positive definite and near A.
    Y : float64 array, shape (n, r), of the namespace xp
    tolerance : float
        Of the relative residual.
    steps : int
        At most this many products with A. Ends earlier where the residual has not halved over four steps.
    """
    size = float(xp.linalg.norm(Y))
    X, R, residuals = xp.zeros_like(Y), Y.copy(), []
    if size == 0:
        return Iterations(X, residuals)
    P = xp.linalg.qr(precondition(R))[0]
    while True:
        Q = multiply(P)
        energy = P.T @ Q
        energy = (energy + energy.T) / 2
        step = xp.linalg.solve(energy, P.T @ R)
        X += P @ step
        R -= Q @ step
        residuals.append(float(xp.linalg.norm(R)) / size)
        # NaN ends it too.
        if not residuals[-1] > tolerance or len(residuals) == steps or _stagnates(residuals):
            return Iterations(X, residuals)
        Z = precondition(R)
        P = xp.linalg.qr(Z - P @ xp.linalg.solve(energy, Q.T @ Z))[0]


def _stagnates(residuals):
    return len(residuals) > 4 and residuals[-1] > residuals[-5] / 2
