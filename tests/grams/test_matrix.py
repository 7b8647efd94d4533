"""Gram matrices: the same bits however they are cut, each entry once, and nothing unsymmetric passes."""

import dataclasses

import numpy as np
import pytest
import threadpoolctl

from kernelfit.backend import CPU, Cpu
from kernelfit.common.errors import DataError, InputError
from kernelfit.grams.matrix import Gram, gram
from kernelfit.kernels import Cosine, Custom, Gaussian, Laplacian, Linear, NeuralTangent, Precomputed
from tests.support.arrays import pixels, symmetric, vectors, whole
from tests.support.tally import Tally

EPS = np.finfo(float).eps
QUARTIC = Cosine(4)


SMALL = Cpu(tile=7)  # tiny matrices are then multiplied in many tiles


@pytest.mark.parametrize("d", [1, 300, 1100])
@pytest.mark.parametrize("n", [1, 16, 17, 67])
@pytest.mark.parametrize("make", [pixels, vectors])
def test_kept_inner_products_make_the_same_matrix(monkeypatch, make, n, d):
    """To the last bit for pixels, whose inner products are exact; to rounding for others."""
    kernel, rng = Gaussian(4.0) + Linear() * QUARTIC, np.random.default_rng(2)
    device = Cpu(tile=16)
    K = gram(make(n, d), kernel)
    points = gram(make(n, d), kernel, device=device).cached().points
    # None can be made again; where coordinates are few, a kernel takes their differences instead.
    kept = gram(dataclasses.replace(points, values=points.values * (1 if d == 1 else np.nan)), kernel)
    blocks = [tuple(np.sort(rng.choice(n + 1, 2, replace=False)) for _ in range(2)) for _ in range(30)]
    made = [kept.block(*spans) for spans in blocks]
    monkeypatch.undo()
    for spans, block in zip(blocks, made, strict=True):
        expected = K.block(*spans)
        if make is pixels:
            assert np.array_equal(block, expected)
        else:
            np.testing.assert_allclose(block, expected, rtol=100 * EPS * d, atol=100 * EPS * d * np.abs(expected).max())
    V = vectors(n, 3)
    np.testing.assert_allclose(kept.product(V), K.product(V), rtol=1e-10, atol=1e-12 * np.abs(whole(K)).sum())


def test_what_is_kept_belongs_to_one_set_of_points():
    """A subset and test points have inner products of their own."""
    X, Z = pixels(40, 9), pixels(30, 9, seed=1)
    K = gram(X, Gaussian(1.0)).cached()
    rows = [3, 30, 7]
    assert np.array_equal(whole(K.subset(rows)), whole(gram(X[rows], Gaussian(1.0))))
    assert np.array_equal(whole(gram(Z, Gaussian(1.0), K.points)), whole(gram(Z, Gaussian(1.0), X)))
    custom = gram(X, Custom(lambda A, B: A @ B.T))
    assert np.array_equal(whole(custom.cached()), whole(custom))
    assert K.duplicate_of(5) is None and K.fingerprint() == gram(X, Gaussian(1.0)).fingerprint()
    assert K.points.as_columns().products is None
    assert np.array_equal(whole(gram(Z, Gaussian(1.0), K.points.as_columns())), whole(gram(Z, Gaussian(1.0), X)))


# ---- blocks --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kernel", [Gaussian(4.0), NeuralTangent(2), 0.5 * Laplacian(4.0) + Linear() * QUARTIC], ids=lambda k: str(k)[:20]
)
@pytest.mark.parametrize("d", [300, 1100])
def test_every_block_has_the_bits_of_the_whole_matrix(kernel, d):
    X, Z = pixels(67, d), pixels(41, d, seed=1)
    rng = np.random.default_rng(2)
    for other in (None, Z):
        cut = [gram(X, kernel, other, device=Cpu(tile=tile)) for tile in (1, 5, 15, 1024)]
        with threadpoolctl.threadpool_limits(1):
            expected = whole(gram(X, kernel, other))
        for threads in (1, 2):
            with threadpoolctl.threadpool_limits(threads):
                for _ in range(30):
                    rows, columns = (np.sort(rng.choice(size + 1, 2, replace=False)) for size in expected.shape)
                    K = cut[rng.integers(len(cut))]
                    assert np.array_equal(K.block(rows, columns), expected[slice(*rows), slice(*columns)])


