"""The matrix-free engine: conjugate gradients over worker processes of Dask, on this machine.

    python benchmarks/matrix_free.py mnist         n = 20,000 with ridge 1e-3 and 0, with and without preconditioner
    python benchmarks/matrix_free.py efficiency    products by 2 worker processes of one thread against 1
    python benchmarks/matrix_free.py estimate      what `large` would take, from one product and from steps at smaller n
    python benchmarks/matrix_free.py large         n = 100,000 and ridge 1e-2, workers held to 4 GB each

`links.py` has the workers behind slow links that break. Every solve is a process of its own, with worker processes of
one thread each. Needs MNIST (KERNELFIT_DATA) and the extra "dask". Prints Markdown; Records are appended to
results/matrix_free.jsonl.
"""

import argparse
import contextlib
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import common
from common import table

N, LARGE, WORKERS, WORKER_MEMORY = 20_000, 100_000, 2, 4 * 10**9
SMALLER = (10_000, 20_000, 40_000)  # whose steps are extrapolated to LARGE
REPEATS = 5
BARE_PRODUCTS = 12  # of 4,096 x 4,096 pairs: nearly those of a product
STEPS_WITHOUT = 600  # at most, without a preconditioner


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="default: all but large")
    parser.add_argument("--n", type=int, default=LARGE, help="of estimate and large")
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        name, *arguments = options.child
        print(json.dumps(CHILDREN[name](*arguments)))
        return
    common.describe("Matrix-free, over Dask", child("gemm"))
    for part in options.parts or ["mnist", "efficiency", "estimate"]:
        PARTS[part](options.n)


def child(name, *arguments):
    return common.child(__file__, name, *arguments)


# ---- parts ---------------------------------------------------------------------------------------------------------


def mnist(_):
    print(f"\n## MNIST, n = {N:,}, Gaussian kernel of bandwidth 5, {WORKERS} workers of one thread\n")
    header = ["ridge", "rank", "steps", "relative residual", "of the worst output", "norm", "off the direct norm by"]
    table([*header, "error bar, relative", "time", "direct"], map(mnist_row, (0, 1e-3)))
    print("\nWithout a preconditioner:\n")
    for ridge in 0, 1e-3:
        run = child("without", N, ridge)
        print(f"* ridge {ridge:g}, {run['wall']:.0f} s: {run['ended']}")
    print("\nBars: relative residual <= 1e-8, norm to 1e-6 of the direct one.", flush=True)


def mnist_row(ridge):
    run, direct = child("solve", N, ridge), child("direct", N, ridge)
    common.keep("matrix_free.jsonl", [run])
    record, solver = run["record"], run["record"]["solver"]
    return [
        f"{ridge:g}",
        f"{solver['preconditioner']['rank']:,}",
        f"{solver['steps']}",
        f"{record['relative_residual']:.1e}",
        f"{max(solver['residual_per_output']):.1e}",
        f"{record['norm']:.9g}",
        f"{abs(record['norm'] / direct['record']['norm'] - 1):.1e}",
        f"{solver['norm_error'] / record['norm']:.1e} ({solver['norm_error_is']})",
        f"{run['wall']:.0f} s, {common.phases(record['seconds'])}",
        f"{direct['wall']:.0f} s",
    ]


def efficiency(_):
    times = child("efficiency")
    one, two = (statistics.median(times[str(count)]) for count in (1, 2))
    bare_one, bare_two = (statistics.median(times[f"bare {count}"]) for count in (1, 2))
    kept_one, kept_two = (statistics.median(times[f"{count}, kept"]) for count in (1, 2))
    blas_one, blas_two = (statistics.median(times[f"blas {count}"]) for count in (1, 2))
    pairs = (one, two), (bare_one, bare_two), (blas_one, blas_two), (kept_one, kept_two)
    print(f"\n## Products with ten right-hand sides, n = {N:,}, workers of one thread\n")
    table(
        ["workers", "with Dask", "the same shares by bare processes", "inner products alone", "with Dask, these kept"],
        [
            ["1", *(f"{seconds:.2f} s" for seconds in (one, bare_one, blas_one, kept_one))],
            ["2", *(f"{seconds:.2f} s" for seconds in (two, bare_two, blas_two, kept_two))],
            ["ratio (bar 1.8)", *(f"{a / b:.2f}" for a, b in pairs)],
        ],
    )
    print(
        "\nInner products alone are float32 matrix products of bare processes that share nothing: what they fall short "
        "of 2 is the machine's.",
        flush=True,
    )


