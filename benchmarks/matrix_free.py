"""The matrix-free engine: conjugate gradients over worker processes of Dask, each of one thread."""

import contextlib
import functools
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.experiments import enlarged, gram_of, saved, settings, solve
from benchmarks.runner import Table, apart, at_least, at_most, case, figure, measures, of, phases, ratio, rounds, timed

SMOKE = {"data": "digits", "bandwidth": 1.0}
WORKERS, TILE = 2, 4096


@case(
    targets={"of the worst output": at_most(1e-8), "norm off by": at_most(1e-6)},
    smoke=SMOKE | {"n": 300, "ridges": (1e-3,), "steps": 5},
)
def dask(data="mnist", n=20_000, bandwidth=5.0, ridges=(0.0, 1e-3), steps=600):
    """Conjugate gradients over two workers beside the direct solve, and without a preconditioner for 600 steps."""
    rows = []
    for ridge in ridges:
        options = settings(data, n, bandwidth, ridge=ridge)
        ours = options | {"engine": "dask", "workers": WORKERS}
        run, direct = apart(solve, ours), apart(solve, options | {"precision": "float64"})
        solver, norm = run["solver"], run["norm"]
        rows.append(
            {
                "ridge": f"{ridge:g}",
                "rank": f"{solver['preconditioner']['rank']:,}",
                "steps": str(solver["steps"]),
                "residual": figure(run["relative_residual"], digits=2),
                "of the worst output": figure(max(solver["residual_per_output"]), digits=2),
                "norm": figure(norm, digits=9),
                "norm off by": figure(abs(norm / direct["norm"] - 1), digits=2),
                f"error of the norm, {solver['norm_error_is']}": figure(solver["norm_error"] / norm, digits=2),
                "whole process": figure(run["wall"], "s"),
                "direct": figure(direct["wall"], "s"),
                "time / direct": figure(run["wall"] / direct["wall"]),
                "seconds": phases(run["seconds"]),
                f"without a preconditioner, {steps} steps": apart(without, ours | {"rank": 0, "steps": steps}),
            }
        )
    yield Table(f"n = {n:,} of {data}, {WORKERS} workers", rows)


def without(options):
    from kernelfit.common.errors import NotConvergedError

    try:
        run, seconds = timed(solve, options)
    except NotConvergedError as error:
        return str(error).split(". ")[0]
    return f"{run['solver']['steps']} steps to {run['relative_residual']:.1e} in {seconds:.0f} s"


@case(targets={"with Dask: two workers, as fast": at_least(1.8)}, smoke=SMOKE | {"n": 1200, "repeats": 1})
def dask_workers(data="mnist", n=20_000, bandwidth=5.0, repeats=5):
    """Products with ten right-hand sides by two workers against one, beside bare processes with the same shares.

    Inner products alone are float32 matrix products of bare processes that share nothing: what they fall short of 2 is
    the machine's.
    """
    found = apart(products, data, n, bandwidth, repeats)
    rows = []
    for name in ("with Dask", "with Dask, inner products kept", "bare processes", "inner products alone"):
        one, two = (figure(found[f"{name} {count}"], "s") for count in (1, 2))
        rows.append({"products": name, "one worker": one, "two": two, "two workers, as fast": ratio(one, two)})
    yield Table(f"n = {n:,} of {data}", rows)


