"""Choosing a ridge, and with it a bandwidth, by closed-form leave-one-out: for labels some of which are wrong."""

import dataclasses
import itertools
from typing import Any

import numpy as np
import numpy.typing as npt

from kernelfit import backend
from kernelfit.common.errors import SingularMatrixError
from kernelfit.common.progress import Progress
from kernelfit.common.rng import generator
from kernelfit.common.validation import check_targets
from kernelfit.datasets.labels import error_rate
from kernelfit.grams.base import Points
from kernelfit.grams.matrix import gram
from kernelfit.kernels import Kernel
from kernelfit.models.bandwidth import median_distance
from kernelfit.solvers.scaling import exponent_of
from kernelfit.solvers.solution import leave_one_out
from kernelfit.solvers.spectrum import spectrum

_MULTIPLES = 2.0 ** (np.arange(-4, 3) / 2)  # of the median distance: a ridge wants none of the widest
_RIDGES = np.array([0.001, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0])  # of the mean of K's diagonal: 1 for a Gaussian


@dataclasses.dataclass(frozen=True)
class RidgeChoice:
    """The ridge chosen, the bandwidth if it was open, and what every candidate got.

    Attributes
    ----------
    ridge : float
    bandwidth : float or None
        None for a kernel without an open one.
    n : int
        Size of the subsample.
    candidates : list of dict
        bandwidth, ridge, loo_error (the share of wrong labels), loo_squared_error (the mean of |y_i - f^(-i)(x_i)|^2).
    """

    ridge: float
    bandwidth: float | None
    n: int
    candidates: list[dict[str, Any]]

    @property
    def bandwidths(self) -> list[float | None]:
        """What to try in turn on all points: with its ridge the first can be solved."""
        return [self.bandwidth]

    @property
    def doubts(self) -> list[str]:
        """Sentences if ridge or bandwidth lie at an edge of what was tried; the least ridge is that of right labels."""
        ridges = [each["ridge"] for each in self.candidates]
        found = [f"the ridge chosen, {self.ridge:.1e}, is the largest that was tried"] * (self.ridge == max(ridges))
        if self.bandwidth is not None:
            widths = [each["bandwidth"] for each in self.candidates]
            edges = {min(widths): "narrowest", max(widths): "widest"}
            if edge := edges.get(self.bandwidth):
                found.append(f"the bandwidth chosen, {self.bandwidth:.1e}, is the {edge} that was tried")
        return found


def choose_ridge(
    X: npt.NDArray | Points,
    Y: npt.NDArray[np.float64],
    kernel: Kernel,
    *,
    subsample: int = 500,
    seed: int = 0,
    progress: Progress | None = None,
) -> RidgeChoice:
    """Return the RidgeChoice with the least leave-one-out squared error |Y - f^(-i)(x_i)|^2 of 0/1 targets.

    Seven ridges, from 1e-3 to 3 times the mean of K's diagonal; for an open bandwidth, each with seven half octaves of
    the median distance, from a quarter of it to twice. One eigendecomposition a bandwidth serves all ridges:
    y_i - f^(-i)(x_i) = coef_i / [(K + ridge I)^-1]_ii. A ridge is the variance of noise on labels, which does not
    depend on how many there are, so that a subsample finds it.

    Parameters
    ----------
    X : array, shape (n, ...), or Points
    Y : array, shape (n, r)
    kernel : Kernel
    subsample : int
        Points used, drawn without replacement by `seed`; fewer if there are fewer.

    Raises
    ------
    SingularMatrixError
        No candidate has a matrix without eigenvalues that are not positive.

    Examples
    --------
    >>> from kernelfit.datasets import load
    >>> from kernelfit.datasets.labels import one_hot
    >>> from kernelfit.kernels import Gaussian
    >>> data = load("digits", n_train=300)
    >>> choice = choose_ridge(data.X_train, one_hot(data.y_train, 10), Gaussian())
    >>> choice.n, len(choice.candidates), choice.ridge < 0.3
    (300, 49, True)
    """
    rows = generator(seed, "ridge").permutation(len(X))[:subsample]
    Y = check_targets(Y, len(X))[rows]
    exponent = exponent_of(Y)
    Y = np.ldexp(Y, -exponent)  # the same digits in whatever units, and squares that are numbers
    # Small matrices: on the CPU, each on a thread of its own.
    K = gram(X, kernel.with_bandwidth(1.0) if kernel.open_bandwidth else kernel).subset(rows)
    widths: list[float | None] = [None]
    if kernel.open_bandwidth:
        widths = [float(each) for each in median_distance(K.points, kernel.metric) * _MULTIPLES]
    labels = Y.argmax(axis=1)

    def tried(width):
        own = K if width is None else gram(K.points, kernel.with_bandwidth(width))
        found = spectrum(own)
        ridges = _RIDGES * float(own.diagonal().mean())
        projected = found.vectors.T @ Y
        rows = []
        for ridge, diagonal in zip(ridges, found.inverse_diagonals(ridges), strict=True):
            if not found.resolves(ridge):
                continue
            coef = found.vectors @ (projected / (found.values + ridge)[:, None])
            left_out = leave_one_out(Y, coef, diagonal, own, ridge)
            squared = float(np.mean(np.sum((Y - left_out) ** 2, axis=1)))
            known = {"loo_error": error_rate(left_out, labels), "loo_squared_error": squared}
            rows.append({"bandwidth": width, "ridge": float(ridge)} | known)
        advance(1)
        return rows

    with (progress or Progress()).phase("ridge", len(widths)) as advance:
        candidates = list(itertools.chain(*backend.CPU.map(tried, widths)))
    if not candidates:
        raise SingularMatrixError(
            f"no ridge could be chosen: {kernel} is not positive definite on {len(rows)} training points, and no ridge "
            "up to 3 times its diagonal makes it so. Give a ridge",
            row=0,
        )
    best = min(candidates, key=lambda each: each["loo_squared_error"])
    with np.errstate(over="ignore", under="ignore"):
        for each in candidates:
            each["loo_squared_error"] = float(np.ldexp(each["loo_squared_error"], 2 * exponent))
    return RidgeChoice(best["ridge"], best["bandwidth"], len(rows), candidates)
