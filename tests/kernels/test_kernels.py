"""Kernels against formulas written down a second time, in int64 and long double; and the language that names them.

eps below is 2.2e-16, so that one rounding is eps / 2.
"""

import contextlib
import random
import sys

import numba
import numpy as np
import pytest

from kernelfit.common.errors import InputError
from kernelfit.gram.matrix import gram
from kernelfit.gram.points import first_duplicate, points
from kernelfit.kernels import (
    ArcCosine,
    Constant,
    Cosine,
    Custom,
    Gaussian,
    Laplacian,
    Linear,
    NeuralTangent,
    Polynomial,
    Precomputed,
    Product,
    Sum,
)
from kernelfit.kernels.profiles import exp_of_negative
from kernelfit.kernels.text import kernel_names, parse_kernel

EPS = np.finfo(float).eps
UNIT = 1 / 255**2
QUARTIC = Cosine(4)
# 1,024 coordinates is where exact float32 sums end; the last of each pair ends in a short chunk.
PIXEL_SHAPES = [(30, 7, 5), (20, 8, 8, 3), (12, 1024), (12, 1025), (9, 25, 40, 3)]


def dense(kernel, X, Z=None):
    K = gram(X, kernel, Z)
    return K.block((0, K.shape[0]), (0, K.shape[1]))


def pixels(shape, seed=0):
    """Random images between black, white and half-black ones, so that sums reach their extremes."""
    X = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    X[1], X[2] = 255, 0
    X[2].flat[0] = 1  # no kernel divides by zero
    X[3].flat[::2] = 0
    return X


@pytest.fixture(params=PIXEL_SHAPES, ids=str)
def images(request):
    return pixels(request.param), pixels((5, *request.param[1:]), seed=1)


@pytest.fixture
def vectors():
    rng = np.random.default_rng(2)
    return rng.normal(size=(25, 6)), rng.normal(size=(11, 6))


def integer_products(X, Z):
    """<x, z>, |x|^2 and |z|^2 in int64."""
    X, Z = (part.reshape(len(part), -1).astype(np.int64) for part in (X, Z))
    return X @ Z.T, (X * X).sum(axis=1)[:, None], (Z * Z).sum(axis=1)[None]


def long_products(X, Z):
    """<x, z>, |x|^2, |z|^2 and |x - z|^2 in long double, of pixels / 255 or of numbers as they are."""
    X, Z = (
        part.reshape(len(part), -1).astype(np.longdouble) / (255 if part.dtype == np.uint8 else 1) for part in (X, Z)
    )
    distances = ((X[:, None] - Z) ** 2).sum(axis=2)
    return X @ Z.T, (X**2).sum(axis=1)[:, None], (Z**2).sum(axis=1)[None], distances


def deep(cosine, depth):
    """(arc-cosine, neural tangent) of unit vectors, from the angle: Cho and Saul 2009, Jacot et al. 2018."""
    tangent, pi = cosine, 4 * np.arctan(np.longdouble(1))
    for _ in range(depth):
        angle = np.arccos(np.clip(cosine, -1, 1))
        tangent = tangent * (1 - angle / pi)
        cosine = (np.sin(angle) + (pi - angle) * np.cos(angle)) / pi
        tangent = tangent + cosine
    return cosine, tangent


# ---- exp -----------------------------------------------------------------------------------------------------------


@numba.njit
def _exp(x):
    out = np.empty_like(x)
    for i in range(len(x)):
        out[i] = exp_of_negative(x[i])
    return out


def test_exp_is_right_over_its_whole_range():
    rng = np.random.default_rng(0)
    halfway = -np.log(2) * np.arange(2041) / 2  # where the exponent changes, and between
    x = np.concatenate(
        [-708 * rng.random(50_000), -(10 ** rng.uniform(-300, 2.84, 20_000)), halfway, -rng.random(50_000)]
    )
    x = np.concatenate([x, np.nextafter(x, -800)])
    x = x[x > -708]
    expected = np.exp(x.astype(np.longdouble))
    # Three sums of about 1 are rounded by eps / 2 each, and the reduced argument, below 0.35, by less than eps / 4.
    assert (abs(_exp(x) - expected) <= 2 * EPS * expected).all()
    assert (_exp(x) <= 1).all()


