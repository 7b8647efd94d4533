import dataclasses
import itertools
import json
import math

import numpy as np
import pytest

from kernelfit.analysis import complexity
from kernelfit.analysis.comparison import measures_table
from kernelfit.analysis.leaving_out import margins, stability
from kernelfit.common.errors import InputError
from kernelfit.corruption import corrupt_labels
from kernelfit.datasets import load
from kernelfit.datasets.labels import one_hot
from kernelfit.grams.matrix import gram
from kernelfit.kernels import Gaussian, Linear
from kernelfit.solvers.cholesky import Cholesky
from kernelfit.solvers.panel_cholesky import cholesky
from kernelfit.solvers.weighted import Weighted
from tests.support.problems import as_gram, symmetric_matrix


def dense(G):
    return G.block((0, G.shape[0]), (0, G.shape[1]))


@pytest.fixture
def small_tiles(monkeypatch):
    """Several tiles, the last of them narrower, on a matrix of order 70."""
    monkeypatch.setattr(complexity, "_TILE", 32)


@pytest.fixture
def problem():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((70, 4))
    Y = one_hot(rng.integers(0, 3, 70), 3)
    return gram(X, Gaussian(2.0)), X, Y


# ---- sums and alignment --------------------------------------------------------------------------------------------


def centred(A):
    H = np.eye(len(A)) - 1 / len(A)
    return H @ A @ H


def test_gram_sums_against_the_dense_matrix(problem, small_tiles):
    G = problem[0]
    K, sums = dense(G), complexity.gram_sums(G)
    for found, expected in [
        (sums.trace, np.trace(K)),
        (sums.largest_diagonal, K.diagonal().max()),
        (sums.frobenius, np.linalg.norm(K)),
        (sums.centred_frobenius, np.linalg.norm(centred(K))),
        (sums.row_sums, K.sum(axis=1)),
    ]:
        np.testing.assert_allclose(found, expected, rtol=1e-12)  # sums of 4,900 terms of one sign, 2e-16 each


def test_largest_diagonal_is_over_all_tiles(small_tiles):
    diagonal = np.arange(1.0, 71.0)
    sums = complexity.gram_sums(as_gram(np.diag(diagonal)))
    assert (sums.largest_diagonal, sums.trace) == (70.0, diagonal.sum())


def test_the_centred_norm_keeps_its_digits_where_the_matrix_is_nearly_constant(problem, small_tiles):
    """Adding a constant to K leaves H K H; at 1e6 the entries keep ten digits, and their squares would keep none."""
    K = dense(problem[0])
    shifted = complexity.gram_sums(as_gram(K + 1e6))
    np.testing.assert_allclose(shifted.centred_frobenius, np.linalg.norm(centred(K)), rtol=1e-8)


def cosine(A, B):
    return np.vdot(A, B) / np.linalg.norm(A) / np.linalg.norm(B)


def test_alignment_against_the_dense_formula(problem, small_tiles):
    G, _, Y = problem
    K = dense(G)
    found = complexity.alignment(G, Y)
    np.testing.assert_allclose(found.uncentred, cosine(K, Y @ Y.T), rtol=1e-12)
    # Centring subtracts numbers of one size: a digit or two are lost.
    np.testing.assert_allclose(found.centred, cosine(centred(K), centred(Y @ Y.T)), rtol=1e-10)
    shuffled = np.random.default_rng(0).permutation(70)
    again = complexity.alignment(as_gram(K[np.ix_(shuffled, shuffled)]), Y[shuffled])
    np.testing.assert_allclose(dataclasses.astuple(again), dataclasses.astuple(found), rtol=1e-10)


def test_labels_are_perfectly_aligned_with_their_own_kernel(problem):
    Y = problem[2]
    found = complexity.alignment(as_gram(Y @ Y.T), Y)
    np.testing.assert_allclose(dataclasses.astuple(found), 1.0, rtol=1e-12)


