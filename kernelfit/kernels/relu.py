"""The kernels of wide nets of ReLU layers."""

import dataclasses
import math
from typing import Any

from kernelfit.kernels.angles import AngleKernel
from kernelfit.kernels.checks import set_count


class ReluKernel(AngleKernel):
    """A kernel of `depth` layers, a field of its dataclass."""

    depth: int

    def __post_init__(self) -> None:
        set_count(self, "depth")

    @property
    def integers(self) -> tuple[int, ...]:
        return (self.depth,)


@dataclasses.dataclass(frozen=True)
class ArcCosine(ReluKernel):
    """The arc-cosine kernel of order 1, composed `depth` times: wide ReLU layers of which the last is trained.

    k(x, z) = |x| |z| u_depth, u_0 = <x, z> / (|x| |z|), u_{l+1} = (sqrt(1 - u_l^2) + u_l (pi - arccos u_l)) / pi.
    Cho and Saul, "Kernel methods for deep learning", 2009, section 2.3, with weights scaled to preserve the norm.
    """

    depth: int = 1
    name = "arccosine"

    @staticmethod
    def formula(xp: Any, v: Any, w: Any, angle: Any, depth: int) -> Any:
        return _layers(xp, v, w, angle, depth)[0]


@dataclasses.dataclass(frozen=True)
class NeuralTangent(ReluKernel):
    """The neural tangent kernel of a ReLU net with `depth` hidden layers and no biases.

    k(x, z) = |x| |z| t_depth, t_0 = u_0, t_{l+1} = u_{l+1} + t_l (pi - arccos u_l) / pi, u as for ArcCosine.
    Jacot, Gabriel and Hongler, "Neural tangent kernel", 2018; in this form Bietti and Mairal, 2019, section 2.
    """

    depth: int = 1
    name = "ntk"

    @staticmethod
    def formula(xp: Any, v: Any, w: Any, angle: Any, depth: int) -> Any:
        return _layers(xp, v, w, angle, depth)[1]


def _layers(xp: Any, v: Any, w: Any, angle: Any, depth: int) -> tuple[Any, Any]:
    """Return (u_depth, t_depth) for v = 1 - u_0, w = 1 + u_0 and the angle a_0."""
    v, u, tangent = _layer(xp, v, xp.sqrt(v * w), angle, 1.0 - v)
    for _ in range(1, depth):
        angle = xp.where(v > 0.01, xp.arccos(u), 2.0 * xp.arcsin(xp.sqrt(0.5 * v)))
        v, u, tangent = _layer(xp, v, xp.sqrt(v * (2.0 - v)), angle, tangent)
    return u, tangent


def _layer(xp, v, sine, angle, tangent):
    """Return (1 - u, u, t) of the next layer from v = 1 - u = 1 - cos a, sin a, a and t of the one before.

    v keeps the digits that u loses near 1: 1 - u_{l+1} = v - (sin a - a cos a) / pi.
    """
    rest = xp.minimum(xp.maximum(v - (sine - angle * (1.0 - v)) / math.pi, 0.0), 1.0)
    return rest, 1.0 - rest, tangent * ((math.pi - angle) / math.pi) + (1.0 - rest)
