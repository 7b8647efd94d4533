import numpy as np
import pytest
import scipy.linalg

from kernelfit.backend import CPU
from kernelfit.common.errors import InputError, SingularMatrixError
from kernelfit.grams.matrix import Gram, gram
from kernelfit.kernels import Gaussian, Laplacian, Linear, Precomputed
from kernelfit.solvers.cholesky import CholeskyFactor
from kernelfit.solvers.panel_cholesky import cholesky
from tests.support.problems import as_gram, symmetric_matrix

EPS = np.finfo(float).eps


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (150, 6, 6), dtype=np.uint8)


@pytest.mark.parametrize("width", [1, 7, 64, 150, 1000])
@pytest.mark.parametrize("n", [1, 2, 63, 64, 65, 150])
def test_panels_multiply_back_to_the_matrix(n, width):
    K, _ = symmetric_matrix(n, 1e3, seed=n)
    factor = cholesky(as_gram(K), width=width)
    L = np.zeros((n, n))
    for j, (start, stop) in enumerate(factor.panels.bounds):
        [(_, L[start:, start:stop])] = factor.panels.read(j, start)
    L = np.tril(L)
    # Higham, theorem 10.3: |K - L L^T| <= about n eps max K_ii
    np.testing.assert_allclose(L @ L.T, K, rtol=0, atol=4 * (n + 1) * EPS)
    np.testing.assert_allclose(factor.pivots(), np.square(L.diagonal()), rtol=1e-15)


@pytest.mark.parametrize("condition", [1e1, 1e4, 1e8])
@pytest.mark.parametrize("right_hand_sides", [1, 3, 40])
def test_solution_against_the_known_inverse(condition, right_hand_sides):
    n = 90
    K, inverse = symmetric_matrix(n, condition)
    Y = np.random.default_rng(1).standard_normal((n, right_hand_sides))
    before = Y.copy()
    factor = cholesky(as_gram(K), width=32)
    # A backward stable solve is off by about n eps cond; `inverse` itself carries the same relative error.
    bound = 10 * n * EPS * condition * np.linalg.norm(inverse @ Y)
    assert np.linalg.norm(factor.solve(Y) - inverse @ Y) <= bound
    assert np.array_equal(Y, before)
    np.testing.assert_allclose(factor.inverse_diagonal(), inverse.diagonal(), rtol=10 * n * EPS * condition)
    half = factor.half_solve(Y)
    np.testing.assert_allclose(
        np.sum(half * half, axis=0), np.einsum("ij,ij->j", Y, inverse @ Y), rtol=10 * n * EPS * condition
    )


def test_panel_width_and_order_of_points_do_not_matter(images):
    Y = np.random.default_rng(2).standard_normal((len(images), 4))
    reference = cholesky(gram(images, Gaussian(2.0))).solve(Y)
    # The matrix is well conditioned (random images are far apart), so 1e-12 is thousands of its rounding errors.
    for width in (1, 16, 149, 151):
        np.testing.assert_allclose(cholesky(gram(images, Gaussian(2.0)), width=width).solve(Y), reference, atol=1e-12)
    order = np.random.default_rng(3).permutation(len(images))
    permuted = cholesky(gram(images[order], Gaussian(2.0)), width=40).solve(Y[order])
    np.testing.assert_allclose(permuted, reference[order], atol=1e-12)


def test_against_scipy_and_with_ridge(images):
    G = gram(images, Laplacian(3.0))
    n = len(images)
    K = G.block((0, n), (0, n))
    Y = np.eye(n)[:, :5]
    for ridge in (0.0, 1e-3, 10.0):
        expected = scipy.linalg.solve(K + ridge * np.eye(n), Y, assume_a="pos")
        np.testing.assert_allclose(cholesky(G, ridge=ridge, width=50).solve(Y), expected, atol=1e-11)


@pytest.mark.parametrize("chunk", [1, 5, 32, 1000])
def test_inverse_diagonal_does_not_depend_on_its_chunks(images, monkeypatch, chunk):
    factor = cholesky(gram(images, Gaussian(2.0)), width=32)
    expected = factor.solve(np.eye(len(images))).diagonal()
    monkeypatch.setattr("kernelfit.solvers.panel_cholesky.INVERSE_WIDTH", chunk)
    np.testing.assert_allclose(factor.inverse_diagonal(), expected, rtol=1e-12)


