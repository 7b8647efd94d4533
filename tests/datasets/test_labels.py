"""Labels as targets, and scores judged by them."""

import numpy as np
import pytest

from kernelfit import KernelInterpolationClassifier, randomization_test
from kernelfit.common.errors import InputError
from kernelfit.datasets.labels import classes_of, decided, error_rate, one_hot, plus_minus_one, right, undecided

LABELS = np.array([2, 0, 1, 1])


def test_one_hot_and_error_rate():
    Y = one_hot(LABELS, 3)
    assert Y.shape == (4, 3) and Y.dtype == np.float64
    assert Y.sum() == 4 and (Y.argmax(axis=1) == LABELS).all()
    assert error_rate(Y, LABELS) == 0
    assert error_rate(Y, np.array([2, 1, 1, 0])) == 0.5


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_the_other_coding_is_linear_in_the_first(classes):
    Y = one_hot(np.arange(50) % classes, classes)
    assert np.array_equal(Y @ plus_minus_one(classes), 2 * Y - 1)


def test_ties_are_errors_whatever_the_classes_are_called():
    scores = np.array([[0.0, 0.0, 0.0], [1.0, 1.0, 0.0], [0.5, 0.0, 0.5], [0.0, 0.2, 0.1]])
    y, renamed = np.array([0, 0, 1, 1]), np.array([2, 1, 0])
    assert right(scores, y).tolist() == right(scores[:, renamed], renamed[y]).tolist() == [False, False, False, True]
    assert decided(scores).tolist() == [False, False, False, True]
    assert undecided(one_hot(LABELS, 3)) == [] and "3 test points have several" in undecided(scores)[0]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_scores_that_are_not_finite_are_never_right(bad):
    scores = one_hot(LABELS, 3)
    scores[1] = bad  # numpy's argmax would point at the label, 0
    scores[3, 2] = -np.inf
    assert right(scores, LABELS).tolist() == [True, False, True, False]
    assert error_rate(scores, LABELS) == 0.5
    assert decided(scores).tolist() == [True, False, True, False]
    [said] = undecided(scores)
    assert "no finite prediction" in said, "what is not finite is no tie"


@pytest.mark.parametrize(
    ("y", "said"),
    [
        (["a", None, "b"], r"label 1 is missing \(None\)"),
        (np.array(["a", np.nan, "b"], dtype=object), r"label 1 is missing \(nan\)"),
        ([0.0, 1.0, np.nan], "label 2 is nan"),
        (np.array(["a", 1, "b"], dtype=object), "have no order"),
        (["a", "a", "a"], "all 3 labels are of one class"),
    ],
)
def test_labels_that_are_none(y, said):
    with pytest.raises(InputError, match=said):
        classes_of(y)
    X = np.random.default_rng(0).standard_normal((3, 2))
    with pytest.raises(ValueError):
        KernelInterpolationClassifier(bandwidth=1.0).fit(X, y)
    with pytest.raises(InputError):
        randomization_test(KernelInterpolationClassifier(bandwidth=1.0), X, y)
