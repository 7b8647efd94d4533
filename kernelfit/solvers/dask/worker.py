"""What runs in the processes of a Dask cluster: the points, kept by each worker, and products with shares of K.

A worker gets the points when it joins, now or later, so that one that was lost can be replaced at any time. It needs
nothing else of the past: a vector comes with every share, and the inner products that it keeps only save their making.
"""

import asyncio
import dataclasses
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from distributed import Scheduler, SchedulerPlugin, Worker, WorkerPlugin

from kernelfit import __version__, backend
from kernelfit.common.spans import Span, spans
from kernelfit.grams.base import Points
from kernelfit.grams.matrix import Gram
from kernelfit.kernels import Kernel

_TILES = 64  # whose products are held at once: 10 MB with ten right-hand sides
_GRAMS: dict[str, Gram] = {}  # by key: the matrix made from points
_QUICK: dict[str, Gram] = {}  # and the same from inner products that are kept


class PointsOnWorkers(WorkerPlugin):
    """Keeps the points of one problem on every worker, under a key.

    Parameters
    ----------
    key : str
    raw : array, shape (n, d)
        uint8, or float64 as they are to be used.
    kernel : Kernel
    device : str
        "cpu", "cuda", or "auto".
    memory : int
        Bytes of inner products that a worker keeps at most.
    """

    def __init__(self, key: str, raw: npt.NDArray, kernel: Kernel, device: str, memory: int):
        self.name, self.raw, self.kernel, self.device, self.memory = key, raw, kernel, device, memory

    def setup(self, worker: Worker) -> None:
        # One task at a time has all threads of the worker; Dask starts it with one thread for BLAS.
        backend.set_threads(worker.state.nthreads)
        backend.keep_freed_memory()
        device = backend.own_device(self.device)
        with device.current():
            K = Gram(self.raw, self.kernel, device=device)
        _GRAMS[self.name] = K
        if self.kernel.of_products and K.device.name == "cpu":
            points: Any = K.points  # with coordinates, a dataclass
            kept = CachedProducts(points, self.memory)
            _QUICK[self.name] = Gram(dataclasses.replace(points, products=kept), self.kernel)

    def teardown(self, worker: Worker) -> None:
        _GRAMS.pop(self.name, None)
        _QUICK.pop(self.name, None)


class CachedProducts:
    """Inner products of points in tiles, each kept once it was made, while there is memory for it.

    A worker is asked for the same tiles in every product, as long as no other is lost or joins.
    """

    def __init__(self, points: Points, memory: int):
        self._points, self._left = points, memory
        self._tiles: dict[tuple[Span, Span], npt.NDArray] = {}
        self._lock = threading.Lock()

    def tile(self, rows: Span, columns: Span) -> npt.NDArray:
        """Return the inner products of points rows and columns, both (start, stop)."""
        found = self._tiles.get((rows, columns))
        if found is None:
            found = self._points.part(*rows).inner_products(self._points.part(*columns))
            with self._lock:
                if found.nbytes <= self._left:
                    self._tiles[rows, columns] = found
                    self._left -= found.nbytes
        return found


class PointsOfClient(SchedulerPlugin):
    """Takes the points from all workers when the client that gave them is gone, killed or not."""

    def __init__(self, key: str, client: str):
        self.name, self.client = key, client

    def remove_client(self, scheduler: Scheduler, client: str) -> None:
        if client == self.client:
            self._task = asyncio.get_running_loop().create_task(self._forget(scheduler))

    async def _forget(self, scheduler):
        scheduler.remove_plugin(name=self.name)
        await scheduler.unregister_worker_plugin(None, self.name)


def raw_points(points: Points) -> npt.NDArray:
    """Return the points as they travel: uint8 pixels, or float64."""
    return (points.values.astype(np.int16) + 128).astype(np.uint8) if points.exact else points.coordinates()


def describe(device: str, dask_worker: Any = None) -> dict[str, Any]:
    """Return what an engine must know of a worker before it is used.

    Memory is that of its device, in bytes: what is free, of which `fixed` goes to any problem, and a limit, 0 for none.
    Workers with the same `number` of a host share it: that of a GPU, or None for the host itself.
    """
    chosen = backend.own_device(device)
    on_cpu = chosen.name == "cpu"
    with chosen.current():
        return {
            "version": __version__,
            "free": chosen.free_memory(),
            "fixed": 0 if on_cpu else chosen.fixed_bytes,
            "limit": (on_cpu and dask_worker.memory_manager.memory_limit) or 0,
            "device": chosen.name,
            "number": None if on_cpu else chosen.number,
        }


def multiply(
    key: str, bounds: Sequence[Span], share: npt.NDArray[np.int64], V: npt.NDArray[np.float64], with_sums: bool
) -> npt.NDArray[np.float64]:
    """Return what the pairs of blocks of a share add to K V, each entry of K made once.

    Parameters
    ----------
    bounds : list of (start, stop)
        Blocks of rows.
    share : int array, shape (pairs, 2)
    V : float64 array, shape (rows touched, r)
        The rows in all blocks of the share, in order; the result, float64, has the same rows.
    with_sums : bool
        One more column of the result has the absolute row sums; this is a check, which knows nothing but the points.
    """
    K = _GRAMS[key] if with_sums else _QUICK.get(key, _GRAMS[key])
    with K.device.current():
        return _multiplied(K, bounds, share, V, with_sums)


def _multiplied(K, bounds, share, V, with_sums):
    device, n = K.device, K.shape[0]
    rows = device.array(rows_of(bounds, share))
    whole = device.xp.zeros((n, V.shape[1]))
    whole[rows] = device.array(V)
    out = device.xp.zeros_like(whole)
    sums = device.xp.zeros(n) if with_sums else None
    tiles = []
    for i, j in share:
        tiles += _tiles(bounds[i], bounds[j], device.tile)
        if len(tiles) >= _TILES:
            K.add_product(tiles, whole, out, sums)
            tiles = []
    K.add_product(tiles, whole, out, sums)
    parts = [out[rows]] if sums is None else [out[rows], sums[rows].reshape(-1, 1)]
    return np.hstack([device.host(part) for part in parts])


def predict(key: str, raw: npt.NDArray, coef: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return K(raw, X) coef for test points as raw_points returns them."""
    K = _GRAMS[key]
    with K.device.current():
        return Gram(raw, K.kernel, K.points).product(coef)


def rows_of(bounds: Sequence[Span], share: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the indices of all rows in the blocks of a share, in order."""
    return np.concatenate([np.arange(*bounds[block]) for block in np.unique(share)])


def _tiles(rows, columns, size):
    """Return the tiles of a block of K; of a block on the diagonal, those of the lower triangle."""
    return [(i, j) for j in spans(*columns, size) for i in spans(*rows, size) if i[0] >= j[0]]
