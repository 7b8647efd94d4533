"""Conjugate gradients over the workers of a Dask cluster: `kernelfit solve --engine dask`.

The workers make the entries of K in every product, from inner products as far as they have memory to keep them, and
hold none; the vectors and the preconditioner are with the client. See kernelfit.solvers.conjugate_gradients.
"""

import collections
import contextlib
import dataclasses
import json
import logging
import re
from collections.abc import Iterator
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from distributed import Client, LocalCluster

from kernelfit import __version__, backend
from kernelfit.common.errors import InputError, NotEnoughMemoryError, WorkersLostError
from kernelfit.common.progress import Progress
from kernelfit.common.quantities import format_bytes
from kernelfit.common.validation import check_integer, check_path
from kernelfit.grams.matrix import Gram
from kernelfit.solvers.conjugate_gradients import ConjugateGradients, ConjugateGradientsFactor
from kernelfit.solvers.dask import worker
from kernelfit.solvers.dask.gram import DaskGram, asked
from kernelfit.solvers.protocol import check_system, memory_explained

_LOCAL_WORKERS = 4  # at most, unless asked for: each holds a copy of the points
_CONNECT = 30.0  # seconds
_TILES = 300_000_000  # bytes of a worker beside points and vectors: libraries, compiled passes, tiles


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dask(ConjugateGradients):
    """Conjugate gradients whose products are made by the workers of a scheduler, or of processes on this machine.

    Parameters
    ----------
    scheduler : str, optional
        As in "tcp://host:8786", or the file that `dask scheduler --scheduler-file` wrote; a cluster of its own unless
        given.
    workers : int, optional
        Processes of that cluster; with a scheduler, how many to wait for.
    worker_device : str
        Where workers compute: "auto", "cpu" or "cuda".
    client : distributed.Client or None
        The connection, where the solver is open.
    tolerance, rank, steps, memory, scratch, resume, seed
        As for ConjugateGradients.
    """

    scheduler: str | None = None
    workers: int | None = None
    worker_device: str = "auto"
    client: Client | None = dataclasses.field(default=None, repr=False, compare=False)

    def __post_init__(self):
        super().__post_init__()
        if self.workers is not None:
            check_integer("workers", self.workers)
        check_path("scheduler", self.scheduler)

    def __getstate__(self):
        return vars(self) | {"client": None}  # connections are not pickled

    @contextlib.contextmanager
    def opened(self) -> Iterator[Self]:
        address = None if self.scheduler is None else _address(str(self.scheduler))
        with contextlib.ExitStack() as stack:
            try:
                if address is None:
                    address = stack.enter_context(_local_cluster(self.workers)).scheduler_address
                client = Client(address, timeout=_CONNECT, set_as_default=False)
                stack.callback(client.close)
                client.wait_for_workers(self.workers or 1, timeout=_CONNECT)
            except (OSError, TimeoutError, ValueError, KeyError) as error:
                raise WorkersLostError(
                    f"`scheduler` {self.scheduler}: {error or 'no answer'} within {_CONNECT:.0f} s. Likely causes: (a) "
                    "no scheduler there (`dask scheduler` prints its address); (b) a firewall; (c) fewer workers than "
                    f"{self.workers or 1} have joined (`dask worker {self.scheduler}`); (d) another version of Dask "
                    "there"
                ) from error
            yield dataclasses.replace(self, client=client)

    @memory_explained()
    def factor(self, K: Gram, *, ridge: float = 0.0, progress: Progress | None = None) -> "DaskFactor":
        ridge = check_system(K, ridge, elsewhere=True)
        with contextlib.ExitStack() as stack:
            solver = self if self.client else stack.enter_context(self.opened())
            assert solver.client is not None
            there, kept = _check_workers(solver.client, K, self.outputs, self.worker_device, self.memory)
            options = {"device": self.worker_device, "memory": kept, "progress": progress or Progress()}
            products = DaskGram(K, solver.client, **options)
            factor = DaskFactor(K, solver, ridge, stack.enter_context(products), there, kept)
            factor.opened = stack.pop_all()
            return factor


