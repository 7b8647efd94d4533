"""No other interpolant of the same labels has a smaller norm, and each does interpolate."""

import numpy as np
import pytest
from scipy.linalg import lapack
from scipy.spatial.distance import cdist

from kernelfit import backend, datasets
from kernelfit.common.errors import InputError, SingularMatrixError
from kernelfit.datasets.labels import error_rate, one_hot
from kernelfit.grams.duplicates import merge_duplicates
from kernelfit.grams.matrix import gram
from kernelfit.grams.points import coordinates
from kernelfit.kernels import Gaussian, Laplacian, Linear, Polynomial, Precomputed
from kernelfit.models.alternatives import bytes_about, interpolate_about, interpolate_also
from kernelfit.models.centres import parse_centres
from kernelfit.solvers.panel_cholesky import cholesky

N = 200
EPS = np.finfo(float).eps


def dense(A, B, width=1.0):
    return np.exp(-cdist(A, B, "sqeuclidean") / (2 * width**2))


@pytest.fixture(scope="module")
def digits():
    return datasets.load("digits", n_train=N, n_test=100)


@pytest.fixture(scope="module")
def problem(digits):
    """Points, 0/1 targets, and the minimum-norm interpolant: (X, Y, its coefficients, its norm)."""
    X, Y = coordinates(digits.X_train), one_hot(digits.y_train, 10)
    coef = cholesky(gram(X, Gaussian(1.0))).solve(Y)
    return X, Y, coef, np.sqrt(np.vdot(coef, Y))


def check(made, problem, kernel_matrix=dense):
    """What holds for every interpolant, in terms of dense matrices made by scipy."""
    X, Y, least, least_norm = problem
    Z, c = made.function.points.coordinates(), made.function.coef
    K_ZZ, K_XZ, K = kernel_matrix(Z, Z), kernel_matrix(X, Z), kernel_matrix(X, X)
    # Entries are rounded by eps each, and the coefficients carry that to the values.
    rounding = 100 * EPS * np.abs(c).sum()
    np.testing.assert_allclose(K_XZ @ c, Y, atol=rounding)
    np.testing.assert_allclose(made.fitted, Y, atol=rounding)
    squared = np.einsum("ic,ij,jc->", c, K_ZZ, c)
    np.testing.assert_allclose(made.norm, np.sqrt(squared), rtol=1e-8)
    np.testing.assert_allclose(made.function.norm, made.norm, rtol=1e-12)
    assert made.norm >= least_norm
    # The difference from the minimum-norm interpolant, whose coefficients belong to both sets of points.
    difference = np.vstack([c, -least])
    both = np.block([[K_ZZ, K_XZ.T], [K_XZ, K]])
    between = np.einsum("ic,ij,jc->", difference, both, difference)
    np.testing.assert_allclose(squared, least_norm**2 + between, rtol=1e-9)


@pytest.mark.parametrize(
    "text",
    ["perturbed(0.01)", "perturbed(0.3)", "perturbed(1)", "pairs", "gaussian", "pairs x 2", "perturbed(0.3) x 3"],
)
def test_an_expansion_about_other_centres(text, problem):
    X, Y, _, least_norm = problem
    made = interpolate_about(parse_centres(text).draw(X), X, Y, Gaussian(1.0))
    check(made, problem)
    assert made.relative_residual < 1e-10
    # As far as the norm of the training points' own expansion is unique, other centres cost something.
    assert made.norm > least_norm * (1 + 1e-6)


def test_its_scores_are_those_of_the_formula(problem, digits):
    X, Y, *_ = problem
    Z = parse_centres("perturbed(0.3)").draw(X)
    made = interpolate_about(Z, X, Y, Gaussian(1.0))
    test = coordinates(digits.X_test)
    for given in (digits.X_test, test):
        np.testing.assert_allclose(made(given), dense(test, Z) @ made.function.coef, atol=1e-9)


def test_the_training_points_as_centres_give_the_minimum_norm(problem):
    """In any order; and more centres beside them cannot make it smaller."""
    X, Y, least, least_norm = problem
    order = np.random.default_rng(0).permutation(N)
    made = interpolate_about(X[order], X, Y, Gaussian(1.0))
    # The condition number is about 2e3.
    np.testing.assert_allclose(made.function.coef, least[order], atol=1e-10 * np.abs(least).max())
    np.testing.assert_allclose(made.norm, least_norm, rtol=1e-12)
    more = interpolate_about(np.vstack([X, parse_centres("pairs").draw(X)]), X, Y, Gaussian(1.0))
    np.testing.assert_allclose(more.norm, least_norm, rtol=1e-10)
    np.testing.assert_allclose(more.function.coef[:N], least, atol=1e-8 * np.abs(least).max())
    np.testing.assert_allclose(more.function.coef[N:], 0, atol=1e-8 * np.abs(least).max())


