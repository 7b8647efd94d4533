"""The rational quadratic kernel, the Laplacian of the 1-norm, and one bandwidth for each feature."""

import numpy as np
import pytest
from sklearn.gaussian_process import kernels as peers
from sklearn.metrics.pairwise import laplacian_kernel, rbf_kernel

from kernelfit.backend import device
from kernelfit.common.errors import InputError
from kernelfit.grams.matrix import gram
from kernelfit.kernels import Gaussian, Laplacian, LaplacianL1, Matern, RationalQuadratic
from kernelfit.kernels.text import parse_kernel
from kernelfit.models.bandwidth import choose_bandwidth
from tests.support import fake_cuda

KINDS = ("pixels", "few", "many")


@pytest.fixture(params=["cpu", "cuda"])
def dense(request):
    """The whole matrix of a kernel, made on the CPU and on the stand-in for CuPy."""
    with fake_cuda.installed():
        where = device(request.param)

        def made(kernel, X, Z=None):
            K = gram(X, kernel, Z, device=where)
            return where.host(K.block((0, K.shape[0]), (0, K.shape[1])))

        yield made


def points(kind):
    """(X, Z, the same as numbers)."""
    rng = np.random.default_rng(0)
    if kind == "pixels":
        X, Z = rng.integers(0, 256, (30, 50), np.uint8), rng.integers(0, 256, (70, 50), np.uint8)
        return X, Z, X / 255, Z / 255
    d = 3 if kind == "few" else 20
    X, Z = rng.normal(size=(30, d)), rng.normal(size=(70, d))
    return X, Z, X, Z


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bandwidth", [0.5, 2.0, 50.0])
def test_as_in_scikit_learn(dense, kind, bandwidth):
    X, Z, A, B = points(kind)
    pairs = [(LaplacianL1(bandwidth), lambda A, B: laplacian_kernel(A, B, gamma=1 / bandwidth))]
    for alpha in (0.3, 1.0, 40.0):
        peer = peers.RationalQuadratic(length_scale=bandwidth, alpha=alpha)
        pairs.append((RationalQuadratic(alpha, bandwidth), peer))
    for kernel, peer in pairs:
        np.testing.assert_allclose(dense(kernel, X), peer(A, A), rtol=0, atol=1e-12)
        np.testing.assert_allclose(dense(kernel, X, Z), peer(A, B), rtol=0, atol=1e-12)


def test_the_rational_quadratic_becomes_gaussian(dense):
    X = points("many")[0]
    # (1 + t / alpha)^-alpha is exp(-t) but for exp(-t) t^2 / (2 alpha), at most 0.28 / alpha
    np.testing.assert_allclose(dense(RationalQuadratic(1e6, 2.0), X), dense(Gaussian(2.0), X), rtol=0, atol=3e-7)


@pytest.mark.parametrize("kind", KINDS)
def test_one_bandwidth_for_each_feature_scales_the_features(dense, kind):
    X, Z, A, B = points(kind)
    scales = tuple(np.random.default_rng(1).uniform(0.5, 4.0, A.shape[1]))
    A, B = A / scales, B / scales
    for kernel in (Gaussian, Laplacian, LaplacianL1, RationalQuadratic, lambda bandwidth: Matern(2.5, bandwidth)):
        np.testing.assert_allclose(dense(kernel(bandwidth=scales), X), dense(kernel(bandwidth=1.0), A), atol=1e-12)
        np.testing.assert_allclose(
            dense(kernel(bandwidth=scales), X, Z), dense(kernel(bandwidth=1.0), A, B), atol=1e-12
        )
    np.testing.assert_allclose(dense(Gaussian(scales), X), rbf_kernel(A, gamma=0.5), atol=1e-12)
    peer = peers.Matern(length_scale=np.array(scales), nu=1.5)
    np.testing.assert_allclose(dense(Matern(1.5, scales), X), peer(points(kind)[2]), atol=1e-12)


