import numpy as np
import pytest

from kernelfit.analysis.leaving_out import (
    draw_folds,
    leave_fold_out,
    margin_distribution,
    margins,
    memorisation,
    stability,
)
from kernelfit.common.errors import InputError
from kernelfit.datasets.labels import error_rate, one_hot
from kernelfit.grams.matrix import gram
from kernelfit.kernels import Gaussian
from kernelfit.solvers.cholesky import Cholesky
from kernelfit.solvers.solution import leave_one_out
from kernelfit.solvers.weighted import Weighted
from tests.support.problems import as_gram, symmetric_matrix

RIDGES = [0.0, 0.3]
N = 60
# A closed form loses about condition x eps = 1e4 x 2e-16; a thousand of these leave 1e-9.
TOLERANCE = {"rtol": 1e-9, "atol": 1e-9}


@pytest.fixture(params=RIDGES, ids=lambda ridge: f"ridge {ridge}")
def problem(request):
    """K of condition 1e4, factor, labels, one-hot targets, coefficients."""
    K = symmetric_matrix(N, 1e4)[0]
    factor = Cholesky(width=16).factor(as_gram(K), ridge=request.param)
    y = np.random.default_rng(3).integers(0, 3, N)
    Y = one_hot(y, 3)
    return K, factor, y, Y, factor.solve(Y).coef


def refit(K, ridge, Y, left_out):
    """Coefficients (n, r) fitted without some examples, zero there."""
    rest = np.setdiff1d(np.arange(len(K)), left_out)
    coef = np.zeros(Y.shape)
    coef[rest] = np.linalg.solve(K[np.ix_(rest, rest)] + ridge * np.eye(len(rest)), Y[rest])
    return coef


