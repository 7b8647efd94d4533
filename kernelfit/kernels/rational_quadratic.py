"""The rational quadratic kernel."""

import dataclasses
from typing import Any

from kernelfit.kernels.checks import set_number
from kernelfit.kernels.distances import Bandwidth, DistanceKernel
from kernelfit.kernels.formula import TOLERANCE


@dataclasses.dataclass(frozen=True)
class RationalQuadratic(DistanceKernel):
    """k(x, z) = (1 + |x - z|^2 / (2 alpha bandwidth^2))^-alpha: a mixture of Gaussian kernels of many bandwidths.

    For alpha to infinity it becomes the Gaussian one. Rasmussen and Williams, "Gaussian processes for machine
    learning", 2006, equation (4.19).
    """

    alpha: float = 1.0
    bandwidth: Bandwidth = None
    name = "rational_quadratic"

    def __post_init__(self) -> None:
        set_number(self, "alpha", 1e-6, 1e6)
        super().__post_init__()

    @staticmethod
    def formula(xp: Any, squared: Any, scale: float, alpha: float) -> Any:
        return xp.exp(-alpha * xp.log1p(squared * scale))

    @staticmethod
    def steepness(xp: Any, squared: Any, scale: float, alpha: float) -> Any:
        return 2.0 * alpha * scale * xp.exp(-(alpha + 1.0) * xp.log1p(squared * scale))

    def parameters(self, unit: float) -> tuple[float, ...]:
        return unit / (2 * self.alpha * self._chosen_bandwidth() ** 2), self.alpha

    def nearest(self, scale: float, error: float) -> float:
        # d/dt (1 + scale t)^-alpha = -alpha scale (1 + scale t)^-(alpha + 1)
        y = max(1.0, self.alpha * scale * error / TOLERANCE)
        return (y ** (1 / (self.alpha + 1)) - 1) / scale
