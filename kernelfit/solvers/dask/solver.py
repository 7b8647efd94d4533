"""Conjugate gradients over the workers of a Dask cluster: `kernelfit solve --engine dask`.

The workers make the entries of K in every product, from inner products as far as they have memory to keep them, and
hold none; the vectors and the preconditioner are with the client. See kernelfit.solvers.matrix_free for the method.
"""

import collections
import importlib.metadata
import json
import logging

import numpy as np
from distributed import Client, LocalCluster

from kernelfit import backend
from kernelfit.common.errors import InputError, NotEnoughMemoryError, WorkersLostError
from kernelfit.common.files import sha256
from kernelfit.common.progress import Progress
from kernelfit.common.quantities import format_bytes
from kernelfit.common.stopwatch import Stopwatch
from kernelfit.solvers.checkpoint import Checkpoint
from kernelfit.solvers.dask import worker
from kernelfit.solvers.dask.gram import DaskGram
from kernelfit.solvers.engine import Answer, Engine
from kernelfit.solvers.low_rank import planned_rank, precondition
from kernelfit.solvers.matrix_free import STEPS, TOLERANCE, rank_of_state, solve_matrix_free

_LOCAL_WORKERS = 4  # at most, unless asked for: each holds a copy of the points
_CONNECT = 30.0  # seconds
_TILES = 300_000_000  # bytes of a worker beside points and vectors: libraries, compiled passes, tiles


