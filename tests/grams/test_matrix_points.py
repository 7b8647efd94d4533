"""Precomputed matrices: a matrix that is given does all that one made of points does, and is never copied whole."""

import pickle
import tracemalloc

import numpy as np
import pytest

from kernelfit.backend import CPU
from kernelfit.common.errors import DataError, InputError
from kernelfit.grams.matrix import gram
from kernelfit.grams.matrix_points import MatrixPoints
from kernelfit.grams.points import points
from kernelfit.kernels import Cosine, Custom, Gaussian, Linear, Precomputed
from kernelfit.solvers.low_rank import pivoted_cholesky, precondition
from kernelfit.solvers.planning.forecast import forecast
from tests.support.arrays import symmetric, vectors, whole

EPS = np.finfo(float).eps


def given(n, rank=None, seed=0):
    """A positive semi-definite matrix."""
    X = vectors(n, rank or n, seed)
    return X @ X.T


# ---- what is a matrix ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_symmetric_matrix_is_taken_as_it_is(dtype):
    A = symmetric(60).astype(dtype)
    A[3, 7] *= 1 + 2 * np.finfo(dtype).eps  # a product of two factors is symmetric up to rounding only
    A.flags.writeable = False
    K = gram(A, Precomputed())
    assert K.symmetric and K.shape == (60, 60)
    block = K.block((5, 30), (0, 20))
    assert block.dtype == np.float64 and np.array_equal(block, A[5:30, :20].astype(float))
    assert K.duplicate_of(5) is None
    out = np.full((25, 40), 7.0, np.float32)
    assert np.array_equal(K.block((5, 30), (0, 20), out=out[:, 3:23]), A[5:30, :20].astype(np.float32))
    assert (out[:, :3] == 7).all() and (out[:, 23:] == 7).all()


@pytest.mark.parametrize("where", [(0, 1), (1099, 0), (5, 1050), (1098, 1099)], ids=str)
@pytest.mark.parametrize("change", [1e-6, np.nan, np.inf])
def test_one_wrong_entry_anywhere_is_found(where, change):
    A = symmetric(1100)
    A[where] += change
    with pytest.raises(DataError, match=r"not symmetric|NaN or infinite"):
        gram(A, Precomputed())


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_found_on_the_diagonal_and_in_pairs(value):
    for entries in ([(4, 4)], [(2, 9), (9, 2)]):
        A = symmetric(20)
        for where in entries:
            A[where] = value
        with pytest.raises(DataError, match="NaN or infinite"):
            gram(A, Precomputed())


def test_a_cross_matrix_that_is_not_finite_is_refused():
    A = symmetric(20)[:5]
    A[3, 4] = np.nan
    with pytest.raises(DataError):
        gram(A, Precomputed(), np.empty((20, 0)))


@pytest.mark.parametrize(
    "A",
    [np.ones((3, 4)), np.ones((3, 3), complex), np.ones((3, 3), object), np.ones(3), np.ones((3, 3, 3)), np.array(1.0)],
    ids=lambda A: f"{A.dtype}{A.shape}",
)
def test_what_is_no_training_matrix_is_refused(A):
    with pytest.raises(DataError):
        gram(A, Precomputed())


@pytest.mark.parametrize("shape", [(5, 19), (20, 5), (20,)], ids=str)
def test_a_cross_matrix_must_fit_the_training_points(shape):
    with pytest.raises(DataError):
        gram(np.ones(shape), Precomputed(), np.empty((20, 0)))


# ---- which entries -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_lower_triangle_decides_in_every_block_and_subset(dtype):
    """Where K and its transpose differ by rounding, every entry above the diagonal is the one below it."""
    A = symmetric(50).astype(dtype)
    A *= 1 + 3 * np.finfo(dtype).eps * np.triu(np.random.default_rng(1).choice([-1, 1], A.shape), 1)
    expected = (np.tril(A) + np.tril(A, -1).T).astype(np.float64)
    assert not np.array_equal(A, A.T)
    K, rng = gram(A, Precomputed()), np.random.default_rng(2)
    for _ in range(50):
        rows, columns = (np.sort(rng.choice(51, 2, replace=False)) for _ in range(2))
        assert np.array_equal(K.block(rows, columns), expected[slice(*rows), slice(*columns)])
    chosen = rng.permutation(50)[:20]
    assert np.array_equal(whole(K.subset(chosen)), expected[np.ix_(chosen, chosen)])
    assert np.array_equal(whole(K.subset(chosen).subset([3, 1])), expected[np.ix_(chosen[[3, 1]], chosen[[3, 1]])])
    assert np.array_equal(whole(gram(K.points, K.kernel, K.points[chosen])), expected[:, chosen])
    assert np.array_equal(whole(gram(K.points[5:9], K.kernel, K.points)), expected[5:9])


