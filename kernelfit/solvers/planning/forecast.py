"""Will a float32 factor do? Judged from small principal submatrices before the large factorisation is begun."""

import dataclasses
import math

import numpy as np

from kernelfit.common.errors import InputError, SingularMatrixError
from kernelfit.common.rng import generator
from kernelfit.grams.matrix import Gram
from kernelfit.solvers.panel_cholesky import cholesky
from kernelfit.solvers.planning.problem import eighth

_LEAST, _MOST = 1024, 4096  # points of the largest submatrix
# |E|_2, the backward error of a float32 panel Cholesky with unit diagonal, in units of sqrt(n) eps: measured at 0.1 to
# 0.2 for Gaussian and polynomial kernels on images, n = 2,000 to 60,000.
_ERROR = 0.15
_WORST = 0.25  # largest convergence factor at which steps are still cheaper than a float64 factor


@dataclasses.dataclass(frozen=True)
class Forecast:
    """What to expect of mixed precision.

    Attributes
    ----------
    smallest_eigenvalue : float
        Of K + ridge I scaled to a unit diagonal, at full size, extrapolated; 0 if it is singular.
    steps : int or None
        Corrections to the tolerance; None if a float32 factor would probably break down.
    reason : str
        The same in words.
    """

    smallest_eigenvalue: float
    steps: int | None
    reason: str


def forecast(gram: Gram, *, ridge: float = 0.0, tolerance: float = 1e-10, seed: int = 0) -> Forecast:
    """Return the Forecast for a Gram matrix.

    What decides is the smallest eigenvalue s of D^-1 (K + ridge I) D^-1 with unit diagonal, for a Cholesky factor does
    not see the scaling D. That of K falls with n about as a power of n (for the Gaussian kernel as the distance to the
    nearest neighbour shrinks): fitted to three principal submatrices of random points, it gives the one at full size.
    A float32 factor is exact for an error of norm about 0.15 sqrt(n) eps in the scaled matrix; each correction then
    gains the ratio of s to this, or better (Higham, "Accuracy and Stability", 2nd ed., theorem 10.7 and chapter 12).
    """
    n = gram.shape[0]
    largest = eighth(n, _LEAST, _MOST)
    rows = generator(seed, "forecast").permutation(n)[:largest]
    sizes = sorted({min(size, n) for size in (largest // 4, largest // 2, largest)})
    try:
        found = [_scaled_eigenvalue(gram.subset(rows[:size])) for size in sizes]
    except InputError:  # its message counts points of a subset; the float64 factor has the right one
        return Forecast(0.0, None, "the kernel is not finite everywhere")
    values, diagonals = zip(*found, strict=True)
    diagonal, slope = max(diagonals), 0.0
    if n > sizes[-1] and values[-1] > 0:
        slope = min(0.0, float(np.polyfit(np.log(sizes), np.log(values), 1)[0]))
    # The ridge adds least where the diagonal is largest.
    smallest = (values[-1] * (n / sizes[-1]) ** slope * diagonal + ridge) / (diagonal + ridge)
    steps = _steps(n, smallest, tolerance) if diagonal + ridge < float(np.finfo(np.float32).max) else None
    verdict = f"about {steps} corrections in float64" if steps else "too small for a float32 factor"
    return Forecast(smallest, steps, f"smallest eigenvalue about {smallest:.0e} (from {sizes[-1]:,} points): {verdict}")


def _steps(n, smallest, tolerance):
    rate = _ERROR * math.sqrt(n) * np.finfo(np.float32).eps / 2
    return math.ceil(math.log(tolerance) / math.log(rate / smallest)) if rate < _WORST * smallest else None


def _scaled_eigenvalue(gram):
    """Return the smallest eigenvalue of K scaled to a unit diagonal, and the largest entry of the diagonal itself.

    By inverse iteration, to about a tenth; 0 if K is singular to float64.
    """
    device, n = gram.device, gram.shape[0]
    diagonal = device.host(gram.block((0, n), (0, n)).diagonal().copy())
    try:
        factor = cholesky(gram)
    except SingularMatrixError:
        return 0.0, float(diagonal.max())
    roots = np.sqrt(diagonal)[:, None]

    def inverse(V):
        return roots * factor.solve(roots * V)

    V = np.random.default_rng(0).standard_normal((n, 8))
    for _ in range(6):
        V = np.linalg.qr(inverse(V))[0]
    return 1.0 / float(np.linalg.eigvalsh(V.T @ inverse(V)).max()), float(diagonal.max())
