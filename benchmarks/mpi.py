"""The engine over MPI on one machine: processes of one thread each. Needs mpiexec, the extra "mpi", and MNIST."""

import functools
import os
import shutil
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks.experiments import gram_of, settings, solve
from benchmarks.runner import Table, apart, at_most, case, figure, measures, of, ratio, rounds

PHASES = ("gram", "factor", "solve", "check", "condition", "predict", "total")


def team(count, function, *arguments):
    """Return what function(*arguments) returned in the leader of `count` processes of one thread each."""
    found = shutil.which("mpiexec", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    return apart(function, *arguments, launcher=(found or "mpiexec", "-n", str(count)), OMP_NUM_THREADS="1")


@case(
    targets={"whole process over MPI / alone": at_most(1.3), "peak memory / share": at_most(1.2)},
    smoke={"data": "digits", "n": 300, "bandwidth": 1.0, "repeats": 1},
)
def mpi(data="mnist", n=20_000, bandwidth=5.0, processes=2, repeats=3):
    """A solve by two processes of one thread each over MPI, beside one process of two threads; predictions included."""
    options = settings(data, n, bandwidth, precision="float64")
    threads = {"OMP_NUM_THREADS": str(processes)}
    ways = {
        "alone": functools.partial(apart, solve, options, **threads),
        "MPI": functools.partial(team, processes, solve, options | {"engine": "mpi"}),
    }
    found = rounds(repeats, ways)
    rows = []
    for name in ("wall", *PHASES):
        row = {"measure": "whole process" if name == "wall" else name}
        for way, runs in found.items():
            row[way] = figure([run[name] if name == "wall" else run["seconds"].get(name, 0.0) for run in runs], "s")
        rows.append(row | {"over MPI / alone": ratio(row["MPI"], row["alone"]) if row["alone"].median else ""})
    rows[0]["measure"], others = "whole process", {"factor, GFLOP/s": "gflops", "test error": "test_error"}
    others |= {"norm": "norm", "relative residual": "relative_residual", "condition, at least": "condition_estimate"}
    for name, key in others.items():
        rows.append({"measure": name} | {way: of(runs, key, digits=9) for way, runs in found.items()})
    yield Table(f"n = {n:,} of {data}: {processes} threads, {processes} processes", rows)
    first = found["MPI"][0]
    share = 8 * n * n / processes + 4 * (n + first["n_test"]) * first["d"]
    peaks = [[run["solver"]["peaks"][k] for run in found["MPI"]] for k in range(processes)]
    rows = {
        "whole process over MPI / alone": ratio(of(found["MPI"], "wall"), of(found["alone"], "wall")),
        "share of a process: of the whole square of the matrix, and all points": figure(share, "GB", scale=1e9),
        "peak memory / share": figure([max(values) / share for values in peaks]),
        "peak memory, alone": of(found["alone"], "peak_bytes", unit="GB", scale=1e9),
        "grid, rows of a block": f"{' x '.join(map(str, first['solver']['grid']))}, {first['solver']['block']}",
    }
    yield measures("In all", rows)


@case(smoke={"data": "digits", "n": 200, "bandwidth": 1.0, "blocks": (64,), "probe": 64})
def mpi_blocks(data="mnist", n=8_000, bandwidth=5.0, blocks=(64, 128, 192, 256, 384, 512, 768), probe=2048):
    """Our factorisation over two processes by grid and block, beside ScaLAPACK's pdpotrf of the same matrix."""
    rates = team(2, multiplied, probe)
    title = "Matrix products of two processes at once, each on one thread"
    rows = [
        {"": name} | {library: figure(rate, "GFLOP/s", scale=1e9) for library, rate in row.items()}
        for name, row in rates.items()
    ]
    yield Table(title, rows)
    rows = []
    for grid in ((1, 2), (2, 1)):
        for block in blocks:
            row = {name: figure(rates) for name, rates in team(2, factors, data, n, bandwidth, *grid, block).items()}
            rows.append({"grid, block": f"{grid[0]} x {grid[1]}, {block}"} | row)
            rows[-1]["ours / pdpotrf"] = figure(max(row["ours"].values) / max(row["pdpotrf"].values))
    yield Table(f"Factorisation, n = {n:,}, GFLOP/s of two runs", rows)


def multiplied(n):
    """Return matrix-product rates of OpenBLAS and of MKL in every process at once, in the leader."""
    from mpi4py import MPI

    from kernelfit.backend.scalapack import multiply, open_scalapack
    from kernelfit.solvers.planning.rates import measure_gemm

    open_scalapack()
    world, found = MPI.COMM_WORLD, {}
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
        mean = np.mean(world.allgather(best), axis=0).tolist()
        found[np.dtype(dtype).name] = dict(zip(("OpenBLAS of SciPy", "MKL"), mean, strict=True))
    return found if world.rank == 0 else None


def factors(data, n, bandwidth, rows, columns, block):
    """Return GFLOP/s of two factorisations of one Gram matrix by our algorithm, and of two by pdpotrf."""
    from kernelfit import backend
    from kernelfit.backend.scalapack import open_scalapack
    from kernelfit.solvers.mpi.layout import Layout
    from kernelfit.solvers.mpi.share import Share
    from kernelfit.solvers.mpi.solver import TeamGram
    from kernelfit.solvers.mpi.team import Team

    class Peer(Share):
        def pdpotrf(self):
            return self.scalapack.potrf(self.factor.matrix, 0, n)

    members = Team(Peer)
    open_scalapack()
    backend.limit_threads(1)
    if not members.is_root:
        return members.follow()
    try:
        shares = members.begin(layout=Layout(n, block, (rows, columns)))
        TeamGram(gram_of(data, n, bandwidth), shares)

        def rate(*call):
            shares.call("make_matrix", None, dtype=np.dtype(np.float64), added=0.0)
            start = time.perf_counter()
            if shares.call(*call):
                raise RuntimeError(f"{call[0]} failed")
            return n**3 / 3 / (time.perf_counter() - start) / 1e9

        ours = functools.partial(rate, "factorise", None)
        return rounds(2, {"ours": ours, "pdpotrf": functools.partial(rate, "pdpotrf")})
    finally:
        members.stop()
