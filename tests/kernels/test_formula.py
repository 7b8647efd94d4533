"""A kernel is one small class: here are two, made in a test, that run compiled and as array expressions."""

import dataclasses

import numpy as np
import pytest

from kernelfit.backend import device
from kernelfit.grams.matrix import gram
from kernelfit.kernels.distances import DistanceKernel
from kernelfit.kernels.formula import TOLERANCE
from kernelfit.kernels.products import ProductKernel, power
from tests.support import fake_cuda


def _inverse(xp, x, order):
    for _ in range(order):
        x = 1.0 / x
    return xp.where(x > 0.0, x, 0.0)


@dataclasses.dataclass(frozen=True)
class Cauchy(DistanceKernel):
    """1 / (1 + |x - z|^2 / bandwidth^2)."""

    bandwidth: float | None = None
    name = "cauchy"
    integers = (3,)

    @staticmethod
    def formula(xp, squared, scale, order):
        return _inverse(xp, 1.0 + squared * scale, order)

    def parameters(self, unit):
        return (unit / self._chosen_bandwidth() ** 2,)

    def nearest(self, scale, error):
        return max(0.0, (scale * error / TOLERANCE) ** 0.5 - 1) / scale


@dataclasses.dataclass(frozen=True)
class Shifted(ProductKernel):
    """<x, z>^degree |x| |z|."""

    degree: int = 2

    @staticmethod
    def formula(xp, s, p, q, unit, degree):
        return power(s * unit, degree) * xp.sqrt(p * q) * unit

    def parameters(self, unit):
        return (unit,)

    @property
    def integers(self):
        return (self.degree,)


POINTS = {
    "pixels": lambda rng: rng.integers(0, 256, (40, 30), np.uint8),
    "floats": lambda rng: rng.normal(size=(40, 12)),
    "far": lambda rng: rng.normal(size=(40, 12)) + 1e4 * rng.integers(0, 2, (40, 1)),
}


CASES = [
    (Cauchy(2.0), lambda squared, s, norms: 1 / (1 + squared / 4)),
    (Shifted(1), lambda squared, s, norms: s * norms),
    (Shifted(5), lambda squared, s, norms: s**5 * norms),
    (0.5 * Cauchy(3.0) + Shifted(2), lambda squared, s, norms: 0.5 / (1 + squared / 9) + s**2 * norms),
]


@pytest.mark.parametrize("where", ["cpu", "cuda"])
@pytest.mark.parametrize("kind", POINTS)
@pytest.mark.parametrize(("kernel", "formula"), CASES, ids=lambda value: str(value)[:20])
def test_a_formula_is_all_that_a_kernel_takes(kernel, formula, kind, where):
    X = POINTS[kind](np.random.default_rng(0))
    A = X.astype(np.longdouble) / (255 if kind == "pixels" else 1)
    norms = np.sqrt((A**2).sum(axis=1))
    expected = formula(((A[:, None] - A) ** 2).sum(axis=2), A @ A.T, norms[:, None] * norms).astype(float)
    with fake_cuda.installed():
        there = device(where)
        K = there.host(gram(X, kernel, device=there).block((0, 40), (0, 40)))
    # Inner products lose a few eps |x| |z|, and the degree multiplies that; TOLERANCE is what distances may lose.
    np.testing.assert_allclose(K, expected, rtol=1e-12, atol=1e-12 * abs(expected).max())


@pytest.mark.parametrize("degree", [1, 2, 3, 7, 10, 1000, 1023])
def test_powers_multiply_as_often_as_squaring_takes(degree):
    """Exactly where every product is a number of float64; else off by less than an eps for each factor."""
    assert power(np.array([1.0, -1.0, 0.0]), degree).tolist() == [1.0, (-1.0) ** degree, 0.0]
    assert power(2.0, degree) == 2.0**degree
    x = np.random.default_rng(0).uniform(0.8, 1.2, 100)
    np.testing.assert_allclose(
        power(x, degree), (x.astype(np.longdouble) ** degree).astype(float), rtol=degree * 2.3e-16
    )
