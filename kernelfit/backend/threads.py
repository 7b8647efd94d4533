"""Threads of BLAS and of Python, which compete for the same cores unless one of them yields."""

import contextlib
import functools
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from kernelfit.backend.lapack import of_scipy

_THREAD = threading.local()
_ONE_AT_A_TIME = threading.RLock()  # parallel_map changes the threads of BLAS, which the whole process shares


def num_threads() -> int:
    """Return the number of threads that BLAS uses (set it with OMP_NUM_THREADS or threadpoolctl)."""
    return max((pool.num_threads for pool in blas_pools()), default=1)


def limit_threads(count: int) -> None:
    """Let BLAS, and with it parallel_map, use at most `count` threads from now on."""
    for pool in blas_pools():
        pool.set_num_threads(min(count, pool.num_threads))


def set_threads(count: int) -> None:
    """Let BLAS, and with it parallel_map, use `count` threads from now on, whatever the environment says."""
    for pool in blas_pools():
        pool.set_num_threads(count)


def parallel_map(function: Callable, items: Iterable) -> list:
    """Return [function(item) for item in items], computed on as many threads as BLAS has.

    Each thread's own BLAS calls run on that thread alone: BLAS workers that wait for their next call would otherwise
    compete with Python's threads for the cores. Worth it where function releases the GIL. Inside of function, another
    parallel_map runs on its own thread.
    """
    if getattr(_THREAD, "is_worker", False):
        return [function(item) for item in items]

    def work(item):
        _THREAD.is_worker = True
        return function(item)

    with _ONE_AT_A_TIME:
        threads = num_threads()
        if threads == 1:
            return [function(item) for item in items]
        with single_threaded_blas(), ThreadPoolExecutor(threads) as pool:
            return list(pool.map(work, items))


@functools.cache
def blas_pools() -> list[Any]:
    """Return threadpoolctl's live handles on the BLAS libraries of this process."""
    import threadpoolctl

    of_scipy("cython_blas")  # SciPy's BLAS must be loaded to be found
    return [pool for pool in threadpoolctl.ThreadpoolController().lib_controllers if pool.user_api == "blas"]


@contextlib.contextmanager
def single_threaded_blas() -> Iterator[None]:
    """Let BLAS use one thread inside of the block: threads that wait for each other cost small matrices more."""
    before = [pool.num_threads for pool in blas_pools()]
    try:
        for pool in blas_pools():
            pool.set_num_threads(1)
        yield
    finally:
        for pool, threads in zip(blas_pools(), before, strict=True):
            pool.set_num_threads(threads)
