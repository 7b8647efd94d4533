"""The passes of arrays, for a GPU, equal the compiled ones, for a CPU: both come from one formula."""

import math

import numpy as np
import pytest

from kernelfit import backend
from kernelfit.kernels import (
    ArcCosine,
    Cosine,
    Gaussian,
    Laplacian,
    Linear,
    Matern,
    NeuralTangent,
    Polynomial,
    arrays,
    compiled,
)
from kernelfit.kernels.distances import DistanceKernel
from kernelfit.kernels.products import ProductKernel
from kernelfit.kernels.relu import ReluKernel
from tests.support.gpu import SETTINGS, opened

EPS = np.finfo(float).eps


@pytest.mark.parametrize(
    "kernel",
    [
        Gaussian(0.85),
        Laplacian(1.4),
        *(Matern(nu, 1.7) for nu in (0.5, 1.5, 2.5)),
        Linear(),
        Polynomial(5, gamma=0.9, coef0=0.4),
        Polynomial(1000, gamma=0.01, coef0=0.9),
        Cosine(4),
        *(kind(depth) for kind in (ArcCosine, NeuralTangent) for depth in (2, 40)),
    ],
    ids=str,
)
@pytest.mark.parametrize("setting", ["numpy", *SETTINGS])
@pytest.mark.parametrize(("dtype", "out_dtype"), [(np.float32, np.float64), (np.float64, np.float32)])
def test_passes_of_arrays_equal_the_compiled_ones(request, setting, kernel, dtype, out_dtype):
    device = backend.CPU if setting == "numpy" else opened(request, setting)
    steps, parameters = max(kernel.integers, default=1), kernel.parameters(0.8)
    rng = np.random.default_rng(steps)
    # A power of x is off by as many eps as its degree, a recursion by a few at each depth, and exp by its argument.
    close = (20 + 20 * steps) * EPS + (np.finfo(np.float32).eps if out_dtype == np.float32 else 0)
    entry = kernel.from_products, kernel.formula, kernel.integers
    for offset in (-30, -4, 0, 3, 30):
        x, z = rng.random((20, 4)) + 0.1, rng.random((11, 4)) + 0.1
        T, a, b = (x @ z.T).astype(dtype), 0.1 * rng.random(20), 0.1 * rng.random(11)
        p, q = (x * x).sum(axis=1) + 1, (z * z).sum(axis=1) + 1  # large enough that shifts leave |cosine| below 1
        expected, out = np.empty(T.shape, out_dtype), device.empty(T.shape, out_dtype)
        unknown = np.median(p[:, None] + q - 2 * T) if isinstance(kernel, DistanceKernel) else 0.4
        for slack, near in [(0.0, -math.inf), (0.01, float(unknown))]:
            left = compiled.tile_pass(*entry)(T, a, b, p, q, parameters, offset, slack, near, expected)
            there = map(device.array, (T, a, b, p, q))
            assert arrays.tile_pass(*entry, device.xp)(*there, parameters, offset, slack, near, out) == left
            assert np.isnan(expected).sum() == left
            np.testing.assert_allclose(device.host(out), expected, rtol=close)
        if isinstance(kernel, ProductKernel):
            continue
        assert left > 0
        if isinstance(kernel, ReluKernel):
            x, z = (part / np.sqrt((part * part).sum(axis=1))[:, None] for part in (x, -z))
            expected[::2] = np.nan
            out[...] = device.array(expected)
        differences = kernel.from_differences, kernel.formula, kernel.integers, kernel.order
        for sign in (1.0, -1.0):
            left = compiled.difference_pass(*differences)(x, sign * z, None, p, q, sign, parameters, expected)
            left_side, right_side, *norms = map(device.array, (x, sign * z, p, q))
            run = arrays.difference_pass(*differences, device.xp)
            assert run(left_side, right_side, None, *norms, sign, parameters, out) == left
            np.testing.assert_allclose(device.host(out), expected, rtol=close)
        assert left == 0