@pytest.mark.parametrize("d", [2, 20])
@pytest.mark.parametrize("spread", [1.0, 1e4, 1e8])
def test_far_points_lose_no_digit(dense, d, spread):
    rng = np.random.default_rng(d)
    X = rng.normal(size=(40, d)) + spread * rng.integers(0, 2, (40, 1)) + spread
    scales = rng.uniform(0.5, 4.0, d)
    differences = abs(X[:, None].astype(np.longdouble) - X)
    squares = ((differences / scales) ** 2).sum(axis=2)
    for kernel, expected in [
        (Gaussian(tuple(scales)), np.exp(-squares / 2)),
        (Matern(0.5, tuple(scales)), np.exp(-np.sqrt(squares))),
        (LaplacianL1(tuple(scales)), np.exp(-(differences / scales).sum(axis=2))),
        (LaplacianL1(2.0), np.exp(-differences.sum(axis=2) / 2)),
        (RationalQuadratic(1.5, tuple(scales)), (1 + squares / 3) ** np.longdouble(-1.5)),
        (RationalQuadratic(1.5, 0.7), (1 + (differences**2).sum(axis=2) / (3 * 0.7**2)) ** np.longdouble(-1.5)),
    ]:
        assert abs(dense(kernel, X) - expected).max() <= 3e-13, kernel


@pytest.mark.parametrize(
    "kernel",
    [
        LaplacianL1(2.0),
        LaplacianL1(),
        RationalQuadratic(0.5),
        RationalQuadratic(0.5, (1.0, 2.0)),
        Gaussian((0.1, 2.5)),
        0.5 * Matern(1.5, (3.0,)) + LaplacianL1((1.0, 2.0)),
    ],
    ids=str,
)
def test_text_and_back(kernel):
    assert parse_kernel(str(kernel)) == kernel
    assert kernel.open_bandwidth == ("None" in str(kernel))


def test_bandwidths_come_as_any_sequence_and_print_alike():
    assert (
        Gaussian([1, 2]) == Gaussian(np.array([1.0, 2.0])) == Gaussian((1.0, 2.0)) == Gaussian().with_bandwidth([1, 2])
    )
    assert str(Gaussian([1, 2])) == "gaussian(bandwidth=(1.0, 2.0))"
    assert Gaussian((1.0, 2.0)).with_bandwidth(3.0) == Gaussian((1.0, 2.0))


def test_refusals():
    for bandwidth in ((), (1.0, -1.0), (1.0, "a"), "wide", ((1.0,),)):
        with pytest.raises(InputError, match="bandwidth"):
            Gaussian(bandwidth)
    with pytest.raises(InputError, match="alpha"):
        RationalQuadratic(0.0)
    for kernel in (Gaussian((1.0, 2.0)), LaplacianL1((1.0, 2.0))):
        with pytest.raises(InputError, match="2 bandwidths meet points of 3 coordinates"):
            gram(np.zeros((4, 3)), kernel)


def test_kept_inner_products_are_not_those_of_scaled_points():
    X = points("many")[0]
    K = gram(X, Gaussian(tuple(np.linspace(1, 3, 20))))
    assert np.array_equal(K.cached().block((0, 30), (0, 30)), K.block((0, 30), (0, 30)))


def test_a_bandwidth_of_the_1_norm_is_a_multiple_of_distances_in_the_1_norm():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 300))
    chosen = choose_bandwidth(X, X[:, :1], LaplacianL1())
    median = np.median([abs(x - z).sum() for i, x in enumerate(X) for z in X[:i]])
    steps = 2 * np.log2([each["bandwidth"] / median for each in chosen.candidates])
    np.testing.assert_allclose(steps, np.rint(steps), atol=1e-9)


def test_bandwidths_of_features_with_which_points_overflow_are_refused():
    X = np.zeros((3, 9))
    X[:, 0] = (0.0, 1e100, -1e100)
    with pytest.raises(InputError, match="divided by its own bandwidth"):
        gram(X, Gaussian((1e-90, *[1.0] * 8))).block((0, 3), (0, 3))
