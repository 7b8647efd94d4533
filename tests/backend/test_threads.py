"""Work shared out to threads: the same results, in order; BLAS on one thread meanwhile, and as before afterwards."""

import gc
import itertools
import multiprocessing
import os
import threading
import time
import weakref

import numpy as np
import pytest
import threadpoolctl

from kernelfit import backend
from kernelfit.backend import lapack, shares
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


def test_errors_end_the_rest_and_keep_nothing_alive(threads):
    done, held, both = [], [], threading.Barrier(min(2, threads, os.cpu_count()))

    def fails(k):
        done.append(k)
        array = np.ones(3)
        held.append(weakref.ref(array))
        if len(done) <= both.parties:
            both.wait(10)  # so that two fail together
        raise MemoryError("no room")

    gc.disable()  # what only a garbage collector would free is memory that is missing at once
    try:
        with pytest.raises(MemoryError, match="no room") as caught:
            backend.parallel_map(fails, range(1000))
        del caught
        assert len(done) <= threads and not any(ref() is not None for ref in held)
    finally:
        gc.enable()


def test_blas_is_on_one_thread_in_each_share_whoever_asks(threads, monkeypatch):
    seen, all_threads, call = [], min(threads, os.cpu_count()), lapack.call

    def told(name, *arguments):
        seen.append((threading.current_thread().name, *blas_threads()))
        end = time.monotonic() + 10  # so that the others get something on a busy machine too
        while not name.endswith("potrf") and count_names() < all_threads and time.monotonic() < end:
            time.sleep(0.001)
        return call(name, *arguments)

    def count_names():
        return len({name for name, *_ in list(seen)})

    monkeypatch.setattr(lapack, "call", told)
    A, C = np.eye(100), np.eye(100)

    def work():
        for one in (
            lambda: CPU.gemm(A, A, C),
            lambda: CPU.gemm(A[:1], A, C[:1]),
            lambda: CPU.syrk(A, C),
            lambda: CPU.trsm(A, C),
            lambda: CPU.potrf(C),
        ):
            seen.clear()
            C[...] = A
            one()
            assert {count for _, *counts in seen for count in counts} == {1}
            assert count_names() == all_threads
        return True

    results = [work()]
    thread = threading.Thread(target=lambda: results.append(work()))  # threadpoolctl obeys the first thread alone
    thread.start()
    thread.join()
    assert results == [True, True] and set(blas_threads()) == {threads}


def test_threads_that_overlap_leave_blas_as_it_was(threads):
    inside, entered = threading.Event(), threading.Event()

    def other():
        inside.wait(10)
        with single_threaded_blas():
            entered.set()
            left.wait(10)
            assert set(blas_threads()) == {1} and backend.num_threads() == threads
        ended.append(True)

    left, ended = threading.Event(), []
    thread = threading.Thread(target=other)
    thread.start()
    with single_threaded_blas():
        inside.set()
        assert entered.wait(10), "one does not wait for the other"
        assert backend.parallel_map(lambda i: (i, *set(blas_threads())), range(3)) == [(i, 1) for i in range(3)]
    left.set()
    thread.join(10)
    assert ended and set(blas_threads()) == {threads} and backend.num_threads() == threads


def test_a_thread_that_is_started_and_awaited_in_a_share_is_not_locked_out(threads):
    def run(k):
        found = []
        thread = threading.Thread(target=lambda: found.append(backend.parallel_map(lambda i: i + k, range(4))))
        thread.start()
        thread.join(20)
        return found

    assert backend.parallel_map(run, range(3)) == [[[k, k + 1, k + 2, k + 3]] for k in range(3)]


def test_a_block_that_an_interrupt_left_behind_is_made_up_for():
    blas_pools()
    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        left_behind = single_threaded_blas()
        left_behind.__enter__()
        assert set(blas_threads()) == {1}
        del left_behind  # with the frames of the interrupt
        backend.parallel_map(lambda i: i, range(3))
        assert set(blas_threads()) == {2}


def test_without_further_threads_the_caller_does_it_all(monkeypatch):
    def submit(*_):
        raise RuntimeError("cannot schedule new futures after interpreter shutdown")

    monkeypatch.setattr("kernelfit.backend.threads._state.pool.submit", submit)
    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        assert backend.parallel_map(lambda i: i, range(5)) == list(range(5))


def test_limits_that_are_set_meanwhile_hold_afterwards():
    blas_pools()
    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        with single_threaded_blas():
            backend.set_threads(3)
            assert set(blas_threads()) == {1} and backend.num_threads() == 3
        assert set(blas_threads()) == {3}
        backend.limit_threads(2)
        assert set(blas_threads()) == {2}


def _squares(connection):
    connection.send((backend.num_threads(), backend.parallel_map(lambda i: i * i, range(5))))


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
    expected = (threads, [0, 1, 4, 9, 16])
    assert fork() == expected
    assert backend.parallel_map(fork, range(2)) == [expected] * 2, "forked by a thread that works"


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
