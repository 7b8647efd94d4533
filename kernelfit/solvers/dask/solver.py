"""Conjugate gradients over the workers of a Dask cluster: `kernelfit solve --engine dask`.

The workers make the entries of K in every product, from inner products as far as they have memory to keep them, and
hold none; the vectors and the preconditioner are with the client. See kernelfit.solvers.conjugate_gradients.
"""

import contextlib
import dataclasses
import json
import logging
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Self

from kernelfit import backend
from kernelfit.common.errors import InputError, MissingLibraryError, WorkersLostError
from kernelfit.common.progress import Progress
from kernelfit.common.validation import check_integer, check_path
from kernelfit.grams.matrix import Gram
from kernelfit.solvers.conjugate_gradients import ConjugateGradients
from kernelfit.solvers.protocol import check_system, memory_explained

if TYPE_CHECKING:
    from kernelfit.solvers.dask.factor import DaskFactor

_LOCAL_WORKERS = 4  # at most, unless asked for: each holds a copy of the points
_CONNECT = 30.0  # seconds


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
    client: Any = dataclasses.field(default=None, repr=False, compare=False)

    def __post_init__(self):
        super().__post_init__()
        if self.workers is not None:
            check_integer("workers", self.workers)
        check_path("scheduler", self.scheduler)

    def __getstate__(self):
        return vars(self) | {"client": None}  # connections are not pickled

    @contextlib.contextmanager
    def opened(self) -> Iterator[Self]:
        try:
            from distributed import Client
        except ImportError as error:
            raise MissingLibraryError(f"Dask() needs distributed ({error}): pip install 'kernelfit[dask]'") from error
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
            from kernelfit.solvers.dask.factor import DaskFactor, check_workers
            from kernelfit.solvers.dask.gram import DaskGram

            there, kept = check_workers(solver.client, K, self.outputs, self.worker_device, self.memory)
            progress = progress or Progress()
            products = DaskGram(K, solver.client, device=self.worker_device, memory=kept, progress=progress)
            factor = DaskFactor(K, solver, ridge, stack.enter_context(products), there, kept)
            factor.opened = stack.pop_all()
            return factor


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
    from distributed import LocalCluster

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
