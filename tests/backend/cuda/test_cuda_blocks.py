"""Kernels and Gram blocks of a GPU equal those of the CPU."""

import numpy as np
import pytest

from kernelfit.common.errors import InputError
from kernelfit.features.accumulated import accumulate
from kernelfit.features.random_net import Net
from kernelfit.features.randomconv import RandomConv
from kernelfit.grams.matrix import gram
from kernelfit.grams.points import points
from kernelfit.kernels import (
    ArcCosine,
    Constant,
    Cosine,
    Custom,
    Gaussian,
    Laplacian,
    LaplacianL1,
    Linear,
    Matern,
    NeuralTangent,
    Polynomial,
    RationalQuadratic,
)
from kernelfit.solvers.panel_cholesky import cholesky
from tests.support.problems import as_gram, symmetric_matrix

KERNELS = [
    Gaussian(2.0),
    Laplacian(3.0),
    Matern(0.5, 3.0),
    Matern(1.5, 3.0),
    Matern(2.5, 3.0),
    RationalQuadratic(bandwidth=2.0),
    LaplacianL1(9.0),
    Polynomial(degree=5, gamma=0.1),
    Cosine(4),
    Linear(),
    ArcCosine(3),
    NeuralTangent(2),
    Constant(2.0),
    Gaussian(2.0) + 0.5 * Linear(),
    Laplacian(1.0) * (Cosine(2) + 1),
    Custom(lambda A, B: A @ B.T, "test:linear"),
]


@pytest.mark.parametrize("kernel", KERNELS, ids=str)
@pytest.mark.parametrize("kind", ["pixels", "floats", "two far clusters", "many pixels"])
def test_blocks_and_products_equal_those_of_the_cpu(device, kernel, kind, images):
    rng = np.random.default_rng(1)
    X = {
        "pixels": images,
        "floats": rng.standard_normal((150, 7)),
        "two far clusters": rng.standard_normal((150, 12)) + 300.0 * rng.integers(0, 2, (150, 1)),
        "many pixels": rng.integers(0, 256, (90, 1030), dtype=np.uint8),  # longer than one exact chunk
    }[kind]
    Z = np.random.default_rng(2).permuted(X[:40], axis=1)
    here, there = gram(X, kernel), gram(X, kernel, device=device)
    n = len(X)
    expected = here.block((0, n), (0, n))
    found = device.empty((n, n))
    there.block((0, n), (0, n), out=found)
    # Inner products are exact for pixels, and off by 7 eps |x| |z| for the others, whose points are not so near each
    # other that a distance or an angle would multiply that by more than 100; what follows is under 100 operations.
    close = 1e-12 * np.abs(expected).max()
    np.testing.assert_allclose(device.host(found), expected, rtol=0, atol=close)
    lower = there.block((80, 90), (3, 70))
    np.testing.assert_allclose(device.host(lower), expected[80:90, 3:70], rtol=0, atol=close)
    rounded = device.empty((10, 67), np.float32)
    there.block((80, 90), (3, 70), out=rounded)
    # Rounding is off by 6e-8 at most, three times where two kernels are combined.
    np.testing.assert_allclose(
        device.host(rounded), expected[80:90, 3:70], rtol=0, atol=1.8e-7 * np.abs(expected).max() + close
    )
    V = rng.standard_normal((n, 3))
    KV, norm_1 = there.product_and_norm(V)
    assert isinstance(KV, np.ndarray)
    slack = n * np.abs(V).max() * close
    np.testing.assert_allclose(KV, expected @ V, rtol=0, atol=slack)
    np.testing.assert_allclose(norm_1, np.abs(expected).sum(axis=0).max(), rtol=0, atol=n * close)
    on_device = there.product(device.array(V))
    assert not isinstance(on_device, np.ndarray)
    np.testing.assert_array_equal(device.host(on_device), KV)
    K_test = gram(Z, kernel, there.points)
    assert K_test.device is device
    np.testing.assert_allclose(K_test.product(V), gram(Z, kernel, here.points).product(V), rtol=0, atol=slack)


