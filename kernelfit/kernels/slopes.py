"""Derivatives of kernels by the logarithm of their bandwidths, as kernels of their own whose blocks a Gram makes."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy.typing as npt

from kernelfit.common.errors import InputError
from kernelfit.kernels.arrays import Formula
from kernelfit.kernels.base import Kernel, Points, Product, Sum
from kernelfit.kernels.distances import DistanceKernel
from kernelfit.kernels.formula import difference_pass


@dataclasses.dataclass(frozen=True)
class Slope(Kernel):
    """dk(x, z) / d log bandwidth of a kernel of distances; with `feature` t, of the bandwidth of that feature alone.

    For k = f(s), s = sum_t |x_t - z_t|^m / bandwidth_t^m, it is -m f'(s) s, and of feature t -m f'(s) times its term of
    the sum. All is made from differences of the points: no digit is lost, and n^2 d operations are spent.
    """

    kernel: DistanceKernel
    feature: int | None = None
    translation_invariant = True

    def block(self, A: Points, B: Points, out: npt.NDArray) -> None:
        if not A.has_coordinates:
            raise InputError("derivatives by bandwidths need coordinates, and these points have inner products alone")
        A.require_same_kind(B)
        kernel, weights = self.kernel, self.kernel._weights(A)
        entry = _whole if self.feature is None else _factor
        run = difference_pass(A.device, (entry, kernel.steepness, kernel.integers, kernel.order))
        out[...] = math.nan
        run(A.values, B.values, weights, A.sq_norms, B.sq_norms, 1.0, kernel.parameters(A.unit), out)
        if self.feature is not None:
            part = A.values[:, self.feature, None].astype(float) - B.values[None, :, self.feature]
            if weights is not None:
                part *= weights[self.feature]
            out *= part * part if kernel.order == 2 else abs(part)


def slope(kernel: Kernel, bandwidth: float | Sequence[float], feature: int | None = None) -> Kernel:
    """Return dk / d log bandwidth at a bandwidth that is put wherever it was left open; see Slope.

    Raises InputError where no bandwidth is open, or one is that the kernel does not say how to differentiate.

    Examples
    --------
    >>> from kernelfit.kernels import Gaussian, Linear
    >>> slope(Gaussian() + Linear(), 2.0)
    Slope(kernel=Gaussian(bandwidth=2.0), feature=None)
    """
    if isinstance(kernel, DistanceKernel) and kernel.open_bandwidth:
        if not hasattr(kernel, "steepness"):
            raise InputError(
                f"kernel {kernel} does not say how to differentiate by its bandwidth; give its class `steepness`, or "
                "choose the bandwidth by leave-one-out"
            )
        return Slope(kernel.with_bandwidth(bandwidth), feature)
    if not isinstance(kernel, Sum | Product) or not kernel.open_bandwidth:
        raise InputError(f"kernel {kernel} has no open bandwidth to differentiate by")
    parts = [side for side in ("left", "right") if getattr(kernel, side).open_bandwidth]
    slopes: list[Kernel] = []
    for side in parts:
        own = slope(getattr(kernel, side), bandwidth, feature)
        other = kernel.right if side == "left" else kernel.left
        slopes.append(own * other.with_bandwidth(bandwidth) if isinstance(kernel, Product) else own)
    return slopes[0] if len(slopes) == 1 else slopes[0] + slopes[1]


def _whole(xp: Any, formula: Formula, squared: Any, p: Any, q: Any, sign: float, *parameters: float) -> Any:
    return squared * formula(xp, squared, *parameters)


def _factor(xp: Any, formula: Formula, squared: Any, p: Any, q: Any, sign: float, *parameters: float) -> Any:
    return formula(xp, squared, *parameters)