def test_exp_at_its_ends():
    assert (_exp(np.array([0.0, -0.0, -1e-300, -5e-324, -1e-17])) == 1).all()
    near = np.array([-700.0, -705.5, -707.9, np.nextafter(-708, 0)])
    np.testing.assert_allclose(_exp(near), np.exp(near), rtol=3 * EPS)  # 2 eps as above, and eps for np.exp
    # Below -708 the true value is subnormal, under 3.4e-308; 0 stands for it.
    far = np.array([-708.0, -708.4, -720.0, -744.0, -745.2, -760.0, -1e4, -1e16, -1e18, -1e300, -np.inf])
    assert (_exp(far) == 0).all()
    assert (np.exp(far) < 3.4e-308).all()


# ---- pixels --------------------------------------------------------------------------------------------------------


def test_squared_distances_of_pixels_are_exact_integers(images):
    for X, Z in [(images[0], None), images]:
        products, p, q = integer_products(X, X if Z is None else Z)
        distances = p + q - 2 * products
        for bandwidth in (0.3, 5.0, 40.0):
            expected = _exp((-distances * (UNIT / (2 * bandwidth**2))).ravel()).reshape(distances.shape)
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


# ---- floating point ------------------------------------------------------------------------------------------------


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


# ---- what does not need a formula ----------------------------------------------------------------------------------


@pytest.mark.parametrize("integral", [True, False])
def test_the_diagonal_is_exactly_k_of_x_with_itself(integral):
    X = pixels((40, 300)) if integral else 1e3 + np.random.default_rng(0).normal(size=(40, 300))
    norms = points(X).original_sq_norms * (UNIT if integral else 1)
    assert (np.diag(dense(Gaussian(3.0), X)) == 1).all()
    assert (np.diag(dense(Laplacian(3.0), X)) == 1).all()
    assert (np.diag(dense(QUARTIC, X)) == 1).all()
    assert np.array_equal(np.diag(dense(Linear(), X)), norms)
    for depth in (1, 3):
        # sqrt(p p) = p and u = 1 are exact, so |x|^2 and (depth + 1) |x|^2 follow with one rounding each.
        np.testing.assert_allclose(np.diag(dense(ArcCosine(depth), X)), norms, rtol=EPS)
        np.testing.assert_allclose(np.diag(dense(NeuralTangent(depth), X)), (depth + 1) * norms, rtol=2 * EPS)
    block = gram(X, Gaussian(3.0)).block((5, 33), (12, 20))  # off the diagonal's corner
    assert (block[np.arange(7, 15), np.arange(8)] == 1).all() and (block == 1).sum() == 8


def test_deep_kernels_at_known_angles():
    X = np.array([[3.0, 0.0], [0.0, 2.0], [-3.0, 0.0], [1.0, 1.0]])
    # At 90 degrees u_1 = 1 / pi, t_1 = 1 / pi; at 180 both vanish; at 45: (sin 45 + 3 pi / 4 cos 45) / pi.
    K, T = dense(ArcCosine(), X), dense(NeuralTangent(), X)
    u = (np.sqrt(0.5) + 0.75 * np.pi * np.sqrt(0.5)) / np.pi
    # A few roundings of numbers up to 9.
    np.testing.assert_allclose(K[0], [9, 6 / np.pi, 0, 3 * np.sqrt(2) * u], rtol=0, atol=40 * EPS)
    np.testing.assert_allclose(T[0, :3], [18, 6 / np.pi, 0], rtol=0, atol=40 * EPS)
    np.testing.assert_allclose(T[0, 3], 3 * np.sqrt(2) * (u + 0.75 * np.sqrt(0.5)), rtol=10 * EPS)