@pytest.mark.parametrize("wrong", ["labels", "kernel"])
def test_alignment_with_a_constant_is_refused(problem, wrong):
    G, _, Y = problem
    constant = as_gram(np.full((70, 70), 0.3))
    with pytest.raises(InputError, match="one class"):
        complexity.alignment(*((G, np.ones((70, 1))) if wrong == "labels" else (constant, Y)))


# ---- effective dimension -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ridge", [0.0, 1e-3, 0.3, 100.0])
def test_effective_dimension_against_eigenvalues(ridge):
    K = symmetric_matrix(50, 1e4)[0]
    diagonal = cholesky(as_gram(K), ridge=ridge, width=16).inverse_diagonal()
    eigenvalues = np.linalg.eigvalsh(K)
    expected = np.sum(eigenvalues / (eigenvalues + ridge))
    # n - ridge tr A^-1 has the rounding error of n: 50 x 2e-16, times a few for the factor.
    np.testing.assert_allclose(complexity.effective_dimension(diagonal, ridge), expected, rtol=1e-12, atol=1e-12)


# ---- Rademacher complexity -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("outputs", [1, 2])
def test_rademacher_complexity_within_its_error_of_all_signs(outputs):
    n, radius = 6, 3.0
    K = symmetric_matrix(n, 100.0)[0] * 5
    every = np.array(list(itertools.product([-1.0, 1.0], repeat=n * outputs))).reshape(-1, n, outputs)
    exact = radius / n * np.mean(np.sqrt(np.einsum("sic,ij,sjc->s", every, K, every)))
    found = complexity.rademacher_complexity(as_gram(K), radius=radius, outputs=outputs, draws=2000, seed=4)
    assert abs(found.value - exact) < 4 * found.standard_error  # one seed, fixed: four standard errors
    assert found.standard_error < 0.02 * exact
    bound = complexity.rademacher_bound(radius, np.trace(K), n, outputs=outputs)
    assert exact < bound and found.value < bound


def test_jensen_is_tight_for_a_diagonal_matrix_and_the_radius_scales():
    """sigma^T D sigma = tr D for every draw of signs."""
    G = as_gram(np.diag([1.0, 2.0, 6.0]))
    found = complexity.rademacher_complexity(G, radius=2.0, draws=5)
    np.testing.assert_allclose(found.value, 2 * math.sqrt(9) / 3, rtol=1e-14)
    np.testing.assert_allclose(complexity.rademacher_bound(2.0, 9.0, 3), found.value, rtol=1e-14)
    assert found.standard_error < 1e-15
    assert complexity.rademacher_complexity(G, draws=5).value == found.value / 2


def test_no_function_of_the_ball_beats_the_supremum(problem):
    K, n = dense(problem[0]), 70
    rng = np.random.default_rng(1)
    signs = 2.0 * rng.integers(0, 2, n) - 1
    supremum = math.sqrt(signs @ K @ signs) / n
    for _ in range(50):
        coef = rng.standard_normal(n)
        assert signs @ K @ coef / n / math.sqrt(coef @ K @ coef) <= supremum
    np.testing.assert_allclose(signs @ K @ signs / n / math.sqrt(signs @ K @ signs), supremum, rtol=1e-12)


class Constant:
    """Predicts the more frequent sign: the class {-1, +1} of two functions, whose supremum it attains."""

    def fit(self, X, y):
        self.sign = 1 if y.sum() >= 0 else -1
        return self

    def predict(self, X):
        return np.full(len(X), self.sign)


class Memory(Constant):
    scale = 1.0

    def fit(self, X, y):
        self.y = self.scale * y
        return self

    def predict(self, X):
        return self.y