def test_a_cross_matrix_stands_beside_the_points_of_its_training_matrix():
    A, C = symmetric(30), vectors(7, 30)
    K = gram(A, Precomputed())
    for right in (K.points, K.points.as_columns(), MatrixPoints.of_number(30), np.empty((30, 0)), A):
        cross = gram(C, Precomputed(), right)
        assert cross.shape == (7, 30) and not cross.symmetric
        assert np.array_equal(whole(cross), C) and np.array_equal(cross.block((2, 5), (4, 9)), C[2:5, 4:9])
        np.testing.assert_allclose(cross.product(np.eye(30)), C, rtol=0, atol=0)
    assert np.array_equal(whole(gram(cross.left[[6, 0]], Precomputed(), cross.points)), C[[6, 0]])
    part = K.points[[3, 8]]
    assert np.array_equal(whole(gram(C[:, [3, 8]], Precomputed(), part)), C[:, [3, 8]])


def test_other_matrices_and_points_do_not_meet():
    K, other = gram(symmetric(9), Precomputed()), gram(symmetric(9, seed=1), Precomputed())
    cross = gram(vectors(4, 9), Precomputed(), K.points)
    part = gram(vectors(4, 3), Precomputed(), K.points[4:7])
    assert np.array_equal(whole(gram(part.left, Precomputed(), K.points[5:7])), vectors(4, 3)[:, 1:])
    pairs = [(K, other.points), (cross, other.points), (cross, cross.left), (K, cross.left), (part, K.points)]
    pairs += [(part, K.points[3:5]), (part, K.points[6:8]), (part, K.points[[4, 5]])]
    pairs += [(K, gram(K.points.K, Precomputed(), K.points).left)]
    for left, right in ((K.left, right) for K, right in pairs):
        with pytest.raises(InputError, match="two precomputed matrices"):
            whole(gram(left, Precomputed(), right))
    with pytest.raises(InputError, match="no rows of its matrix"):
        whole(gram(points(vectors(9, 2)), Precomputed(), K.points))
    with pytest.raises(InputError, match="one shape and one kind"):
        whole(gram(points(vectors(9, 20)), Linear(), K.points))


@pytest.mark.parametrize("kernel", [Linear(), Gaussian(1.0), Cosine(2), Custom(lambda A, B: A @ B.T)], ids=str)
def test_other_kernels_need_points(kernel):
    for combined in (kernel, Precomputed() + kernel, kernel * Precomputed()):
        with pytest.raises(InputError, match="precomputed"):
            whole(gram(gram(symmetric(9), Precomputed()).points, combined))
    with pytest.raises(InputError, match="neither coordinates nor inner products"):
        gram(symmetric(9), kernel + Precomputed())
    for asked in ("coordinates", "distances"):
        with pytest.raises(InputError, match="neither"):
            getattr(gram(symmetric(9), Precomputed()).points, asked)()


def test_numbers_scale_and_shift_a_matrix():
    A, C = symmetric(9), vectors(4, 9)
    kernel = 0.5 * Precomputed() + 2
    K = gram(A, kernel)
    assert kernel.of_matrix and not Linear().of_matrix
    assert np.array_equal(whole(K), 0.5 * A + 2)
    assert np.array_equal(whole(gram(C, kernel, K.points)), 0.5 * C + 2)


# ---- what else points do -------------------------------------------------------------------------------------------


def test_points_of_a_matrix_say_what_they_are():
    own = gram(symmetric(9), Precomputed()).points
    assert (own.d, own.has_coordinates, own.exact, own.centre, len(own)) == (0, False, False, None, 9)
    assert own.device is CPU and own.product_dtype == np.float64


