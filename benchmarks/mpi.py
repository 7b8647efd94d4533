"""The engine over MPI on one machine: two processes of one thread against one process of two threads.

    python benchmarks/mpi.py                    n = 20,000, three times each: ten minutes on 2 cores
    python benchmarks/mpi.py --n 8000 --runs 1  the same in a minute
    python benchmarks/mpi.py --blocks           blocks and grids, and ScaLAPACK's own pdpotrf beside our factorisation

Float64 on MNIST with a Gaussian kernel of bandwidth 5, predictions of 10,000 test points included. Needs MNIST
(KERNELFIT_DATA), mpiexec, and a core for each process. Prints Markdown.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import common

PROCESSES = 2
SLOWER, LARGER = 1.3, 1.2  # the bars


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=20_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--blocks", action="store_true")
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        name, *arguments = options.child
        found = {"rates": rates, "factors": factors}[name](*map(int, arguments))
        if found is not None:  # None in processes that follow
            print(json.dumps(found))
        return
    common.describe("One Cholesky factor over MPI, on one machine", {})
    found = mpiexec(PROCESSES, __file__, "--child", "rates")[0]
    print(f"\nMatrix products, {PROCESSES} processes at once, each on one thread, GFLOP/s:\n")
    common.table(["", "OpenBLAS of SciPy", "MKL"], [[name, *map(_rate, row)] for name, row in found.items()])
    if options.blocks:
        blocks()
    else:
        compare(options.n, options.runs)


def compare(n, runs):
    """The whole command, alone and over MPI, in turn."""
    place = tempfile.TemporaryDirectory()
    command = ["-m", "kernelfit.cli", "solve", "--data", "mnist", "--n-train", str(n), "--bandwidth", "5"]
    command += ["--precision", "float64", "--json", "--quiet", "--runs", place.name]
    alone, team = [], []
    for _ in range(runs):
        alone.append(timed([sys.executable, *command], threads=PROCESSES))
        team.append(timed([*launcher(PROCESSES), sys.executable, *command, "--engine", "mpi"], threads=1))
    one, many = alone[0]["record"], team[0]["record"]
    ratios = [b["wall"] / a["wall"] for a, b in zip(alone, team, strict=True)]
    print(f"\n## MNIST, n = {n:,}: one process on {PROCESSES} threads, {PROCESSES} processes on one thread each\n")
    common.table(
        ["", "one process", f"{PROCESSES} processes"],
        [
            ["whole command, s", *(common.spread([run["wall"] for run in group]) for group in (alone, team))],
            *(
                [f"{name}, s", *(common.spread([run["record"]["seconds"].get(name, 0.0) for run in group])
                for group in (alone, team))]
                for name in ("gram", "factor", "solve", "check", "condition", "predict", "total")
            ),
            ["factorisation, GFLOP/s", *(common.spread([run["record"]["gflops"] for run in g]) for g in (alone, team))],
            ["test error", *(f"{100 * record['test_error']:.2f} %" for record in (one, many))],
            ["norm, 0/1 targets", *(f"{record['norm']:.9g}" for record in (one, many))],
            ["relative residual", *(f"{record['relative_residual']:.1e}" for record in (one, many))],
            ["condition estimate", *(f"{record['condition_estimate']:.9g}" for record in (one, many))],
        ],
    )  # fmt: skip
    print(f"\nWhole command over MPI / alone: {common.spread(ratios)}, bar {SLOWER}.")
    matrix, points = 8 * n * n / PROCESSES, 4 * (n + 10_000) * many["d"]
    peaks = [max(run["record"]["solver"]["peaks"][k] for run in team) for k in range(PROCESSES)]
    print(f"Share of a process: {matrix / 1e9:.2f} GB of the matrix, all of it and not half, and {points / 1e9:.2f} GB")
    print(f"of points (training and test, float32). Peak resident memory, by process: {_sizes(peaks)}, that is")
    print(f"{', '.join(f'{peak / (matrix + points):.2f}' for peak in peaks)} of the share, bar {LARGER};")
    grid = " x ".join(map(str, many["solver"]["grid"]))
    print(f"grid {grid}, blocks of {many['solver']['block']}. One process alone: {one['peak_bytes'] / 1e9:.2f} GB.")


def blocks():
    """Our factorisation by block and grid, and pdpotrf of the same matrix."""
    rows = []
    for grid in ((1, PROCESSES), (PROCESSES, 1)):
        for block in (64, 128, 192, 256, 384, 512, 768):
            found = mpiexec(PROCESSES, __file__, "--child", "factors", "8000", *map(str, grid), str(block))[0]
            rows.append([f"{grid[0]} x {grid[1]}", str(block), *(f"{found[name]:.0f}" for name in ("ours", "pdpotrf"))])
    print("\n## Factorisation, n = 8,000, GFLOP/s, the better of two\n")
    common.table(["grid", "block", "ours", "pdpotrf"], rows)


def rates():
    """Matrix-product rates of OpenBLAS and of MKL in every process at once, in the leader."""
    import numpy as np
    from mpi4py import MPI

    from kernelfit.backend.scalapack import multiply, open_scalapack
    from kernelfit.solvers.planning.rates import measure_gemm

    open_scalapack()
    world, n, found = MPI.COMM_WORLD, 2048, {}
    for dtype in (np.float64, np.float32):
        world.Barrier()
        best = [measure_gemm(n, dtype=dtype)]
        A, C, times = np.ones((n, n), dtype, order="F"), np.empty((n, n), dtype, order="F"), []
        world.Barrier()
        for _ in range(4):
            start = time.perf_counter()
            multiply(A, A, C)
            times.append(time.perf_counter() - start)
        best.append(2 * n**3 / min(times))
        found[np.dtype(dtype).name] = np.mean(world.allgather(best), axis=0).tolist()
    return found if world.rank == 0 else None


def factors(n, rows, columns, block):
    """GFLOP/s of two factorisations of one Gram matrix by our algorithm and by pdpotrf, the better of two."""

    from kernelfit import backend
    from kernelfit.backend.scalapack import open_scalapack
    from kernelfit.solvers.mpi.layout import Layout
    from kernelfit.solvers.mpi.share import Share
    from kernelfit.solvers.mpi.team import Team

    class Peer(Share):
        def pdpotrf(self):
            return self.scalapack.potrf(self.factor.matrix, 0, n)

    team = Team(Peer)
    open_scalapack()
    backend.limit_threads(1)
    if not team.is_root:
        return team.follow()
    try:
        return lead(team, n, Layout(n, block, (rows, columns)))
    finally:
        team.stop()


def lead(team, n, layout):
    """Time the factorisations of all processes, in the leader."""
    import numpy as np

    from kernelfit import datasets
    from kernelfit.grams.matrix import gram
    from kernelfit.kernels import Gaussian
    from kernelfit.solvers.mpi.solver import TeamGram

    data = datasets.load("mnist", n_train=n, n_test=10)
    team.begin(layout=layout)
    TeamGram(gram(data.X_train, Gaussian(5.0)), team)
    found = dict.fromkeys(("ours", "pdpotrf"), 0.0)
    for _ in range(2):
        for name, call in (("ours", ("factorise", None)), ("pdpotrf", ("pdpotrf",))):
            team.call("make_matrix", None, dtype=np.dtype(np.float64), added=0.0)
            start = time.perf_counter()
            if team.call(*call):
                raise RuntimeError(f"{name} failed")
            found[name] = max(found[name], n**3 / 3 / (time.perf_counter() - start) / 1e9)
    return found


def launcher(count):
    beside = str(Path(sys.executable).parent)
    return [shutil.which("mpiexec", path=os.pathsep.join([beside, os.environ["PATH"]])), "-n", str(count)]


def mpiexec(count, *command):
    """Run a program in `count` processes of one thread; return the JSON lines that it prints."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*launcher(count), sys.executable, *command], check=True, stdout=subprocess.PIPE, text=True, env=environment
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def timed(command, threads):
    """Run a command that prints a Record; return it, and the seconds from start to end."""
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    start = time.perf_counter()
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    return {"record": json.loads(done.stdout), "wall": time.perf_counter() - start}


def _rate(value):
    return f"{value / 1e9:.0f}"


def _sizes(peaks):
    return ", ".join(f"{peak / 1e9:.2f} GB" for peak in peaks)


if __name__ == "__main__":
    main()
