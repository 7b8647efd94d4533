import numpy as np
import pytest

from kernelfit import measures
from kernelfit.bandwidth import choose_bandwidth, median_distance
from kernelfit.datasets import load
from kernelfit.errors import InputError, SingularMatrixError
from kernelfit.gram import gram
from kernelfit.kernels import Gaussian, Laplacian, Linear
from kernelfit.solvers.cholesky import cholesky


@pytest.fixture(scope="module")
def digits():
    return load("digits")


def test_the_choice_minimises_leave_one_out_among_its_candidates(digits):
    X, y = digits.X_train[:300], digits.y_train[:300]
    choice = choose_bandwidth(X, y, Gaussian(), n_classes=10)
    assert choice.n == 300 and len(choice.candidates) > 5
    Y = measures.one_hot(y, 10)
    for candidate in choice.candidates:
        factor = cholesky(gram(X, Gaussian(candidate["bandwidth"])))
        scores = measures.leave_one_out(Y, factor.solve(Y), factor.inverse_diagonal())
        assert candidate["loo_error"] == measures.error_rate(scores, y)
    assert choice.bandwidth in [candidate["bandwidth"] for candidate in choice.candidates]
    errors = {candidate["bandwidth"]: candidate["loo_error"] for candidate in choice.candidates}
    assert errors[choice.bandwidth] == min(errors.values())


def test_subsample_is_seeded_and_bounded(digits):
    choose = lambda seed: choose_bandwidth(  # noqa: E731
        digits.X_train, digits.y_train, Laplacian(), n_classes=10, subsample=100, seed=seed
    )
    assert choose(1) == choose(1)
    assert choose(1).n == 100
    assert choose(1).candidates != choose(2).candidates


def test_median_distance():
    X = np.random.default_rng(0).integers(0, 256, (50, 4, 4), dtype=np.uint8)
    flat = X.reshape(50, -1) / 255
    distances = np.sqrt(np.sum((flat[:, None] - flat) ** 2, axis=2))[np.triu_indices(50, 1)]
    # A sum of 16 squares and a root, each rounded at 1e-16.
    np.testing.assert_allclose(median_distance(X), np.median(distances), rtol=1e-14)
    np.testing.assert_allclose(median_distance(flat), np.median(distances), rtol=1e-14)
    # An offset of 1e6 leaves ten digits of each coordinate.
    np.testing.assert_allclose(median_distance(flat + 1e6), np.median(distances), rtol=1e-9)


def test_few_dimensions_need_a_narrow_bandwidth_and_get_it():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 1))
    choice = choose_bandwidth(X, (X[:, 0] > 0).astype(int), Gaussian(), n_classes=2)
    assert choice.bandwidth < 0.25 * median_distance(X)


def test_what_cannot_be_chosen(digits):
    with pytest.raises(InputError, match="no open bandwidth"):
        choose_bandwidth(digits.X_train, digits.y_train, Linear(), n_classes=10)
    with pytest.raises(InputError, match="identical"):
        choose_bandwidth(np.zeros((10, 2, 2), np.uint8), np.arange(10) % 2, Gaussian(), n_classes=2)
    X = np.concatenate([digits.X_train[:50], digits.X_train[7:8]])
    with pytest.raises(SingularMatrixError, match="equal"):
        choose_bandwidth(X, np.arange(51) % 10, Gaussian(), n_classes=10)