def test_blocks_are_written_into_what_is_given():
    X = pixels(20, 50)
    K = gram(X, Linear())
    for layout in (np.full((9, 30), 7.0), np.full((9, 60), 7.0)[:, ::2]):
        out = layout[:, 3:9]
        assert K.block((4, 13), (0, 6), out=out) is out
        assert np.array_equal(out, whole(K)[4:13, :6])
        assert (layout[:, :3] == 7).all() and (layout[:, 9:] == 7).all()


@pytest.mark.parametrize("bounds", [((0, 9), (0, 4)), ((0, 4), (6, 12)), ((3, 9), (0, 8))], ids=str)
def test_rows_beyond_the_matrix_are_never_made_up(bounds):
    with pytest.raises((ValueError, IndexError)):
        gram(vectors(8, 3), Gaussian(1.0)).block(*bounds)


def test_permuted_points_give_the_permuted_matrix():
    X = pixels(40, 90)
    order = np.random.default_rng(3).permutation(40)
    assert np.array_equal(whole(gram(X[order], Gaussian(3.0))), whole(gram(X, Gaussian(3.0)))[np.ix_(order, order)])


def test_a_set_against_itself_is_the_symmetric_matrix():
    X = pixels(30, 90)
    K, cross = gram(X, Gaussian(3.0)), gram(X, Gaussian(3.0), X)
    assert K.symmetric and not cross.symmetric
    assert np.array_equal(whole(K), whole(cross)) and np.array_equal(whole(K), whole(K).T)


# ---- products ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "m"), [(1, 1), (6, 6), (37, 37), (50, 50), (37, 20), (20, 37)])
@pytest.mark.parametrize("r", [1, 5])
def test_products_in_tiles_are_products_of_matrices(n, m, r):
    X, V = vectors(n, 4), vectors(m, r, seed=2)
    for kernel in (Gaussian(1.5), Linear()):
        K = gram(X, kernel, None if n == m else vectors(m, 4, seed=1), device=SMALL)
        before = V.copy()
        # A sum of m products in any order is off by at most m eps |K| |V|, entries made in other tiles by some 40 eps.
        tolerance = (m + 40) * EPS * (abs(whole(K)) @ abs(V) + np.abs(V).sum(axis=0))
        assert (abs(K.product(V) - whole(K) @ V) <= tolerance).all()
        given = gram(whole(K), Precomputed(), None if K.symmetric else np.empty((m, 0)), device=SMALL)
        assert (abs(given.product(V) - whole(K) @ V) <= tolerance).all()
        assert np.array_equal(V, before)


def test_a_product_in_tiles_of_the_default_size():
    X, V = vectors(1500, 3), vectors(1500, 2, seed=1)
    K = gram(X, Linear())
    # (X X^T) V = X (X^T V); sums of 1,500 + 3 terms, each at most 1 after the bound |X| |X|^T |V|.
    np.testing.assert_array_less(abs(K.product(V) - X @ (X.T @ V)), 2e3 * EPS * (abs(X) @ (abs(X).T @ abs(V))))


def test_any_layout_and_dtype_of_the_factor_will_do():
    K, V = gram(pixels(30, 20), Gaussian(2.0), device=SMALL), vectors(30, 4)
    expected = K.product(V)
    for other in (np.asfortranarray(V), np.repeat(V, 2, axis=1)[:, ::2]):
        other.flags.writeable = False
        assert np.array_equal(K.product(other), expected)
    single = V.astype(np.float32)
    assert np.array_equal(K.product(single), K.product(single.astype(float)))
    assert K.product(single).dtype == float


@pytest.mark.parametrize("shape", [(31, 2), (29, 2), (30,), (2, 30), (30, 2, 1)], ids=str)
@pytest.mark.parametrize("symmetric", [True, False])
def test_a_factor_that_does_not_fit_is_refused(shape, symmetric):
    X = pixels(30, 20)
    with pytest.raises(ValueError):  # which InputError is
        gram(X, Linear(), None if symmetric else X, device=SMALL).product(np.ones(shape))


class Counted(Gram):
    """Counts how often each entry is asked for."""

    def block(self, rows, columns, out=None):
        self.times[slice(*rows), slice(*columns)] += 1
        return super().block(rows, columns, out)


