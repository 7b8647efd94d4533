"""What is known of a solution: norms by several routes, residuals, leave-one-out, in any units, and what to doubt."""

import numpy as np
import pytest

from kernelfit.datasets import load
from kernelfit.datasets.labels import one_hot, plus_minus_one
from kernelfit.grams.matrix import gram
from kernelfit.kernels import Gaussian
from kernelfit.solvers.cholesky import Cholesky
from kernelfit.solvers.panel_cholesky import cholesky
from kernelfit.solvers.regularity import condition_estimate
from kernelfit.solvers.solution import Solution, doubts, leave_one_out, residuals, rkhs_norm
from tests.support.problems import as_gram, symmetric_matrix

RIDGES = [0.0, 0.3]


@pytest.fixture
def problem():
    rng = np.random.default_rng(0)
    X = rng.integers(0, 256, (80, 5, 5), dtype=np.uint8)
    y = rng.integers(0, 4, 80)
    return gram(X, Gaussian(1.5)), one_hot(y, 4)


def dense(G):
    return G.block((0, G.shape[0]), (0, G.shape[1]))


@pytest.mark.parametrize("ridge", RIDGES)
def test_norm_by_three_routes_and_two_codings(problem, ridge):
    G, Y = problem
    K = dense(G)
    factor = cholesky(G, ridge=ridge, width=32)
    half = factor.half_solve(Y)
    coef = factor.half_solve_transposed(half)
    fitted = K @ coef
    norm = rkhs_norm(coef, fitted, half.T @ half, ridge)
    assert rkhs_norm(coef, fitted, Y.T @ coef, ridge).disagreement < 1e-12
    assert norm.disagreement < 1e-12
    np.testing.assert_allclose(norm.total, np.sqrt(np.trace(coef.T @ K @ coef)), rtol=1e-11)
    np.testing.assert_allclose(norm.per_output, np.sqrt(np.einsum("ic,ij,jc->c", coef, K, coef)), rtol=1e-11)
    np.testing.assert_allclose(norm.total, np.linalg.norm(norm.per_output), rtol=1e-12)
    again, T = factor.solve(2 * Y - 1), plus_minus_one(4)
    np.testing.assert_allclose(coef @ T, again, atol=1e-11)
    turned = rkhs_norm(coef @ T, fitted @ T, T.T @ half.T @ half @ T, ridge)
    np.testing.assert_allclose(turned.total, np.sqrt(np.trace(again.T @ K @ again)), rtol=1e-11)
    assert turned.disagreement < 1e-12


def test_no_other_interpolant_has_a_smaller_norm(problem):
    """Any f = sum_j b_j k(z_j, .) through the same labels is the minimum-norm one plus some g orthogonal to it."""
    G, Y = problem
    K = dense(G)
    factor = cholesky(as_gram(K[:50, :50]))
    coef = factor.solve(Y[:50])
    best = rkhs_norm(coef, K[:50, :50] @ coef, Y[:50].T @ coef).total
    rng = np.random.default_rng(1)
    particular = np.zeros((80, 4))
    particular[:50] = factor.solve(Y[:50])
    for _ in range(5):
        free = rng.standard_normal((30, 4))
        other = np.vstack([-np.linalg.solve(K[:50, :50], K[:50, 50:] @ free), free])  # zero at the first 50 points
        f = particular + other
        np.testing.assert_allclose(K[:50] @ f, Y[:50], atol=1e-10)
        assert np.sqrt(np.trace(f.T @ K @ f)) > best
        np.testing.assert_allclose(np.trace(f.T @ K @ f), best**2 + np.trace(other.T @ K @ other), rtol=1e-9)


