"""Polynomials of the inner product."""

import dataclasses
from typing import Any

from kernelfit.kernels.checks import set_count, set_number
from kernelfit.kernels.products import ProductKernel, power


@dataclasses.dataclass(frozen=True)
class Polynomial(ProductKernel):
    """k(x, z) = (gamma <x, z> + coef0)^degree, with gamma > 0 and coef0 >= 0 so that it is positive semi-definite."""

    degree: int = 3
    gamma: float = 1.0
    coef0: float = 1.0
    name = "polynomial"

    def __post_init__(self) -> None:
        set_count(self, "degree")
        set_number(self, "gamma", 1e-100, 1e100)
        set_number(self, "coef0", 0.0, 1e100)

    @staticmethod
    def formula(xp: Any, s: Any, p: Any, q: Any, gamma: float, coef0: float, degree: int) -> Any:
        return power(gamma * s + coef0, degree)

    def parameters(self, unit: float) -> tuple[float, ...]:
        return self.gamma * unit, self.coef0

    @property
    def integers(self) -> tuple[int, ...]:
        return (self.degree,)


@dataclasses.dataclass(frozen=True)
class Linear(ProductKernel):
    """k(x, z) = <x, z>: minimum-norm linear regression without an intercept."""

    name = "linear"

    @staticmethod
    def formula(xp: Any, s: Any, p: Any, q: Any, gamma: float) -> Any:
        return gamma * s

    def parameters(self, unit: float) -> tuple[float, ...]:
        return (unit,)
