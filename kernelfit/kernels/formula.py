"""Kernels that are a formula, which stands once: numba compiles it for a CPU, CuPy fuses it for a GPU.

A formula is a function of one pair of points, `formula(xp, ..., *parameters, *integers)`. Its first argument has the
functions exp (below 709), log1p, sqrt, arccos, arcsin, arctan2, maximum, minimum and where: those of
kernelfit.kernels.scalars for one pair, the array namespace for a whole tile. So it decides by `where`, and by `if` and
`range` on integers alone, and calls other such functions of its module by name.
"""

import math
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from kernelfit import backend
from kernelfit.kernels import arrays, compiled
from kernelfit.kernels.arrays import Formula, Pass
from kernelfit.kernels.base import Kernel, Points
from kernelfit.kernels.norms import require_digits_of_norms

_EPS = np.finfo(np.float64).eps
# By how much an entry of a kernel with values up to 1 may be off through the rounding of inner products before it is
# made from the points instead. Bounds are generous: what is seen is a hundredth of it.
TOLERANCE = 2.5e-13


class FormulaKernel(Kernel):
    """A kernel whose entries come from inner products where these tell them, and else from the points.

    Inner products lose the digits of entries of points that are near to each other and far from the origin, or nearly
    parallel; a bound of their rounding says which. DistanceKernel, ProductKernel and AngleKernel are of this kind and
    say how formulas meet points:

    from_products(xp, formula, t, shift, p, q, slack, near, *parameters, *integers)
        The entry of an inner product t + shift = <x, z>, p = |x|^2, q = |z|^2, or NaN where that does not tell it.
    from_differences(xp, formula, squared, p, q, sign, *parameters, *integers)
        The entry of a squared distance, or NaN.
    """

    divides_by_norms: ClassVar[bool] = False
    order: ClassVar[int] = 2  # differences are squared, or of order 1 taken absolutely
    formula: ClassVar[Formula]
    from_products: ClassVar[Formula]
    from_differences: ClassVar[Formula]

    def parameters(self, unit: float) -> tuple[float, ...]:
        """Return the floats that the formula takes where a product of two coordinates is worth `unit`."""
        raise NotImplementedError

    @property
    def integers(self) -> tuple[int, ...]:
        """What the formula takes last; a pass is compiled for each."""
        return ()

    @property
    def of_products(self) -> bool:
        return True

    def block(self, A: Points, B: Points, out: npt.NDArray) -> None:
        if self.divides_by_norms:
            require_digits_of_norms(A, B)
        parameters = self.parameters(A.unit)
        if self._only_from_points(A):
            A.require_same_kind(B)
            out[...] = np.nan
            missing = out.size
        else:
            run = _tile_pass(A.device, (self.from_products, self.formula, self.integers))
            left, right = self._seen(A), self._seen(B)
            T, offset = left.inner_products(right), left.offset_to(right)
            offset = len(B) if offset is None else offset  # len(B) and beyond: no entry is a point with itself
            norms = (self._sq_norms(side) for side in (left, right))
            unknown = self._unknown(left, right, parameters)
            missing = run(T, left.unshift, right.unshift, *norms, parameters, offset, *unknown, out)
        if missing:
            run = difference_pass(A.device, (self.from_differences, self.formula, self.integers, self.order))
            self._make_from_points(run, A, B, parameters, out)

    def _only_from_points(self, A: Points) -> bool:
        """Whether no inner products are needed."""
        return False

    def _seen(self, side: Points) -> Points:
        """Return the points whose inner products are taken."""
        return side

    def _sq_norms(self, side: Points) -> npt.NDArray:
        """Return the squared norms that from_products takes."""
        return side.original_sq_norms

    def _unknown(self, A: Points, B: Points, parameters: tuple[float, ...]) -> tuple[float, float]:
        """Return (slack, near) of from_products: which entries it does not tell."""
        return 0.0, -math.inf

    def _make_from_points(
        self, run: Pass, A: Points, B: Points, parameters: tuple[float, ...], out: npt.NDArray
    ) -> None:
        """Make what is NaN in out with the pass `run` from differences."""
        raise NotImplementedError


def rounding(d: int) -> float:
    """Return a bound on the error of inner products of d coordinates in float64, relative to |x|^2 + |z|^2.

    d eps is never exceeded; errors of rounding behave as if they were random, and a few times sqrt(d) eps is not either
    (Higham and Mary, "A new approach to probabilistic rounding error analysis", 2019). The constant includes the norms.
    """
    return 4 * math.sqrt(d) * _EPS


def _tile_pass(device: backend.Device, entry: tuple[Formula, Formula, tuple[int, ...]]) -> Pass:
    """Return the pass from a tile of inner products to entries: see kernelfit.kernels.compiled.tile_pass."""
    if device.name == "cpu":
        return compiled.tile_pass(*entry)
    return arrays.tile_pass(*entry, device.xp)


def difference_pass(device: backend.Device, entry: tuple[Formula, Formula, tuple[int, ...], int]) -> Pass:
    """Return the pass from points to entries that are NaN: see kernelfit.kernels.compiled.difference_pass."""
    if device.name == "cpu":
        return compiled.difference_pass(*entry)
    return arrays.difference_pass(*entry, device.xp)
