"""A ridge for each point: A = K + ridge diag(1 / w), whoever factors it, against NumPy."""

import numpy as np
import pytest

from kernelfit.common.errors import InputError, UnsupportedError
from kernelfit.grams.matrix import gram
from kernelfit.kernels import Gaussian, Laplacian
from kernelfit.solvers.auto import Auto
from kernelfit.solvers.cholesky import Cholesky
from kernelfit.solvers.conjugate_gradients import ConjugateGradients
from kernelfit.solvers.eigen import Eigen
from kernelfit.solvers.protocol import check_system
from kernelfit.solvers.weighted import Weighted, WeightedGram

RNG = np.random.default_rng(0)
X, Y, W = RNG.standard_normal((300, 3)), RNG.standard_normal((300, 2)), RNG.uniform(0.1, 10, 300)
RIDGE = 0.3
EXACT = [Cholesky(), Auto(), Eigen()]


@pytest.fixture(scope="module")
def system():
    K = gram(X, Laplacian(bandwidth=1.0))
    dense = K.block((0, 300), (0, 300))
    return K, dense, dense + RIDGE * np.diag(1 / W)


@pytest.mark.parametrize(
    "solver", [*EXACT, Cholesky(precision="mixed"), ConjugateGradients(tolerance=1e-11, rank=40)], ids=str
)
def test_the_solution_and_its_norm(system, solver):
    K, dense, A = system
    coef = np.linalg.solve(A, Y)
    with Weighted(solver, W).factor(K, ridge=RIDGE) as factor:
        solution = factor.solve(Y)
    np.testing.assert_allclose(solution.coef, coef, atol=1e-7 if "Conjugate" in str(solver) else 1e-9)
    np.testing.assert_allclose(solution.fitted, dense @ solution.coef, atol=1e-9)
    np.testing.assert_allclose(solution.norm.total, np.sqrt(np.trace(coef.T @ dense @ coef)), rtol=1e-7)
    np.testing.assert_allclose(solution.quadratic, Y.T @ coef, atol=1e-6)
    T = np.array([[1.0, 2.0, 0.0], [-1.0, 0.0, 3.0]])
    for each, of in ((solution, coef), (solution.combined(T), coef @ T)):
        assert each.norm.disagreement < 1e-6 and each.relative_residual < 1e-9
        np.testing.assert_allclose(each.norm.total, np.sqrt(np.trace(of.T @ dense @ of)), rtol=1e-7)


@pytest.mark.parametrize("solver", EXACT, ids=str)
def test_what_else_the_factor_answers(system, solver):
    K, _, A = system
    inverse = np.linalg.inv(A)
    with Weighted(solver, W).factor(K, ridge=RIDGE) as factor:
        np.testing.assert_allclose(factor.inverse_diagonal(), inverse.diagonal(), rtol=1e-10)
        np.testing.assert_allclose(factor.apply_inverse(Y), inverse @ Y, atol=1e-10)
        half = factor.half_solve(Y)
        np.testing.assert_allclose(half.T @ half, Y.T @ inverse @ Y, atol=1e-9)
        assert factor.log_determinant() == pytest.approx(np.linalg.slogdet(A)[1])
    with pytest.raises(InputError, match="closed"):
        factor.solve(Y)


def test_the_matrix_in_the_middle_whatever_is_asked_of_it():
    K = gram(X[:40], Gaussian(bandwidth=1.0))
    R, dense = np.sqrt(W[:40]), K.block((0, 40), (0, 40))
    weighted, expected = WeightedGram(K, R), R[:, None] * dense * R
    rows = np.array([7, 3, 30])
    for made in (weighted, weighted.cached()):
        np.testing.assert_allclose(made.block((5, 20), (2, 11)), expected[5:20, 2:11], rtol=1e-14)
        np.testing.assert_allclose(made.product(Y[:40]), expected @ Y[:40], atol=1e-12)
        np.testing.assert_allclose(made.columns(rows), expected[:, rows], rtol=1e-14)
        np.testing.assert_allclose(made.subset(rows).block((0, 3), (0, 3)), expected[np.ix_(rows, rows)], rtol=1e-14)
        np.testing.assert_allclose(made.diagonal(), expected.diagonal(), rtol=1e-14)
    assert len({K.fingerprint(), weighted.fingerprint(), WeightedGram(K, 2 * R).fingerprint()}) == 3


@pytest.mark.parametrize("weights", [W[:5], np.zeros(300), np.where(W > 5, np.nan, W)], ids=["few", "zero", "nan"])
def test_weights_that_are_none(system, weights):
    with pytest.raises(InputError, match="finite numbers above 0"):
        Weighted(Cholesky(), weights).factor(system[0], ridge=RIDGE)


def test_other_processes_would_not_know_the_weights(system):
    assert check_system(system[0], 0.0, elsewhere=True) == 0
    with pytest.raises(UnsupportedError, match="solved in one process"):
        check_system(WeightedGram(system[0], np.sqrt(W)), 0.0, elsewhere=True)
