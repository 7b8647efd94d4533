"""What is done with a model that was fitted on a GPU."""

import copy
import pickle

import numpy as np
import pytest

import kernelfit as kf
from kernelfit import backend
from kernelfit.analysis.complexity import gram_sums
from kernelfit.grams.points import coordinates, points

X = np.random.default_rng(0).standard_normal((60, 3))


def test_sums_over_its_matrix(card):
    K = kf.gram(X, kf.Gaussian(bandwidth=2.0))
    expected, found = gram_sums(K), gram_sums(kf.gram(X, kf.Gaussian(bandwidth=2.0), device=backend.device("cuda")))
    np.testing.assert_allclose(found.row_sums, expected.row_sums, rtol=1e-12)
    assert found.centred_frobenius == pytest.approx(expected.centred_frobenius, rel=1e-12)


@pytest.mark.parametrize("trend", [None, "constant", "linear"])
def test_deviations_and_a_pickle(card, trend):
    options = {"bandwidth": 2.0, "ridge": 0.1, "trend": trend}
    model = kf.KernelInterpolator(**options, solver=kf.Cholesky(device="cuda")).fit(X, X[:, 0])
    plain = kf.KernelInterpolator(**options).fit(X, X[:, 0])
    for found, expected in zip(
        model.predict(X[:5], return_std=True), plain.predict(X[:5], return_std=True), strict=True
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-9)
    for again in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        np.testing.assert_array_equal(again.predict(X[:5]), model.predict(X[:5]))


def test_coordinates_come_to_the_host(card):
    made = coordinates(points(X, device=backend.device("cuda")))
    assert isinstance(made, np.ndarray) and np.array_equal(made, X)
