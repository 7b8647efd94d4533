"""Matern kernels against the Bessel functions that define them, scikit-learn, and long double."""

import numpy as np
import pytest
from scipy.special import gamma, kv
from sklearn.gaussian_process.kernels import Matern as Peer

from kernelfit.backend import device
from kernelfit.common.errors import InputError
from kernelfit.datasets.labels import one_hot
from kernelfit.grams.matrix import gram
from kernelfit.kernels import Gaussian, Laplacian, Linear, Matern
from kernelfit.kernels.formula import TOLERANCE
from kernelfit.kernels.matern import NUS
from kernelfit.kernels.text import parse_kernel
from kernelfit.models.bandwidth import choose_bandwidth
from tests.support import fake_cuda

EPS = np.finfo(float).eps


@pytest.fixture(params=["cpu", "cuda"])
def dense(request):
    """The whole matrix of a kernel, made on the CPU and on the stand-in for CuPy."""
    with fake_cuda.installed():
        where = device(request.param)

        def made(kernel, X, Z=None):
            K = gram(X, kernel, Z, device=where)
            return where.host(K.block((0, K.shape[0]), (0, K.shape[1])))

        yield made


def exact(nu, r):
    """The closed forms in long double; r holds sqrt(2 nu) |x - z| / bandwidth."""
    return {0.5: 1, 1.5: 1 + r, 2.5: 1 + r + r * r / 3}[nu] * np.exp(-r)


@pytest.mark.parametrize("nu", NUS)
@pytest.mark.parametrize("kind", ["pixels", "vectors"])
def test_as_in_scikit_learn(dense, nu, kind):
    rng = np.random.default_rng(0)
    if kind == "pixels":
        X, Z = rng.integers(0, 256, (30, 50), np.uint8), rng.integers(0, 256, (9, 50), np.uint8)
    else:
        X, Z = rng.normal(size=(30, 12)), rng.normal(size=(9, 12))
    A, B = (part / 255 if kind == "pixels" else part for part in (X, Z))
    for bandwidth in (0.3, 2.0, 50.0):
        peer = Peer(length_scale=bandwidth, nu=nu)
        # Distances here are off by some 50 eps times |x|^2 / |x - z|, of which r < 60 is the larger the narrower.
        np.testing.assert_allclose(dense(Matern(nu, bandwidth), X), peer(A), rtol=0, atol=1e-13)
        np.testing.assert_allclose(dense(Matern(nu, bandwidth), Z, X), peer(B, A), rtol=1e-11, atol=1e-300)


@pytest.mark.parametrize("nu", NUS)
def test_the_closed_forms_are_those_of_the_definition(dense, nu):
    distance = np.linspace(0.01, 30, 200)
    K = dense(Matern(nu, 3.0), distance[:, None], np.zeros((1, 1)))[:, 0]
    r = np.sqrt(2 * nu) * distance / 3.0
    np.testing.assert_allclose(K, 2 ** (1 - nu) / gamma(nu) * r**nu * kv(nu, r), rtol=1e-12)


@pytest.mark.parametrize("nu", NUS)
def test_near_zero_and_far_away(dense, nu):
    distance = np.concatenate([10.0 ** np.arange(-140, 0, 7), np.linspace(0.1, 1000, 500)])
    K = dense(Matern(nu, 1.0), distance[:, None], np.zeros((1, 1)))[:, 0]
    r = np.sqrt(np.longdouble(2 * nu)) * distance
    # r is off by 3 roundings, which exp multiplies by r; exp and the factor add 5 eps. Below exp(-708) the kernel is 0.
    expected = exact(nu, r)
    small = np.where(r > 707.9, 2e5 * 3.4e-308, 0)  # a factor of up to r^2 / 3 stands before the exp
    assert (abs(K - expected) <= (1.5 * r + 5) * EPS * expected + small).all()
    assert (np.diff(K) <= 0).all() and K.max() <= 1


