"""Doubtful labels: scores are those of functions that are really fitted without the point; wrong labels are first."""

import numpy as np
import pytest

from kernelfit import KernelInterpolationClassifier, KernelInterpolationClassifierCV, find_label_issues, load_dataset
from kernelfit.analysis.leaving_out import margins
from kernelfit.common.errors import InputError, UnsupportedError
from kernelfit.corruption import corrupt_labels
from kernelfit.datasets.labels import one_hot
from kernelfit.grams.matrix import gram
from kernelfit.solvers import Cholesky, ConjugateGradients

N, CLASSES, RIDGE = 120, 10, 0.1
KERNEL = "gaussian(bandwidth=1.4)"


@pytest.fixture(scope="module")
def problem():
    data = load_dataset("digits", n_train=N)
    y, _ = corrupt_labels(data.y_train, CLASSES, 0.15)
    K = gram(data.X_train, KERNEL)
    return data, y, K, K.block((0, N), (0, N))


def fitted(K, Y, rows):
    """Coefficients (n, classes) of the fit to some rows, 0 at the others."""
    coef = np.zeros(Y.shape)
    coef[rows] = np.linalg.solve(K[np.ix_(rows, rows)] + RIDGE * np.eye(len(rows)), Y[rows])
    return coef


@pytest.fixture(scope="module")
def expected(problem):
    """Coefficients (n, n, classes) of the function that judges each point, by refits."""
    _, y, _, K = problem
    Y = one_hot(y, CLASSES)
    first = np.array([K[i] @ fitted(K, Y, np.delete(np.arange(N), i)) for i in range(N)])
    trusted = margins(first, y) >= -0.25
    assert 0 < (~trusted).sum() < N / 2
    return np.array([fitted(K, Y, np.flatnonzero(trusted & (np.arange(N) != i))) for i in range(N)])


def test_scores_are_those_of_refits(problem, expected):
    """The condition is below 1e4: leaving out in closed form loses no more than 1e-10."""
    _, y, gram_, K = problem
    with Cholesky().factor(gram_, ridge=RIDGE) as factor:
        found = find_label_issues(factor, y, explain=N, against=N)
    judged = np.einsum("ij,ijc->ic", K, expected)
    scores = margins(judged, y)
    assert sorted(found.rows.tolist()) == list(range(N)) and (np.diff(found.scores) >= 0).all()
    np.testing.assert_allclose(found.scores, scores[found.rows], atol=1e-10)
    assert (found.predicted == judged.argmax(axis=1)[found.rows]).all()
    # What speaks against a label, all points together, is what its score says.
    np.testing.assert_allclose(found.weights.sum(axis=1), -found.scores, atol=1e-10)
    assert (np.diff(found.weights, axis=1) <= 0).all()
    rival = np.where(np.arange(CLASSES) == y[:, None], -np.inf, judged).argmax(axis=1)
    for k, i in enumerate(found.rows):
        parts = K[i] * (expected[i][:, rival[i]] - expected[i][:, y[i]])
        np.testing.assert_allclose(found.weights[k], parts[found.against[k]], atol=1e-10)


def test_wrong_labels_come_first(problem):
    data, y, K, _ = problem
    with Cholesky().factor(K, ridge=RIDGE) as factor:
        found = find_label_issues(factor, y)
        assert find_label_issues(factor, y, explain=0).against.shape[0] == 0
    wrong = (y != data.y_train)[found.rows]
    assert wrong[: wrong.sum()].mean() > 0.8 and found.against.shape == (20, 3)


def test_an_estimator_gives_the_same_with_labels_of_any_name(problem):
    data, y, K, _ = problem
    names = np.array(list("abcdefghij"))[y]
    model = KernelInterpolationClassifier(KERNEL, ridge=RIDGE).fit(data.X_train.reshape(N, -1), names)
    with Cholesky().factor(K, ridge=RIDGE) as factor:
        found, named = find_label_issues(factor, y), find_label_issues(model, names)
    assert (found.rows == named.rows).all()
    assert (np.array(list("abcdefghij"))[found.predicted] == named.predicted).all()
    chosen = KernelInterpolationClassifierCV(KERNEL, ridges=[RIDGE], cv=2).fit(data.X_train.reshape(N, -1), names)
    assert (find_label_issues(chosen, names).rows == named.rows).all()


def test_copies_that_were_merged_are_judged_once(problem):
    data, y, _, _ = problem
    X = data.X_train.reshape(N, -1)
    doubled = np.vstack([X[:5], X])
    model = KernelInterpolationClassifier(KERNEL).fit(doubled, np.append(y[:5], y))
    plain = KernelInterpolationClassifier(KERNEL).fit(X, y)
    found, single = find_label_issues(model, np.append(y[:5], y)), find_label_issues(plain, y)
    assert found.rows.tolist() == [i if i < 5 else i + 5 for i in single.rows]
    np.testing.assert_allclose(found.scores, single.scores, atol=1e-8)


def test_labels_that_do_not_fit_are_refused(problem):
    _, y, K, _ = problem
    with Cholesky().factor(K, ridge=RIDGE) as factor:
        for wrong in (y[:-1], y[:, None]):
            with pytest.raises(InputError, match="one label for each of 120"):
                find_label_issues(factor, wrong)
        with pytest.raises(InputError, match="one class"):
            find_label_issues(factor, np.zeros(N, int))
    with pytest.raises(InputError, match="give a fitted"):
        find_label_issues(K, y)
    with ConjugateGradients().factor(K, ridge=RIDGE) as factor, pytest.raises(UnsupportedError):
        find_label_issues(factor, y)


def test_a_weight_is_that_of_copies(problem):
    data, y, _, _ = problem
    X, weights = data.X_train.reshape(N, -1), np.where(np.arange(N) < 30, 4.0, 1.0)
    model = KernelInterpolationClassifier(KERNEL, ridge=RIDGE).fit(X, y, sample_weight=weights)
    found = find_label_issues(model, y)
    Y, K = one_hot(y, CLASSES), problem[3]
    A = K + RIDGE * np.diag(1 / weights)
    i = found.rows[0]
    inverse = np.linalg.inv(A)
    first = margins(Y - (inverse @ Y) / inverse.diagonal()[:, None], y)
    rest = np.flatnonzero((first >= -0.25) & (np.arange(N) != i))
    score = margins(K[i, rest][None] @ np.linalg.solve(A[np.ix_(rest, rest)], Y[rest]), y[[i]])
    np.testing.assert_allclose(found.scores[0], score[0], atol=1e-10)
    trended = KernelInterpolationClassifier(KERNEL, ridge=RIDGE, trend="constant").fit(X, y)
    with pytest.raises(InputError, match="trend"):
        find_label_issues(trended, y)


def test_a_missing_label_is_no_class():
    X = np.random.default_rng(0).standard_normal((20, 2))
    model = KernelInterpolationClassifier(bandwidth=1.0, ridge=0.1).fit(X, np.arange(20) % 2)
    with pytest.raises(InputError, match="label 1 is nan"):
        find_label_issues(model, np.where(np.arange(20) % 2, np.nan, 1.0))
