"""What is singular to float64 is refused in either precision, whatever the targets; what has 1e12 to lose is not."""

import types

import numpy as np
import pytest

from kernelfit.common.errors import SingularMatrixError
from kernelfit.grams.matrix import gram
from kernelfit.kernels import Gaussian
from kernelfit.kernels.text import parse_kernel
from kernelfit.models.fit import fit
from kernelfit.solvers.band import Banded
from kernelfit.solvers.cholesky import Cholesky
from kernelfit.solvers.eigen import Eigen
from kernelfit.solvers.panel_cholesky import cholesky
from kernelfit.solvers.regularity import added_to_inverse, inverse_norm
from tests.support.problems import as_gram, corrected, symmetric_matrix


def dense(K):
    return K.block((0, K.shape[0]), (0, K.shape[0]))


def one_rank_short(n, rng):
    X = rng.standard_normal((n, n - 1)) * np.logspace(0, rng.uniform(-3, 0), n - 1)
    return as_gram(X @ X.T)


def of_low_rank(n, rng):
    X = rng.standard_normal((n, max(1, n // 4)))
    return as_gram(X @ X.T)


def cubic(n, rng):
    return gram(rng.standard_normal((21, 3)), parse_kernel("polynomial(degree=3)"))  # of rank 20


@pytest.mark.parametrize("make", [one_rank_short, of_low_rank, cubic])
@pytest.mark.parametrize("n", [2, 3, 10, 40])
def test_singular_matrices_are_refused_even_where_the_targets_have_a_solution(make, n):
    """Rounding leaves positive pivots in place of 0 for about every other of them."""
    for seed in range(10):
        rng = np.random.default_rng(seed)
        K = make(n, rng)
        with pytest.raises(SingularMatrixError):
            cholesky(K)
        with pytest.raises(SingularMatrixError, match="numerically singular at training point"):
            corrected(K, dense(K) @ rng.standard_normal((K.shape[0], 2)))


def test_the_row_is_named_in_mixed_precision_too():
    K = as_gram(np.diag([1.0, 2.0, 0.0]))
    for attempt in (lambda: cholesky(K), lambda: corrected(K, np.array([[1.0], [1.0], [0.0]]))):
        with pytest.raises(SingularMatrixError) as caught:
            attempt()
        assert caught.value.row == 2
    X = np.random.default_rng(0).standard_normal((60, 4))
    X[40] = X[7]
    K = gram(X, Gaussian(1.0))
    with pytest.raises(SingularMatrixError, match="points 7 and 40 are identical") as caught:
        corrected(K, dense(K) @ np.ones((60, 1)))
    assert (caught.value.row, caught.value.duplicate) == (40, 7)


@pytest.mark.parametrize("n", [2, 30, 300])
@pytest.mark.parametrize("spread", ["geometric", "one", "half"])
def test_a_condition_number_of_1e12_is_not_refused(n, spread):
    smallest = {"geometric": np.geomspace(1e-12, 1, n), "one": np.r_[1e-12, np.ones(n - 1)]}
    eigenvalues = smallest.get(spread, np.resize([1.0, 1e-12], n))
    Q, _ = np.linalg.qr(np.random.default_rng(n).standard_normal((n, n)))
    K = (Q * eigenvalues) @ Q.T
    K = as_gram((K + K.T) / 2)
    assert cholesky(K).pivots().min() > 0
    if spread == "half":  # two clusters, within reach of conjugate gradients
        done = corrected(K, dense(K) @ np.random.default_rng(1).standard_normal((n, 2)))
        # |K|_1 / lambda is at most sqrt(n) times the condition number.
        assert 1e11 < done.condition_estimate < 1e12 * np.sqrt(n) * 1.1


@pytest.mark.parametrize("n", [5, 80])
def test_units_of_the_points_do_not_make_a_matrix_singular(n):
    """D K D is as regular as K for the factor, though its condition number is 1e40."""
    D, (K, _) = np.logspace(-10, 10, n), symmetric_matrix(n, 1e3)
    scaled = as_gram(D[:, None] * K * D)
    Y = np.random.default_rng(0).standard_normal((n, 2))
    np.testing.assert_allclose(D[:, None] * cholesky(scaled).solve(D[:, None] * Y), np.linalg.solve(K, Y), rtol=1e-9)


def test_a_shift_changes_the_factor_and_not_the_condition_that_is_told():
    K, _ = symmetric_matrix(12, 1e9)
    done = corrected(as_gram(K), K @ np.ones((12, 1)))
    exact = np.linalg.norm(K, 1) * np.linalg.norm(np.linalg.inv(K), 1)
    assert exact / 12 <= done.condition_estimate <= exact * 1.01
    Q, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((150, 150)))
    K = (Q * np.resize([1.0, 0.5, 1e-10], 150)) @ Q.T
    K = as_gram((K + K.T) / 2)
    shifted = corrected(K, dense(K) @ np.ones((150, 1)))
    assert shifted.report["shift"] > 0
    # Of the matrix with the shift it would be below 1e7.
    assert 1e9 < shifted.condition_estimate <= 1.01 * np.linalg.norm(dense(K), 1) * 1e10


@pytest.mark.parametrize("n", [1, 2, 3, 40])
def test_the_norm_of_an_inverse_is_a_lower_bound_within_a_factor_of_3(n):
    for seed in range(10):
        (A, _), roots = symmetric_matrix(n, 1e4, seed), np.random.default_rng(seed).uniform(0.5, 2.0, n)
        factor, scaled = types.SimpleNamespace(n=n, solve=A.__matmul__), roots[:, None] * A * roots
        found, exact = inverse_norm(factor, roots), np.linalg.norm(scaled, 1)
        assert exact / 3 <= found <= exact * (1 + n * 1e-15)  # of the order of sums


@pytest.mark.parametrize("solver", [Cholesky(), Cholesky(precision="mixed"), Banded()])
@pytest.mark.parametrize("step", [1e-3, 3.486e-6, 1e-6])
def test_nearly_equal_points_far_from_all_others_are_seen(solver, step):
    """Of K = I but for one block the bad direction is (1, -1), across the mean of all unit vectors."""
    X = 100.0 * np.arange(50)[:, None]
    X[6] = X[5] + step
    y = np.sin(X)
    y[6] = y[5]
    report = fit(X, y, Gaussian(1.0), solver).report
    K = np.exp(-((X - X.T) ** 2) / 2)
    off = -np.expm1(-(float(X[6, 0] - X[5, 0]) ** 2) / 2)  # 1 - K[5, 6], the smallest eigenvalue
    exact = np.linalg.norm(K, 1) / off
    assert exact / 3 <= report.condition_estimate <= 1.2 * exact
    assert bool(report.warnings) == (report.condition_estimate > 1e12)


@pytest.mark.parametrize("n", [17, 50])
def test_a_float32_factor_of_nearly_the_identity_finds_no_eigenvalue_that_is_not_there(n):
    A = np.eye(n)
    A[5, 6] = A[6, 5] = 1 - 1e-8
    done = corrected(as_gram(A), np.ones((n, 1)))
    assert done.condition_estimate == pytest.approx(2e8, rel=0.5)


@pytest.mark.parametrize("bandwidth", [21.9, 22.5, 23.3])
def test_a_band_is_regular_where_the_spectrum_is(bandwidth):
    """Its estimate of the inverse is of another norm, which may be larger by the root of n."""
    K = gram(np.random.default_rng(0).standard_normal((80, 5)), Gaussian(bandwidth))
    solved = []
    for solver in (Eigen(), Banded()):
        try:
            with solver.factor(K):
                solved.append(True)
        except SingularMatrixError as error:
            assert "n eps times" in str(error)
            solved.append(False)
    assert solved[0] is solved[1]


@pytest.mark.parametrize("m", [1, 5, 40])
def test_what_further_points_add_to_the_inverse_is_not_underrated(m):
    rng = np.random.default_rng(m)
    X = rng.standard_normal((120, 2))
    K = gram(X, Gaussian(bandwidth=0.4))
    factor, A = cholesky(K, ridge=1e-8), K.block((0, 120), (0, 120)) + 1e-8 * np.eye(120)
    roots, inverse = np.sqrt(A.diagonal()), np.linalg.inv(A)
    inverse[: 120 - m, : 120 - m] -= np.linalg.inv(A[: 120 - m, : 120 - m])
    norm = np.abs(roots[:, None] * inverse * roots).sum(axis=0).max()
    found = added_to_inverse(factor, m, A.diagonal())
    assert norm / 3 < found < 100 * norm


@pytest.mark.parametrize("m", [3, 20])
def test_an_extended_factor_is_singular_where_a_whole_one_is(m):
    """L of 1 and -1 has harmless pivots, and an inverse that doubles with every row; all numbers are exact."""
    L = np.eye(40) - np.tril(np.ones((40, 40)), -1)
    A = as_gram(L @ L.T)
    with pytest.raises(SingularMatrixError, match="eigenvalue"):
        Cholesky().factor(A)
    with Cholesky().factor(as_gram((L @ L.T)[:20, :20])) as first:
        regular, half = first.extended(as_gram((L @ L.T)[:22, :22]), np.ones((22, 1)))
        np.testing.assert_allclose(L[:22, :22] @ half, np.ones((22, 1)), atol=1e-6)
        regular.close()
        with pytest.raises(SingularMatrixError, match="eigenvalue"):
            for n in range(20 + m, 41, m):
                first, _ = first.extended(as_gram((L @ L.T)[:n, :n]), np.ones((n, 1)))