def test_sign_correlation_of_what_can_be_computed_by_hand():
    X = np.zeros((8, 1))
    every = np.array(list(itertools.product([-1, 1], repeat=8)))
    exact = np.mean(np.abs(every.sum(axis=1))) / 8
    found = complexity.sign_correlation(Constant(), X, draws=500, seed=1)
    assert abs(found.value - exact) < 4 * found.standard_error
    assert complexity.sign_correlation(Memory(), X).value == 1.0
    loud = Memory()
    loud.scale = 7.0  # cut to [-1, 1]: loudness is not complexity
    assert complexity.sign_correlation(loud, X).value == 1.0
    assert not hasattr(loud, "y")  # copies are fitted, not what was passed


def test_sign_correlation_of_scikit_learn_estimators(problem):
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.tree import DecisionTreeClassifier

    X = problem[1]
    stump = complexity.sign_correlation(DecisionTreeClassifier(max_depth=1), X)
    assert complexity.sign_correlation(KNeighborsClassifier(1), X).value == 1.0
    assert 0 < stump.value < 0.6


# ---- the bound -----------------------------------------------------------------------------------------------------


def test_margin_bound_term_by_term():
    confidence = 3 * math.sqrt(math.log(2 / 0.05) / 200)
    assert complexity.margin_bound(np.ones(100), 0.0) == confidence
    np.testing.assert_allclose(complexity.margin_bound(np.ones(100), 0.1), 0.4 + confidence, rtol=1e-15)
    np.testing.assert_allclose(complexity.margin_bound(np.ones(100), 0.1, rho=0.5), 0.8 + confidence, rtol=1e-15)
    ramp = complexity.margin_bound(np.repeat([-5.0, 0.25, 1.0, 9.0], 25), 0.0) - confidence
    np.testing.assert_allclose(ramp, (1 + 0.75 + 0 + 0) / 4, rtol=1e-14)
    assert complexity.margin_bound(np.ones(100), 0.0, delta=0.01) > confidence


def test_the_margin_is_as_lipschitz_as_the_bound_says():
    rng = np.random.default_rng(0)
    scores, moved, y = rng.standard_normal((500, 4)), rng.standard_normal((500, 4)), rng.integers(0, 4, 500)
    change = np.abs(margins(scores, y) - margins(moved, y))
    assert (change <= math.sqrt(2) * np.linalg.norm(scores - moved, axis=1) + 1e-12).all()


# ---- the table -----------------------------------------------------------------------------------------------------

RIDGES = [0.0, 0.05]


@pytest.fixture(scope="module", params=RIDGES, ids=lambda ridge: f"ridge {ridge}")
def table(request):
    data = load("digits", n_train=300, n_test=200)
    K = gram(data.X_train, Gaussian(1.5))
    factor = Cholesky().factor(K, ridge=request.param)
    y_random = np.array([corrupt_labels(data.y_train, 10, 1.0, seed=seed)[0] for seed in (1, 2, 3)])
    made = measures_table(
        factor,
        data.y_train,
        y_random,
        n_classes=10,
        K_test=gram(data.X_test, Gaussian(1.5), K.points),
        y_test=data.y_test,
    )
    return made, data, y_random


