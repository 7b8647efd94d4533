"""A Gram matrix whose products are made by the workers of a Dask cluster."""

import contextlib
import itertools
import time
import uuid
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import dask
import numpy as np
import numpy.typing as npt
from distributed import CancelledError, Client, KilledWorker, wait

from kernelfit.common.errors import InputError, NotEnoughMemoryError, WorkersLostError
from kernelfit.common.progress import Progress
from kernelfit.grams.base import Points
from kernelfit.grams.matrix import Gram
from kernelfit.solvers.dask import worker
from kernelfit.solvers.dask.shares import cut

_PATIENCE = 300.0  # seconds without any worker
_GO_ON = "a state in a `scratch` folder is gone on with by `resume=True`"
_CALLED = 30.0  # the same, before anything is begun
_LOOK = 2.0  # seconds between two looks at who is there


class DaskGram:
    """The symmetric matrix K of a Gram, made by workers; a context that keeps the points with them.

    Every product cuts the lower triangle into shares for the workers that are there (kernelfit.solvers.dask.shares). A
    share that was on a worker when it was lost is done by another.

    Parameters
    ----------
    memory : int
        Bytes of inner products that each worker may keep; a check is made without them.

    Attributes
    ----------
    shape : (int, int)
    products : int
    lost : int
        Workers that were there at one product and not at the next.
    """

    shape: tuple[int, int]
    products: int
    lost: int

    def __init__(self, K: Gram, client: Client, *, device: str = "auto", memory: int = 0, progress: Progress):
        self.shape, self._client, self._progress = K.shape, client, progress
        self.products = self.lost = 0
        self._key = f"kernelfit-{uuid.uuid4().hex[:12]}"
        raw = worker.raw_points(K.points)
        self._plugin = worker.PointsOnWorkers(self._key, raw, K.kernel, device, memory)
        self._known: set[str] = set()

    def __enter__(self) -> Self:
        _call(self._client.register_plugin, worker.PointsOfClient(self._key, self._client.id))
        _call(self._client.register_plugin, self._plugin)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._client.status == "running":
            with contextlib.suppress(OSError, ValueError):  # the scheduler is gone, and the points with it
                self._client.unregister_scheduler_plugin(self._key)
                self._client.unregister_worker_plugin(self._key)

    def product(self, V: npt.NDArray[np.float64], *, progress: Progress | None = None) -> npt.NDArray[np.float64]:
        """Return K V for float64 V of shape (n, r)."""
        return self._product(V, False)

    def product_and_norm(
        self, V: npt.NDArray[np.float64], *, progress: Progress | None = None
    ) -> tuple[npt.NDArray[np.float64], float]:
        """Return (K V, |K|_1), every entry made from the points."""
        out = self._product(V, True)
        return np.ascontiguousarray(out[:, :-1]), float(out[:, -1].max())

    def predict(self, points: Points, coef: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return K(points, X) coef, shape (m, r)."""
        parts = np.array_split(worker.raw_points(points), min(len(points), len(self._workers())))
        return np.concatenate(list(self._map(worker.predict, [(part, coef) for part in parts])))

    def _product(self, V, with_sums):
        bounds, shares = cut(len(V), len(self._workers()))
        rows = [worker.rows_of(bounds, share) for share in shares]
        tasks = [(bounds, share, V[part], with_sums) for share, part in zip(shares, rows, strict=True)]
        out = np.zeros((len(V), V.shape[1] + with_sums))
        # In their order, so that the sum has the same bits whichever is ready first.
        for part, result in zip(rows, self._map(worker.multiply, tasks), strict=True):
            out[part] += result
        self.products += 1
        return out

    def _map(self, function, tasks):
        """Yield function(key, *arguments) of each task, in their order."""
        workers = itertools.cycle(self._workers())
        # Vectors travel in the task itself, so that Dask can give it to another worker when the first is lost.
        with dask.config.set({"distributed.admin.large-graph-warning-threshold": 2**60}):
            futures = [
                _call(
                    self._client.submit,
                    function,
                    self._key,
                    *arguments,
                    pure=False,
                    workers=[worker],
                    allow_other_workers=True,
                )
                for arguments, worker in zip(tasks, workers, strict=False)
            ]
        try:
            while futures:
                yield self._result(futures[0])
                futures.pop(0)
        finally:
            for future in futures:
                future.release()

    def _result(self, future):
        alone = time.monotonic()
        while True:
            try:
                # Not future.result(timeout=...), which breaks off a transfer that takes longer.
                with self._client.as_current():
                    _call(wait, [future], timeout=_LOOK)
                return _call(future.result)
            except TimeoutError:
                if _call(self._client.nthreads):
                    alone = time.monotonic()
                elif time.monotonic() - alone > _PATIENCE:
                    raise WorkersLostError(
                        f"no worker has been there for {_PATIENCE:.0f} s. Read their logs and start some; {_GO_ON}"
                    ) from None

    def _workers(self):
        """Return the addresses of the workers that are there, having counted those that no longer are."""
        alone, said = time.monotonic(), False
        if self._client.status == "closed":
            _require_connection(self._client)
        while not (here := sorted(_call(self._client.nthreads))):
            if not said:
                self._progress.note("waiting for a worker")
                said = True
            if time.monotonic() - alone > _PATIENCE:
                raise WorkersLostError(f"no worker came within {_PATIENCE:.0f} s. Start some; {_GO_ON}")
            time.sleep(_LOOK / 10)
        gone = self._known - set(here)
        if gone:
            self.lost += len(gone)
            self._progress.note(f"lost {len(gone)} of {len(self._known)} workers; going on with {len(here)}")
        self._known = set(here)
        return here


def asked(client: Any, function: Callable, *arguments: Any, **options: Any) -> dict[str, Any]:
    """Return {address: what function(...) returned there} of every worker; raises WorkersLostError where none is."""
    _require_connection(client)
    try:
        _call(client.wait_for_workers, 1, timeout=_CALLED)
    except TimeoutError as error:
        raise WorkersLostError(f"no worker was there for {_CALLED:.0f} s. Start some; {_GO_ON}") from error
    return _call(client.run, function, *arguments, **options)


def _require_connection(client):
    if client.status != "running":
        raise WorkersLostError(
            f"the connection to the scheduler is {client.status}: its block `with Dask().opened()` has ended, or the "
            f"scheduler has. Open it again; {_GO_ON}"
        )


def _call(function, *arguments, **options):
    """Call a function of Dask; its failures become ours."""
    try:
        return function(*arguments, **options)
    except KilledWorker as error:
        raise NotEnoughMemoryError(
            f"a share of the matrix was lost with several workers in turn, the last {error.last_worker.address}. The "
            "likely cause is too little memory per worker (their logs say so): give them more, or use fewer per host"
        ) from error
    except CancelledError as error:
        raise WorkersLostError(
            f"the connection to the scheduler was lost. Start it again if it has ended; {_GO_ON}"
        ) from error
    except TimeoutError:
        raise
    except OSError as error:
        raise WorkersLostError(f"the scheduler cannot be reached: {error}; {_GO_ON}") from error
    except ModuleNotFoundError as error:
        raise InputError(
            f"a worker or the scheduler has no module {error.name}: install kernelfit, of one version, everywhere"
        ) from error
