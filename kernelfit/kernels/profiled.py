"""Kernels that are a profile: from inner products where these tell an entry, and else from the points.

Inner products lose the digits of entries of points that are near to each other and far from the origin, or nearly
parallel; a bound of their rounding says which.
"""

import dataclasses
import math
from typing import ClassVar

import numpy as np

from kernelfit.common.errors import InputError
from kernelfit.kernels.base import Kernel, set_count, set_number

_EPS = np.finfo(np.float64).eps
# A smaller squared norm may have lost digits to underflow: this is 1e17 times the smallest number that has them all.
SMALLEST_SQ_NORM = 1e-290
# By how much an entry of a kernel with values up to 1 may be off through the rounding of inner products before it is
# made from the points instead. Bounds are generous: what is seen is a hundredth of it.
TOLERANCE = 2.5e-13
_FEW = 8  # coordinates whose differences cost a CPU no more than their inner products


class ProfileKernel(Kernel):
    """A kernel that is a profile raised to an integer power."""

    divides_by_norms: ClassVar[bool] = False

    def _profile(self, unit):
        """Return (name of the profile, its parameters, power) where a product of two coordinates is worth `unit`."""
        raise NotImplementedError

    @property
    def of_products(self):
        return True

    def block(self, A, B, out):
        if self.divides_by_norms:
            _require_digits_of_norms(A, B)
        name, parameters, power = self._profile(A.unit)
        theta = tuple(float(value) for value in parameters)
        if self._from_points(A):
            A.require_same_kind(B)
            out[...] = np.nan
            missing = out.size
        else:
            run = _tile_pass(A.device, name, power)
            T, offset = A.inner_products(B), A.offset_to(B)
            offset = len(B) if offset is None else offset  # len(B) and beyond: no entry is a point with itself
            norms = (self._sq_norms(side) for side in (A, B))
            missing = run(T, A.unshift, B.unshift, *norms, theta, offset, *self._unknown(A, B, theta), out)
        if missing:
            self._make_from_points(_difference_pass(A.device, name), A, B, theta, out)

    def _from_points(self, A):
        """Whether no inner products are needed."""
        return False

    def _sq_norms(self, side):
        """Return the squared norms that the profile takes."""
        return side.original_sq_norms

    def _unknown(self, A, B, theta):
        """Return (slack, near), which entries inner products do not tell: see kernelfit.kernels.profiles.tile_pass."""
        return 0.0, -math.inf

    def _make_from_points(self, run, A, B, theta, out):
        """Make what is NaN in out from the points."""
        raise NotImplementedError


@dataclasses.dataclass(frozen=True)
class DistanceKernel(ProfileKernel):
    bandwidth: float | None = None

    def __post_init__(self):
        if self.bandwidth is not None:
            # Beyond these bounds squares and their inverses leave float64, and K is 1 or the identity anyway.
            set_number(self, "bandwidth", 1e-100, 1e100)

    def with_bandwidth(self, bandwidth):
        return dataclasses.replace(self, bandwidth=bandwidth) if self.bandwidth is None else self

    @property
    def open_bandwidth(self):
        return self.bandwidth is None

    @property
    def translation_invariant(self):
        return True

    def _chosen_bandwidth(self):
        if self.bandwidth is None:
            raise InputError(f"{self} has no bandwidth yet; give one, or choose one with choose_bandwidth")
        return self.bandwidth

    def _from_points(self, A):
        return A.device.name == "cpu" and A.has_coordinates and not A.exact and A.d <= _FEW

    def _sq_norms(self, side):
        return side.sq_norms

    def _unknown(self, A, B, theta):
        if A.exact or not A.has_coordinates:
            return 0.0, -math.inf
        # |x|^2 + |z|^2 - 2 <x, z> is off by at most slack (|x|^2 + |z|^2).
        slack = _rounding(A.d)
        near = self._nearest(theta[0], slack * (A.largest + B.largest))
        return (slack, near) if near > 0 else (0.0, -math.inf)

    def _nearest(self, scale, error):
        """Return the squared distance beyond which `error` in it changes the kernel by less than TOLERANCE."""
        raise NotImplementedError

    def _make_from_points(self, run, A, B, theta, out):
        run(A.values, B.values, A.sq_norms, B.sq_norms, theta, out)


@dataclasses.dataclass(frozen=True)
class AngleKernel(ProfileKernel):
    """A kernel |x| |z| f(angle between x and z), 0 where x or z is zero."""

    depth: int = 1
    divides_by_norms = True

    def __post_init__(self):
        set_count(self, "depth")

    def _unknown(self, A, B, theta):
        if not A.has_coordinates:
            return 0.0, -math.inf
        # An error e of u = cos a moves the angle a by e / sin a, and 1 - |u| > sin(a)^2 / 2.
        sine = (2 * _EPS if A.exact else _rounding(A.d)) / TOLERANCE
        return 0.0, 0.5 * min(1.0, sine) ** 2

    def _make_from_points(self, run, A, B, theta, out):
        units = [_unit_vectors(side) for side in (A, B)]
        norms = [side.original_sq_norms for side in (A, B)]
        if run(*units, *norms, (*theta, 1.0), out):
            run(units[0], -units[1], *norms, (*theta, -1.0), out)


def _tile_pass(device, name, power):
    """Return the pass from a tile of inner products to kernel values: compiled on a CPU, CuPy's fusion on a GPU."""
    if device.name == "cpu":
        from kernelfit.kernels.profiles import tile_pass

        return tile_pass(name, power)
    from kernelfit.kernels.array_profiles import array_pass

    return array_pass(name, power, device.xp)


def _difference_pass(device, name):
    """Return the pass from points to kernel values, for what inner products do not tell."""
    if device.name == "cpu":
        from kernelfit.kernels.profiles import difference_pass

        return difference_pass(name)
    from kernelfit.kernels.array_profiles import array_differences

    return array_differences(name, device.xp)


def _rounding(d):
    """Return a bound on the error of inner products of d coordinates in float64, relative to |x|^2 + |z|^2.

    d eps is never exceeded; errors of rounding behave as if they were random, and a few times sqrt(d) eps is not either
    (Higham and Mary, "A new approach to probabilistic rounding error analysis", 2019). The constant includes the norms.
    """
    return 4 * math.sqrt(d) * _EPS


def _unit_vectors(side):
    X = side.coordinates()
    norms = side.device.xp.sqrt((X * X).sum(axis=1))
    return X / side.device.xp.where(norms > 0, norms, 1.0)[:, None]


def _require_digits_of_norms(*sides):
    """Raise InputError where a squared norm that is divided by has lost digits to underflow; 0 is handled."""
    for side in sides:
        norms = side.original_sq_norms
        lost = (norms > 0) & (norms < SMALLEST_SQ_NORM)
        if lost.any():
            row = side.start + int(np.flatnonzero(side.device.host(lost))[0])
            raise InputError(
                f"point {row} is too small for a kernel that divides by |x|: |x|^2 has lost its digits in float64. "
                "Scale the points, or leave it out"
            )
