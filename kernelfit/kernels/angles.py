"""Kernels |x| |z| f(angle between x and z)."""

import math
from typing import Any

import numpy as np

from kernelfit.kernels.arrays import Formula
from kernelfit.kernels.formula import TOLERANCE, FormulaKernel, rounding
from kernelfit.kernels.norms import norm_product, unit_vectors

_EPS = np.finfo(np.float64).eps


class AngleKernel(FormulaKernel):
    """A kernel |x| |z| formula(xp, v, w, angle, *integers), 0 where x or z is zero.

    The formula gets v = 1 - u and w = 1 + u for u = cos(angle), which have all their digits.
    """

    divides_by_norms = True

    def parameters(self, unit: float) -> tuple[float, ...]:
        return (unit,)

    @staticmethod
    def from_products(
        xp: Any,
        formula: Formula,
        t: Any,
        shift: Any,
        p: Any,
        q: Any,
        slack: float,
        near: float,
        scale: float,
        *integers: int,
    ) -> Any:
        s, norms = t + shift, norm_product(xp, p, q)
        u = xp.minimum(xp.maximum(s / xp.where(norms > 0.0, norms, 1.0), -1.0), 1.0)
        u = xp.where((s == p) & (p == q), 1.0, u)  # a point with itself, whatever the rounding of norms
        v, w = 1.0 - u, 1.0 + u
        value = scale * norms * formula(xp, v, w, xp.arccos(u), *integers)
        return xp.where((xp.minimum(v, w) < near) & (norms > 0.0), math.nan, value)

    @staticmethod
    def from_differences(
        xp: Any, formula: Formula, squared: Any, p: Any, q: Any, sign: float, scale: float, *integers: int
    ) -> Any:
        # |x - z|^2 = 2 (1 - u) of unit vectors, or with sign -1 |x + z|^2 = 2 (1 + u): the smaller of the two, which
        # tells the other. Where it is the larger, it tells neither.
        small = xp.minimum(0.5 * squared, 1.0)
        large, angle = 2.0 - small, 2.0 * xp.arctan2(xp.sqrt(small), xp.sqrt(2.0 - small))
        v, w = xp.where(sign > 0.0, small, large), xp.where(sign > 0.0, large, small)
        value = (
            scale * norm_product(xp, p, q) * formula(xp, v, w, xp.where(sign > 0.0, angle, math.pi - angle), *integers)
        )
        return xp.where(squared > 2.0, math.nan, value)

    def _unknown(self, A, B, parameters):
        if not A.has_coordinates:
            return 0.0, -math.inf
        # An error e of u = cos a moves the angle a by e / sin a, and 1 - |u| > sin(a)^2 / 2.
        sine = (2 * _EPS if A.exact else rounding(A.d)) / TOLERANCE
        return 0.0, 0.5 * min(1.0, sine) ** 2

    def _make_from_points(self, run, A, B, parameters, out):
        units = [unit_vectors(side) for side in (A, B)]
        norms = [side.original_sq_norms for side in (A, B)]
        if run(*units, None, *norms, 1.0, parameters, out):
            run(units[0], -units[1], None, *norms, -1.0, parameters, out)
