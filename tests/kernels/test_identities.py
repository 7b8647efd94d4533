"""What holds for kernels whatever their formula, or at points where the value is known."""

import numpy as np
import pytest

from kernelfit.common.errors import InputError
from kernelfit.grams.matrix import gram
from kernelfit.grams.points import points
from kernelfit.kernels import (
    ArcCosine,
    Constant,
    Cosine,
    Gaussian,
    Laplacian,
    Linear,
    Matern,
    NeuralTangent,
    Polynomial,
)
from tests.support.kernels import EPS, UNIT, dense, pixels

QUARTIC = Cosine(4)


@pytest.mark.parametrize("integral", [True, False])
def test_the_diagonal_is_exactly_k_of_x_with_itself(integral):
    X = pixels((40, 300)) if integral else 1e3 + np.random.default_rng(0).normal(size=(40, 300))
    norms = points(X).original_sq_norms * (UNIT if integral else 1)
    for kernel in (Gaussian(3.0), Laplacian(3.0), Matern(2.5, 3.0), QUARTIC):
        assert (np.diag(dense(kernel, X)) == 1).all()
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


DISTANCES = [Gaussian(2.0), Laplacian(2.0), Matern(1.5, 2.0), Matern(2.5, 2.0)]
FORMULAS = [*DISTANCES, Polynomial(3), QUARTIC, Linear(), ArcCosine(2), NeuralTangent(3)]


@pytest.mark.parametrize(
    "kernel", [*FORMULAS, 0.5 * Gaussian(1.0) + Linear() * QUARTIC, Linear() + 3.0], ids=lambda kernel: str(kernel)[:30]
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


def test_points_of_read_only_data_in_any_layout_are_the_same():
    X = pixels((12, 6, 5))
    for other in (np.asfortranarray(X), np.repeat(X, 2, axis=0)[::2], X[::-1][::-1]):
        other.flags.writeable = False
        assert np.array_equal(points(other).values, points(X).values)
        assert np.array_equal(points(other).sq_norms, points(X).sq_norms)
        assert np.array_equal(dense(Gaussian(2.0), other), dense(Gaussian(2.0), X))