@pytest.mark.parametrize(("first", "second"), [(3, 9), (0, 149), (70, 71)])
def test_duplicates_are_named(images, first, second):
    images[second] = images[first]
    with pytest.raises(SingularMatrixError, match=f"points {first} and {second} are identical") as caught:
        cholesky(gram(images, Gaussian(2.0)), width=32)
    assert (caught.value.row, caught.value.duplicate) == (second, first)
    assert isinstance(caught.value, np.linalg.LinAlgError)
    cholesky(gram(images, Gaussian(2.0)), width=32, ridge=1e-6)


def test_rank_is_named_as_the_cause(images):
    with pytest.raises(SingularMatrixError, match="finite rank") as caught:
        cholesky(gram(images, Linear()), width=32)
    assert caught.value.row >= 36, "36 pixels span 36 dimensions, so the first 36 points are independent"
    assert caught.value.duplicate is None


def test_too_wide_a_bandwidth_is_singular_and_never_repaired(images):
    with pytest.raises(SingularMatrixError, match="bandwidth"):
        cholesky(gram(images, Gaussian(1e6)))


def test_indefinite_and_not_finite_matrices():
    K = np.diag([1.0, 1.0, -1.0, 1.0])
    with pytest.raises(SingularMatrixError, match="training point 2 of 4: its pivot is not positive"):
        cholesky(as_gram(K))

    class Broken(Gram):
        def block(self, rows, columns, out=None):
            block = super().block(rows, columns, out=out)
            if rows[0] <= 3 < rows[1] and columns[0] <= 3 < columns[1]:
                block[3 - rows[0], 3 - columns[0]] = np.nan
            return block

    with pytest.raises(InputError, match="not finite at training point 3"):
        cholesky(Broken(np.eye(5), Precomputed()), width=2)


@pytest.mark.parametrize("ridge", [-1.0, np.nan, np.inf])
def test_ridge_is_checked(ridge):
    with pytest.raises(InputError, match="ridge"):
        cholesky(as_gram(np.eye(3)), ridge=ridge)


def test_right_hand_sides_are_checked():
    factor = cholesky(as_gram(np.eye(3)))
    for shape in ((3,), (4, 1)):
        with pytest.raises(InputError, match="right-hand sides"):
            factor.solve(np.ones(shape))


def test_no_square_array_is_made(images, monkeypatch):
    """The panels hold half the matrix, and nothing larger than one panel is allocated beside them."""
    made = []
    touched = CPU.touched
    monkeypatch.setattr(CPU, "touched", lambda shape, dtype: made.append(shape) or touched(shape, dtype))
    cholesky(gram(images, Gaussian(2.0)), width=10)
    assert made == [(150 - start, 10) for start in range(0, 150, 10)]


@pytest.mark.parametrize("width", [7, 32, 200])
@pytest.mark.parametrize("shape", [(1, 60), (60, 1), (64, 86), (90, 60)])
def test_an_extended_factor_multiplies_back_to_the_larger_matrix(shape, width):
    n, N = shape[0], sum(shape)
    K, _ = symmetric_matrix(N, 1e3, seed=N)
    whole = as_gram(K)
    small_K = as_gram(K[:n, :n].copy())
    small = cholesky(small_K, width=width, ridge=0.1)
    Y = np.random.default_rng(N).standard_normal((N, 3))
    factor, half = small.extended(whole, Y)
    np.testing.assert_allclose(half, factor.half_solve(Y), atol=1e-10)
    L = np.zeros((N, N))
    for j, (start, stop) in enumerate(factor.panels.bounds):
        assert stop - start <= width
        for row, rows in factor.panels.read(j, start):
            L[row : row + len(rows), start:stop] = rows
    L = np.tril(L)
    np.testing.assert_allclose(L @ L.T, K + 0.1 * np.eye(N), rtol=0, atol=4 * (N + 1) * EPS)
    unchanged = cholesky(small_K, width=width, ridge=0.1)
    assert np.array_equal(small.half_solve(K[:n, :2]), unchanged.half_solve(K[:n, :2]))
    again = cholesky(whole, width=width, ridge=0.1)
    np.testing.assert_allclose(factor.inverse_diagonal(), again.inverse_diagonal(), rtol=1e-10)
    with pytest.raises(InputError):
        CholeskyFactor(whole, again, ridge=0.1, method="", report={}).extended(small_K, Y[:n])


def test_a_new_point_that_depends_on_others_is_named():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((12, 4))
    K = X @ X.T
    with pytest.raises(SingularMatrixError) as error:
        cholesky(as_gram(K[:3, :3].copy())).extended(as_gram(K), X)
    assert error.value.row == 4  # the fifth point is in the span of four
