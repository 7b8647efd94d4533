"""Kernels of the inner product and the norms."""

from kernelfit.kernels.formula import FormulaKernel


class ProductKernel(FormulaKernel):
    """A kernel formula(xp, s, p, q, *parameters, *integers) of s = <x, z>, p = |x|^2 and q = |z|^2."""

    @staticmethod
    def from_products(xp, formula, t, shift, p, q, slack, near, *parameters):
        return formula(xp, t + shift, p, q, *parameters)


def power(x, degree):
    """Return x^degree by repeated squaring, for an integer degree from 1 to 1023."""
    y = 1.0
    for bit in range(9, -1, -1):  # a fixed range is unrolled: squares of 1 cost nothing
        y = y * y
        if degree >> bit & 1:
            y = y * x
    return y