def test_deep_kernels_are_limits_of_wide_relu_nets():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(4, 3))
    width = 200_000
    before = rng.normal(size=(width, 3)) @ X.T  # (neurons, points)
    last = rng.normal(size=(width, 1))
    active = before > 0
    i, j = np.triu_indices(4)

    def agree(samples, expected):
        """The mean of independent samples lies within 5 standard errors: by chance once in 1.7 million."""
        assert (abs(samples.mean(axis=0) - expected) <= 5 * samples.std(axis=0) / np.sqrt(len(samples))).all()

    # E 2 relu(w x) relu(w z) for normal w, where E 2 relu(w x)^2 = |x|^2
    hidden = 2 * (before * active)[:, i] * (before * active)[:, j]
    first = dense(ArcCosine(1), X)
    agree(hidden, first[i, j])
    # f(x) = sqrt(2 / m) sum_j a_j relu(w_j x): the product of its gradients with respect to a, and to w
    agree(hidden + 2 * last**2 * (active[:, i] & active[:, j]) * (X @ X.T)[i, j], dense(NeuralTangent(1), X)[i, j])
    # The next layer sees Gaussian numbers whose covariance is the kernel of the one before.
    after = rng.normal(size=(width, 4)) @ np.linalg.cholesky(first).T
    agree(2 * (after * (after > 0))[:, i] * (after * (after > 0))[:, j], dense(ArcCosine(2), X)[i, j])


PROFILES = [Gaussian(2.0), Laplacian(2.0), Polynomial(3), QUARTIC, Linear(), ArcCosine(2), NeuralTangent(3)]


@pytest.mark.parametrize(
    "kernel", [*PROFILES, 0.5 * Gaussian(1.0) + Linear() * QUARTIC, Linear() + 3.0], ids=lambda kernel: str(kernel)[:30]
)
def test_matrices_are_symmetric_and_positive_semidefinite_up_to_rounding(kernel):
    X = pixels((40, 8, 8))
    X[20:] = X[:20]
    X[25:, 0, 0] ^= 1  # equal points, and points at distance 1 / 255
    K = dense(kernel, X)
    assert np.array_equal(K, K.T)
    # Entries are off by some 100 eps of the largest at most (cosines near 1: see check_deep), and so the eigenvalues of
    # an n x n matrix by n times that.
    assert np.linalg.eigvalsh(K).min() >= -len(X) * 100 * EPS * K.max()


def test_algebra_is_that_of_the_matrices(images):
    X, Z = images
    G, L = dense(Gaussian(4.0), X, Z), dense(Linear(), X, Z)
    for kernel, expected in [
        (Gaussian(4.0) + Linear(), G + L),
        (Gaussian(4.0) * Linear(), G * L),
        (2 + Linear(), 2 + L),
        (Linear() + 2, 2 + L),
        (0.3 * Gaussian(4.0), 0.3 * G),
        (Gaussian(4.0) * 0.3 + Linear() * (Linear() + 1), 0.3 * G + L * (L + 1)),
        (np.float64(2) * Linear(), 2 * L),
        (Constant(0.25), np.full(L.shape, 0.25)),
    ]:
        assert np.array_equal(dense(kernel, X, Z), expected), kernel


def test_open_bandwidths_are_filled_wherever_they_are():
    kernel = 0.5 * Gaussian() + (Laplacian() + Gaussian(2.0)) * Linear()
    assert kernel.open_bandwidth
    filled = kernel.with_bandwidth(3)
    assert filled == 0.5 * Gaussian(3.0) + (Laplacian(3.0) + Gaussian(2.0)) * Linear()
    assert not filled.open_bandwidth and kernel.open_bandwidth
    assert filled.with_bandwidth(7.0) == filled
    with pytest.raises(InputError, match="no bandwidth yet"):
        dense(kernel, np.eye(3))