def estimate(n):
    seconds = child("product", n)["seconds"]
    runs = {size: child("solve", size, 1e-2, 1e-6) for size in SMALLER}
    steps = {size: run["record"]["solver"]["steps"] for size, run in runs.items()}
    (a, first), (b, last) = (min(steps.items()), max(steps.items()))
    slope = math.log(last / first) / math.log(b / a)
    expected = last * (n / b) ** slope
    print(f"\n## What n = {n:,} with ridge 1e-2 to 1e-6 would take\n")
    table(
        ["measure", "value"],
        [
            *[[f"steps at n = {size:,}", f"{count}"] for size, count in steps.items()],
            [f"steps at n = {n:,}, extrapolated as n^{slope:.2f}", f"{expected:.0f}"],
            [f"one product at n = {n:,}", f"{seconds:.1f} s"],
            ["all products", f"{seconds * (expected + 1) / 60:.0f} min"],
        ],
    )


def large(n):
    run = child("large", n)
    common.keep("matrix_free.jsonl", [run])
    record, solver = run["record"], run["record"]["solver"]
    print(f"\n## n = {n:,}: MNIST and images moved by one pixel, {WORKERS} workers held to 4 GB each, ridge 1e-2\n")
    table(
        ["measure", "bar", "measured"],
        [
            ["the matrix in float64, half of it", "", f"{4 * n * n / 1e9:.0f} GB"],
            ["relative residual, recomputed; worst output", "<= 1e-6", f"{max(solver['residual_per_output']):.1e}"],
            ["steps, rank of the preconditioner", "", f"{solver['steps']}, {solver['preconditioner']['rank']:,}"],
            ["norm, relative error at most", "", f"{record['norm']:.7g}, {solver['norm_error'] / record['norm']:.1e}"],
            ["test error", "", f"{record['test_error']:.4f}"],
            ["end to end", "", f"{run['wall'] / 60:.1f} min"],
            ["seconds", "", common.phases(record["seconds"])],
            ["peak of a worker, resident", "<= 4 GB", f"{max(run['worker_peaks']) / 1e9:.2f} GB"],
            ["peak of the client", "", f"{record['peak_bytes'] / 1e9:.2f} GB"],
        ],
    )


# ---- children: each a process of its own ---------------------------------------------------------------------------


def gemm():
    import numpy as np

    from kernelfit.solvers.planning.rates import measure_gemm

    return {"float64": measure_gemm(4096), "float32": measure_gemm(4096, dtype=np.float32)}


def direct(n, ridge):
    return common.solve(data="mnist", bandwidth=5.0, n_train=int(n), ridge=float(ridge), precision="float64")[0]


def solve(n, ridge, tolerance="1e-8", **options):
    return common.solve(
        data="mnist",
        bandwidth=5.0,
        n_train=int(n),
        ridge=float(ridge),
        engine="dask",
        workers=WORKERS,
        tolerance=float(tolerance),
        **options,
    )[0]


def without(n, ridge):
    """Solve without a preconditioner; `ended` tells how that ended."""
    from kernelfit.common.errors import NotConvergedError

    start = time.perf_counter()
    try:
        run = solve(n, ridge, rank=0, steps=STEPS_WITHOUT)
    except NotConvergedError as error:
        return {"ended": str(error).split(". ")[0], "wall": time.perf_counter() - start}
    record = run["record"]
    return {"ended": f"{record['solver']['steps']} steps to {record['relative_residual']:.1e}", "wall": run["wall"]}


