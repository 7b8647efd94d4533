"""The normalized polynomial kernel."""

import dataclasses

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

    def __post_init__(self):
        set_count(self, "degree")

    @staticmethod
    def formula(xp, s, p, q, degree):
        norms = norm_product(xp, p, q)
        return power(xp.where(norms > 0.0, s / xp.where(norms > 0.0, norms, 1.0), 0.0), degree)

    def parameters(self, unit):
        return ()

    @property
    def integers(self):
        return (self.degree,)