class DaskEngine(Engine):
    """The workers of a scheduler, or of a cluster of processes on this machine.

    Parameters
    ----------
    scheduler : str, optional
        As in "tcp://host:8786", or the file that `dask scheduler --scheduler-file` wrote; a cluster of its own unless
        given.
    workers : int, optional
        Processes of that cluster; with a scheduler, how many to wait for.
    device : str
        Of the workers: "auto", "cpu" or "cuda".
    memory : int, optional
        Bytes that this process uses at most.
    tolerance : float, optional
        Of the recomputed relative residual of every right-hand side.
    rank : int, optional
        Of the preconditioner; planned from memory unless given, 0 for none.
    steps : int, optional
        At most.
    scratch : path, optional
        Folder for the state, to go on with by `resume`.
    seed : int
        Of the pivots of the preconditioner.
    """

    def __init__(
        self,
        *,
        scheduler=None,
        workers=None,
        device="auto",
        memory=None,
        tolerance=None,
        rank=None,
        steps=None,
        scratch=None,
        resume=False,
        seed=0,
    ):
        self.scheduler, self.workers, self.device, self.memory = scheduler, workers, device, memory
        self.tolerance, self.rank, self.steps = tolerance or TOLERANCE, rank, steps or STEPS
        self.scratch, self.resume, self.seed = scratch, resume, seed
        self._cluster = self._client = None

    def __enter__(self):
        try:
            if self.scheduler is None:
                self._cluster = _local_cluster(self.workers)
            address = self.scheduler or self._cluster.scheduler_address
            self._client = Client(_address(address), timeout=_CONNECT, set_as_default=False)
            self._client.wait_for_workers(self.workers or 1, timeout=_CONNECT)
        except (OSError, TimeoutError, ValueError, KeyError) as error:
            self.__exit__(None, None, None)
            raise WorkersLostError(
                f"--scheduler {self.scheduler}: {error or 'no answer'} within {_CONNECT:.0f} s. Likely causes: (a) no "
                "scheduler there (`dask scheduler` prints its address); (b) a firewall; (c) fewer workers than "
                f"{self.workers or 1} have joined (`dask worker {self.scheduler}`); (d) another version of Dask there"
            ) from error
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind, error, traceback):
        for opened in (self._client, self._cluster):
            if opened is not None:
                opened.close()

    def solve(self, K, K_test, Y, *, ridge, progress=None):
        progress, client, watch = progress or Progress(), self._client, Stopwatch()
        there, kept = _check_workers(client, K, Y.shape[1], self.device)
        method = f"block conjugate gradients on {len(there)} worker{'s' * (len(there) != 1)}"
        checkpoint = self._checkpoint(K, Y, ridge)
        try:
            rank = self._rank(K, checkpoint)
            progress.note(f"{method}, preconditioner of rank {rank:,}")
            with watch("precondition"):
                M = precondition(K, rank, ridge=ridge, seed=self.seed, progress=progress)
            options = {"ridge": ridge, "tolerance": self.tolerance, "steps": self.steps, "progress": progress}
            with DaskGram(K, client, device=self.device, memory=kept, progress=progress) as shared:
                done = solve_matrix_free(shared, Y, M, checkpoint=checkpoint, **options)
                with watch("predict"):
                    scores = shared.predict(K_test.left, done.coef)
                peaks = client.run(backend.peak_memory, on_error="ignore").values()
        finally:
            if checkpoint is not None:
                checkpoint.close()
        watch.add(done.seconds)
        return Answer(
            coef=done.coef,
            check=done.check,
            energy=(Y, done.coef),
            scores=scores,
            ridge=ridge,
            method=method,
            precision="float64",
            report=_report(done, M, self.tolerance)
            | {"products": shared.products, "workers": len(there), "workers_lost": shared.lost, "kept_bytes": kept},
            seconds=watch.seconds,
            peak_bytes=max(backend.peak_memory(), *peaks),
            device="cuda" if any(worker["device"] == "cuda" for worker in there.values()) else "cpu",
        )

    def _rank(self, K, checkpoint):
        """Return the rank that was asked for, that of the state to go on with, or what memory allows."""
        if self.rank is not None:
            return self.rank
        if checkpoint is not None and checkpoint.found:
            return rank_of_state(checkpoint)
        # The other half is for workers on this host.
        return planned_rank(K.shape[0], K.points.d, min(backend.free_memory() // 2, self.memory or np.inf))

    def _checkpoint(self, K, Y, ridge):
        if self.scratch is None:
            return None
        identity = {"n": len(Y), "ridge": ridge, "matrix": K.fingerprint(), "targets": sha256(np.ascontiguousarray(Y))}
        return Checkpoint(self.scratch, identity, resume=self.resume)


def _address(text):
    """Return the address of a scheduler, itself or in the file that it wrote."""
    if "://" in text:
        return text
    with open(text, encoding="utf-8") as file:
        return json.load(file)["address"]


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


def _check_workers(client, K, r, device):
    """Return (what the workers say of themselves, bytes of inner products that each may keep).

    Raises where one cannot do its work. Beyond half of what a worker may use, Dask would soon call it short of memory.
    """
    try:
        there = client.run(worker.describe, device)
    except ModuleNotFoundError as error:
        raise InputError(f"a worker has no module {error.name}: install kernelfit on every host of a worker") from error
    version = importlib.metadata.version("kernelfit")
    n, d = K.shape[0], K.points.d
    # As they came and as they are used, and a vector and its product, whole and in part.
    needed = n * d * (1 + 4 if K.points.exact else 2 * 8) + 8 * 4 * n * r + _TILES
    hosts = collections.Counter(_host(address) for address in there)
    kept = np.inf
    for address, told in there.items():
        if told["version"] != version:
            raise InputError(f"worker {address} has kernelfit {told['version']}, this is {version}: install one")
        memory = min(told["free"] // hosts[_host(address)], told["limit"] or told["free"])
        if memory < needed:
            raise NotEnoughMemoryError(
                f"worker {address} may use {format_bytes(memory)}, and needs {format_bytes(needed)} for n = {n:,} "
                f"points of {d:,} coordinates; its host has {hosts[_host(address)]} workers. Give it more "
                "(--memory-limit of dask worker), or use fewer workers per host, each with more threads"
            )
        kept = min(kept, max(0, memory // 2 - needed))
    return there, int(kept)


def _host(address):
    return address.rpartition(":")[0]


def _report(done, M, tolerance):
    return {
        "engine": "dask",
        "precision": "float64",
        "reason": "the only one of this engine",
        "shift": 0.0,
        "breakdowns": [],
        "fallback": None,
        "steps": len(done.residuals),
        "residuals": done.residuals,
        "residual_per_output": done.residual_per_output,
        "tolerance": tolerance,
        "norm_error": done.norm_error,
        "norm_error_is": done.norm_error_is,
        "preconditioner": {"rank": M.rank, "shift": M.shift},
        "restarts": done.restarts,
        "resumed_steps": done.resumed_steps,
    }
