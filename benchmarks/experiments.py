"""Every call of an experiment of kernelfit's: what it found as one flat dict, its Record kept beside the tables."""

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
from kernelfit import backend, datasets
from kernelfit.common.files import append_lines
from kernelfit.common.progress import Progress

MNIST = 60_000  # training points


def settings(data, n=None, bandwidth=5.0, **options):
    """Return the options of an experiment on n training points; all of MNIST are no subset. Bandwidth 0 is "auto"."""
    return {"data": data, "n_train": n if n != MNIST else None, "bandwidth": bandwidth or "auto", **options}


def outcome(kind, options, **more):
    """Run an experiment; return its results as a flat dict, with what else the Record says, and keep the Record.

    `wall` is the seconds since the process was started. None, which processes get that only follow another's lead,
    stays None.
    """
    from kernelfit.experiments.registry import find

    experiment = find(kind)
    options = {name: tuple(value) if isinstance(value, list) else value for name, value in options.items()}
    made = experiment.run(experiment.spec(**options), **more)
    record = made if dataclasses.is_dataclass(made) or made is None else next(iter(made))
    wall = since_start() if "BENCH_STARTED" in os.environ else None
    if record is None:
        return None
    line = record.to_json()
    for name in ("KERNELFIT_DATA", "BENCH_SCRATCH"):  # no path of this machine is to be in a record
        line = line.replace(os.environ.get(name) or f"${name}", f"${name}")
    fields = json.loads(line)
    fields["environment"]["commit"] = commit()
    if os.environ.get("BENCH_RESULTS"):
        append_lines(Path(os.environ["BENCH_RESULTS"]) / "records.jsonl", json.dumps(fields))
    found = fields | fields["dataset"] | fields["results"] | {"wall": wall}
    return found | {"peak_bytes": found["peak_bytes"] or backend.peak_memory()}


def solve(options, **more):
    return outcome("solve", options, **more)


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