@pytest.mark.parametrize("ridge", RIDGES)
def test_leave_one_out_against_really_leaving_one_out(problem, ridge):
    G, Y = problem
    K, n = dense(G), len(Y)
    factor = cholesky(G, ridge=ridge, width=32)
    closed = leave_one_out(Y, factor.solve(Y), factor.inverse_diagonal())
    for i in range(n):
        rest = np.delete(np.arange(n), i)
        coef = np.linalg.solve(K[np.ix_(rest, rest)] + ridge * np.eye(n - 1), Y[rest])
        np.testing.assert_allclose(closed[i], K[i, rest] @ coef, atol=1e-9)


@pytest.mark.parametrize("bandwidth", [0.5, 0.2, 0.1, 0.07, 0.05])
@pytest.mark.parametrize("ridge", [0.0, 0.3])
def test_left_out_points_far_from_all_others_are_still_predicted(ridge, bandwidth):
    """Predictions of 1e-16 to 1e-80, lost in y_i - coef_i / C_ii: their largest class is what a refit says too."""
    data = load("digits").subset(120, 10)
    K = gram(data.X_train.reshape(120, -1), Gaussian(bandwidth))
    A, Y = dense(K) + ridge * np.eye(120), one_hot(data.y_train, 10)
    with Cholesky().factor(K, ridge=ridge) as factor:
        left_out = factor.solve(Y).left_out(factor.inverse_diagonal())
    for i in range(120):
        rest = np.delete(np.arange(120), i)
        refit = A[i, rest] @ np.linalg.solve(A[np.ix_(rest, rest)], Y[rest])
        np.testing.assert_allclose(left_out[i], refit, rtol=0, atol=1e-6 * np.abs(refit).max())


@pytest.mark.parametrize("ridge", RIDGES)
def test_residuals_see_what_is_wrong(problem, ridge):
    G, Y = problem
    K = dense(G) + ridge * np.eye(len(Y))
    coef = np.linalg.solve(K, Y)
    assert made(G, Y, coef, ridge).relative_residual < 1e-13
    coef[17, 2] += 1e-3
    wrong = made(G, Y, coef, ridge)
    expected = 1e-3 * np.linalg.norm(K[:, 17]) / np.linalg.norm(Y[:, 2])
    np.testing.assert_allclose(wrong.residual_per_output, [0, 0, expected, 0], rtol=1e-6, atol=1e-13)
    assert wrong.relative_residual == wrong.residual_per_output[2], "the worst output decides"
    np.testing.assert_array_equal(wrong.residual_per_output, residuals(Y, coef, dense(G) @ coef, ridge))


def made(G, Y, coef, ridge=0.0):
    """A Solution that nobody checked."""
    return Solution(Y, coef, dense(G) @ coef, Y.T @ coef, ridge, 1.0, None, "", {}, {})


@pytest.mark.parametrize("ridge", RIDGES)
def test_a_wrong_factor_is_seen_by_the_check_and_by_the_norm(problem, ridge):
    """Nothing that tells how good coefficients are may come from the factor that made them."""
    G, Y = problem
    with Cholesky(width=32).factor(G, ridge=ridge) as factor:
        assert factor.solve(Y).doubts() == []
        [(_, panel)] = factor.L.panels.read(0, 0)
        panel[3, 1] += 1e-3
        wrong = factor.solve(Y)
    truth = Y - (dense(G) + ridge * np.eye(len(Y))) @ wrong.coef
    np.testing.assert_allclose(
        wrong.residual_per_output, np.linalg.norm(truth, axis=0) / np.linalg.norm(Y, axis=0), rtol=1e-9
    )
    assert wrong.relative_residual > 1e-6 and wrong.norm.disagreement > 1e-6 and len(wrong.doubts()) == 2


@pytest.mark.parametrize("condition", [1e2, 1e6, 1e10])
def test_condition_estimate(condition):
    K, inverse = symmetric_matrix(100, condition)
    norm_1 = np.linalg.norm(K, 1)
    estimate = condition_estimate(cholesky(as_gram(K), width=32), norm_1)
    exact = norm_1 * np.linalg.norm(inverse, 1)
    # A lower bound up to rounding (cond * n eps = 2e-4 at worst), and Hager's method is seldom off by more than 3.
    assert exact / 3 <= estimate <= exact * 1.001