@pytest.mark.parametrize("count", [2, 7, N // 2])
def test_leave_fold_out_against_really_leaving_folds_out(problem, count):
    K, factor, _, Y, coef = problem
    folds = draw_folds(N, count, seed=count)
    closed = leave_fold_out(factor, Y, coef, folds)
    for fold in folds:
        np.testing.assert_allclose(closed[fold], K[fold] @ refit(K, factor.ridge, Y, fold), **TOLERANCE)


def test_folds_of_one_are_leave_one_out_and_one_fold_leaves_nothing(problem):
    _, factor, _, Y, coef = problem
    singles = leave_fold_out(factor, Y, coef, draw_folds(N, N))
    np.testing.assert_allclose(singles, leave_one_out(Y, coef, factor.inverse_diagonal()), **TOLERANCE)
    np.testing.assert_allclose(leave_fold_out(factor, Y, coef, [np.arange(N)]), 0.0, atol=1e-9)


def test_uneven_folds_in_any_order(problem):
    K, factor, _, Y, coef = problem
    order = np.random.default_rng(0).permutation(N)
    folds = [order[:1], order[1:31], order[31:31], order[31:]]
    closed = leave_fold_out(factor, Y, coef, folds)
    np.testing.assert_allclose(closed[folds[1]], K[folds[1]] @ refit(K, factor.ridge, Y, folds[1]), **TOLERANCE)
    np.testing.assert_allclose(closed, leave_fold_out(factor, Y, coef, [fold[::-1] for fold in folds]), **TOLERANCE)


def test_draw_folds_is_a_seeded_even_partition():
    folds = draw_folds(50, 7, seed=1)
    np.testing.assert_array_equal(np.sort(np.concatenate(folds)), np.arange(50))
    assert {len(fold) for fold in folds} == {7, 8}
    np.testing.assert_array_equal(np.concatenate(folds), np.concatenate(draw_folds(50, 7, seed=1)))
    assert (np.concatenate(folds) != np.concatenate(draw_folds(50, 7, seed=2))).any()


def test_stability_against_really_refitting(problem):
    K, factor, _, Y, coef = problem
    largest = K.diagonal().max()
    found = stability(factor, coef, factor.inverse_diagonal(), largest_diagonal=largest)
    for i in range(N):
        change = coef - refit(K, factor.ridge, Y, [i])
        np.testing.assert_allclose(found.norms[i], np.sqrt(np.trace(change.T @ K @ change)), **TOLERANCE)
        moved = np.linalg.norm(K @ change, axis=1)  # f - f^(-i) at every point, over the outputs
        assert (moved <= found.norms[i] * np.sqrt(K.diagonal()) + 1e-9).all()
        assert moved.max() <= found.sup_norms[i] + 1e-9
    np.testing.assert_allclose(found.sup_norms, np.sqrt(largest) * found.norms, rtol=1e-15)


def test_stability_of_a_diagonal_matrix_by_hand():
    """K = diag(k): f_i = y_i k(x_i, .) / (k_i + ridge), so that f - f^(-i) is that one term, of norm sqrt(k_i) ..."""
    k, ridge = np.array([1.0, 4.0, 9.0]), 3.0
    Y = np.array([[1.0], [-2.0], [5.0]])
    factor = Cholesky().factor(as_gram(np.diag(k)), ridge=ridge)
    found = stability(factor, factor.solve(Y).coef, factor.inverse_diagonal(), largest_diagonal=9.0)
    np.testing.assert_allclose(found.norms, np.abs(Y[:, 0]) * np.sqrt(k) / (k + ridge), rtol=1e-14)
    np.testing.assert_allclose(found.sup_norms, 3 * found.norms, rtol=1e-14)


def test_memorisation_against_really_refitting(problem):
    K, factor, y, Y, coef = problem
    fitted = K @ coef
    found = memorisation(fitted, leave_one_out(Y, coef, factor.inverse_diagonal()), y)
    for i in range(N):
        without = K[i] @ refit(K, factor.ridge, Y, [i])
        assert found.scores[i] == int(fitted[i].argmax() == y[i]) - int(without.argmax() == y[i])
        soft = margins(fitted[i : i + 1], y[i : i + 1]) - margins(without[None], y[i : i + 1])
        np.testing.assert_allclose(found.soft[i], soft[0], **TOLERANCE)
    assert 0 < found.scores.mean() < 1
    if factor.ridge == 0:
        assert set(found.scores) == {0, 1}
        np.testing.assert_array_equal(found.scores == 1, found.soft > 1)  # margins of 1 turned below 0


def test_mean_memorisation_is_the_gap_of_leave_one_out(problem):
    _, factor, y, Y, coef = problem
    fitted, left_out = Y - factor.ridge * coef, leave_one_out(Y, coef, factor.inverse_diagonal())
    found = memorisation(fitted, left_out, y)
    gap = error_rate(left_out, y) - error_rate(fitted, y)
    np.testing.assert_allclose(found.scores.mean(), gap, atol=1e-15)


@pytest.mark.parametrize("ridge", [0.0, 0.5])
@pytest.mark.parametrize("weighted", [False, True])
def test_folds_far_from_all_others(ridge, weighted):
    """Their predictions are below 1e-16, where a difference from targets of 1 leaves no digit."""
    rng = np.random.default_rng(5)
    X = np.add.outer(15 * np.arange(6), 0.8 * np.arange(4)).reshape(24, 1)  # at 12.6 the kernel is 3e-35
    Y, K = rng.standard_normal((24, 3)), gram(X, Gaussian(bandwidth=1.0))
    w = rng.uniform(0.5, 2, 24) if weighted else np.ones(24)
    dense = K.block((0, 24), (0, 24))
    A = dense + ridge * np.diag(1 / w)
    folds = [*np.arange(24).reshape(6, 4)]
    with Weighted(Cholesky(), w).factor(K, ridge=ridge) as factor:
        solution = factor.solve(Y)
        found = leave_fold_out(factor, Y, solution.coef, folds)
        alone = solution.left_out(factor.inverse_diagonal())
    for fold in folds:
        rest = np.setdiff1d(np.arange(24), fold)
        expected = dense[np.ix_(fold, rest)] @ np.linalg.solve(A[np.ix_(rest, rest)], Y[rest])
        assert np.abs(expected).max() < 1e-17
        np.testing.assert_allclose(found[fold], expected, rtol=1e-6, atol=1e-9 * np.abs(expected).max())
    for i in range(24):
        rest = np.delete(np.arange(24), i)
        expected = dense[i, rest] @ np.linalg.solve(A[np.ix_(rest, rest)], Y[rest])
        np.testing.assert_allclose(alone[i], expected, rtol=1e-6, atol=1e-9 * np.abs(expected).max())


def test_margins_and_their_distribution():
    scores = np.array([[0.5, 0.2, 0.1], [0.5, 0.2, 0.1], [1.0, np.nan, 0.0]])
    found = margins(scores, np.array([0, 2, 0]))
    np.testing.assert_allclose(found, [0.3, -0.4, np.nan], rtol=1e-15)
    told = margin_distribution(np.linspace(-1, 3, 101))
    expected = {"mean": 1.0, "negative": 25 / 101, "quantile_05": -0.8, "quantile_25": 0.0, "quantile_50": 1.0}
    for name, value in expected.items():
        np.testing.assert_allclose(told[name], value, atol=1e-12)
    with pytest.raises(InputError, match="no margins"):
        margin_distribution(np.empty(0))


def test_negative_margins_are_the_errors(problem):
    _, factor, y, Y, coef = problem
    left_out = leave_one_out(Y, coef, factor.inverse_diagonal())
    assert margin_distribution(margins(left_out, y))["negative"] == error_rate(left_out, y)


def test_what_is_refused(problem):
    _, factor, y, Y, coef = problem
    diagonal = factor.inverse_diagonal()
    halves = [np.arange(N // 2), np.arange(N // 2, N)]
    for folds, words in [
        (halves[:1], "example 30 is in them 0 times"),
        ([*halves, np.array([5, 5])], "example 5 is in them 3 times"),
        ([halves[0], halves[1] + 1], f"holds index {N}"),
        ([halves[0] - 1, halves[1]], "holds index -1"),
        ([halves[0] / 1.0, halves[1]], "integers"),
        ([np.arange(N).reshape(2, -1)], "one-dimensional"),
    ]:
        with pytest.raises(InputError, match=words):
            leave_fold_out(factor, Y, coef, folds)
    with pytest.raises(InputError, match=r"coef has shape \(59, 3\)"):
        leave_fold_out(factor, Y, coef[1:], halves)
    for count in (0, N + 1):
        with pytest.raises(InputError, match=f"folds = {count}; it must be an integer from 1 to"):
            draw_folds(N, count)
    with pytest.raises(InputError, match="largest_diagonal = nan"):
        stability(factor, coef, diagonal, largest_diagonal=np.nan)
    with pytest.raises(InputError, match=r"pass \[-f, f\]"):
        margins(Y[:, :1], y)
    with pytest.raises(InputError, match="n_classes = 3"):
        margins(Y, y + 1)


def test_stability_has_the_units_of_the_targets(problem):
    _, factor, _, Y, _ = problem
    diagonal = factor.inverse_diagonal()
    expected = stability(factor, factor.solve(Y).coef, diagonal, largest_diagonal=1.0).norms
    for scale in (1e-170, 1e160):
        found = stability(factor, factor.solve(Y * scale).coef, diagonal, largest_diagonal=1.0).norms
        np.testing.assert_allclose(found / scale, expected, rtol=1e-9)
