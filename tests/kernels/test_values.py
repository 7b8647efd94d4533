"""Kernels against formulas written down a second time, in int64 and long double."""

import numpy as np
import pytest

from kernelfit.kernels import ArcCosine, Cosine, Gaussian, Laplacian, Linear, NeuralTangent, Polynomial
from tests.support.kernels import EPS, UNIT, deep, dense, exp_of, integer_products, long_products, pixels

QUARTIC = Cosine(4)


def test_squared_distances_of_pixels_are_exact_integers(images):
    for X, Z in [(images[0], None), images]:
        products, p, q = integer_products(X, X if Z is None else Z)
        distances = p + q - 2 * products
        for bandwidth in (0.3, 5.0, 40.0):
            expected = exp_of((-distances * (UNIT / (2 * bandwidth**2))).ravel()).reshape(distances.shape)
            assert np.array_equal(dense(Gaussian(bandwidth), X, Z), expected)
        assert np.array_equal(np.rint(dense(Linear(), X, Z) * 255**2).astype(np.int64), products)


@pytest.mark.parametrize("bandwidth", [0.7, 5.0])
def test_distance_kernels_of_pixels(images, bandwidth):
    X, Z = images
    distances = long_products(X, Z)[3]
    for kernel, argument in [
        (Gaussian(bandwidth), distances / (2 * np.longdouble(bandwidth) ** 2)),
        (Laplacian(bandwidth), np.sqrt(distances) / bandwidth),
    ]:
        expected = np.exp(-argument)
        # The argument is an exact integer (or its root) after at most 5 roundings, 2.5 eps, which exp multiplies by the
        # argument; exp itself adds 2 eps. Below exp(-708) the kernel is 0.
        tolerance = (2.5 * argument + 2) * EPS * expected + np.where(argument > 707.9, 3.4e-308, 0)
        assert (abs(dense(kernel, X, Z) - expected) <= tolerance).all(), kernel


@pytest.mark.parametrize("degree", [1, 3])
def test_polynomials_of_pixels(images, degree):
    X, Z = images
    expected = (np.longdouble(0.7) * long_products(X, Z)[0] + np.longdouble(0.3)) ** degree
    # All terms are positive: 5 roundings make the base (2.5 eps), times the degree, and degree - 1 products follow.
    K = dense(Polynomial(degree, gamma=0.7, coef0=0.3), X, Z)
    assert (abs(K - expected) <= 3 * degree * EPS * expected).all()


@pytest.mark.parametrize("degree", [4, 7])
def test_normalized_polynomials_of_pixels(images, degree):
    X, Z = images
    products, p, q, _ = long_products(X, Z)
    expected = (products / np.sqrt(p * q)) ** degree
    # The base is s / sqrt(p q): 4 roundings, 2 eps, times the degree; half an eps for each further product.
    K = dense(Cosine(degree), X, Z)
    assert (abs(K - expected) <= 3 * degree * EPS * expected).all()


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_deep_kernels_of_pixels(images, depth):
    check_deep(*images, depth)


def check_deep(X, Z, depth):
    products, p, q, _ = long_products(X, Z)
    scale, cosine = np.sqrt(p * q), products / np.sqrt(p * q)
    # 1 - u^2 loses one eps, which the root divides by sin = sqrt(1 - u^2); where that is 0, by sqrt(eps).
    sine = np.min([np.sqrt(np.maximum(1 - deep(cosine, level)[0] ** 2, EPS)) for level in range(depth + 1)], axis=0)
    layer = (4 + 1 / sine) * EPS  # the other steps of a layer lose some 4 eps
    arc_cosine, tangent = (scale * part for part in deep(cosine, depth))
    assert (abs(dense(ArcCosine(depth), X, Z) - arc_cosine) <= (depth + 1) * layer * scale).all()
    # An error in u moves the angle by as much over the sine, and multiplies a tangent of at most depth + 1.
    assert (abs(dense(NeuralTangent(depth), X, Z) - tangent) <= (depth + 1) ** 3 * layer / sine * scale).all()


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_kernels_of_real_vectors(vectors, dtype):
    X, Z = (part.astype(dtype) for part in vectors)
    products, p, q, distances = long_products(X, Z)
    largest = float(max(p.max(), q.max()))
    rounding = 8 * EPS * largest  # a product of 6 terms in any order: less than 8 eps |x| |z|
    expected = np.exp(-distances / (2 * np.longdouble(1.5) ** 2))
    # p + q - 2 s is off by 4 such roundings; exp has slope at most 1.
    assert (abs(dense(Gaussian(1.5), X, Z) - expected) <= 4 * rounding / (2 * 1.5**2) + 4 * EPS).all()
    error = 4 * rounding / (2 * np.sqrt(float(distances.min())))
    assert (abs(dense(Laplacian(1.5), X, Z) - np.exp(-np.sqrt(distances) / 1.5)) <= error / 1.5 + 4 * EPS).all()
    base = 0.7 * largest + 0.3
    expected = (np.longdouble(0.7) * products + np.longdouble(0.3)) ** 3
    # The slope of b^3 is 3 b^2; three roundings of at most b^3 follow.
    error = 3 * base**2 * (rounding + 2 * EPS * base) + 2 * EPS * base**3
    assert (abs(dense(Polynomial(3, gamma=0.7, coef0=0.3), X, Z) - expected) <= error).all()
    assert (abs(dense(Linear(), X, Z) - products) <= rounding).all()
    # |cosine| <= 1 has errors of 8 eps from the product and 4 from the norms; the slope of c^4 is at most 4.
    assert (abs(dense(QUARTIC, X, Z) - (products / np.sqrt(p * q)) ** 4) <= 4 * 12 * EPS).all()
    check_deep(X, Z, 2)


def test_the_conventions_are_those_of_scikit_learn(vectors):
    from sklearn.metrics import pairwise

    for X, Z in [vectors, (pixels((10, 40)), pixels((8, 40), seed=3))]:
        A, B = (part / 255 if part.dtype == np.uint8 else part for part in (X, Z))
        for kernel, expected in [
            (Gaussian(2.5), pairwise.rbf_kernel(A, B, gamma=1 / (2 * 2.5**2))),
            (Polynomial(3, gamma=0.5, coef0=1.5), pairwise.polynomial_kernel(A, B, degree=3, gamma=0.5, coef0=1.5)),
            (Linear(), pairwise.linear_kernel(A, B)),
            (QUARTIC, pairwise.cosine_similarity(A, B) ** 4),
            (Polynomial(), (A @ B.T + 1) ** 3),
        ]:
            # Not a test of rounding: both lose some 40 eps of the largest entry.
            np.testing.assert_allclose(dense(kernel, X, Z), expected, rtol=0, atol=1e-13 * expected.max())


def test_float32_data_are_used_as_the_numbers_they_are(vectors):
    X, Z = (part.astype(np.float32) for part in vectors)
    assert np.array_equal(dense(Gaussian(1.0), X, Z), dense(Gaussian(1.0), X.astype(float), Z.astype(float)))