def test_more_centres_give_the_least_norm_that_they_allow(problem):
    """Against the formula c = A B^T (B A B^T)^-1 Y with A = K_ZZ^-1, and against other solutions of the same system."""
    X, Y, *_ = problem
    Z = parse_centres("perturbed(0.5) x 2").draw(X)
    made = interpolate_about(Z, X, Y, Gaussian(1.0))
    K_ZZ, K_XZ = dense(Z, Z), dense(X, Z)
    halfway = np.linalg.solve(K_ZZ, K_XZ.T)
    formula = halfway @ np.linalg.solve(K_XZ @ halfway, Y)
    np.testing.assert_allclose(made.function.coef, formula, atol=1e-8 * np.abs(formula).max())
    square = interpolate_about(Z[:N], X, Y, Gaussian(1.0))
    assert made.norm < square.norm, "the first half of the centres are among those allowed"
    *_, V = np.linalg.svd(K_XZ)
    free = V[N:].T @ np.random.default_rng(0).standard_normal((N, 10))  # K_XZ free = 0
    other = made.function.coef + 1e-3 * free
    assert np.einsum("ic,ij,jc->", other, K_ZZ, other) > made.norm**2


def test_the_condition_is_that_of_the_matrix(problem):
    X, Y, *_ = problem
    Z = parse_centres("pairs").draw(X)
    made = interpolate_about(Z, X, Y, Gaussian(1.0))
    condition = np.linalg.cond(dense(X, Z), 1)
    # LAPACK's estimate is a lower bound, "almost always within a factor of 10" (Higham, section 15.3).
    assert condition / 10 < made.condition < condition * (1 + 1e-6)
    Z = parse_centres("pairs x 2").draw(X)
    made = interpolate_about(Z, X, Y, Gaussian(1.0))
    R = np.linalg.qr(np.linalg.solve(np.linalg.cholesky(dense(Z, Z)), dense(Z, X)), mode="r")
    condition = np.linalg.cond(R, 1)
    assert condition / 10 < made.condition < condition * (1 + 1e-6)


@pytest.mark.parametrize("kernel", [Laplacian(2.0), Polynomial(degree=7, gamma=0.2)])
def test_other_kernels(kernel, problem):
    X, Y, *_ = problem

    def kernel_matrix(A, B):
        if isinstance(kernel, Laplacian):
            return np.exp(-cdist(A, B) / 2)
        return (0.2 * A @ B.T + 1) ** 7

    K = gram(X, kernel)
    least = cholesky(K).solve(Y)
    made = interpolate_about(parse_centres("perturbed(0.1)").draw(X), X, Y, kernel)
    Z = made.function.points.coordinates()
    np.testing.assert_allclose(kernel_matrix(X, Z) @ made.function.coef, Y, atol=1e-7)
    np.testing.assert_allclose(
        made.norm**2, np.vdot(made.function.coef, kernel_matrix(Z, Z) @ made.function.coef), rtol=1e-7
    )
    assert made.norm > np.sqrt(np.vdot(least, Y))


def test_forced_labels_at_further_points(digits, problem):
    _, Y, _, least_norm = problem
    random = np.random.default_rng(0).integers(0, 10, 100)
    made = interpolate_also(digits.X_test, one_hot(random, 10), digits.X_train, Y, Gaussian(1.0))
    check(made, problem)
    assert made.relative_residual < 1e-12 and len(made.function.coef) == N + 100
    scores = made(digits.X_test)
    assert error_rate(scores, random) == 0
    # Interpolated to rounding, so its test error is the share of labels that chance got wrong.
    assert error_rate(scores, digits.y_test) == np.mean(random != digits.y_test) > 0.7
    assert made.norm > 1.5 * least_norm


def test_forced_true_labels_cost_less_than_random_ones(digits, problem):
    _, Y, _, least_norm = problem
    random = np.random.default_rng(0).integers(0, 10, 100)
    true, forced = (
        interpolate_also(digits.X_test, one_hot(y, 10), digits.X_train, Y, Gaussian(1.0)).norm
        for y in (digits.y_test, random)
    )
    assert least_norm < true < forced