def products(data, n, bandwidth, repeats):
    """Return the seconds of each way by one and by two processes, in turn."""
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    from kernelfit.solvers.dask.shares import cut

    V = np.random.default_rng(0).standard_normal((n, 10))
    with contextlib.ExitStack() as stack:
        ways = {}
        for count in (1, 2):
            for name, memory in (("", 0), (", inner products kept", 10**9)):
                shared = stack.enter_context(shared_gram(gram_of(data, n, bandwidth), count, memory))
                ways[f"with Dask{name} {count}"] = functools.partial(shared.product, V)
                shared.product(V)  # compiles, and keeps
            pool = stack.enter_context(ProcessPoolExecutor(count, get_context("spawn")))
            list(pool.map(bare_start, [(data, n, bandwidth)] * count))
            bounds, shares = cut(n, count)
            tasks = [[bounds] * len(shares), shares]
            ways[f"bare processes {count}"] = lambda pool=pool, tasks=tasks: list(pool.map(bare_share, *tasks))
            # Twelve pairs of tiles are nearly those of a product at n = 20,000.
            ways[f"inner products alone {count}"] = lambda pool=pool, count=count: list(
                pool.map(bare_inner_products, [12 // count] * count)
            )
        found = rounds(repeats, {name: functools.partial(timed, way) for name, way in ways.items()})
    return {name: [seconds for _, seconds in runs] for name, runs in found.items()}


def bare_start(problem):
    """Make the points of a bare process, and compile."""
    from kernelfit import backend
    from kernelfit.solvers.dask import worker

    backend.set_threads(1)
    backend.keep_freed_memory()
    worker._GRAMS["bare"] = gram_of(*problem)
    bare_share([(0, 1024)], [(0, 0)])
    time.sleep(1.0)  # so that each process of the pool gets one


def bare_share(bounds, share):
    from kernelfit.solvers.dask import worker

    rows = len(worker.rows_of(bounds, share))
    worker.multiply("bare", bounds, share, np.ones((rows, 10)), False)


def bare_inner_products(count):
    from kernelfit.solvers.dask import worker

    points = worker._GRAMS["bare"].points
    half = min(TILE, len(points) // 2)
    for _ in range(count):
        points.part(0, half).inner_products(points.part(half, 2 * half))


@case(smoke=SMOKE | {"n": 600, "sizes": (200, 400)})
def dask_estimate(data="mnist", n=100_000, bandwidth=5.0, sizes=(10_000, 20_000, 40_000), ridge=1e-2, tolerance=1e-6):
    """What dask_large would take, from one product and from the steps at smaller n."""
    seconds, steps = apart(one_product, data, n, bandwidth), {}
    for size in sizes:
        options = settings(data, size, bandwidth, ridge=ridge, tolerance=tolerance, engine="dask", workers=WORKERS)
        steps[size] = apart(solve, options)["solver"]["steps"]
    (a, first), (b, last) = min(steps.items()), max(steps.items())
    slope = math.log(last / first) / math.log(b / a)
    expected = last * (n / b) ** slope
    rows = {f"steps at n = {size:,}": str(count) for size, count in steps.items()}
    rows |= {f"steps at n = {n:,}, extrapolated as n^{slope:.2f}": figure(expected)}
    rows |= {"one product": figure(seconds, "s"), "all products": figure(seconds * (expected + 1) / 60, "min")}
    yield measures(f"n = {n:,}, ridge {ridge:g} to {tolerance:g}", rows)


def one_product(data, n, bandwidth):
    V = np.random.default_rng(0).standard_normal((n, 10))
    with shared_gram(gram_of(data, n, bandwidth), WORKERS) as shared:
        shared.product(V[:, :1])  # compiles
        return timed(shared.product, V)[1]


@case(
    targets={"residual of the worst output": at_most(1e-6), "peak of a worker, resident": at_most(4)},
    smoke=SMOKE | {"n": 1600},
)
def dask_large(data="mnist", n=100_000, bandwidth=5.0, ridge=1e-2, tolerance=1e-6, memory=4 * 10**9):
    """More points than a square of 40 GB, two workers held to 4 GB each."""
    with tempfile.TemporaryDirectory() as folder, workers(WORKERS, folder, memory) as (address, _):
        path = saved(enlarged(data, n), Path(folder) / "enlarged.npz")
        options = {"engine": "dask", "scheduler": address, "workers": WORKERS, "tolerance": tolerance}
        options |= settings(path, None, bandwidth, ridge=ridge, scratch=folder)
        run = apart(solve, options, BENCH_SCRATCH=folder)
        peaks = worker_peaks(address)
    solver = run["solver"]
    rows = {
        "half of the matrix in float64": figure(4 * n * n, "GB", scale=1e9),
        "residual of the worst output": figure(max(solver["residual_per_output"]), digits=2),
        "steps, rank of the preconditioner": f"{solver['steps']}, {solver['preconditioner']['rank']:,}",
        "norm": figure(run["norm"], digits=7),
        "relative error of the norm, at most": figure(solver["norm_error"] / run["norm"], digits=2),
        "test error": of([run], "test_error"),
        "whole process": figure(run["wall"] / 60, "min"),
        "seconds": phases(run["seconds"]),
        "peak of a worker, resident": figure(max(peaks), "GB", scale=1e9),
        "peak of the client": figure(run["peak_bytes"], "GB", scale=1e9),
    }
    yield measures(f"n = {n:,}, {WORKERS} workers held to {memory / 1e9:g} GB each, ridge {ridge:g}", rows)


# ---- clusters ------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def workers(count, folder, memory=0, inside=lambda host: [], address=lambda host: "127.0.0.1"):
    """Start a scheduler and workers of one thread; yields (address of the scheduler, processes of the workers).

    `memory` is the most address space of each, in bytes. inside(host) and address(host) are how a command is run on a
    host, and its address; the scheduler is on host 0.
    """
    import resource

    def held():
        if memory:
            resource.setrlimit(resource.RLIMIT_AS, (memory, memory))

    place = Path(folder) / "scheduler.json"
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": environment, "cwd": folder}
    shared = ["--scheduler-file", str(place), "--no-dashboard"]

    def start(module, host, *words, **options):
        command = [*inside(host), sys.executable, "-m", f"distributed.cli.{module}", *shared, "--host", address(host)]
        return subprocess.Popen([*command, *words], **options, **quiet)

    processes = [start("dask_scheduler", 0, "--port", "0")]
    try:
        while not place.exists():
            time.sleep(0.1)
        words = ["--nthreads", "1", "--no-nanny", "--memory-limit", str(memory), "--local-directory", folder]
        processes += [start("dask_worker", host, *words, preexec_fn=held) for host in range(1, 1 + count)]
        yield json.loads(place.read_text())["address"], processes[1:]
    finally:
        for process in reversed(processes):
            process.kill()
            process.wait()


@contextlib.contextmanager
def shared_gram(K, count, memory=0):
    """Yield the DaskGram of K over `count` workers of this machine."""
    from distributed import Client

    from kernelfit.common.progress import Progress
    from kernelfit.solvers.dask.gram import DaskGram

    with (
        tempfile.TemporaryDirectory() as folder,
        workers(count, folder) as (address, _),
        Client(address, set_as_default=False) as client,
    ):
        client.wait_for_workers(count)
        options = {"memory": memory} if memory else {}
        with DaskGram(K, client, progress=Progress(), **options) as shared:
            yield shared


def worker_peaks(address):
    from distributed import Client

    from kernelfit import backend

    with Client(address, set_as_default=False) as client:
        return list(client.run(backend.peak_memory).values())