def test_of_points_without_their_matrix_only_the_number_is_known():
    A = symmetric(9)
    for own in (MatrixPoints.of_number(9), gram(A, Precomputed()).points.as_columns()):
        with pytest.raises(InputError, match="only the number is known"):
            gram(own, Precomputed())
        stored = pickle.loads(pickle.dumps(own))
        assert len(stored) == 9 and stored.twin_of(5) is None
        assert np.array_equal(whole(gram(A[:3], Precomputed(), stored)), A[:3])
        assert len(pickle.dumps(own)) < A.nbytes


def test_equal_points_are_found_by_their_rows():
    X = vectors(30, 5).copy()
    X[17] = X[20] = X[5]
    A = (X[:, None] * X).sum(axis=2)  # unlike a matrix product, the same bits for equal rows
    K = gram(A, Precomputed())
    assert [K.duplicate_of(row) for row in (0, 5, 16, 17, 20, 29)] == [None, None, None, 5, 5, None]
    assert K.subset([20, 3, 5]).duplicate_of(2) == 0
    assert gram(A[:2], Precomputed(), K.points).duplicate_of(1) is None
    B = A.copy()
    B[17, 2] = B[2, 17] = 0.0
    assert gram(B, Precomputed()).duplicate_of(17) is None


def test_only_the_same_matrix_has_the_same_fingerprint():
    A, other = symmetric(9), symmetric(9)
    other[8, 0] = other[0, 8] = 0.25
    K = gram(A, Precomputed())
    same = [K, gram(np.asfortranarray(A), Precomputed()), K.subset(np.arange(9)), gram(K.points, K.kernel)]
    assert len({made.fingerprint() for made in same}) == 1
    different = [*same[:1], gram(other, Precomputed()), gram(A, 2 * Precomputed()), K.subset([1, 0]), K.subset([0, 1])]
    different += [gram(A[:3], Precomputed(), K.points), gram(A.astype(np.float32), Precomputed())]
    assert len({made.fingerprint() for made in different}) == len(different)


@pytest.mark.parametrize("combined", [Precomputed(), 2.0 * Precomputed()], ids=str)
def test_a_preconditioner_of_a_matrix_that_is_given(combined):
    """Randomly pivoted Cholesky of a matrix of rank 6 ends at 6 columns and leaves nothing."""
    A = given(90, rank=6)
    K = gram(A, combined)
    F, left = pivoted_cholesky(K, 40)
    scale = np.abs(whole(K)).max()
    assert F.shape[1] == 6 and abs(left).max() <= 1e-12 * scale
    np.testing.assert_allclose(F @ F.T, whole(K), rtol=0, atol=1e-12 * scale)
    M, R = precondition(K, 40, ridge=0.5), vectors(90, 2)
    np.testing.assert_allclose(whole(K) @ M.solve(R) + (0.5 + M.shift) * M.solve(R), R, rtol=0, atol=1e-8)


def test_a_forecast_of_a_matrix_that_is_given_is_that_of_its_points():
    X = vectors(150, 4)
    K = gram(X, Gaussian(1.0))
    found, expected = (forecast(made, ridge=0.1) for made in (gram(whole(K), Precomputed()), K))
    assert found.steps == expected.steps


def test_a_matrix_is_mapped_from_a_file_and_never_copied(tmp_path):
    n = 1500
    np.save(tmp_path / "K.npy", symmetric(n).astype(np.float32) + np.float32(3))
    A = np.load(tmp_path / "K.npy", mmap_mode="r")
    V = vectors(n, 2)
    tracemalloc.start()
    K = gram(A, Precomputed())
    product = K.product(V)
    K.fingerprint(), K.duplicate_of(n - 1), K.subset(np.arange(n - 1)).diagonal()
    largest = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    exact = A.astype(float) @ V
    np.testing.assert_allclose(product, exact, rtol=0, atol=n * EPS * (abs(A).astype(float) @ abs(V)).max())
    assert largest < A.nbytes


@pytest.mark.parametrize("dtype", [np.float16, np.longdouble])
def test_other_floating_point_numbers_are_float64_before_anything_is_asked_of_them(dtype):
    with pytest.raises(DataError, match="symmetric"):
        gram(np.array([[1, 0.9], [0, 1]], dtype), Precomputed())
    K = np.array([[1, 0.1], [0.1, 1]], dtype)
    if dtype is np.longdouble:
        K[0, 1] += dtype(1e-17)  # where float64 has no digit
    np.testing.assert_allclose(gram(K, Precomputed()).block((0, 2), (0, 2)), K.astype(np.float64), rtol=1e-15)
