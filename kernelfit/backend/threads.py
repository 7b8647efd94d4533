"""Threads: kernelfit's own share out the work, and BLAS runs on one thread in each of them.

A BLAS that shares out a product itself lets its threads spin for some 25 ms after it, in case another call comes; on
few cores they take them from whatever runs in between. Shared out here, products are as fast, and nothing spins.
"""

import contextlib
import functools
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

from kernelfit.backend.lapack import of_scipy


class _State:
    """What a process shares: the threads that wait for work, and how BLAS is set while it runs on one thread."""

    def __init__(self):
        self.pool = ThreadPoolExecutor(max(1, (os.cpu_count() or 1) - 1), "kernelfit")  # the caller works too
        self.alone = threading.RLock()
        self.before: list[int] = []  # threads that BLAS used before a block that lets it use one
        self.thread = threading.local()


_state = _State()


def _renew():
    global _state
    _state = _State()  # a forked process has none of these threads, and locks as they happened to be


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)


def num_threads() -> int:
    """Return the number of threads that work is shared out to, 1 in each of them.

    That is how many BLAS was set to (OMP_NUM_THREADS, threadpoolctl).
    """
    if getattr(_state.thread, "is_worker", False):
        return 1
    before = _state.before  # is never changed, but replaced
    return max(before or _counts(), default=1)


def limit_threads(count: int) -> None:
    """Let BLAS, and with it parallel_map, use at most `count` threads from now on."""
    for pool in blas_pools():
        pool.set_num_threads(min(count, pool.num_threads))


def set_threads(count: int) -> None:
    """Let BLAS, and with it parallel_map, use `count` threads from now on, whatever the environment says."""
    for pool in blas_pools():
        pool.set_num_threads(count)


def parallel_map(function: Callable, items: Iterable) -> list:
    """Return [function(item) for item in items], computed on as many threads as BLAS has, this one among them.

    BLAS runs on one thread in each. Worth it where function releases the GIL. Inside of function, another parallel_map
    runs on its own thread; a single item is as if function were called. An error ends the others after what they do.
    """
    items = list(items)
    if min(num_threads(), len(items)) <= 1:
        return [function(item) for item in items]
    state = _state
    with single_threaded_blas():
        results: list[Any] = [None] * len(items)
        left, taking = iter(range(len(items))), threading.Lock()
        failed: list[BaseException] = []

        def work():
            state.thread.is_worker = True
            try:
                while not failed:
                    with taking:
                        k = next(left, None)
                    if k is None:
                        break
                    results[k] = function(items[k])
            except BaseException as error:
                failed.append(error)
            finally:
                state.thread.is_worker = False

        others = [state.pool.submit(work) for _ in range(min(num_threads(), len(items)) - 1)]
        try:
            work()
        finally:
            wait(others)
        if failed:
            raise failed.pop()  # or the error's frames would hold the error
        return results


@functools.cache
def blas_pools() -> list[Any]:
    """Return threadpoolctl's live handles on the BLAS libraries of this process."""
    import threadpoolctl

    of_scipy("cython_blas")  # SciPy's BLAS must be loaded to be found
    return [pool for pool in threadpoolctl.ThreadpoolController().lib_controllers if pool.user_api == "blas"]


@contextlib.contextmanager
def single_threaded_blas() -> Iterator[None]:
    """Let BLAS use one thread inside of the block, in one block of the process at a time.

    Whoever changed the setting must set it back: threadpoolctl obeys only the first thread that changes anything.
    """
    state = _state
    if getattr(state.thread, "is_worker", False):
        yield
        return
    with state.alone:
        if state.before:
            yield
            return
        state.before = _counts()
        try:
            for pool in blas_pools():
                pool.set_num_threads(1)
            yield
        finally:
            before, state.before = state.before, []
            for pool, threads in zip(blas_pools(), before, strict=True):
                pool.set_num_threads(threads)


def _counts():
    return [pool.num_threads for pool in blas_pools()]