class DaskFactor(ConjugateGradientsFactor):
    """K + ridge I as something that workers multiply with.

    Attributes
    ----------
    opened : ExitStack
        What is closed with the factor.
    """

    solver: Dask
    operator: DaskGram
    opened: contextlib.ExitStack

    def __init__(
        self, K: Gram, solver: Dask, ridge: float, products: DaskGram, there: dict[str, dict[str, Any]], kept: int
    ):
        method = f"block conjugate gradients on {len(there)} worker{'s' * (len(there) != 1)}"
        found = {"engine": "dask", "workers": len(there), "kept_bytes": kept, "workers_lost": 0, "products": 0}
        super().__init__(K, solver, ridge=ridge, method=method, operator=products, report=found)
        self.device = "cuda" if any(worker["device"] == "cuda" for worker in there.values()) else "cpu"

    def predict(
        self, K_test: Gram, coef: npt.NDArray[np.float64], *, progress: Progress | None = None
    ) -> npt.NDArray[np.float64]:
        if self.closed or not self.K.is_of(K_test):
            return super().predict(K_test, coef, progress=progress)
        return self.operator.predict(K_test.left, coef)

    def peak_memory(self) -> int:
        peaks = asked(self.solver.client, backend.peak_memory, on_error="ignore").values()
        return max(backend.peak_memory(), *peaks)

    def _release(self, error: BaseException | None) -> None:
        super()._release(error)
        self.opened.close()

    def _solve(self, Y, watch, progress):
        try:
            solution = super()._solve(Y, watch, progress)
        finally:
            self.report |= {"products": self.operator.products, "workers_lost": self.operator.lost}
        return dataclasses.replace(solution, report=solution.report | self.report)


def _address(text):
    """Return the address of a scheduler, itself or in the file that it wrote."""
    if "://" in text:
        return text
    if re.fullmatch(r"[^/]+:\d+", text):
        return f"tcp://{text}"
    try:
        with open(text, encoding="utf-8") as file:
            return json.load(file)["address"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"`scheduler` {text} is neither an address such as tcp://host:8786 nor the file of a scheduler: {error}"
        ) from error


def _local_cluster(workers):
    cores = backend.num_threads()
    workers = workers or min(_LOCAL_WORKERS, cores)
    return LocalCluster(
        n_workers=workers,
        threads_per_worker=max(1, cores // workers),
        processes=True,
        dashboard_address="127.0.0.1:0",
        memory_limit=0,  # what a worker takes is known, and checked
        silence_logs=logging.CRITICAL,
    )


def _check_workers(client, K, r, device, limit=None):
    """Return (what the workers say of themselves, bytes of inner products that each may keep).

    Raises where one cannot do its work, with the memory that is free on its host, or with the limit, if that is less.
    Beyond half of what a worker may use, Dask would soon call it short of memory.
    """
    there = asked(client, worker.describe, device)
    version = __version__
    n, d = K.shape[0], K.points.d
    # As they came and as they are used, and a vector and its product, whole and in part.
    needed = n * d * (1 + 4 if K.points.exact else 2 * 8) + 8 * 4 * n * r + _TILES
    sharing = collections.Counter((_host(address), told["number"]) for address, told in there.items())
    kept = np.inf
    for address, told in there.items():
        if told["version"] != version:
            raise InputError(f"worker {address} has kernelfit {told['version']}, this is {version}: install one")
        workers, wanted = sharing[_host(address), told["number"]], needed + told["fixed"]
        free = min(told["free"], limit or told["free"])
        memory = min(free // workers, told["limit"] or free)
        if memory < wanted:
            place = "host" if told["number"] is None else "GPU"
            raise NotEnoughMemoryError(
                f"worker {address} may use {format_bytes(memory)}, and needs {format_bytes(wanted)} for n = {n:,} "
                f"points of {d:,} coordinates; its {place} has {workers} workers. Give it more "
                "(the memory limit of dask worker), or use fewer workers per host, each with more threads"
            )
        kept = min(kept, max(0, memory // 2 - wanted))
    return there, int(kept)


def _host(address):
    return address.rpartition(":")[0]