# ---- what is refused -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kernel", [QUARTIC, Cosine(1), ArcCosine(), NeuralTangent(2)], ids=str)
@pytest.mark.parametrize("dtype", [np.uint8, float])
def test_kernels_of_the_angle_are_zero_at_zero(kernel, dtype):
    """|x| |z| f(angle) is continuous there; the cosine is not, and 0 is scikit-learn's convention."""
    X = np.random.default_rng(0).integers(1, 9, (6, 4)).astype(dtype)
    X[4] = 0
    K, others = dense(kernel, X), np.delete(np.arange(6), 4)
    assert not K[4].any() and not K[:, 4].any()
    assert np.array_equal(K[np.ix_(others, others)], dense(kernel, X[others]))
    assert not dense(kernel, X[4:5], X[:3]).any() and not dense(kernel, X[:3], X[4:5]).any()


@pytest.mark.parametrize("kernel", [QUARTIC, ArcCosine(), NeuralTangent(2)], ids=str)
def test_norms_that_underflow_are_refused_where_they_are_divided_by(kernel):
    X = np.ones((5, 3))
    X[3] = 1e-150
    with pytest.raises(InputError, match="point 3 is too small"):
        dense(kernel, X)
    assert np.array_equal(dense(Gaussian(1.0), X)[3, :2], np.exp([-1.5, -1.5]))
    with pytest.raises(InputError, match=r"no coordinate is larger than 1.0e-160"):
        dense(Gaussian(1.0), X * 1e-160)


@pytest.mark.parametrize("scale", [1e-120, 1e-79, 1e-40, 1e70, 1e140])
def test_cosines_do_not_depend_on_the_scale(scale):
    X = np.random.default_rng(0).normal(size=(9, 3))
    for kernel in (Cosine(3), Cosine(1)):
        # |x|, |z| and their product are rounded, where the square of the product is out of range.
        np.testing.assert_allclose(dense(kernel, X * scale), dense(kernel, X), rtol=0, atol=20 * EPS)


@pytest.mark.parametrize(
    ("X", "Z"),
    [
        (np.ones((3, 4), np.uint8), np.ones((2, 4))),
        (np.ones((3, 4)), np.ones((2, 4), np.uint8)),
        (np.ones((3, 4)), np.ones((2, 5))),
        (np.ones((3, 4), np.uint8), np.ones((2, 2, 3), np.uint8)),
    ],
)
def test_points_of_two_kinds_do_not_meet(X, Z):
    with pytest.raises(InputError, match="one shape and one kind"):
        dense(Linear(), X, Z)


@pytest.mark.parametrize(
    "X",
    [
        np.ones((3, 4), int),
        np.ones((3, 4), bool),
        np.ones((3, 4), complex),
        np.array([["a", "b"]]),
        np.array([[None]]),
        np.ones(5),
        np.ones((0, 4)),
        np.ones((4, 0), np.uint8),
    ],
    ids=lambda X: f"{X.dtype}{X.shape}",
)
def test_what_cannot_be_points_is_refused(X):
    with pytest.raises(InputError, match="points"):
        dense(Linear(), X)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("kernel", [Gaussian(1.0), Linear()], ids=str)
