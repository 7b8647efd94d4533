"""Kernels of the distance |x - z|."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np

from kernelfit.common.errors import InputError
from kernelfit.kernels.arrays import Formula
from kernelfit.kernels.base import Points
from kernelfit.kernels.checks import set_bandwidth
from kernelfit.kernels.formula import FormulaKernel, rounding

Bandwidth = float | tuple[float, ...] | None
_FEW = 8  # coordinates whose differences cost a CPU no more than their inner products


class DistanceKernel(FormulaKernel):
    """A kernel formula(xp, squared, *parameters) of |x - z|^2, with a field `bandwidth` that is None while open.

    With a bandwidth for each feature ("automatic relevance determination") it is the kernel of bandwidth 1 of the
    points x_t / bandwidth_t. Differences are scaled after they are taken: scaling first would cost them digits.
    """

    bandwidth: Bandwidth
    translation_invariant = True
    steepness: ClassVar[
        Formula
    ]  # -m dk/ds of s = |x - z|^m, m the order, of what `formula` takes; 0 where it is no number

    def __post_init__(self) -> None:
        set_bandwidth(self)

    def nearest(self, scale: float, error: float) -> float:
        """Return the squared distance beyond which `error` in it changes the kernel by less than TOLERANCE.

        `scale` is the first of the parameters.
        """
        raise NotImplementedError

    @staticmethod
    def from_products(
        xp: Any, formula: Formula, t: Any, shift: Any, p: Any, q: Any, slack: float, near: float, *parameters: float
    ) -> Any:
        both = p + q
        squared = both - 2.0 * t  # of the points as they are held: a shift does not matter
        value = formula(xp, xp.maximum(squared, 0.0), *parameters)
        return xp.where(squared < slack * both + near, math.nan, value)

    @staticmethod
    def from_differences(
        xp: Any, formula: Formula, squared: Any, p: Any, q: Any, sign: float, *parameters: float
    ) -> Any:
        return formula(xp, squared, *parameters)

    def with_bandwidth(self, bandwidth: float | Sequence[float]) -> Self:
        return dataclasses.replace(self, bandwidth=bandwidth) if self.bandwidth is None else self  # type: ignore[type-var]

    @property
    def open_bandwidth(self) -> bool:
        return self.bandwidth is None

    @property
    def of_products(self) -> bool:
        return not isinstance(self.bandwidth, tuple)

    def _chosen_bandwidth(self) -> float:
        """Return what distances are divided by, beside the weights of features."""
        if self.bandwidth is None:
            raise InputError(f"{self} has no bandwidth yet; give one, or choose one with choose_bandwidth")
        return 1.0 if isinstance(self.bandwidth, tuple) else self.bandwidth

    def _weights(self, side: Points) -> Any:
        """Return 1 / bandwidth of each feature, an array (d,) on the device, or None where there is one of all."""
        if not isinstance(self.bandwidth, tuple):
            return None
        if not side.has_coordinates or len(self.bandwidth) != side.d:
            what = f"{side.d} coordinates" if side.has_coordinates else "inner products and no coordinates"
            raise InputError(
                f"{self.name} kernel: {len(self.bandwidth)} bandwidths meet points of {what}; give one each"
            )
        return side.device.array(1.0 / np.array(self.bandwidth))

    def _seen(self, side):
        weights = self._weights(side)
        return side if weights is None else side.scaled(weights)

    def _only_from_points(self, A):
        return A.device.name == "cpu" and A.has_coordinates and not A.exact and A.d <= _FEW

    def _sq_norms(self, side):
        return side.sq_norms

    def _unknown(self, A, B, parameters):
        if A.exact or not A.has_coordinates:
            return 0.0, -math.inf
        # |x|^2 + |z|^2 - 2 <x, z> is off by at most slack (|x|^2 + |z|^2).
        slack = rounding(A.d)
        near = self.nearest(parameters[0], slack * (A.largest + B.largest))
        return (slack, near) if near > 0 else (0.0, -math.inf)

    def _make_from_points(self, run, A, B, parameters, out):
        run(A.values, B.values, self._weights(A), A.sq_norms, B.sq_norms, 1.0, parameters, out)
