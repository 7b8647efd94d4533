"""The Gaussian kernel."""

import dataclasses
import math
from typing import Any

from kernelfit.kernels.distances import Bandwidth, DistanceKernel
from kernelfit.kernels.formula import TOLERANCE


@dataclasses.dataclass(frozen=True)
class Gaussian(DistanceKernel):
    """k(x, z) = exp(-|x - z|^2 / (2 bandwidth^2)). The paper's authors used bandwidth 5 on MNIST.

    As for every kernel of distances, `bandwidth` may be a tuple of one for each feature.

    Examples
    --------
    >>> from kernelfit.kernels import Linear
    >>> str(0.5 * Gaussian(bandwidth=5.0) + Linear())
    '0.5 * gaussian(bandwidth=5.0) + linear()'
    """

    bandwidth: Bandwidth = None
    name = "gaussian"

    @staticmethod
    def formula(xp: Any, squared: Any, scale: float) -> Any:
        return xp.exp(-squared * scale)

    @staticmethod
    def steepness(xp: Any, squared: Any, scale: float) -> Any:
        return 2.0 * scale * xp.exp(-squared * scale)

    def parameters(self, unit: float) -> tuple[float, ...]:
        return (unit / (2 * self._chosen_bandwidth() ** 2),)

    def nearest(self, scale: float, error: float) -> float:
        # d/dt exp(-scale t) = -scale exp(-scale t)
        return math.log(max(1.0, scale * error / TOLERANCE)) / scale
