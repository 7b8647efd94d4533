"""The kernels that have a name, and two that have none: a function of the user's own, and a matrix."""

import dataclasses
import math

import numpy as np

from kernelfit.common.errors import InputError
from kernelfit.kernels.base import Kernel, set_count, set_number
from kernelfit.kernels.profiled import TOLERANCE, AngleKernel, DistanceKernel, ProfileKernel


@dataclasses.dataclass(frozen=True)
class Gaussian(DistanceKernel):
    """k(x, z) = exp(-|x - z|^2 / (2 bandwidth^2)). The paper's authors used bandwidth 5 on MNIST.

    Examples
    --------
    >>> str(0.5 * Gaussian(bandwidth=5.0) + Linear())
    '0.5 * gaussian(bandwidth=5.0) + linear()'
    """

    name = "gaussian"

    def _profile(self, unit):
        return "gaussian", [unit / (2 * self._chosen_bandwidth() ** 2)], 1

    def _nearest(self, scale, error):
        # d/dt exp(-scale t) = -scale exp(-scale t)
        return math.log(max(1.0, scale * error / TOLERANCE)) / scale


@dataclasses.dataclass(frozen=True)
class Laplacian(DistanceKernel):
    """k(x, z) = exp(-|x - z| / bandwidth) with the Euclidean norm (scikit-learn's laplacian uses the 1-norm)."""

    name = "laplacian"

    def _profile(self, unit):
        return "laplacian", [np.sqrt(unit) / self._chosen_bandwidth()], 1

    def _nearest(self, scale, error):
        # d/dt exp(-scale sqrt t) is less than scale exp(-x) / r with r = sqrt t, x = scale r; it is small enough where
        # x exp(x) >= y, which x = log(1 + y) is.
        return (math.log1p(scale**2 * error / TOLERANCE) / scale) ** 2


@dataclasses.dataclass(frozen=True)
class Polynomial(ProfileKernel):
    """k(x, z) = (gamma <x, z> + coef0)^degree, with gamma > 0 and coef0 >= 0 so that it is positive semi-definite."""

    degree: int = 3
    gamma: float = 1.0
    coef0: float = 1.0
    name = "polynomial"

    def __post_init__(self):
        set_count(self, "degree")
        set_number(self, "gamma", 1e-100, 1e100)
        set_number(self, "coef0", 0.0, 1e100)

    def _profile(self, unit):
        return "affine", [self.gamma * unit, self.coef0], self.degree


@dataclasses.dataclass(frozen=True)
class Cosine(ProfileKernel):
    """k(x, z) = (<x, z> / (|x| |z|))^degree. An author of the paper gets 1.18 % on MNIST with degree 4, "quartic".

    It is 0 where x or z is zero, as in scikit-learn.
    """

    degree: int = 1
    name = "cosine"
    divides_by_norms = True

    def __post_init__(self):
        set_count(self, "degree")

    def _profile(self, unit):
        return "cosine", [], self.degree


@dataclasses.dataclass(frozen=True)
class Linear(ProfileKernel):
    """k(x, z) = <x, z>: minimum-norm linear regression without an intercept."""

    name = "linear"

    def _profile(self, unit):
        return "affine", [unit, 0.0], 1


@dataclasses.dataclass(frozen=True)
class ArcCosine(AngleKernel):
    """The arc-cosine kernel of order 1, composed `depth` times: wide ReLU layers of which the last is trained.

    k(x, z) = |x| |z| u_depth, u_0 = <x, z> / (|x| |z|), u_{l+1} = (sqrt(1 - u_l^2) + u_l (pi - arccos u_l)) / pi.
    Cho and Saul, "Kernel methods for deep learning", 2009, section 2.3, with weights scaled to preserve the norm.
    """

    name = "arccosine"

    def _profile(self, unit):
        return "arc_cosine", [unit, self.depth], 1


@dataclasses.dataclass(frozen=True)
class NeuralTangent(AngleKernel):
    """The neural tangent kernel of a ReLU net with `depth` hidden layers and no biases.

    k(x, z) = |x| |z| t_depth, t_0 = u_0, t_{l+1} = u_{l+1} + t_l (pi - arccos u_l) / pi, u as for ArcCosine.
    Jacot, Gabriel and Hongler, "Neural tangent kernel", 2018; in this form Bietti and Mairal, 2019, section 2.
    """

    name = "ntk"

    def _profile(self, unit):
        return "neural_tangent", [unit, self.depth], 1


@dataclasses.dataclass(frozen=True)
class Custom(Kernel):
    """k given by a user's own function(A, B) on float64 blocks (a, d), (b, d), pixels / 255, that returns (a, b).

    The function is called from several threads at once, so it must not keep state between calls. On a GPU it gets and
    returns CuPy arrays.
    `path` is how it prints: "module:function" where it can be imported from.
    """

    function: object
    path: str = ""

    def block(self, A, B, out):
        xp = A.device.xp
        values = xp.asarray(self.function(A.coordinates(), B.coordinates()))
        if values.shape != out.shape or values.dtype.kind not in "fiu":
            raise InputError(
                f"kernel {self} returned {values.dtype} of shape {values.shape} for blocks of {len(A)} and {len(B)} "
                f"points; expected real numbers of shape {out.shape}"
            )
        if not xp.isfinite(values).all():
            raise InputError(f"kernel {self} returned NaN or infinite values")
        out[...] = values

    def __str__(self):
        made = getattr(self.function, "__qualname__", type(self.function).__name__)
        return f"custom({self.path or f'{self.function.__module__}:{made}'!r})"


@dataclasses.dataclass(frozen=True)
class Precomputed(Kernel):
    """The data already are the kernel: X_train is K (n, n), X_test is the cross matrix (m, n). Stands alone."""

    name = "precomputed"

    def block(self, A, B, out):
        raise InputError("a precomputed kernel has no points, so it cannot be combined with other kernels")