@pytest.mark.parametrize("tile", [1, 7, 30, 37, 100])
@pytest.mark.parametrize("m", [37, 20])
def test_every_entry_is_made_once_and_only_below_the_diagonal(m, tile):
    K = Counted(vectors(37, 3), Linear(), None if m == 37 else vectors(m, 3, seed=1), device=Cpu(tile=tile))
    K.times = np.zeros(K.shape, int)
    K.product(np.ones((m, 1)))
    if K.symmetric:
        assert (K.times[np.tril_indices(37)] == 1).all()
        rows, columns = np.nonzero(np.triu(K.times, 1))
        assert (rows // tile == columns // tile).all(), "above the diagonal only what is in a diagonal tile"
    else:
        assert (K.times == 1).all()


@pytest.mark.parametrize("n", [1, 6, 37])
def test_the_norm_comes_with_the_product(n):
    A = symmetric(n)
    V = vectors(n, 3)
    K = gram(A, Precomputed(), device=SMALL)
    product, norm = K.product_and_norm(V)
    assert np.array_equal(product, K.product(V))
    np.testing.assert_allclose(norm, np.linalg.norm(A, 1), rtol=n * EPS)


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("n", [5, 37])
def test_the_progress_of_a_product_ends_at_one_hundred_percent(symmetric, n):
    X, progress = pixels(n, 20), Tally()
    gram(X, Linear(), None if symmetric else X, device=SMALL).product(np.ones((n, 1)), progress=progress)
    assert progress.names == ["kernel product"] and progress.wrong() == []


# ---- duplicates and kernels of one's own ---------------------------------------------------------------------------


@pytest.mark.parametrize("make", [pixels, vectors])
def test_duplicates_are_found_among_earlier_rows_only(make):
    X = make(30, 12).copy()
    X[17] = X[5]
    X[20] = X[5]
    K = gram(X, Linear())
    assert [K.duplicate_of(row) for row in (0, 5, 16, 17, 20, 29)] == [None, None, None, 5, 5, None]


def unsymmetric(A, B):
    return A @ B.T + A[:, :1]


def test_a_custom_kernel_that_is_not_symmetric_is_refused():
    X = vectors(100, 3)
    with pytest.raises(InputError, match="not symmetric"):
        gram(X, Custom(unsymmetric))
    K = gram(X, Custom(lambda A, B: A @ B.T))
    # Inner products of 3 terms in two orders.
    np.testing.assert_allclose(whole(K), X @ X.T, rtol=0, atol=100 * EPS)
    assert gram(X, Custom(unsymmetric), X[:5]).shape == (100, 5)  # a cross matrix has no symmetry to check


@pytest.mark.parametrize("combine", [lambda k: k + Linear(), lambda k: 0.5 * k, lambda k: 1 + 2 * (Linear() + k)])
def test_nor_is_it_as_a_term_or_factor(combine):
    with pytest.raises(InputError, match="not symmetric"):
        gram(vectors(100, 3), combine(Custom(unsymmetric)))


@pytest.mark.parametrize("kernel", [Linear(), Custom(lambda A, B: A @ B.T)], ids=["linear", "custom"])
def test_rounding_is_not_taken_for_a_lack_of_symmetry(kernel):
    """Of orthogonal points nothing but rounding is off the diagonal, some eps |x| |z|, and that is not symmetric."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        n, d = rng.integers(20, 64), rng.integers(64, 400)
        X = 1e3 * np.linalg.qr(rng.normal(size=(d, n)))[0].T
        assert gram(X, kernel).symmetric


def test_an_error_in_a_strip_reaches_the_caller():
    calls = []

    def fails(A, B):
        calls.append(len(A))
        if len(calls) == 4:
            raise RuntimeError("in the middle")
        return A @ B.T

    with pytest.raises(RuntimeError, match="in the middle"):
        gram(vectors(20, 3), Custom(fails), device=SMALL).product(np.ones((20, 1)))


def test_a_device_has_a_name():
    X = pixels(9, 4)
    K = gram(X, Linear(), device="cpu")
    assert K.device is CPU and np.array_equal(whole(K), whole(gram(X, Linear())))
    with pytest.raises(InputError, match="tpu"):
        gram(X, Linear(), device="tpu")


@pytest.mark.parametrize("kernel", [Gaussian(1.0), Precomputed()], ids=str)
def test_sparse_arrays_and_no_points_are_refused(kernel):
    from scipy import sparse

    for made in (sparse.csr_array(np.eye(3)), sparse.coo_matrix(np.eye(3))):
        with pytest.raises(InputError, match="dense"):
            gram(made, kernel)
        with pytest.raises(InputError, match="dense"):
            gram(np.eye(3), kernel, made)
    for shape in ((0, 3), (0, 0)):
        with pytest.raises(InputError, match="at least one"):
            gram(np.zeros(shape), kernel)
        with pytest.raises(InputError, match="at least one"):
            gram(np.eye(3), kernel, np.zeros(shape))
    with pytest.raises((InputError, DataError), match=r"at least one|square"):
        gram(np.zeros((3, 0)), kernel)