def test_points_that_are_not_finite_are_refused(kernel, value):
    X = np.random.default_rng(0).normal(size=(5, 3))
    X[3, 1] = value
    for side in [(X, None), (X[:2], X)]:
        with pytest.raises(InputError):
            dense(kernel, *side)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (Gaussian, {"bandwidth": 0.0}),
        (Gaussian, {"bandwidth": -1.0}),
        (Gaussian, {"bandwidth": float("nan")}),
        (Gaussian, {"bandwidth": float("inf")}),
        (Gaussian, {"bandwidth": "wide"}),
        (Laplacian, {"bandwidth": -1}),
        (Polynomial, {"degree": 0}),
        (Polynomial, {"degree": -2}),
        (Polynomial, {"degree": 2.5}),
        (Polynomial, {"degree": True}),
        (Polynomial, {"gamma": 0.0}),
        (Polynomial, {"gamma": float("nan")}),
        (Polynomial, {"gamma": float("inf")}),
        (Polynomial, {"coef0": -0.1}),
        (Polynomial, {"coef0": float("inf")}),
        (ArcCosine, {"depth": 0}),
        (NeuralTangent, {"depth": 1.5}),
        (Constant, {"value": -1.0}),
        (Constant, {"value": float("nan")}),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_options_that_make_no_kernel_are_refused(kind, options):
    with pytest.raises(InputError):
        kind(**options)


@pytest.mark.parametrize("bandwidth", [1e-200, 1e200])
def test_extreme_bandwidths_fail_by_name_or_give_the_limit(bandwidth):
    X = np.eye(3)
    try:
        K = dense(Gaussian(bandwidth), X)
    except InputError:
        return
    assert np.array_equal(K, np.ones((3, 3)) if bandwidth > 1 else X)


def test_a_precomputed_kernel_is_no_term_of_a_sum():
    with pytest.raises(InputError):
        dense(Precomputed() + Linear(), np.eye(3))


# ---- the language --------------------------------------------------------------------------------------------------


def random_kernel(rng, depth):
    if depth == 0 or rng.random() < 0.2:
        number = rng.choice([rng.uniform(0.01, 9), rng.expovariate(1) * 1e-12 + 1e-20, 1e16, 3, 0.1])
        return rng.choice(
            [
                Gaussian(number),
                Gaussian(),
                Laplacian(number),
                Polynomial(rng.randint(1, 9), gamma=number, coef0=rng.choice([0, 0.5])),
                Linear(),
                ArcCosine(rng.randint(1, 4)),
                NeuralTangent(rng.randint(1, 4)),
                Constant(number),
                QUARTIC,
            ]
        )
    pair = rng.choice([Sum, Product])
    return pair(random_kernel(rng, depth - 1), random_kernel(rng, depth - 1))


def test_text_and_kernel_are_inverse_on_random_trees():
    rng = random.Random(0)
    for _ in range(500):
        kernel = random_kernel(rng, rng.randint(0, 5))
        assert parse_kernel(str(kernel)) == kernel, str(kernel)
        assert str(parse_kernel(str(kernel))) == str(kernel)
    assert parse_kernel("precomputed") == Precomputed() == parse_kernel(str(Precomputed()))


@pytest.mark.parametrize(
    ("text", "kernel"),
    [
        ("gaussian", Gaussian()),
        (" gaussian( bandwidth = 5 ) ", Gaussian(5)),
        ("quartic", QUARTIC),
        ("quartic()", QUARTIC),
        ("ntk(depth=3)", NeuralTangent(3)),
        ("0.5 * gaussian(bandwidth=5) + linear", Sum(Product(Constant(0.5), Gaussian(5)), Linear())),
        ("linear + 1 * linear", Sum(Linear(), Product(Constant(1.0), Linear()))),
        ("(linear + 1) * linear", Product(Sum(Linear(), Constant(1.0)), Linear())),
        ("linear + linear + 2", Sum(Sum(Linear(), Linear()), Constant(2.0))),
        ("linear * (linear * 2)", Product(Linear(), Product(Linear(), Constant(2.0)))),
    ],
)
def test_texts_and_what_they_mean(text, kernel):
    assert parse_kernel(text) == kernel


@pytest.mark.parametrize("number", [np.float64(2.5), np.float32(2.5), np.int64(2), 2])
def test_equal_kernels_print_alike_whatever_kind_of_number_they_got(number):
    """A bandwidth computed by numpy is np.float64; its kernel ends up in Records and models, as text."""
    for kernel, same in [
        (Gaussian(number), Gaussian(float(number))),
        (Polynomial(gamma=number, coef0=number), Polynomial(gamma=float(number), coef0=float(number))),
        (Constant(number), Constant(float(number))),
    ]:
        assert kernel == same
        assert str(kernel) == str(same)
        assert parse_kernel(str(kernel)) == same


