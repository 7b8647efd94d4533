"""Work shared out to threads: the same results, in order; BLAS on one thread meanwhile, and as before afterwards."""

import gc
import itertools
import multiprocessing
import threading
import weakref

import numpy as np
import pytest
import threadpoolctl

from kernelfit import backend
from kernelfit.backend import shares
from kernelfit.backend.threads import blas_pools, single_threaded_blas

CPU = backend.CPU


@pytest.fixture(params=[1, 2, 3])
def threads(request, monkeypatch):
    """Set how many threads there are, and let every product be large enough for all of them."""
    monkeypatch.setattr(shares, "_LEAST", 1)
    monkeypatch.setattr("kernelfit.backend.cpu._LEAF", 24)
    blas_pools()  # loads what is to be limited
    with threadpoolctl.threadpool_limits(request.param, user_api="blas"):
        yield request.param


def blas_threads():
    return [pool.num_threads for pool in blas_pools()]


def test_parallel_map_keeps_the_order_and_restores_blas_threads(threads):
    for n in (0, 2, 10):
        found = backend.parallel_map(lambda i: (i * i, backend.num_threads(), *set(blas_threads())), range(n))
        assert found == [(i * i, 1, 1) for i in range(n)]
        assert backend.num_threads() == threads and set(blas_threads()) == {threads}
    assert backend.parallel_map(lambda _: backend.num_threads(), [0]) == [threads], (
        "one item may share out its own work"
    )
    with pytest.raises(ZeroDivisionError):
        backend.parallel_map(lambda i: 1 / i, [1, 0, 2])
    assert backend.num_threads() == threads and set(blas_threads()) == {threads}


def test_parallel_map_inside_of_itself_does_not_wait_for_itself(threads):
    def outer(i):
        return sum(backend.parallel_map(lambda j: i * j, range(4)))

    assert backend.parallel_map(outer, range(5)) == [6 * i for i in range(5)]


def test_an_error_ends_the_rest_and_keeps_nothing_alive(threads):
    done, held = [], []

    def fails(k):
        done.append(k)
        array = np.ones(3)
        held.append(weakref.ref(array))
        raise MemoryError("no room")

    gc.disable()  # what only a garbage collector would free is memory that is missing at once
    try:
        with pytest.raises(MemoryError, match="no room") as caught:
            backend.parallel_map(fails, range(1000))
        del caught
        assert len(done) <= threads and not any(ref() is not None for ref in held)
    finally:
        gc.enable()


def test_other_threads_wait_and_leave_blas_as_it_was(threads):
    inside, waiting, order = threading.Event(), threading.Event(), []

    def other():
        inside.wait(10)
        waiting.set()
        order.append(backend.parallel_map(lambda i: (i, backend.num_threads()), range(3)))

    thread = threading.Thread(target=other)
    thread.start()
    with single_threaded_blas():
        inside.set()
        assert waiting.wait(10) and set(blas_threads()) == {1}
        assert backend.num_threads() == threads, "that work is shared out to here"
        with single_threaded_blas():
            order.append(backend.parallel_map(lambda i: i, range(2)))
        assert set(blas_threads()) == {1}
    thread.join(10)
    assert [0, 1] in order and [(i, 1) for i in range(3)] in order
    assert set(blas_threads()) == {threads}


def _squares(connection):
    connection.send(backend.parallel_map(lambda i: i * i, range(5)))


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="processes are not forked here")
@pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")
def test_a_forked_process_has_threads_of_its_own(threads):
    context = multiprocessing.get_context("fork")

    def fork(_=None):
        ours, theirs = context.Pipe()
        child = context.Process(target=_squares, args=(theirs,))
        child.start()
        assert ours.poll(30), "the child waits for threads that it does not have"
        child.join(30)
        return ours.recv()

    assert backend.parallel_map(lambda i: i, range(3)) == [0, 1, 2]
    assert fork() == [0, 1, 4, 9, 16]
    assert backend.parallel_map(fork, range(2)) == [[0, 1, 4, 9, 16]] * 2, "forked by a thread that works"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "shape", [(1, 1, 1), (70, 30, 20), (30, 70, 20), (200, 1, 50), (1, 200, 50), (33, 0, 5), (40, 40, 0)]
)
def test_a_product_in_shares_is_the_product(threads, shape, dtype):
    m, n, k = shape
    rng = np.random.default_rng(0)
    for transpose_a, transpose_b in itertools.product((False, True), repeat=2):
        A, B, C = (rng.standard_normal(size).astype(dtype) for size in ((m, k), (k, n), (m, n + 3)))
        expected = -2.0 * (A.astype(float) @ B) + 0.5 * C[:, :n]
        beyond = C[:, n:].copy()
        A, B = (np.ascontiguousarray(M.T) if on else M for M, on in ((A, transpose_a), (B, transpose_b)))
        CPU.gemm(A, B, C[:, :n], alpha=-2.0, beta=0.5, transpose_a=transpose_a, transpose_b=transpose_b)
        np.testing.assert_allclose(C[:, :n], expected, rtol=0, atol=50 * np.finfo(dtype).eps * (k + 1))
        assert (C[:, n:] == beyond).all(), "what lies beside C is another's"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [1, 15, 16, 97, 250])
def test_a_factor_in_shares_is_the_factor(threads, n, dtype):
    rng, tolerance = np.random.default_rng(n), 200 * n * np.finfo(dtype).eps
    A, R = rng.standard_normal((n, n + 5)), rng.standard_normal((n, 60))
    K = np.full((n, n), np.nan, dtype)
    lower = np.tril_indices(n)
    K[lower] = np.eye(n)[lower]
    CPU.syrk((A / n).astype(dtype), K, alpha=1.0, beta=1.0)
    expected = np.eye(n) + A @ A.T / n**2
    np.testing.assert_allclose(K[lower], expected[lower], rtol=0, atol=tolerance)
    assert CPU.potrf(K) == 0
    L = np.tril(K)
    np.testing.assert_allclose(L @ L.T, expected, rtol=0, atol=tolerance)
    for right, transpose in itertools.product((False, True), repeat=2):
        B = (R.T if right else R).astype(dtype, order="C")
        X, op = B.copy(), L.T if transpose else L
        CPU.trsm(K, X, right=right, transpose=transpose)
        np.testing.assert_allclose(X @ op if right else op @ X, B, rtol=0, atol=tolerance)


def test_the_row_that_is_not_positive_is_found_in_any_part(threads):
    for row in range(100):
        K = np.eye(100)
        K[row, row] = -1.0
        assert CPU.potrf(K) == row + 1


def test_shares_are_a_partition():
    for n, count in itertools.product((1, 15, 16, 17, 100, 1152), (1, 2, 3, 8)):
        parts = shares.edges(n, count)
        assert parts[0][0] == 0 and parts[-1][1] == n and len(parts) <= count
        assert all(stop == start for (_, stop), (start, _) in itertools.pairwise(parts))
        covered = np.zeros((n, n), int)
        for (a, b), (c, d) in shares.of_square(n, count):
            covered[a:b, c:d] += 1
        assert (covered[np.tril_indices(n)] == 1).all()
