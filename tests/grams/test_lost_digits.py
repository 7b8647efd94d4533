"""Entries whose digits inner products lose are made from the points: right for any spread, offset and nearness."""

import numpy as np
import pytest

from kernelfit.backend import Cpu
from kernelfit.common.errors import InputError, SingularMatrixError
from kernelfit.grams.matrix import gram
from kernelfit.grams.points import points
from kernelfit.kernels import (
    ArcCosine,
    Cosine,
    Custom,
    Gaussian,
    Laplacian,
    Linear,
    Matern,
    NeuralTangent,
    Polynomial,
    formula,
)
from kernelfit.kernels.compiled import difference_pass
from kernelfit.solvers.panel_cholesky import cholesky

EPS = np.finfo(float).eps


def dense(kernel, X, Z=None):
    K = gram(X, kernel, Z)
    return K.block((0, K.shape[0]), (0, K.shape[1]))


def exact(kernel, X, Z):
    """Distance kernels from differences in long double."""
    X, Z = X.astype(np.longdouble), Z.astype(np.longdouble)
    squares = ((X[:, None] - Z) ** 2).sum(axis=2)
    if isinstance(kernel, Gaussian):
        return np.exp(-squares / (2 * np.longdouble(kernel.bandwidth) ** 2))
    r = np.sqrt(squares) / np.longdouble(kernel.bandwidth)
    if isinstance(kernel, Laplacian):
        return np.exp(-r)
    r = r * np.sqrt(np.longdouble(2 * kernel.nu))
    return {0.5: 1, 1.5: 1 + r, 2.5: 1 + r + r * r / 3}[kernel.nu] * np.exp(-r)