@pytest.mark.parametrize("unit", [1e-300, 1e-165, 1e155, 1e290])
@pytest.mark.parametrize("ridge", RIDGES)
def test_norms_and_residuals_in_extreme_units(problem, unit, ridge):
    """No square over- or underflows, of targets or of the kernel."""
    G, Y = problem
    with Cholesky(width=32).factor(G, ridge=ridge) as factor:
        plain, large = factor.solve(Y), factor.solve(unit * Y)
    np.testing.assert_allclose(large.coef / unit, plain.coef, rtol=1e-9)
    np.testing.assert_allclose(large.norm.total / unit, plain.norm.total, rtol=1e-12)
    np.testing.assert_allclose(np.divide(large.norm.per_output, unit), plain.norm.per_output, rtol=1e-12)
    assert large.relative_residual < 1e-13 and large.doubts() == []
    wrong = residuals(unit * Y, 1.001 * large.coef, 1.001 * large.fitted, ridge)
    np.testing.assert_allclose(wrong, 1e-3, rtol=1e-9)
    # A kernel in units of its own: K / unit has coefficients unit coef.
    with Cholesky(width=32).factor(as_gram(dense(G) / unit), ridge=ridge / unit) as factor:
        other = factor.solve(Y)
    np.testing.assert_allclose(other.coef / unit, plain.coef, rtol=1e-9)
    np.testing.assert_allclose(other.norm.total / np.sqrt(unit), plain.norm.total, rtol=1e-12)
    assert other.relative_residual < 1e-13 and other.doubts() == []


@pytest.mark.parametrize("unit", [1e-300, 1e-170, 1.0, 1e160])
def test_combinations_of_targets_in_extreme_units(problem, unit):
    G, Y = problem
    T = np.random.default_rng(1).standard_normal((4, 3))
    with Cholesky().factor(G, ridge=0.3) as factor:
        whole, expected = factor.solve(unit * Y), factor.solve(unit * (Y @ T))
    found = whole.combined(T)
    np.testing.assert_allclose(found.coef, expected.coef, rtol=1e-9, atol=1e-12 * abs(expected.coef).max())
    np.testing.assert_allclose(found.norm.per_output, expected.norm.per_output, rtol=1e-12)
    assert found.norm.disagreement < 1e-12 and found.relative_residual < 1e-12 and found.doubts() == []
    again = found.combined(np.eye(3)[:, :1])
    np.testing.assert_allclose(again.norm.total, expected.norm.per_output[0], rtol=1e-12)


def test_a_small_output_is_not_hidden_by_a_large_one(problem):
    G, Y = problem
    coef = np.linalg.solve(dense(G), Y)
    Y, coef = Y * [1, 1e6, 1, 1], coef * [1, 1e6, 1, 1]
    coef[:, 3] *= 1.001
    found = made(G, Y, coef)
    assert found.relative_residual == pytest.approx(1e-3, rel=1e-9)
    # coef^T K coef has the error twice, Y^T coef once
    assert found.norm.disagreement == pytest.approx(5e-4, rel=1e-2)


def test_doubts_are_one_sentence_for_each_bad_number():
    good = {"relative_residual": 1e-9, "norm_disagreement": 1e-7, "condition_estimate": 1e11}
    assert doubts(**good) == doubts() == []
    for name, bad, sentence in (
        ("relative_residual", 2e-8, "not solved to 8 digits"),
        ("norm_disagreement", 6e-3, "two routes to the norm differ by 6.0e-03"),
        ("condition_estimate", 2e12, "at least 2.0e+12"),
    ):
        (found,) = doubts(**good | {name: bad})
        assert sentence in found
        assert len(doubts(**good | {name: np.nan})) == 1
