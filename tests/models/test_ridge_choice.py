"""The ridge that is chosen has the least error of functions that are really fitted without each point."""

import numpy as np
import pytest

from kernelfit import load_dataset
from kernelfit.common.errors import SingularMatrixError
from kernelfit.corruption import corrupt_labels
from kernelfit.datasets.labels import one_hot
from kernelfit.grams.matrix import gram
from kernelfit.kernels import Gaussian, LaplacianL1, Precomputed
from kernelfit.kernels.text import parse_kernel
from kernelfit.models.bandwidth import median_distance
from kernelfit.models.ridge import RidgeChoice, choose_ridge


@pytest.fixture(scope="module")
def data():
    return load_dataset("digits", n_train=60)


def test_errors_are_those_of_refits(data):
    Y, n = one_hot(corrupt_labels(data.y_train, 10, 0.2)[0], 10), 60
    choice = choose_ridge(data.X_train, Y, Gaussian())
    assert choice.n == n and len(choice.candidates) == 49
    for each in choice.candidates[::10]:
        K = gram(data.X_train, Gaussian(bandwidth=each["bandwidth"])).block((0, n), (0, n))
        A, squares = K + each["ridge"] * np.eye(n), []
        for i in range(n):
            rest = np.delete(np.arange(n), i)
            left_out = K[i, rest] @ np.linalg.solve(A[np.ix_(rest, rest)], Y[rest])
            squares.append(np.sum((Y[i] - left_out) ** 2))
        assert each["loo_squared_error"] == pytest.approx(np.mean(squares), rel=1e-8)
    least = min(choice.candidates, key=lambda each: each["loo_squared_error"])
    assert (choice.bandwidth, choice.ridge) == (least["bandwidth"], least["ridge"])


def test_wrong_labels_want_a_larger_ridge():
    data = load_dataset("digits", n_train=500)
    right, wrong = (
        choose_ridge(data.X_train, one_hot(corrupt_labels(data.y_train, 10, p)[0], 10), Gaussian()) for p in (0, 0.3)
    )
    assert wrong.ridge >= 10 * right.ridge and not right.doubts


def test_a_kernel_without_a_bandwidth_gets_a_ridge_in_its_units(data):
    Y = one_hot(corrupt_labels(data.y_train, 10, 0.2)[0], 10)
    plain, scaled = (choose_ridge(data.X_train, Y, parse_kernel(name)) for name in ("arccosine", "1000 * arccosine"))
    assert plain.bandwidth is None and scaled.ridge == pytest.approx(1000 * plain.ridge)


def test_a_matrix_that_no_ridge_makes_positive_is_refused():
    with pytest.raises(SingularMatrixError, match="no ridge could be chosen"):
        choose_ridge(np.array([[1.0, 9.0], [9.0, 1.0]]), np.eye(2), Precomputed())


@pytest.mark.parametrize("scale", [1e-170, 1e200])
def test_units_of_the_targets_change_nothing(scale):
    rng = np.random.default_rng(1)
    X = rng.standard_normal((50, 2))
    Y = np.sin(2 * X) + 0.3 * rng.standard_normal((50, 2))
    found, expected = choose_ridge(X, Y * scale, Gaussian()), choose_ridge(X, Y, Gaussian())
    assert (found.ridge, found.bandwidth) == (expected.ridge, expected.bandwidth)


def test_bandwidths_are_multiples_of_the_distance_that_the_kernel_sees():
    data = load_dataset("digits", n_train=120)
    found = choose_ridge(data.X_train, one_hot(data.y_train, 10), LaplacianL1())
    tried = sorted({each["bandwidth"] for each in found.candidates})
    far = median_distance(data.X_train, "cityblock")
    assert tried[0] < far < tried[-1] < 4 * far


def test_doubts_name_the_edges_of_what_was_tried():
    rows = [{"bandwidth": width, "ridge": ridge} for width in (1.0, 2.0, 4.0) for ridge in (0.1, 1.0)]
    assert RidgeChoice(0.1, 2.0, 9, rows).doubts == []
    (narrow,) = RidgeChoice(0.1, 1.0, 9, rows).doubts
    assert narrow == "the bandwidth chosen, 1.0e+00, is the narrowest that was tried"
    large, wide = RidgeChoice(1.0, 4.0, 9, rows).doubts
    assert "the ridge" in large and "largest" in large and "widest" in wide
    alone = [each | {"bandwidth": None} for each in rows]
    assert RidgeChoice(0.1, None, 9, alone).doubts == [] and len(RidgeChoice(1.0, None, 9, alone).doubts) == 1
