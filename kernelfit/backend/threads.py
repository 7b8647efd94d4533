"""Threads: kernelfit's own share out the work, and BLAS runs on one thread in each of them.

A BLAS that shares out a product itself lets its threads spin for some 25 ms after it, in case another call comes; on
few cores they take them from whatever runs in between. Shared out here, products are as fast, and nothing spins.
"""

import contextlib
import functools
import os
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

from kernelfit.backend.lapack import of_scipy


class _Block:
    """A place in the code that needs BLAS on one thread; one that an interrupt left behind goes with its frame."""


class _State:
    """What a process shares: threads that wait for work, and how BLAS is set while blocks let it use one thread."""

    def __init__(self):
        # The caller works too.
        self.pool = ThreadPoolExecutor(max(1, (os.cpu_count() or 1) - 1), "kernelfit", _set_openmp_alone)
        self.changing = threading.Lock()
        self.blocks: weakref.WeakSet[_Block] = weakref.WeakSet()
        self.to_restore: list[int] = []  # threads of each BLAS library before the first block
        self.thread = threading.local()


def _set_openmp_alone():
    """Let BLAS use one thread where each of Python's threads has a setting of its own."""
    for pool in blas_pools():
        if getattr(pool, "threading_layer", "") == "openmp":
            pool.set_num_threads(1)


_state = _State()


def _renew():
    """Begin anew in a forked process, which has none of the threads, and locks as they happened to be."""
    global _state
    left, _state = _state.to_restore, _State()
    if left:
        _set(left)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)


def num_threads() -> int:
    """Return the number of threads that work is shared out to, 1 in each of them.

    That is how many BLAS was set to (OMP_NUM_THREADS, threadpoolctl).
    """
    if getattr(_state.thread, "is_worker", False):
        return 1
    return max(_state.to_restore or _counts(), default=1)  # the list is never changed, but replaced


def limit_threads(count: int) -> None:
    """Let BLAS, and with it parallel_map, use at most `count` threads from now on."""
    _change(lambda before: min(count, before))


def set_threads(count: int) -> None:
    """Let BLAS, and with it parallel_map, use `count` threads from now on, whatever the environment says."""
    _change(lambda before: count)


def parallel_map(function: Callable, items: Iterable) -> list:
    """Return [function(item) for item in items], computed on as many threads as BLAS has, this one among them.

    BLAS runs on one thread in each. Worth it where function releases the GIL. Inside of function, another parallel_map
    runs on its own thread; a single item is as if function were called. An error ends the others after what they do.
    """
    items = list(items)
    threads = min(num_threads(), len(items))
    if threads <= 1:
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

        others: list[Future] = []
        try:
            with contextlib.suppress(RuntimeError):  # no further thread can be had: this one does it all
                others += (state.pool.submit(work) for _ in range(threads - 1))
            work()
        finally:
            _end(others, failed)
        if failed:
            del failed[1:]
            raise failed.pop()  # or the error's frames would hold the error
        return results


def _end(others, failed):
    """Return when no other thread is at work: what one of them writes to is the caller's."""
    begun = [other for other in others if not other.cancel()]
    try:
        wait(begun)
    except BaseException as error:  # an interrupt
        failed.append(error)
        wait(begun)
        failed.remove(error)
        raise


@functools.cache
def blas_pools() -> list[Any]:
    """Return threadpoolctl's live handles on the BLAS libraries of this process."""
    import threadpoolctl

    of_scipy("cython_blas")  # SciPy's BLAS must be loaded to be found
    return [pool for pool in threadpoolctl.ThreadpoolController().lib_controllers if pool.user_api == "blas"]


@contextlib.contextmanager
def single_threaded_blas() -> Iterator[None]:
    """Let BLAS use one thread inside of the block, and of those of other threads at the same time."""
    if num_threads() == 1:
        yield
        return
    state, block = _state, _Block()
    try:
        with state.changing:
            state.blocks.add(block)
            if len(state.blocks) == 1:
                state.to_restore = state.to_restore or _counts()
                _set([1] * len(state.to_restore))
        yield
    finally:
        try:
            _leave(state, block)
        except BaseException:  # an interrupt
            _leave(state, block)
            raise


def _leave(state, block):
    with state.changing:
        state.blocks.discard(block)
        if not state.blocks and state.to_restore:
            _set(state.to_restore)
            state.to_restore = []  # last, so that what is left undone is done the next time


def _change(of_before):
    """Set the threads of each BLAS library to of_before(those that it has), at once or when the last block ends."""
    with _state.changing:
        counts = [of_before(before) for before in _state.to_restore or _counts()]
        if _state.to_restore:
            _state.to_restore = counts
        else:
            _set(counts)


def _set(counts):
    for pool, count in zip(blas_pools(), counts, strict=True):
        # threadpoolctl, from 3.7 on, obeys one thread alone, the first that changed anything, unless it is told.
        release = getattr(type(pool), "clear_controlling_thread", lambda force: None)
        release(force=True)
        pool.set_num_threads(count)
        release(force=True)


def _counts():
    return [pool.num_threads for pool in blas_pools()]
