"""A factor over the workers of a Dask cluster, and whether they can make it; needs the library distributed."""

import collections
import contextlib
import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt
from distributed import Client

from kernelfit import __version__, backend
from kernelfit.common.errors import InputError, NotEnoughMemoryError
from kernelfit.common.progress import Progress
from kernelfit.common.quantities import format_bytes
from kernelfit.grams.matrix import Gram
from kernelfit.solvers.conjugate_gradients import ConjugateGradientsFactor
from kernelfit.solvers.dask import worker
from kernelfit.solvers.dask.gram import DaskGram, asked

_TILES = 300_000_000  # bytes of a worker beside points and vectors: libraries, compiled passes, tiles


class DaskFactor(ConjugateGradientsFactor):
    """K + ridge I as something that workers multiply with.

    Attributes
    ----------
    opened : ExitStack
        What is closed with the factor.
    """

    solver: Any  # a Dask that is open
    operator: DaskGram
    opened: contextlib.ExitStack

    def __init__(
        self, K: Gram, solver: Any, ridge: float, products: DaskGram, there: dict[str, dict[str, Any]], kept: int
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


def check_workers(
    client: Client, K: Gram, r: int, device: str, limit: int | None = None
) -> tuple[dict[str, dict[str, Any]], int]:
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
