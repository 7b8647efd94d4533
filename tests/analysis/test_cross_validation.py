"""What is predicted without folds: the numbers of fits without them, whichever way was taken."""

import numpy as np
import pytest

from kernelfit import Gaussian, gram
from kernelfit.analysis import cross_validation
from kernelfit.analysis.cross_validation import Fold, predict_left_out
from kernelfit.common.errors import SingularMatrixError

RNG = np.random.default_rng(0)
N = 210
X, Y = RNG.standard_normal((N, 3)), RNG.standard_normal((N, 2))
RIDGES = (1e-5, 1e-2, 1.0)
PARTS = np.array_split(RNG.permutation(N), 4)


@pytest.fixture(params=[True, False], ids=["each fold reduced", "all points reduced"])
def way(request, monkeypatch):
    monkeypatch.setattr(cross_validation, "_reduces_each", lambda n, count, folds: request.param)


def folds():
    made = [Fold(np.sort(part), part[:20]) for part in PARTS[:3]]  # of what is left out some is predicted, in any order
    return [*made, Fold(np.array([7]), np.array([7]))]


def test_predictions_are_those_of_fits_without_the_fold(way):
    K = gram(X, Gaussian(bandwidth=1.0))
    full = K.block((0, N), (0, N))
    found = predict_left_out(K, Y, RIDGES, folds())
    for ridge, predictions in zip(RIDGES, found, strict=True):
        for fold, values in zip(folds(), predictions, strict=True):
            kept = np.delete(np.arange(N), fold.out)
            A = full[np.ix_(kept, kept)] + ridge * np.eye(len(kept))
            expected = full[np.ix_(fold.test, kept)] @ np.linalg.solve(A, Y[kept])
            # The condition of A is at most N / ridge = 2e7: 1e-9 is left of float64's digits.
            np.testing.assert_allclose(values, expected, atol=1e-8)


def test_what_is_singular_does_not_depend_on_the_way(way):
    twice = np.vstack([X, X[:1]])
    last = Fold(np.array([N]), np.array([N]))  # without it the others are regular
    targets = np.vstack([Y, Y[:1]])
    singular, regular = predict_left_out(gram(twice, Gaussian(bandwidth=0.5)), targets, (0.0, 0.1), [last])
    assert isinstance(singular, SingularMatrixError) and len(regular) == 1 and regular[0].shape == (1, 2)
    thrice = gram(np.vstack([X, X[:1], X[:1]]), Gaussian(bandwidth=0.5))
    targets = np.vstack([Y, Y[:1], Y[:1]])
    singular, _ = predict_left_out(thrice, targets, (0.0, 0.1), [last])  # two copies are left in what is fitted
    assert isinstance(singular, SingularMatrixError)
    [[values]] = predict_left_out(gram(X, Gaussian(bandwidth=0.5)), Y, (0.0,), [Fold(np.sort(PARTS[0]), PARTS[0])])
    assert np.isfinite(values).all()


def test_the_way_with_fewer_operations_is_taken():
    def reduces(n, ridges, count):
        parts = np.array_split(np.arange(n), count)
        return cross_validation._reduces_each(n, ridges, [Fold(part, part) for part in parts])

    assert reduces(5000, 10, 3) and reduces(5000, 10, 5)
    assert not reduces(5000, 2, 5) and not reduces(5000, 10, 20) and not reduces(5000, 10, 5000)


def test_points_far_from_all_others_are_still_predicted():
    """Of 1e-20 and less nothing is left in y_i - coef_i / C_ii."""
    narrow = gram(X[:60], Gaussian(bandwidth=0.05))
    full = narrow.block((0, 60), (0, 60))
    for ridge, [values] in zip((0.0, 0.1), predict_left_out(narrow, Y[:60], (0.0, 0.1), None), strict=True):
        for i in range(60):
            rest = np.delete(np.arange(60), i)
            expected = full[i, rest] @ np.linalg.solve(full[np.ix_(rest, rest)] + ridge * np.eye(59), Y[rest])
            np.testing.assert_allclose(values[i], expected, rtol=0, atol=1e-6 * np.abs(expected).max())
