"""Kernels of the inner product and the norms."""

from typing import Any

from kernelfit.kernels.arrays import Formula
from kernelfit.kernels.formula import FormulaKernel


class ProductKernel(FormulaKernel):
    """A kernel formula(xp, s, p, q, *parameters, *integers) of s = <x, z>, p = |x|^2 and q = |z|^2."""

    @staticmethod
    def from_products(
        xp: Any, formula: Formula, t: Any, shift: Any, p: Any, q: Any, slack: float, near: float, *parameters: float
    ) -> Any:
        return formula(xp, t + shift, p, q, *parameters)


def power(x: Any, degree: int) -> Any:
    """Return x^degree by repeated squaring, for an integer degree from 1 to 1023."""
    y = 1.0
    for bit in range(9, -1, -1):  # a fixed range is unrolled: squares of 1 cost nothing
        y = y * y
        if degree >> bit & 1:
            y = y * x
    return y
