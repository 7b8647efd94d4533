"""The forecast of mixed precision against what then happens."""

import numpy as np
import pytest

from kernelfit.common.errors import NotConvergedError
from kernelfit.datasets import load
from kernelfit.datasets.labels import one_hot
from kernelfit.grams.matrix import Gram, gram
from kernelfit.kernels import Cosine, Gaussian, Linear, Polynomial, Precomputed
from kernelfit.solvers.planning import forecast as module
from kernelfit.solvers.planning.forecast import forecast
from tests.support.problems import as_gram, corrected, symmetric_matrix


@pytest.fixture
def small_sizes(monkeypatch):
    for name in ("_LEAST", "_MOST"):
        monkeypatch.setattr(module, name, 400)


def scaled_eigenvalue(K, ridge):
    n = K.shape[0]
    dense = K.block((0, n), (0, n)) + ridge * np.eye(n)
    roots = np.sqrt(dense.diagonal())
    return np.linalg.eigvalsh(dense / roots / roots[:, None])[0]


def steps_taken(K, Y, ridge):
    try:
        return corrected(K, Y, width=128, ridge=ridge).report["steps"]
    except NotConvergedError:
        return None


def compare(data, kernel, ridge):
    K, Y = gram(data.X_train, kernel), one_hot(data.y_train, 10)
    found, truth, steps = forecast(K, ridge=ridge), scaled_eigenvalue(K, ridge), steps_taken(K, Y, ridge)
    # A power law through three random subsets, continued to twice to three times the largest.
    assert truth / 2.5 <= found.smallest_eigenvalue <= 2.5 * truth
    if steps is None or found.steps is None:
        assert found.steps == steps
    else:
        assert abs(found.steps - steps) <= max(1, steps // 2)
    return found


@pytest.mark.usefixtures("small_sizes")
@pytest.mark.parametrize("ridge", [0.0, 1e-3])
@pytest.mark.parametrize(
    "kernel", [Gaussian(0.5), Gaussian(1.5), Cosine(4), Polynomial(degree=3), Polynomial(degree=6)]
)
def test_eigenvalue_and_steps_on_digits(kernel, ridge):
    found = compare(load("digits", n_train=900), kernel, ridge)
    assert found.steps is None or f"about {found.steps} corrections" in found.reason


@pytest.mark.mnist
@pytest.mark.parametrize("kernel", [Gaussian(3.0), Gaussian(5.0), Gaussian(10.0), Cosine(4), Polynomial(degree=5)])
def test_eigenvalue_and_steps_on_mnist(mnist, monkeypatch, kernel):
    for name in ("_LEAST", "_MOST"):
        monkeypatch.setattr(module, name, 512)
    order = np.random.default_rng(0).permutation(60_000)[:1500]
    subset = type("Subset", (), {"X_train": mnist.X_train[order], "y_train": mnist.y_train[order]})
    compare(subset, kernel, 0.0)


def test_without_extrapolation_the_eigenvalue_is_that_of_the_matrix():
    for condition in (1e1, 1e5, 1e9):
        K = as_gram(symmetric_matrix(150, condition)[0])
        # Inverse iteration with 8 vectors, six times: to about a tenth.
        np.testing.assert_allclose(forecast(K).smallest_eigenvalue, scaled_eigenvalue(K, 0.0), rtol=0.2)


@pytest.mark.parametrize("size", [1e-30, 1.0, 1e20])
def test_a_multiple_of_a_kernel_has_the_same_forecast(size):
    K = symmetric_matrix(100, 1e4)[0]
    found, reference = forecast(as_gram(size * K), ridge=size * 1e-5), forecast(as_gram(K), ridge=1e-5)
    assert found.steps == reference.steps
    np.testing.assert_allclose(found.smallest_eigenvalue, reference.smallest_eigenvalue, rtol=1e-6)


def test_singular_matrices():
    X = np.random.default_rng(0).integers(0, 256, (100, 4, 4), dtype=np.uint8)
    K = gram(X, Linear())
    found = forecast(K)
    assert found.steps is None and found.smallest_eigenvalue == 0
    for ridge in (1e-6, 1.0):
        found, truth = forecast(K, ridge=ridge), scaled_eigenvalue(K, ridge)
        # The ridge counts least where the diagonal is largest, which is within a few times of any other here.
        assert truth / 10 <= found.smallest_eigenvalue <= 1.01 * truth
        assert found.steps is None or steps_taken(K, np.eye(100)[:, :3], ridge)
    assert found.steps is not None


def test_what_float32_cannot_hold():
    assert forecast(as_gram(1e39 * np.eye(5))).steps is None
    assert forecast(as_gram(1e37 * np.eye(5))).steps == 2


def test_a_kernel_that_is_not_finite_is_left_to_those_who_know_its_row():
    class Broken(Gram):
        def block(self, rows, columns, out=None):
            block = super().block(rows, columns, out=out)
            block[...] = np.nan
            return block

        def subset(self, rows):
            return Broken(self.points.subset(rows), self.kernel)

    found = forecast(Broken(np.eye(20), Precomputed()))
    assert found.steps is None and "not finite" in found.reason


@pytest.mark.parametrize("n", [1, 2])
def test_tiny(n):
    assert forecast(as_gram(np.eye(n))).steps in (1, 2)
