"""The Laplacian kernel of the 1-norm."""

import dataclasses
import math
from typing import Any

from kernelfit.common.errors import InputError
from kernelfit.kernels.distances import Bandwidth, DistanceKernel


@dataclasses.dataclass(frozen=True)
class LaplacianL1(DistanceKernel):
    """k(x, z) = exp(-|x - z|_1 / bandwidth), scikit-learn's laplacian_kernel with gamma = 1 / bandwidth.

    A 1-norm does not follow from inner products: every entry is made from the differences of the points, d additions
    that no matrix product does.
    """

    bandwidth: Bandwidth = None
    name = "laplacian_l1"
    order = 1
    metric = "cityblock"
    of_products = False

    @staticmethod
    def formula(xp: Any, distance: Any, scale: float) -> Any:
        return xp.exp(-distance * scale)

    @staticmethod
    def steepness(xp: Any, distance: Any, scale: float) -> Any:
        return scale * xp.exp(-distance * scale)

    def parameters(self, unit: float) -> tuple[float, ...]:
        return (math.sqrt(unit) / self._chosen_bandwidth(),)

    def _only_from_points(self, A):
        if not A.has_coordinates:
            raise InputError("the kernel laplacian_l1 needs coordinates, and these points have inner products alone")
        return True
