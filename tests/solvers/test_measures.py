import numpy as np
import pytest

from kernelfit.gram.matrix import MatrixGram, gram
from kernelfit.kernels import Gaussian
from kernelfit.solvers import measures
from kernelfit.solvers.panel_cholesky import cholesky
from tests.support.problems import symmetric_matrix

RIDGES = [0.0, 0.3]


@pytest.fixture
def problem():
    rng = np.random.default_rng(0)
    X = rng.integers(0, 256, (80, 5, 5), dtype=np.uint8)
    y = rng.integers(0, 4, 80)
    return gram(X, Gaussian(1.5)), measures.one_hot(y, 4), y


def dense(G):
    return G.block((0, G.shape[0]), (0, G.shape[1]))


def test_one_hot_and_error_rate():
    y = np.array([2, 0, 1, 1])
    Y = measures.one_hot(y, 3)
    assert Y.sum() == 4 and (Y.argmax(axis=1) == y).all()
    assert measures.error_rate(Y, y) == 0
    assert measures.error_rate(Y, np.array([2, 1, 1, 0])) == 0.5


@pytest.mark.parametrize("ridge", RIDGES)
def test_norm_by_three_routes_and_two_codings(problem, ridge):
    G, Y, _ = problem
    K = dense(G)
    factor = cholesky(G, ridge=ridge, width=32)
    half = factor.half_solve(Y)
    coef = factor.half_solve_transposed(half)
    fitted = K @ coef
    norm = measures.rkhs_norm(coef, fitted, (half, half), ridge)
    assert measures.rkhs_norm(coef, fitted, (Y, coef), ridge).disagreement < 1e-12
    assert norm.disagreement < 1e-12
    np.testing.assert_allclose(norm.total, np.sqrt(np.trace(coef.T @ K @ coef)), rtol=1e-11)
    np.testing.assert_allclose(norm.per_output, np.sqrt(np.einsum("ic,ij,jc->c", coef, K, coef)), rtol=1e-11)
    np.testing.assert_allclose(norm.total, np.linalg.norm(norm.per_output), rtol=1e-12)
    signed = 2 * Y - 1
    np.testing.assert_array_equal(measures.to_plus_minus_one(Y), signed)
    again = factor.solve(signed)
    np.testing.assert_allclose(measures.to_plus_minus_one(coef), again, atol=1e-11)
    coef, fitted, half = map(measures.to_plus_minus_one, (coef, fitted, half))
    turned = measures.rkhs_norm(coef, fitted, (half, half), ridge)
    np.testing.assert_allclose(turned.total, np.sqrt(np.trace(again.T @ K @ again)), rtol=1e-11)
    assert turned.disagreement < 1e-12


def test_no_other_interpolant_has_a_smaller_norm(problem):
    """Any f = sum_j b_j k(z_j, .) through the same labels is the minimum-norm one plus some g orthogonal to it."""
    G, Y, _ = problem
    K = dense(G)
    factor = cholesky(MatrixGram(K[:50, :50]))
    coef = factor.solve(Y[:50])
    best = measures.rkhs_norm(coef, K[:50, :50] @ coef, (Y[:50], coef)).total
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
    G, Y, _ = problem
    K, n = dense(G), len(Y)
    factor = cholesky(G, ridge=ridge, width=32)
    closed = measures.leave_one_out(Y, factor.solve(Y), factor.inverse_diagonal())
    for i in range(n):
        rest = np.delete(np.arange(n), i)
        coef = np.linalg.solve(K[np.ix_(rest, rest)] + ridge * np.eye(n - 1), Y[rest])
        np.testing.assert_allclose(closed[i], K[i, rest] @ coef, atol=1e-9)