@pytest.mark.parametrize("nu", NUS)
def test_a_point_with_itself_and_equal_points(dense, nu):
    X = np.random.default_rng(0).normal(size=(20, 15)) + 1e5
    X[11] = X[4]
    K = dense(Matern(nu, 2.0), X)
    assert (K.diagonal() == 1).all() and np.array_equal(K, K.T)
    assert abs(K[4, 11] - 1) <= TOLERANCE
    assert np.linalg.eigvalsh(K).min() >= -len(X) * 100 * EPS


def test_one_half_is_the_laplacian_kernel(dense):
    for X in (
        np.random.default_rng(0).integers(0, 256, (20, 30), np.uint8),
        np.random.default_rng(1).normal(size=(9, 3)),
    ):
        assert np.array_equal(dense(Matern(0.5, 1.7), X), dense(Laplacian(1.7), X))


@pytest.mark.parametrize("kernel", [Gaussian(0.8), Laplacian(0.8), *(Matern(nu, 0.8) for nu in NUS)], ids=str)
@pytest.mark.parametrize("error", [1e-15, 1e-12, 1e-9, 1e-4])
def test_what_is_far_enough_is_not_made_from_the_points(kernel, error):
    """Beyond `nearest` an error of the squared distance changes a kernel by less than the tolerance, and not far below
    it by more.
    """
    [scale] = kernel.parameters(1.0)

    def change(t):
        t = np.longdouble(t)
        return abs(
            kernel.formula(np, t, scale, *kernel.integers) - kernel.formula(np, t + error, scale, *kernel.integers)
        )

    nearest = kernel.nearest(scale, error)
    for t in nearest * np.array([1.0, 1.01, 2.0, 10.0]) + 1e-3 * (nearest == 0):
        assert change(t) <= 1.001 * TOLERANCE
    if nearest > 0:
        assert change(nearest / 8) > TOLERANCE


def test_text_and_kernel_are_inverse():
    for kernel, text in [
        (Matern(), "matern"),
        (Matern(2.5), "matern(nu=2.5)"),
        (Matern(1.5, 5), "matern(nu=1.5, bandwidth=5)"),
        (0.5 * Matern(0.5, 2.0) + Linear(), "0.5 * matern(nu=0.5, bandwidth=2.0) + linear()"),
    ]:
        assert parse_kernel(text) == kernel == parse_kernel(str(kernel))
    assert str(Matern(np.float32(1.5), np.int64(5))) == "matern(nu=1.5, bandwidth=5.0)"
    with pytest.raises(InputError, match="did you mean 'matern'"):
        parse_kernel("matérn")


@pytest.mark.parametrize("nu", [0, -0.5, -1.5, 1, 2, 3.5, float("inf"), float("nan"), True, None, "1.5", 1.5 + 0j])
def test_another_nu_is_refused_with_those_that_there_are(nu):
    with pytest.raises(InputError, match=r"nu = .*one of 0\.5, 1\.5, 2\.5"):
        Matern(nu)


def test_a_bandwidth_may_stay_open_and_is_chosen():
    rng = np.random.default_rng(0)
    X, labels = rng.normal(size=(80, 4)), rng.integers(0, 2, 80)
    X[:, 0] += 3 * labels
    kernel = Matern(2.5)
    assert kernel.open_bandwidth and kernel.translation_invariant
    chosen = choose_bandwidth(X, one_hot(labels, 2), 2.0 * kernel, score="error").bandwidth
    assert kernel.with_bandwidth(chosen) == Matern(2.5, chosen)
    for wrong in (0.0, -1.0, float("nan")):
        with pytest.raises(InputError, match="bandwidth"):
            Matern(1.5, wrong)


@pytest.mark.parametrize("nu", NUS)
def test_points_as_far_apart_as_numbers_go(nu):
    X = np.array([[1e150, 0.0], [0.0, 1e150]])
    assert np.array_equal(gram(X, Matern(nu, 1e-5)).block((0, 2), (0, 2)), np.eye(2))
    with pytest.raises(InputError, match="overflows"):
        gram(np.array([[1.2e154] + [0.0] * 12, [-1.2e154] + [0.0] * 12]), Matern(nu, 1.0))