def test_what_the_interpolant_says_already_costs_nothing(digits, problem):
    _, Y, least, least_norm = problem
    K = gram(digits.X_train, Gaussian(1.0))
    said = gram(digits.X_test, Gaussian(1.0), K.points).product(least)
    made = interpolate_also(digits.X_test, said, digits.X_train, Y, Gaussian(1.0))
    np.testing.assert_allclose(made.norm, least_norm, rtol=1e-10)
    np.testing.assert_allclose(made.function.coef[N:], 0, atol=1e-10 * np.abs(least).max())


@pytest.mark.parametrize(
    ("centres", "width", "seen"),
    [
        (lambda X: X + 50.0, 1.0, "exactly 0"),  # so far away that every entry underflows
        (lambda X: X[np.r_[: N - 1, 0]], 1.0, "reciprocal|exactly 0"),  # a centre twice
        (lambda X: X + 1e-3, 1e4, "reciprocal|8 digits|digits"),  # all entries nearly 1
        (lambda X: parse_centres("pairs").draw(X), 0.02, "reciprocal|exactly 0"),
        (lambda X: np.vstack([X, X]), 1.0, "singular"),
        (lambda X: np.vstack([X + 50.0, X + 60.0]) + np.arange(2 * N)[:, None], 1.0, "reciprocal"),
    ],
)
def test_hopeless_centres_are_refused_and_never_regularised(problem, centres, width, seen):
    X, Y, *_ = problem
    with pytest.raises(SingularMatrixError, match=seen):
        interpolate_about(centres(X), X, Y, Gaussian(width))


def test_a_residual_that_is_too_large_is_refused(problem, monkeypatch):
    """As if LAPACK had solved another system."""
    solve = lapack.dgetrs
    monkeypatch.setattr(lapack, "dgetrs", lambda *arguments: (solve(*arguments)[0] * (1 + 1e-7), 0))
    X, Y, *_ = problem
    with pytest.raises(SingularMatrixError, match=r"residual of 1\.0e-07"):
        interpolate_about(X, X, Y, Gaussian(1.0))


def test_a_kernel_of_finite_rank_has_no_such_expansion(problem):
    X, Y, *_ = problem
    with pytest.raises(SingularMatrixError, match="finite rank"):
        interpolate_about(parse_centres("pairs").draw(X), X, Y, Linear())


def test_a_repeated_point_cannot_be_forced(digits, problem):
    _, Y, *_ = problem
    again = digits.X_train[[7]]
    assert merge_duplicates(np.concatenate([digits.X_train, again])).first[N] == 7
    with pytest.raises(SingularMatrixError, match=f"7 and {N} are identical"):
        interpolate_also(again, Y[[8]], digits.X_train, Y, Gaussian(1.0))


def test_arguments_that_do_not_fit(digits, problem):
    X, Y, *_ = problem
    with pytest.raises(InputError, match="centres"):
        interpolate_about(X[:-1], X, Y, Gaussian(1.0))
    for wrong in (Y[:-1], Y[:, :0], Y[:, :, None], Y.astype(str)):
        with pytest.raises(InputError, match="Y of "):
            interpolate_about(X, X, wrong, Gaussian(1.0))
        with pytest.raises(InputError, match="Y of "):
            interpolate_also(X + 1.0, wrong, X, Y, Gaussian(1.0))
    with pytest.raises(InputError, match="precomputed"):
        interpolate_about(X, X, Y, Precomputed())
    with pytest.raises(InputError, match="precomputed"):
        interpolate_also(X, Y, X, Y, Precomputed())
    with pytest.raises(InputError, match="one kind"):
        interpolate_also(digits.X_test, Y[:100], X, Y, Gaussian(1.0))
    many = np.broadcast_to(X[0], (46_341, X.shape[1]))
    with pytest.raises(InputError, match="LAPACK"):
        interpolate_about(many, X, Y, Gaussian(1.0))


def test_the_factorisation_overwrites_the_matrix_that_was_made(problem, monkeypatch):
    """One n x n array, as bytes_about says."""
    seen = []
    factor = lapack.dgetrf

    def watched(A, overwrite_a=0):
        lu, pivots, info = factor(A, overwrite_a=overwrite_a)
        seen.append(np.shares_memory(A, lu))
        return lu, pivots, info

    monkeypatch.setattr(lapack, "dgetrf", watched)
    X, Y, *_ = problem
    interpolate_about(X, X, Y, Gaussian(1.0))
    assert seen == [True]
    assert bytes_about(10_000, 10_000, 784, 10) - backend.CPU.fixed_bytes == pytest.approx(8e8, rel=0.35)
    assert bytes_about(10_000, 20_000, 784, 10) - backend.CPU.fixed_bytes == pytest.approx(4.8e9, rel=0.1)