@pytest.mark.parametrize("ridge", RIDGES)
def test_check_solution_sees_what_is_wrong(problem, ridge):
    G, Y, _ = problem
    K = dense(G) + ridge * np.eye(len(Y))
    coef = np.linalg.solve(K, Y)
    check = measures.check_solution(G, Y, coef, ridge=ridge)
    assert check.relative_residual < 1e-13
    np.testing.assert_allclose(check.norm_1, np.linalg.norm(K, 1), rtol=1e-13)
    np.testing.assert_allclose(check.fitted, dense(G) @ coef, atol=1e-12)
    coef[17, 2] += 1e-3
    wrong = measures.check_solution(G, Y, coef, ridge=ridge)
    expected = 1e-3 * np.linalg.norm(K[:, 17]) / np.linalg.norm(Y[:, 2])
    np.testing.assert_allclose(wrong.residual_per_output, [0, 0, expected, 0], rtol=1e-6, atol=1e-13)
    assert wrong.relative_residual == wrong.residual_per_output[2], "the worst output decides"


@pytest.mark.parametrize("condition", [1e2, 1e6, 1e10])
def test_condition_estimate(condition):
    K, inverse = symmetric_matrix(100, condition)
    norm_1 = np.linalg.norm(K, 1)
    estimate = measures.condition_estimate(cholesky(MatrixGram(K), width=32), norm_1)
    exact = norm_1 * np.linalg.norm(inverse, 1)
    # A lower bound up to rounding (cond * n eps = 2e-4 at worst), and Hager's method is seldom off by more than 3.
    assert exact / 3 <= estimate <= exact * 1.001


@pytest.mark.parametrize("unit", [1e-300, 1e-165, 1e155, 1e290])
def test_norms_and_residuals_in_extreme_units(problem, unit):
    """No square over- or underflows, of targets or of the kernel."""
    G, Y, _ = problem
    K = dense(G)
    Y, coef = unit * Y, unit * np.linalg.solve(K, Y)
    plain = measures.rkhs_norm(coef / unit, K @ coef / unit, (Y / unit, coef / unit))
    for ridge in RIDGES:
        norm = measures.rkhs_norm(coef, K @ coef, (Y + ridge * coef, coef), ridge)
        np.testing.assert_allclose(norm.total / unit, plain.total, rtol=1e-12)
        np.testing.assert_allclose(np.divide(norm.per_output, unit), plain.per_output, rtol=1e-12)
        assert norm.disagreement < 1e-11
    assert measures.check_solution(G, Y, coef).relative_residual < 1e-13
    assert measures.check_solution(G, Y, 1.001 * coef).relative_residual == pytest.approx(1e-3, rel=1e-9)
    # A kernel in units of its own: K / unit has coefficients unit coef.
    other = measures.rkhs_norm(coef / unit, K @ coef, (Y, coef / unit))
    np.testing.assert_allclose(other.total / np.sqrt(unit), plain.total, rtol=1e-12)


def test_a_small_output_is_not_hidden_by_a_large_one(problem):
    G, Y, _ = problem
    coef = np.linalg.solve(dense(G), Y)
    scaled = Y * [1, 1e6, 1, 1], coef * [1, 1e6, 1, 1]
    scaled[1][:, 3] *= 1.001
    assert measures.check_solution(G, *scaled).relative_residual == pytest.approx(1e-3, rel=1e-9)
    fitted = dense(G) @ scaled[1]
    # coef^T K coef has the error twice, Y^T coef once
    assert measures.rkhs_norm(scaled[1], fitted, scaled).disagreement == pytest.approx(5e-4, rel=1e-2)


def test_doubts_are_one_sentence_for_each_bad_number():
    good = {"relative_residual": 1e-9, "norm_disagreement": 1e-7, "condition_estimate": 1e11}
    assert measures.doubts(**good) == measures.doubts() == []
    for name, bad, sentence in (
        ("relative_residual", 2e-8, "not solved to 8 digits"),
        ("norm_disagreement", 6e-3, "two routes to the norm differ by 6.0e-03"),
        ("condition_estimate", 2e12, "at least 2.0e+12"),
    ):
        (found,) = measures.doubts(**good | {name: bad})
        assert sentence in found
        assert len(measures.doubts(**good | {name: np.nan})) == 1
