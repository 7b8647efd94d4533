"""The normalized polynomial kernel."""

import dataclasses
from typing import Any

from kernelfit.kernels.checks import set_count
from kernelfit.kernels.norms import norm_product
from kernelfit.kernels.products import ProductKernel, power


@dataclasses.dataclass(frozen=True)
class Cosine(ProductKernel):
    """k(x, z) = (<x, z> / (|x| |z|))^degree. An author of the paper gets 1.18 % on MNIST with degree 4, "quartic".

    It is 0 where x or z is zero, as in scikit-learn.
    """

    degree: int = 1
    name = "cosine"
    divides_by_norms = True

    def __post_init__(self) -> None:
        set_count(self, "degree")

    @staticmethod
    def formula(xp: Any, s: Any, p: Any, q: Any, degree: int) -> Any:
        norms = norm_product(xp, p, q)
        return power(xp.where(norms > 0.0, s / xp.where(norms > 0.0, norms, 1.0), 0.0), degree)

    def parameters(self, unit: float) -> tuple[float, ...]:
        return ()

    @property
    def integers(self) -> tuple[int, ...]:
        return (self.degree,)
