"""Variance and likelihood from a factor, against the formulas on whole matrices."""

import numpy as np
import pytest

from kernelfit import backend
from kernelfit.common.errors import InputError, UnsupportedError
from kernelfit.grams.matrix import gram
from kernelfit.kernels import Gaussian, Laplacian, Matern, Precomputed
from kernelfit.models import posterior
from kernelfit.models.posterior import (
    log_determinant_of,
    log_marginal_likelihood,
    predictive_covariance,
    predictive_variance,
)
from kernelfit.solvers.auto import Auto
from kernelfit.solvers.cholesky import Cholesky
from kernelfit.solvers.conjugate_gradients import ConjugateGradients
from kernelfit.solvers.eigen import Eigen
from tests.support import fake_cuda

SOLVERS = [Cholesky(), Cholesky(width=24), Eigen(), Auto(precision="float64", device="cpu")]


def whole(K):
    return K.block((0, K.shape[0]), (0, K.shape[1]))


def problem(kernel, n=120, m=70, device=backend.CPU):
    rng = np.random.default_rng(0)
    K = gram(rng.standard_normal((n, 5)), kernel, device=device)
    return K, gram(rng.standard_normal((m, 5)), kernel, K.points), rng.standard_normal((n, 3))


@pytest.mark.parametrize("solver", SOLVERS, ids=str)
@pytest.mark.parametrize("kernel", [Gaussian(2.0), Laplacian(3.0), Matern(2.5, 2.0) * 4.0], ids=str)
@pytest.mark.parametrize("ridge", [0.0, 0.1])
def test_the_formulas_on_whole_matrices(solver, kernel, ridge, monkeypatch):
    monkeypatch.setattr(posterior, "_WIDTH", 32)  # several blocks, the last one smaller
    K, K_test, Y = problem(kernel)
    A, cross = whole(K) + ridge * np.eye(120), whole(K_test)
    covariance = whole(gram(K_test.left, kernel)) - cross @ np.linalg.solve(A, cross.T)
    likelihood = -np.trace(Y.T @ np.linalg.solve(A, Y)) / 2 - 1.5 * np.linalg.slogdet(A)[1] - 180 * np.log(2 * np.pi)
    with solver.factor(K, ridge=ridge) as factor:
        # n eps cond k(x, x) is 120 * 2e-16 * 1e4 * 4 at most.
        found = predictive_covariance(factor, K_test)
        np.testing.assert_allclose(found, covariance, atol=1e-9)
        np.testing.assert_allclose(predictive_variance(factor, K_test), covariance.diagonal(), atol=1e-9)
        assert np.array_equal(found, found.T)
        np.testing.assert_allclose(
            log_marginal_likelihood(factor.solve(Y), factor.log_determinant()), likelihood, rtol=1e-9
        )


def test_a_training_point_has_no_variance_and_a_far_one_that_of_the_kernel():
    K, _, _ = problem(Gaussian(1.0) * 3.0)
    K_test = gram(np.vstack([K.points.coordinates(), np.full((1, 5), 1e3)]), K.kernel, K.points)
    with Cholesky().factor(K) as factor:
        variance = predictive_variance(factor, K_test)
    # k = A e_i: the backward errors of factor and solve together are below 4 n eps sqrt(A_ii A_jj) in each entry, so
    # that |L^-1 k|^2 is A_ii but for one of them, and n (n eps)^2 / lambda_min, which is less.
    assert variance[:-1].max() <= 4 * 120 * np.finfo(float).eps * 3.0 and variance[-1] == pytest.approx(3.0)
    assert (variance >= 0).all()


def test_a_ridge_leaves_the_variance_of_noise_at_a_training_point():
    """A - K A^-1 K = ridge (I - ridge A^-1) on the diagonal: an identity of A^-1 alone."""
    K, _, _ = problem(Gaussian(1.0))
    with Cholesky().factor(K, ridge=0.3) as factor:
        variance = predictive_variance(factor, gram(K.points.coordinates(), K.kernel, K.points))
        np.testing.assert_allclose(variance, 0.3 * (1 - 0.3 * factor.inverse_diagonal()), atol=1e-13)


@pytest.mark.parametrize("solver", [Cholesky(precision="mixed"), ConjugateGradients()], ids=str)
def test_a_factor_that_cannot_says_so(solver):
    K, K_test, Y = problem(Gaussian(1.0))
    with solver.factor(K, ridge=0.1) as factor:
        solution = factor.solve(Y)
        for asked in (predictive_variance, predictive_covariance):
            with pytest.raises(UnsupportedError, match="no triangular solves"):
                asked(factor, K_test)
        with pytest.raises(UnsupportedError, match="determinant"):
            factor.log_determinant()
        assert log_marginal_likelihood(solution, log_determinant_of(factor)) is None


def test_what_is_refused():
    K, K_test, _ = problem(Gaussian(1.0))
    others = gram(K_test.left, K.kernel, K.points.part(0, 20))
    with Cholesky().factor(K, ridge=0.1) as factor, pytest.raises(InputError, match="against 20 others meet a factor"):
        predictive_variance(factor, others)
    M = gram(whole(K), Precomputed())
    cross = gram(whole(K_test), Precomputed(), M.points)
    with Cholesky().factor(M, ridge=0.1) as factor, pytest.raises(UnsupportedError, match="needs k"):
        predictive_variance(factor, cross)


def test_on_a_gpu_it_is_the_same(monkeypatch):
    monkeypatch.setattr(posterior, "_WIDTH", 32)
    K, K_test, _ = problem(Gaussian(2.0))
    with Cholesky().factor(K, ridge=0.1) as factor:
        expected = predictive_variance(factor, K_test), predictive_covariance(factor, K_test)
    with fake_cuda.installed():
        K, K_test, _ = problem(Gaussian(2.0), device=backend.device("cuda"))
        with Cholesky(device="cuda").factor(K, ridge=0.1) as factor:
            np.testing.assert_allclose(predictive_variance(factor, K_test), expected[0], atol=1e-12)
            np.testing.assert_allclose(predictive_covariance(factor, K_test), expected[1], atol=1e-12)