def test_the_table_agrees_with_dense_formulas(table):
    made, data, y_random = table
    rows = {row.name: row for row in made.measures}
    X = data.X_train
    K, n = dense(gram(X, Gaussian(1.5))), len(X)
    inverse = np.linalg.inv(K + made.ridge * np.eye(n))
    found = []
    for y in (data.y_train, *y_random):
        Y = one_hot(y, 10)
        coef = inverse @ Y
        left_out = Y - coef / inverse.diagonal()[:, None]
        changes = inverse @ K @ inverse  # |f - f^(-i)|^2 = coef_i^2 (C K C)_ii / C_ii^2
        moved = np.linalg.norm(coef, axis=1) * np.sqrt(changes.diagonal()) / inverse.diagonal()
        norm = math.sqrt(np.trace(coef.T @ K @ coef))
        gap = np.mean(left_out.argmax(axis=1) != y) - np.mean((K @ coef).argmax(axis=1) != y)
        found.append(
            {
                "norm": norm,
                "log marginal likelihood": -(np.trace(Y.T @ coef) + 10 * n * math.log(2 * math.pi)) / 2
                - 5 * np.linalg.slogdet(K + made.ridge * np.eye(n))[1],
                "Rademacher bound": norm * math.sqrt(10 * n) / n,
                "leave-one-out error": np.mean(left_out.argmax(axis=1) != y),
                "memorisation": gap,
                "mean stability": moved.mean(),
                "worst stability": moved.max(),
                "alignment": cosine(K, Y @ Y.T),
                "centred alignment": cosine(centred(K), centred(Y @ Y.T)),
                "effective dimension": np.trace(K @ inverse),
            }
        )
    for name in found[0]:
        true, *random = (each[name] for each in found)
        row, expected = rows[name], (true, np.mean(random), np.std(random, ddof=1))
        # The condition number is below 1e6, and each value loses about as many digits.
        told = (row.true, row.random, row.random_sd)
        np.testing.assert_allclose(told, expected, rtol=1e-8, atol=1e-8 * abs(true), err_msg=name)
    assert made.norm_disagreement < 1e-9


def test_the_table_says_what_the_paper_says(table):
    made, data, _ = table
    rows = {row.name: row for row in made.measures}
    assert made.chance == 1 - np.bincount(data.y_train).max() / 300
    assert rows["test error"].true < 0.1 and rows["test error"].random > 0.8
    for row in rows.values():
        difference = abs(row.true - row.random)
        enough = 0.1 * max(abs(row.true), abs(row.random)) if row.name != "log marginal likelihood" else 0.11
        assert row.tells_apart == (difference > enough and difference > 3 * row.random_sd)
        assert (row.vacuous is None) == (row.role != "error")
        assert row.true == row.random or row.role != "label-free"
        assert row.formula and (row.true >= 0 or row.name == "log marginal likelihood")
    # What sees labels moves, what does not cannot; leave-one-out alone is both moved and below chance.
    assert not any(row.tells_apart for row in rows.values() if row.role == "label-free")
    assert all(rows[name].tells_apart for name in ("norm", "mean stability", "memorisation", "centred alignment"))
    errors = {row.name for row in rows.values() if row.role == "error" and row.tells_apart and not row.vacuous}
    assert errors == {"leave-one-out error"}
    assert rows["margin bound"].true > rows["test error"].true and rows["margin bound"].vacuous
    assert rows["Rademacher complexity"].true < rows["Rademacher bound"].true
    if made.ridge == 0:
        np.testing.assert_allclose(rows["fit of random signs"].true, 1.0, rtol=1e-12)
        assert rows["effective dimension"].true == 300
    else:
        assert rows["fit of random signs"].true < 1 and rows["effective dimension"].true < 300


def test_the_table_is_json(table):
    made = dataclasses.asdict(table[0])
    assert json.loads(json.dumps(made, allow_nan=False)) == made


def test_the_same_labels_again_are_never_told_apart(problem):
    G, _, Y = problem
    y = Y.argmax(axis=1)
    made = measures_table(Cholesky().factor(G), y, [y, y], n_classes=3)
    assert not any(row.tells_apart for row in made.measures)
    assert "test error" not in {row.name for row in made.measures}


def test_labels_that_have_no_meaning_are_hardly_told_from_random_ones():
    """Three standard deviations of ten: a measure is beyond them by chance once in fifty times."""
    rng = np.random.default_rng(0)
    factor, told, all_told = Cholesky().factor(gram(rng.standard_normal((200, 5)), Gaussian(2.0))), 0, 0
    for _ in range(10):
        y, *random = rng.integers(0, 3, (11, 200))
        made = measures_table(factor, y, random, n_classes=3)
        told, all_told = told + sum(row.tells_apart for row in made.measures), all_told + len(made.measures)
    assert told < 0.05 * all_told


