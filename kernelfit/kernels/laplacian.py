"""The Laplacian kernel."""

import dataclasses
import math
from typing import Any

from kernelfit.kernels.distances import Bandwidth, DistanceKernel
from kernelfit.kernels.formula import TOLERANCE


@dataclasses.dataclass(frozen=True)
class Laplacian(DistanceKernel):
    """k(x, z) = exp(-|x - z| / bandwidth) with the Euclidean norm; LaplacianL1 has the 1-norm."""

    bandwidth: Bandwidth = None
    name = "laplacian"

    @staticmethod
    def formula(xp: Any, squared: Any, scale: float) -> Any:
        return xp.exp(-xp.sqrt(squared) * scale)

    @staticmethod
    def steepness(xp: Any, squared: Any, scale: float) -> Any:
        r = xp.sqrt(squared) * scale
        return xp.where(r > 0.0, scale * scale * xp.exp(-r) / xp.where(r > 0.0, r, 1.0), 0.0)

    def parameters(self, unit: float) -> tuple[float, ...]:
        return (math.sqrt(unit) / self._chosen_bandwidth(),)

    def nearest(self, scale: float, error: float) -> float:
        # d/dt exp(-scale sqrt t) is less than scale exp(-x) / r with r = sqrt t, x = scale r; it is small enough where
        # x exp(x) >= y, which x = log(1 + y) is.
        return (math.log1p(scale**2 * error / TOLERANCE) / scale) ** 2
