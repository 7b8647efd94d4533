"""Every call of an experiment of kernelfit's: what it found as one flat dict, its record kept beside the results."""

import contextlib
import dataclasses
import json
import os
import resource
import statistics
import time
from pathlib import Path

import numpy as np

from benchmarks.runner import commit, since_start
from kernelfit import datasets
from kernelfit.common.progress import Progress
from kernelfit.records.record import append_json, to_json

MNIST = 60_000  # training points


def settings(data, n=None, bandwidth=5.0, **options):
    """Return the options of an experiment on n training points; all of MNIST are no subset."""
    return {"data": data, "n_train": n if n != MNIST else None, "bandwidth": bandwidth or None, **options}


def solve(options, progress=None):
    """Solve; return what was found: fields of the Record, and the seconds since the process was started as wall."""
    from kernelfit.experiments.solve import SolveSpec, run_solve

    return _found(run_solve(SolveSpec(**options), progress=progress)[0])


def sweep(options):
    from kernelfit.experiments.sweep import SweepSpec, run_sweep

    return _found(run_sweep(SweepSpec(**options)))


def ridge_path(options, method):
    from kernelfit.experiments.ridge_path import RidgePathSpec, run_ridge_path

    return _found(run_ridge_path(RidgePathSpec(**options), method=method))


def interpolants(options):
    from kernelfit.experiments.interpolants import InterpolantsSpec, run_interpolants

    return _found(run_interpolants(InterpolantsSpec(**options)))


def net(options):
    from kernelfit.experiments.nets import NetSpec, run_net

    return _found(run_net(NetSpec(**options))[0])


def contender(name, data, n, bandwidth):
    """Return the row of `kernelfit bench` of one contender at one size."""
    from kernelfit.experiments.bench import BenchSpec, run_bench

    [row] = run_bench(BenchSpec(data=data, sizes=(n,), bandwidth=bandwidth, contenders=(name,)))
    return row


def _found(result):
    """Return an outcome as a flat dict, and append it to the records of the results, if these are kept.

    None, which processes get that only follow another's lead, stays None.
    """
    from kernelfit import backend

    if result is None:
        return None
    wall = since_start() if "BENCH_STARTED" in os.environ else None
    parts = [result.shared | {"rows": result.rows}] if hasattr(result, "shared") else [result]
    [found] = [_without_paths(json.loads(to_json(part))) for part in parts]
    if os.environ.get("BENCH_RESULTS"):
        rows = [found | row for row in found["rows"]] if "rows" in found else [found]
        rows = [{name: value for name, value in row.items() if name != "rows"} for row in rows]
        name = {"kernelfit.record/1": "records"}.get(found["schema"], found["schema"].split("/")[0].split(".")[1])
        append_json(Path(os.environ["BENCH_RESULTS"]) / f"{name}.jsonl", *rows)
    return {"peak_bytes": backend.peak_memory()} | found | {"wall": wall, "commit": commit()}


def _without_paths(found):
    """Return a dict without the paths of this machine."""
    text = json.dumps(found)
    for name in ("KERNELFIT_DATA", "BENCH_SCRATCH"):
        if os.environ.get(name):
            text = text.replace(os.environ[name], f"${name}")
    return json.loads(text)


# ---- solves, and the rate of their limit ---------------------------------------------------------------------------


class Sampler(Progress):
    """Measures matrix products every ten seconds while a matrix is factored.

    Machines drift: the limit of a run is its operations at the rate of the same minutes.

    Attributes
    ----------
    rates, rates32 : list of float
        Operations per second, in float64 and in float32.
    spent : list of float
        Seconds that the measurements took, which are no part of the solve.
    """

    def __init__(self):
        self.rates, self.rates32, self.spent = [], [], []

    def sample(self):
        from kernelfit.solvers.planning.rates import measure_gemm

        self.rates.append(measure_gemm(1536, repeats=4))
        self.rates32.append(measure_gemm(1536, repeats=4, dtype=np.float32))

    @contextlib.contextmanager
    def phase(self, name, total, **options):
        last = time.perf_counter()

        def advance(amount, detail="", kind=""):
            nonlocal last
            begin = time.perf_counter()
            # After the entries of a panel: the other kinds are told from within what the factorisation times.
            if name == "factor" and kind == "entries" and begin - last > 10:
                self.sample()
                last = time.perf_counter()
                self.spent.append(last - begin)

        yield advance


def sampled_solve(options, address_space=None):
    """Solve with the rates sampled and their time taken off the clock; adds rate, rate32 and limit, in seconds.

    `address_space` is the most bytes that the process may have.
    """
    if address_space:
        resource.setrlimit(resource.RLIMIT_AS, (address_space, address_space))
    sampler = Sampler()
    found = solve(options, progress=sampler)
    spent = sum(sampler.spent)
    if not sampler.rates:  # it was over in ten seconds
        sampler.sample()
    found["wall"] -= spent
    found["seconds"]["total"] -= spent
    rate, rate32 = statistics.median(sampler.rates), statistics.median(sampler.rates32)
    return found | {"rate": rate, "rate32": rate32, "limit": found["n_train"] ** 3 / 3 / rate}


# ---- data ----------------------------------------------------------------------------------------------------------


def gram_of(data, n, bandwidth):
    """Return the Gram matrix of a Gaussian kernel on n training points, `enlarged` where there are not as many."""
    from kernelfit.grams.matrix import gram
    from kernelfit.kernels import Gaussian

    return gram(enlarged(data, n).X_train, Gaussian(bandwidth))


def enlarged(data, n):
    """Return a Dataset of n training points: where it has fewer, its first images once more, moved by one pixel."""
    whole = datasets.load(data)
    more = n - len(whole.X_train)
    if more <= 0:
        return datasets.load(data, n_train=n)
    moved = np.roll(whole.X_train[:more], 1, axis=2)
    X, y = np.concatenate([whole.X_train, moved]), np.concatenate([whole.y_train, whole.y_train[:more]])
    return dataclasses.replace(whole, X_train=X, y_train=y)


def saved(data, path):
    """Write a Dataset to an .npz file, which solves can be given."""
    np.savez(path, **{name: getattr(data, name) for name in ("X_train", "y_train", "X_test", "y_test")})
    return str(path)