def efficiency_child():
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    import numpy as np
    from distributed import Client

    from kernelfit.common.progress import Progress
    from kernelfit.solvers.dask.gram import DaskGram
    from kernelfit.solvers.dask.shares import cut

    K, V = training(N), np.random.default_rng(0).standard_normal((N, 10))
    times = {name: [] for name in ("1", "2", "1, kept", "2, kept", "bare 1", "bare 2", "blas 1", "blas 2")}
    with contextlib.ExitStack() as stack:
        grams, pools = {}, {}
        for count in (1, 2):
            cluster = stack.enter_context(local_cluster(count))
            client = stack.enter_context(Client(cluster, set_as_default=False))
            grams[count] = stack.enter_context(DaskGram(K, client, progress=Progress()))
            grams[f"{count}, kept"] = stack.enter_context(DaskGram(K, client, memory=10**9, progress=Progress()))
            grams[f"{count}, kept"].product(V)
            grams[count].product(V)  # compiles
            pools[count] = stack.enter_context(ProcessPoolExecutor(count, get_context("spawn")))
            list(pools[count].map(bare_start, range(count)))
        for _ in range(REPEATS):
            for count in (1, 2):
                for name in (count, f"{count}, kept"):
                    start = time.perf_counter()
                    grams[name].product(V)
                    times[str(name)].append(time.perf_counter() - start)
                bounds, shares = cut(N, count)
                start = time.perf_counter()
                list(pools[count].map(bare_share, [bounds] * len(shares), shares))
                times[f"bare {count}"].append(time.perf_counter() - start)
                start = time.perf_counter()
                list(pools[count].map(bare_inner_products, [BARE_PRODUCTS // count] * count))
                times[f"blas {count}"].append(time.perf_counter() - start)
    return times


def bare_start(_):
    """Make the points of a bare process, and compile."""
    from kernelfit import backend
    from kernelfit.solvers.dask import worker

    backend.set_threads(1)
    backend.keep_freed_memory()
    worker._GRAMS["bare"] = training(N)
    bare_share([(0, 1024)], [(0, 0)])
    time.sleep(1.0)  # so that each process of the pool gets one


def bare_share(bounds, share):
    import numpy as np

    from kernelfit.solvers.dask import worker

    rows = len(worker.rows_of(bounds, share))
    worker.multiply("bare", bounds, share, np.ones((rows, 10)), False)


def bare_inner_products(count):
    from kernelfit.solvers.dask import worker

    points = worker._GRAMS["bare"].points
    for _ in range(count):
        points.part(0, 4096).inner_products(points.part(4096, 8192))


def product(n):
    """Time one product with the matrix of `large`."""
    import numpy as np
    from distributed import Client

    from kernelfit.common.progress import Progress
    from kernelfit.solvers.dask.gram import DaskGram

    n = int(n)
    K, V = training(n), np.random.default_rng(0).standard_normal((n, 10))
    with (
        local_cluster(WORKERS) as cluster,
        Client(cluster, set_as_default=False) as client,
        DaskGram(K, client, progress=Progress()) as shared,
    ):
        shared.product(V[:, :1])  # compiles
        start = time.perf_counter()
        shared.product(V)
        return {"seconds": time.perf_counter() - start}


def local_cluster(workers):
    from distributed import LocalCluster

    return LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address="127.0.0.1:0", memory_limit=0)


def large_child(n):
    import numpy as np

    with tempfile.TemporaryDirectory() as folder, limited_workers(folder) as (address, peaks):
        X, y, X_test, y_test = mnist_and_moved(int(n))
        path = Path(folder) / "mnist-and-moved.npz"
        np.savez(path, X_train=X, y_train=y, X_test=X_test, y_test=y_test)
        del X, y
        options = {"engine": "dask", "scheduler": address, "workers": WORKERS, "tolerance": 1e-6, "scratch": folder}
        run, _ = common.solve(data=str(path), bandwidth=5.0, ridge=1e-2, **options)
        run["worker_peaks"] = peaks()
    run["record"] = json.loads(json.dumps(run["record"]).replace(folder, "$BENCH_SCRATCH"))
    return run


@contextlib.contextmanager
def limited_workers(folder):
    """Yield (address of a scheduler, a function that returns the peak memory of its workers)."""
    import resource

    from distributed import Client

    def held():
        resource.setrlimit(resource.RLIMIT_AS, (WORKER_MEMORY, WORKER_MEMORY))

    place = Path(folder) / "scheduler.json"
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    python = [sys.executable, "-m"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": environment}
    files = ["--scheduler-file", str(place)]
    scheduler = [*python, "distributed.cli.dask_scheduler", *files, "--port", "0", "--no-dashboard"]
    worker = [*python, "distributed.cli.dask_worker", *files, "--nthreads", "1", "--no-nanny", "--no-dashboard"]
    processes = [subprocess.Popen(scheduler, **quiet)]
    try:
        while not place.exists():
            time.sleep(0.1)
        limits = ["--memory-limit", str(WORKER_MEMORY), "--local-directory", folder]
        processes += [subprocess.Popen([*worker, *limits], preexec_fn=held, **quiet) for _ in range(WORKERS)]

        def peaks():
            from kernelfit import backend

            with Client(scheduler_file=str(place), set_as_default=False) as client:
                return list(client.run(backend.peak_memory).values())

        yield json.loads(place.read_text())["address"], peaks
    finally:
        for process in reversed(processes):
            process.terminate()
            process.wait()


def training(n):
    from kernelfit import datasets
    from kernelfit.grams.matrix import gram
    from kernelfit.kernels import Gaussian

    X = datasets.load("mnist", n_train=n).X_train if n < 60_000 else mnist_and_moved(n)[0]
    return gram(X, Gaussian(5.0))


def mnist_and_moved(n):
    """Return MNIST with its first images once more, moved by one pixel, up to n of them; and its test set."""
    import numpy as np

    from kernelfit import datasets

    data = datasets.load("mnist")
    moved = np.roll(data.X_train[: n - len(data.X_train)], 1, axis=2)
    y = np.concatenate([data.y_train, data.y_train[: len(moved)]])
    return np.concatenate([data.X_train, moved]), y, data.X_test, data.y_test


PARTS = {"mnist": mnist, "efficiency": efficiency, "estimate": estimate, "large": large}
CHILDREN = {
    "gemm": gemm,
    "direct": direct,
    "solve": solve,
    "without": without,
    "efficiency": efficiency_child,
    "product": product,
    "large": large_child,
}

if __name__ == "__main__":
    main()
