"""Randomly pivoted Cholesky and its preconditioner, against dense linear algebra."""

import numpy as np
import pytest

from kernelfit.grams.matrix import gram
from kernelfit.kernels import ArcCosine, Gaussian, Laplacian, Linear, Polynomial
from kernelfit.solvers.conjugate_gradients import ConjugateGradients
from kernelfit.solvers.low_rank import pivoted_cholesky, planned_rank, precondition

N = 300
KERNELS = [Gaussian(3.0), Laplacian(3.0), Polynomial(3), ArcCosine(1), Gaussian(2.0) + 0.5 * Linear()]


def images(n=N, d=40, seed=0):
    """Pixels near a few centres, so that few columns say much of the others."""
    rng = np.random.default_rng(seed)
    centres = rng.integers(30, 226, (12, d))
    return np.clip(centres[rng.integers(0, 12, n)] + rng.normal(0, 25, (n, d)), 0, 255).astype(np.uint8)


def dense(K):
    return K.block((0, K.shape[0]), (0, K.shape[0]))


@pytest.mark.parametrize("kernel", KERNELS, ids=str)
@pytest.mark.parametrize("rank", [1, 30, 290])
def test_what_is_left_is_positive_semidefinite_with_the_diagonal_that_is_told(kernel, rank):
    K = gram(images(), kernel)
    F, left = pivoted_cholesky(K, rank)
    E = dense(K) - F @ F.T
    scale = np.trace(dense(K))
    assert F.shape[1] <= rank
    np.testing.assert_allclose(np.diag(E), left, atol=1e-12 * scale)
    assert np.linalg.eigvalsh(E)[0] >= -1e-12 * scale


def test_no_worse_than_twice_the_best_of_half_the_rank():
    """The best error of any rank is the sum of the eigenvalues left out."""
    K = gram(images(), Gaussian(3.0))
    eigenvalues = np.linalg.eigvalsh(dense(K))[::-1]
    for rank in (10, 40, 100):
        assert pivoted_cholesky(K, rank)[1].sum() <= 2 * eigenvalues[rank // 2 :].sum()


def test_ends_where_the_rank_of_the_matrix_ends():
    X = np.repeat(images(20), 15, axis=0)  # 20 different points
    F, left = pivoted_cholesky(gram(X, Gaussian(3.0)), 200)
    assert F.shape[1] == 20 and left.max() <= 1e-10


def test_floating_point_data():
    X = np.random.default_rng(1).standard_normal((N, 5)) + 100.0
    K = gram(X, Gaussian(2.0))
    F, left = pivoted_cholesky(K, 250)
    np.testing.assert_allclose(np.diag(dense(K) - F @ F.T), left, atol=1e-10)


def test_pivots_are_drawn_by_what_is_left():
    """A point of another cluster is half of what is left after the first pivot, so it is drawn next half the time."""
    X = np.zeros((4, 2), np.uint8)
    X[1, 0], X[2, 0], X[3, 1] = 255, 255, 255  # with k = exp(-d^2 / (2 0.01)), all but 1 and 2 are orthogonal
    hits = [pivoted_cholesky(gram(X, Gaussian(0.1)), 1, seed=seed)[0][:, 0] for seed in range(400)]
    counts = np.array([[F[0] > 0.5, F[1] > 0.5, F[3] > 0.5] for F in hits]).mean(axis=0)
    # Standard deviation at most 0.025.
    np.testing.assert_allclose(counts, [0.25, 0.5, 0.25], atol=0.1)


@pytest.mark.parametrize("rank", [0, 20, 200])
@pytest.mark.parametrize("ridge", [0.0, 1e-2])
def test_the_inverse_of_what_was_approximated(rank, ridge):
    K = gram(images(), Gaussian(3.0))
    F, left = pivoted_cholesky(K, rank, seed=5)
    M = precondition(K, rank, ridge=ridge, seed=5)
    assert M.ridge == ridge and M.shift == pytest.approx(left.mean())
    R = np.random.default_rng(2).standard_normal((N, 3))
    matrix = F @ F.T + (ridge + left.mean()) * np.eye(N)
    np.testing.assert_allclose(matrix @ M.solve(R), R, atol=1e-8)


def test_fewer_steps_with_a_larger_rank():
    K = gram(images(), Gaussian(3.0))
    Y = np.random.default_rng(3).standard_normal((N, 2))
    steps = [steps_taken(K, Y, rank) for rank in (0, 30, 150)]
    assert steps[0] > steps[1] > steps[2]


def steps_taken(K, Y, rank):
    return ConjugateGradients(rank=rank).factor(K).solve(Y).report["steps"]


def test_the_planned_rank_fits_and_is_worth_it():
    for n, d, memory in [(10**5, 784, 10**10), (10**6, 784, 10**10), (10**4, 784, 10**12), (50, 2, 10**9)]:
        rank = planned_rank(n, d, memory)
        assert 0 <= rank <= n // 4
        assert 8 * n * rank <= memory / 2
        assert rank**2 <= n * d
    assert planned_rank(10**6, 784, 10**6) == 0


def test_all_columns_solve_at_once():
    K = gram(images(), Laplacian(3.0))
    Y = np.random.default_rng(4).standard_normal((N, 2))
    assert steps_taken(K, Y, N) <= 3
