"""The Matern kernels that have a closed form."""

import dataclasses
import math
import numbers
from typing import Any

from kernelfit.common.errors import InputError
from kernelfit.kernels.distances import Bandwidth, DistanceKernel
from kernelfit.kernels.formula import TOLERANCE

_FAR = 1e3  # beyond it exp(-r) is 0, and what it is multiplied with may be infinite

NUS = (0.5, 1.5, 2.5)


@dataclasses.dataclass(frozen=True)
class Matern(DistanceKernel):
    """k(x, z) = 2^(1 - nu) / Gamma(nu) r^nu K_nu(r) with r = sqrt(2 nu) |x - z| / bandwidth: smoother for larger nu.

    nu = 0.5 is exp(-r), the Laplacian kernel; 1.5 is (1 + r) exp(-r); 2.5 is (1 + r + r^2 / 3) exp(-r). Functions are
    once differentiable for 1.5, twice for 2.5; for nu to infinity the kernel becomes the Gaussian one.
    Rasmussen and Williams, "Gaussian processes for machine learning", 2006, section 4.2.1, equations (4.14) to (4.17).

    Raises InputError for any other nu.
    """

    nu: float = 1.5
    bandwidth: Bandwidth = None
    name = "matern"

    def __post_init__(self) -> None:
        if not isinstance(self.nu, numbers.Real) or self.nu not in NUS:
            raise InputError(
                f"matern kernel: nu = {str(self.nu)[:40]}; it must be one of {', '.join(map(str, NUS))}, which have a "
                "closed form. Take gaussian for a smoother kernel"
            )
        object.__setattr__(self, "nu", float(self.nu))
        super().__post_init__()

    @staticmethod
    def formula(xp: Any, squared: Any, scale: float, order: int) -> Any:
        r = xp.sqrt(squared) * scale
        factor = 1.0
        if order == 1:
            factor = 1.0 + r
        if order == 2:
            factor = 1.0 + r * (1.0 + r / 3.0)
        return xp.where(r < _FAR, factor * xp.exp(-r), 0.0)

    @staticmethod
    def steepness(xp: Any, squared: Any, scale: float, order: int) -> Any:
        r = xp.sqrt(squared) * scale
        factor = xp.where(r > 0.0, 1.0 / xp.where(r > 0.0, r, 1.0), 0.0)
        if order == 1:
            factor = 1.0
        if order == 2:
            factor = (1.0 + r) / 3.0
        return xp.where(r < _FAR, factor * scale * scale * xp.exp(-r), 0.0)

    def parameters(self, unit: float) -> tuple[float, ...]:
        return (math.sqrt(2 * self.nu * unit) / self._chosen_bandwidth(),)

    @property
    def integers(self) -> tuple[int, ...]:
        return (int(self.nu),)

    def nearest(self, scale: float, error: float) -> float:
        # dk/dt of t = |x - z|^2 = (r / scale)^2 is -scale^2 / 2 times exp(-r) / r, exp(-r), (1 + r) exp(-r) / 3 for the
        # three nu. Where y times that is at most 1, it is small enough.
        y = scale**2 * error / (2 * TOLERANCE)
        if self.nu == 0.5:
            r = math.log1p(y)  # r exp(r) >= y
        elif self.nu == 1.5:
            r = math.log(max(1.0, y))
        else:
            r = 2 * math.log(max(1.0, 1.22 * y / 3)) if y > 3 else 0.0  # (1 + r) exp(-r / 2) <= 1.22
        return (r / scale) ** 2