@pytest.mark.parametrize(
    ("text", "meant"),
    [("gaussain", "gaussian"), ("Gaussian", "gaussian"), ("laplace", "laplacian"), ("quartik", "quartic")],
)
def test_a_mistyped_name_gets_a_suggestion(text, meant):
    for whole in (text, f"linear + {text}", f"{text}()"):
        with pytest.raises(InputError, match=f"did you mean '{meant}'"):
            parse_kernel(whole)


def test_a_name_like_no_other_gets_the_list():
    with pytest.raises(InputError, match="gaussian, laplacian, polynomial") as caught:
        parse_kernel("zzzzzz")
    assert "did you mean" not in str(caught.value)


MARK = "open('executed', 'w').write('x')"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        ":",
        "a:",
        ":b",
        "a b:c",
        "polynomial(degree=0)",
        "polynomial(degree=2.5)",
        "polynomial(degree=None)",
        "polynomial(degree=[3])",
        "polynomial(3)",
        "polynomial(power=3)",
        "polynomial(**{'degree': 3})",
        "polynomial(*[3])",
        "gaussian(bandwidth=-1)",
        "gaussian(bandwidth=0)",
        "gaussian(bandwidth=1e999)",
        "gaussian(bandwidth='wide')",
        "gaussian(bandwidth=5j)",
        "gaussian(bandwidth=1, bandwidth=2)",
        "gaussian(5)",
        "linear(bandwidth=1)",
        "precomputed(1)",
        "Kernel",
        "_named",
        "linear()()",
        "linear.block",
        "linear.__class__",
        "linear.__class__()",
        "linear[0]",
        "[linear]",
        "linear, linear",
        "linear - linear",
        "linear / 2",
        "linear ** 2",
        "linear @ linear",
        "-linear",
        "-1 * linear",
        "1e999 * linear",
        "linear if linear else linear",
        "lambda: linear",
        "(x := linear)",
        "f'{linear}'",
        "'linear'",
        "True",
        "linear; linear",
        "linear\nlinear",
        "import os",
        "\x00",
        MARK,
        f"__import__('os') + {MARK}",
        "__import__('marker')",
        f"gaussian(bandwidth={MARK})",
        f"linear + [{MARK} for _ in (1,)]",
        "marker.f",
        "marker",
        "linear + marker.f()",
    ],
)
def test_what_is_no_kernel_is_refused_and_never_executed(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "marker.py").write_text(f"def f(A, B):\n    pass\n{MARK}\n")
    with pytest.raises(InputError):
        parse_kernel(text)
    assert not (tmp_path / "executed").exists()
    assert "marker" not in sys.modules


@pytest.mark.parametrize(
    "text",
    [
        "1" + "0" * 400,
        "9" * 10_000,
        "(" * 5000 + "1" + ")" * 5000,
        "-" * 100_000 + "1",
        "1" + "+1" * 50_000,
        "1*" * 3000 + "1",
        "linear+(" * 150 + "1" + ")" * 150,
        "gaussian(bandwidth=" + "[" * 150 + "]" * 150 + ")",
    ],
    ids=["big", "bigger", "parentheses", "signs", "sum", "product", "nested", "list"],
)
def test_texts_of_absurd_size_are_parsed_or_refused(text):
    with contextlib.suppress(InputError):
        parse_kernel(text)


def test_an_error_does_not_repeat_pages_of_text():
    with pytest.raises(InputError) as caught:
        parse_kernel("linear - " * 10_000 + "linear")
    assert len(str(caught.value)) < 2000


# ---- kernels of one's own ------------------------------------------------------------------------------------------