@pytest.mark.parametrize("d", [36, 1030, 1029])
def test_distances_of_pixels_have_the_same_bits(device, d, monkeypatch):
    X = np.random.default_rng(2).integers(0, 256, (70, d), dtype=np.uint8)
    here, there = points(X), points(X, device=device)
    assert np.array_equal(device.host(there.inner_products(there)), here.inner_products(here))
    assert np.array_equal(device.host(there.sq_norms), here.sq_norms)
    assert np.array_equal(device.host(there.unshift), here.unshift) and there.largest == here.largest
    assert there.values.dtype == np.int8 and there.product_dtype == np.int32, "a quarter of float32"
    exact = X.astype(np.int64) - 128
    assert np.array_equal(device.host(there.inner_products(there)), exact @ exact.T)
    monkeypatch.setattr(type(device), "longest", 100)  # then summed in chunks
    assert np.array_equal(device.host(there.inner_products(there)), exact @ exact.T)
    monkeypatch.undo()
    K = gram(X, Gaussian(5.0), device=device)
    assert (device.host(K.block((0, 70), (0, 70))).diagonal() == 1).all()


def test_a_precomputed_kernel_and_subsets_and_duplicates(device, images):
    K, _ = symmetric_matrix(30, 10.0)
    there = as_gram(K, device=device)
    np.testing.assert_array_equal(device.host(there.block((3, 20), (5, 9))), K[3:20, 5:9])
    images[17] = images[3]
    G = gram(images, Gaussian(2.0), device=device)
    assert G.duplicate_of(17) == 3 and G.duplicate_of(16) is None
    rows = np.array([5, 1, 149])
    subset = G.subset(rows)
    assert subset.device is device
    np.testing.assert_allclose(
        device.host(subset.block((0, 3), (0, 3))), gram(images[rows], Gaussian(2.0)).block((0, 3), (0, 3)), rtol=1e-14
    )
    assert G.fingerprint() == gram(images, Gaussian(2.0)).fingerprint()
    images[20] = 0
    K = device.host(gram(images, Cosine(), device=device).block((0, 150), (0, 150)))
    assert not K[20].any() and np.count_nonzero(K[19]) == 149
    X = np.ones((30, 3))
    X[20] = 1e-150
    with pytest.raises(InputError, match="point 20 is too small"):
        gram(X, Cosine(), device=device).block((0, 30), (0, 30))


@pytest.mark.parametrize(
    "options", [{}, {"preset": "normalised"}, {"preset": "rooted", "flip": True}, {"root": 0.3}], ids=str
)
def test_random_convolutional_features_equal_those_of_the_cpu(device, options, tmp_path):
    rng = np.random.default_rng(0)
    train, test = (rng.integers(0, 256, (n, 12, 11, 3), np.uint8) for n in (70, 23))
    net = Net.prepare(RandomConv(**{"filters": 512, "patch": 4, "pool": 5, "stride": 3} | options), train)
    here = accumulate(net, train, test)
    there = accumulate(net, train, test, device=device, scratch=tmp_path)
    again = accumulate(net, train, test, device=device, scratch=tmp_path)  # read from the disk
    for made in (there, again):
        for rows, columns in ((made[0], made[0]), (made[1], made[0])):
            expected = here[rows is made[1]].inner_products(here[0])
            # Products of at most 9,216 float32 features on either side, summed in another order.
            close = {"rtol": 0, "atol": 1e-5 * np.abs(expected).max()}
            np.testing.assert_allclose(device.host(rows.inner_products(columns)), expected, **close)
    rows = rng.permutation(70)[:20]
    subset = there[0].subset(rows)
    assert np.array_equal(
        device.host(subset.inner_products(subset)), device.host(there[0].inner_products(there[0]))[np.ix_(rows, rows)]
    )
    for kernel in (Linear(), Gaussian(3.0)):
        K, expected = gram(there[0], kernel), gram(here[0], kernel)
        factor = cholesky(K, ridge=1.0)
        Y = rng.standard_normal((70, 3))
        np.testing.assert_allclose(factor.solve(Y), cholesky(expected, ridge=1.0).solve(Y), rtol=0, atol=1e-4)
    assert there[0].distances() == pytest.approx(here[0].distances(), rel=1e-3)