def spread(kind, rng, n, d, ratio):
    """Points whose spread, or offset, is `ratio` times the distance between neighbours."""
    near = rng.normal(size=(n, d))
    if kind == "uniform":
        return ratio * rng.uniform(-1, 1, (n, d))
    if kind == "clusters":
        return near + np.where(rng.random((n, 1)) < 0.5, ratio, -0.3 * ratio)
    if kind == "a far point":
        near[n // 2] = ratio
        return near
    if kind == "offset":
        return near + ratio
    twins = ratio * rng.uniform(-1, 1, (n, d))
    twins[n // 2 :] = twins[: n - n // 2] + 10.0 ** rng.uniform(-9, 1, (n - n // 2, 1)) * near[n // 2 :]
    return twins


@pytest.mark.parametrize("kind", ["uniform", "clusters", "a far point", "offset", "twins"])
@pytest.mark.parametrize("d", [1, 2, 9, 100])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_distance_kernels_are_right_for_any_spread(kind, d, dtype):
    rng = np.random.default_rng(d)
    for ratio in 10.0 ** np.arange(0, 9, 2):
        X = spread(kind, rng, 40, d, ratio)
        Z = (X[rng.permutation(40)[:25]] + 0.3 * rng.normal(size=(25, d))).astype(dtype)
        X = X.astype(dtype)
        for kernel in (Gaussian(1.0), Laplacian(0.7 * np.sqrt(d)), Matern(1.5, 1.0), Matern(2.5, 1.0)):
            # kernels.formula.TOLERANCE, and the rounding of what is made from differences
            assert abs(dense(kernel, X) - exact(kernel, X, X)).max() <= 3e-13
            assert abs(dense(kernel, Z, X) - exact(kernel, Z, X)).max() <= 3e-13


@pytest.mark.parametrize(("m", "k", "d"), [(1, 1, 1), (5, 64, 3), (7, 65, 20), (40, 200, 9), (3, 700, 33)])
@pytest.mark.parametrize("share", [0.01, 0.5, 1.0])
def test_one_by_one_and_together_differences_are_the_same(m, k, d, share):
    rng = np.random.default_rng(m + k)
    A, B, known = rng.normal(size=(m, d)), rng.normal(size=(k, d)), rng.random((m, k)) >= share
    out, p, q = np.where(known, 7.0, np.nan), np.ones(m), np.ones(k)
    run = difference_pass(Gaussian.from_differences, Gaussian.formula, ())
    assert run(A, B, None, p, q, 1.0, (0.5,), out) == 0
    assert (out[known] == 7.0).all()
    squares = sum((A[:, None, t] - B[None, :, t]) ** 2 for t in range(d))  # coordinate after coordinate, as there
    np.testing.assert_allclose(out[~known], np.exp(-0.5 * squares)[~known], rtol=4 * EPS)


def test_most_of_ordinary_data_is_made_by_matrix_products(monkeypatch):
    """Not one entry of normal vectors, and few of pixels as floats, are worth a second look."""
    seen = []

    def counting(device, *entry):
        return lambda *arguments: seen.append(np.isnan(arguments[-1]).sum()) or difference_pass(*entry)(*arguments)

    monkeypatch.setattr(formula, "difference_pass", counting)
    rng = np.random.default_rng(0)
    normal, images = rng.normal(size=(300, 784)), rng.integers(0, 256, (300, 784)) / 255
    for X, bandwidth in [(normal, 39.0), (images, 5.0), (images, 11.0)]:
        dense(Gaussian(bandwidth), X)
        dense(Laplacian(bandwidth), X)
        dense(Matern(2.5, bandwidth), X)
        dense(NeuralTangent(2), X)
    assert sum(seen) <= 300


@pytest.mark.parametrize("make", [np.float64, np.float32])
def test_an_offset_costs_no_digit(make):
    """What is subtracted is subtracted exactly, and comes back."""
    rng = np.random.default_rng(0)
    X = (np.array([5e5, -6e6, 1.7e9, 0.0, 3.0]) + rng.uniform(0, 100, (50, 5))).astype(make)
    made = points(X, shifted=True)
    assert (made.centre != 0).tolist() == [True, True, True, False, False]
    assert np.array_equal(made.coordinates(), X.astype(float))
    i, j = np.triu_indices(50, 1)
    assert np.array_equal(made.values[i] - made.values[j], X[i].astype(float) - X[j].astype(float))
    assert points(X - X.min(axis=0), shifted=True).centre is None
    assert made.fingerprint() != points(made.values).fingerprint()
    assert points(X).centre is None
    with pytest.raises(InputError, match="shifted for a kernel of distances"):
        gram(X, Gaussian(1.0) * Cosine(), made)


MAP = np.array([500_000.0, 6_000_000.0])  # easting, northing in metres


@pytest.mark.parametrize(
    "other",
    [Cosine(1), 1e-14 * Linear(), 1e-14 * Polynomial(1), NeuralTangent(1), Custom(lambda A, B: 1e-14 * A @ B.T)],
    ids=lambda kernel: str(kernel)[:20],
)
def test_each_part_of_a_kernel_sees_the_points_as_it_needs_them(other):
    rng = np.random.default_rng(0)
    X, Z = MAP + rng.uniform(0, 100, (60, 2)), MAP + rng.uniform(0, 100, (20, 2))
    for A, B in [(X, X), (Z, X)]:
        gaussian, second = exact(Gaussian(10.0), A, B), dense(other, A, B)
        np.testing.assert_allclose(dense(Gaussian(10.0) * other, A, B), gaussian * second, rtol=1e-12)
        np.testing.assert_allclose(dense(Gaussian(10.0) + other, A, B), gaussian + second, rtol=1e-12)


@pytest.mark.parametrize("kernel", [Cosine(3), ArcCosine(2), NeuralTangent(1)], ids=str)
@pytest.mark.parametrize("scale", [1e-4, 1e-10, 1e-30, 1e6])
def test_angles_with_points_of_another_size(kernel, scale):
    """However small beside training points that lie in a narrow range."""
    X = 1e4 + np.random.default_rng(0).uniform(0, 1, (20, 5))
    Z = np.random.default_rng(1).normal(size=(9, 5))
    times = 1.0 if isinstance(kernel, Cosine) else scale
    expected = dense(kernel, Z, X)
    np.testing.assert_allclose(
        dense(kernel, scale * Z, X), times * expected, rtol=0, atol=1e-12 * times * abs(expected).max()
    )


@pytest.mark.parametrize("scale", [1e-72, 1e-100, 1e76, 1e120])
def test_the_diagonal_of_points_whose_norms_multiply_beyond_float64(scale):
    X = scale * np.random.default_rng(0).normal(size=(9, 3))
    norms = (X * X).sum(axis=1)
    np.testing.assert_allclose(dense(NeuralTangent(2), X).diagonal(), 3 * norms, rtol=4 * EPS)


def test_products_of_points_far_from_the_origin():
    """As right as float64 allows: a few eps |x| |z|."""
    rng = np.random.default_rng(0)
    X, Z = MAP + rng.uniform(0, 100, (30, 2)), MAP + rng.uniform(0, 100, (20, 2))
    products = (X.astype(np.longdouble)[:, None] * Z).sum(axis=2)
    np.testing.assert_allclose(dense(Linear(), X, Z), products.astype(float), rtol=4 * EPS)


def test_a_function_of_ones_own_sees_every_digit_of_test_points():
    seen = []

    def watch(A, B):
        seen.append(A.copy())
        return A @ B.T

    X, Z = 1000 + np.random.default_rng(0).uniform(0, 1, (4, 1)), np.array([[1e-9], [0.1], [1e9]])
    dense(Custom(watch), Z, X)
    assert np.array_equal(seen[-1], Z)


@pytest.mark.parametrize("dtype", [np.float64, np.uint8])
def test_angles_of_nearly_parallel_and_opposite_points(dtype):
    """To some eps, where the arc cosine of a rounded cosine near 1 or -1 has half of the digits."""
    rng = np.random.default_rng(0)
    if dtype == np.uint8:
        X = rng.integers(100, 256, (12, 60)).astype(dtype)
        X[6:] = X[:6]
        X[6:, 0] ^= 1
    else:
        X = rng.normal(size=(12, 5))
        tiny = 10.0 ** np.array([-12, -9, -7, -5, -3, -1])[:, None]
        X[6:] = np.array([1, 1, 1, -1, -1, -1])[:, None] * (X[:6] + tiny * rng.normal(size=(6, 5)))
    A = X.astype(np.longdouble) / (255 if dtype == np.uint8 else 1)
    norms = np.sqrt((A**2).sum(axis=1))
    units, scale = A / norms[:, None], norms[:, None] * norms
    minus = np.sqrt(((units[:, None] - units) ** 2).sum(axis=2))
    plus = np.sqrt(((units[:, None] + units) ** 2).sum(axis=2))
    pi = 4 * np.arctan(np.longdouble(1))
    angle = 2 * np.arctan2(minus, plus)
    first = (np.sin(angle) + (pi - angle) * np.cos(angle)) / pi
    tangent = first + np.cos(angle) * (pi - angle) / pi
    assert abs(dense(ArcCosine(1), X) - scale * first).max() <= 20 * EPS * scale.max()
    assert abs(dense(NeuralTangent(1), X) - scale * tangent).max() <= 20 * EPS * scale.max()
    # The next layer from 1 - cos, which keeps its digits: 1 - first = 1 - cos - (sin - angle cos) / pi.
    half = np.sqrt(np.maximum(2 * np.sin(angle / 2) ** 2 - (np.sin(angle) - angle * np.cos(angle)) / pi, 0) / 2)
    second_angle = 2 * np.arcsin(np.minimum(half, 1))
    second = (np.sin(second_angle) + (pi - second_angle) * np.cos(second_angle)) / pi
    expected = scale * (second + tangent * (pi - second_angle) / pi)
    assert abs(dense(NeuralTangent(2), X) - expected).max() <= 40 * EPS * scale.max()


@pytest.mark.parametrize("depth", [1, 3])
def test_contradictory_targets_of_parallel_points_are_refused(depth):
    """f(c x) = c f(x) for every function of this space, so none is 1 at x and 0 at c x."""
    rng = np.random.default_rng(0)
    for _ in range(30):
        x = rng.standard_normal(5)
        X = np.vstack([x, rng.uniform(0.1, 3) * x, rng.standard_normal((3, 5))])
        with pytest.raises(SingularMatrixError):
            cholesky(gram(X, NeuralTangent(depth)))


def test_blocks_of_pixels_have_the_same_bits_however_they_are_cut():
    """Also entries that are made from the points."""
    rng = np.random.default_rng(0)
    X = np.repeat(rng.integers(100, 256, (20, 50)), 2, axis=0).astype(np.uint8)
    X[::2, 0] ^= 1
    K = gram(X, NeuralTangent(2))
    whole = K.block((0, 40), (0, 40))
    assert np.array_equal(whole, whole.T)
    for tile in (1, 3, 17):
        K = gram(X, NeuralTangent(2), device=Cpu(tile=tile))
        assert np.array_equal(K.block((3, 39), (5, 31)), whole[3:39, 5:31])