SOURCE = """
import numpy as np

class Kernels:
    @staticmethod
    def twice(A, B):
        return 2 * A @ B.T

def rbf(A, B):
    return np.exp(-((A[:, None] - B) ** 2).sum(axis=2) / 2)

not_a_function = 3
"""


@pytest.fixture
def own_module(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    (tmp_path / "own_kernels_of_a_test.py").write_text(SOURCE)
    yield "own_kernels_of_a_test"
    sys.modules.pop("own_kernels_of_a_test", None)


def test_a_function_in_the_current_folder_becomes_a_kernel(own_module):
    path = list(sys.path)
    X = pixels((9, 5, 4))
    kernel = parse_kernel(f"{own_module}:rbf")
    assert sys.path == path
    # Both are rounded some ten times, on numbers of at most 1.
    np.testing.assert_allclose(dense(kernel, X), dense(Gaussian(1.0), X), rtol=0, atol=100 * EPS)
    assert parse_kernel(str(kernel)) == kernel
    assert np.array_equal(dense(parse_kernel(f"{own_module}:Kernels.twice"), np.eye(3)), 2 * np.eye(3))


@pytest.mark.parametrize("name", ["missing", "Kernels.missing", "not_a_function"])
def test_what_cannot_be_imported_as_a_function(own_module, name):
    path = list(sys.path)
    with pytest.raises(InputError, match=name):
        parse_kernel(f"{own_module}:{name}")
    with pytest.raises(InputError, match="could not be imported"):
        parse_kernel(f"no_such_module_at_all:{name}")
    assert sys.path == path


def test_a_kernel_of_ones_own_takes_part_in_expressions(own_module):
    kernel = 0.5 * parse_kernel(f"{own_module}:rbf") + Linear()
    assert parse_kernel(str(kernel)) == kernel


def test_a_custom_kernel_sees_pixels_divided_by_255():
    X, seen = pixels((6, 5, 2)), []

    def watch(A, B):
        seen.append(A)
        return A @ B.T

    dense(Custom(watch), X, X[:2])
    assert np.array_equal(
        np.concatenate(sorted(seen, key=lambda A: A[0, 0] != X[0].flat[0] / 255)), X.reshape(6, -1) / 255
    )
    assert seen[0].dtype == float


@pytest.mark.parametrize(
    "function",
    [
        lambda A, B: A @ B.T + np.nan,
        lambda A, B: A @ B.T + 1j,
        lambda A, B: (A @ B.T)[:, :1],
        lambda A, B: (A @ B.T).astype(str),
        lambda A, B: 1.0,
        lambda A, B: None,
    ],
)
def test_what_a_custom_kernel_must_not_return(function):
    with pytest.raises(InputError, match="returned"):
        dense(Custom(function, "mine"), np.eye(3))


# ---- points --------------------------------------------------------------------------------------------------------


def test_the_first_duplicate_is_the_earliest_repetition():
    X = pixels((30, 4, 4))
    assert first_duplicate(X) is None
    X[17] = X[5]
    X[12] = X[9]
    X[20] = X[5]
    assert first_duplicate(X) == (9, 12)
    assert first_duplicate(X.astype(float)) == (9, 12)


def test_points_of_read_only_data_in_any_layout_are_the_same():
    X = pixels((12, 6, 5))
    for other in (np.asfortranarray(X), np.repeat(X, 2, axis=0)[::2], X[::-1][::-1]):
        other.flags.writeable = False
        assert np.array_equal(points(other).values, points(X).values)
        assert np.array_equal(points(other).sq_norms, points(X).sq_norms)
        assert np.array_equal(dense(Gaussian(2.0), other), dense(Gaussian(2.0), X))


def test_every_kernel_has_a_name_and_every_name_a_kernel():
    for name in kernel_names():
        assert parse_kernel(name) == parse_kernel(str(parse_kernel(name)))