@pytest.mark.parametrize("scale", [1e-2, 1.0, 1e2])
def test_the_likelihood_is_judged_by_its_difference_and_not_beside_its_size(scale):
    rng = np.random.default_rng(1)
    X = rng.standard_normal((200, 3))
    y = (X[:, 0] > 0).astype(int)
    factor = Cholesky().factor(gram(X, scale * Gaussian(2.0)), ridge=scale)
    random = [rng.integers(0, 2, 200) for _ in range(5)]
    rows = {row.name: row for row in measures_table(factor, y, random, n_classes=2).measures}
    assert rows["log marginal likelihood"].tells_apart and rows["norm"].tells_apart


def test_what_is_refused(problem):
    G, X, Y = problem
    y, factor = Y.argmax(axis=1), Cholesky().factor(G)
    for labels in (y[1:], y / 1.0, y + 1):
        with pytest.raises(InputError, match="70 integers from 0"):
            measures_table(factor, y, [labels, labels], n_classes=3)
    for labels in (y, [y]):
        with pytest.raises(InputError, match="two random labellings or more"):
            measures_table(factor, y, labels, n_classes=3)
    with pytest.raises(InputError, match="both the Gram"):
        measures_table(factor, y, [y, y], n_classes=3, y_test=y)
    with pytest.raises(InputError, match="10 integers from 0"):
        K_test = gram(X[:10], Gaussian(2.0), G.points)
        measures_table(factor, y, [y, y], n_classes=3, K_test=K_test, y_test=y)
    for options in ({"rho": 0.0}, {"delta": 1.0}, {"delta": np.nan}):
        with pytest.raises(InputError, match="rho must be positive"):
            complexity.margin_bound(np.ones(5), 0.1, **options)
    with pytest.raises(InputError, match="at least 2"):
        complexity.rademacher_complexity(G, draws=1)
    silent = Memory()
    silent.scale = np.nan
    with pytest.raises(InputError, match="one number for each point"):
        complexity.sign_correlation(silent, X)


def test_a_table_of_random_labels_of_one_class_and_of_weights(problem):
    K, _, Y = problem
    y = Y.argmax(axis=1)
    with Cholesky().factor(K, ridge=0.1) as factor:
        rows = {row.name: row for row in measures_table(factor, y, np.ones((2, 70), int), n_classes=3).measures}
    assert not rows["alignment"].tells_apart
    assert math.isnan(rows["alignment"].random) and 0 < rows["alignment"].true < 1 and rows["norm"].random > 0
    with Weighted(Cholesky(), np.linspace(0.5, 2, 70)).factor(K, ridge=0.1) as factor:
        with pytest.raises(InputError, match="one ridge"):
            measures_table(factor, y, [y, y[::-1]], n_classes=3)
        with pytest.raises(InputError, match="one ridge"):
            stability(factor, factor.solve(Y).coef, factor.inverse_diagonal(), largest_diagonal=1.0)


def test_alignment_has_no_units(problem):
    G, _, Y = problem
    expected = dataclasses.astuple(complexity.alignment(G, Y))
    for scale in (1e-170, 1e100, 1e160):
        np.testing.assert_allclose(dataclasses.astuple(complexity.alignment(G, Y * scale)), expected, rtol=1e-10)
    for scale in (1e200, 1e-150):
        with pytest.raises(InputError, match="1e154 or below 1e-146"):
            complexity.alignment(as_gram(scale * np.eye(len(Y))), Y)


def test_kernels_of_low_rank_have_a_rademacher_complexity():
    X = np.random.default_rng(0).standard_normal((4, 2))
    K = gram(X - X.mean(axis=0), Linear())
    for seed in range(20):  # signs that are all equal are in the kernel of K, and rounding leaves their square below 0
        assert np.isfinite(complexity.rademacher_complexity(K, draws=20, seed=seed).value)
