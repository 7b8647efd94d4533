"""Whole solves against the limit of the machine: n^3 / 3 operations at the float64 matrix-product rate of the same run.

Needs MNIST. Every run is a process of its own. Panels go to BENCH_SCRATCH, or the folder for temporary files.
"""

import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.experiments import MNIST, enlarged, gram_of, sampled_solve, saved, settings
from benchmarks.runner import Table, apart, at_least, at_most, case, figure, measures, of, phases, ratio, timed, within

SMOKE = {"data": "digits", "n": 300}
NARROW = {"bandwidth": 1.0}  # that of digits
SCRATCH = os.environ.get("BENCH_SCRATCH")
TIMES = {"whole process / limit": at_most(1.20), "limit / factor": at_least(0.90), "Gram / whole": at_most(0.03)}
EXACT = {"train error": at_most(0), "relative residual": at_most(1e-9), "peak memory / 4 n^2 bytes": at_most(1.10)}
ALL = ", all of MNIST"
GAUSSIAN = {"test error" + ALL: within(0.0122, 0.0002), "norm" + ALL: within(145.10, 0.05)}
GAUSSIAN |= {"norm, -1/+1" + ALL: within(292.18, 0.1)}
QUARTIC = {"test error" + ALL: within(0.0118, 0.0002), "norm" + ALL: within(131.61, 0.05)}


@case(targets={"second run": at_most(2.5), "second run, less the import": at_most(1.3)}, smoke={"repeats": 1})
def start(repeats=5):
    """`kernelfit solve` without options, from the shell in an empty folder: what a newcomer waits for.

    The first run finds an empty cache folder and compiles, the others load what it kept. Each is followed by a process
    that imports scikit-learn's KernelRidge and does nothing.
    """
    runs, imports = [], []
    with tempfile.TemporaryDirectory() as cache:
        environment = os.environ | {"KERNELFIT_CACHE": cache}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)  # without its files, every process would read all sources anew
        options = {"env": environment, "check": True, "stdout": subprocess.DEVNULL}
        for _ in range(1 + repeats):
            with tempfile.TemporaryDirectory() as folder:
                command = [sys.executable, "-m", "kernelfit", "solve", "--quiet"]
                runs.append(timed(subprocess.run, command, cwd=folder, **options)[1])
                written = sorted(str(path.relative_to(folder)) for path in Path(folder).rglob("*") if path.is_file())
            command = [sys.executable, "-c", "import sklearn.kernel_ridge"]
            imports.append(timed(subprocess.run, command, **options)[1])
    first, *later = runs
    rows = {
        "first run, empty cache": figure(first, "s"),
        "second run": figure(later, "s"),
        "import sklearn.kernel_ridge": figure(imports[1:], "s"),
        "second run, less the import": figure([a - b for a, b in zip(later, imports[1:], strict=True)], "s"),
        "files written": ", ".join(written),
    }
    yield measures("`kernelfit solve`, embedded digits", rows)


@case(targets={"whole process / limit": at_most(1.6)}, smoke=SMOKE | NARROW | {"repeats": 1})
def middle(data="mnist", n=20_000, bandwidth=5.0, repeats=3):
    """A solve in mixed precision where most people are, as a whole process, against n^3 / 3 in float32."""
    runs = [apart(sampled_solve, settings(data, n, bandwidth, precision="mixed")) for _ in range(repeats)]
    wall = of(runs, "wall", unit="s")
    limit = figure([n**3 / 3 / run["rate32"] for run in runs], "s")
    rows = {
        "whole process": wall,
        "limit: n^3 / 3 at the float32 rate": limit,
        "whole process / limit": ratio(wall, limit),
        "float32 matrix product, median of the run": of(runs, "rate32", unit="GFLOP/s", scale=1e9),
        "relative residual": of(runs, "relative_residual", digits=2),
        "residual after each step": " ".join(f"{value:.0e}" for value in runs[0]["solver"]["residuals"]),
        "seconds": phases(runs[0]["seconds"]),
    }
    yield measures(f"`{runs[0]['command']}`, n = {n:,}, {runs[0]['method']}", rows)


@case(targets=GAUSSIAN | EXACT | TIMES, smoke=SMOKE | NARROW)
def gaussian(data="mnist", n=MNIST, bandwidth=5.0, repeats=1):
    """All of MNIST in float64: the Gaussian kernel of the paper, against the limit of the machine."""
    yield solved(settings(data, n, bandwidth, precision="float64"), repeats)


@case(targets=QUARTIC | EXACT | TIMES, smoke=SMOKE)
def quartic(data="mnist", n=MNIST, repeats=1):
    """All of MNIST in float64 with the quartic kernel of the authors' other script, against the same limit."""
    yield solved(settings(data, n, 0.0, kernel="quartic", precision="float64"), repeats)


@case(targets=EXACT, smoke=SMOKE)
def auto(data="mnist", n=MNIST, repeats=1):
    """All of MNIST in float64 with the bandwidth that leave-one-out chooses."""
    yield solved(settings(data, n, 0.0, precision="float64"), repeats)


@case(
    targets=GAUSSIAN
    | {"relative residual": at_most(1e-10), "whole process / limit": at_most(0.70), "peak memory": at_most(9.5)},
    smoke=SMOKE | NARROW | {"memory": 2e9},
)
def mixed(data="mnist", n=MNIST, bandwidth=5.0, memory=9.5e9, repeats=1):
    """All of MNIST in mixed precision within 9.5 GB; --memory 0: with all that is free, to keep inner products."""
    yield solved(settings(data, n, bandwidth, precision="mixed", memory=int(memory) or None), repeats)


def solved(options, repeats=1, address_space=None, **environment):
    """Return the Table of some solves with the same options: what was found, what it took, and the limit."""
    runs = [apart(sampled_solve, options, address_space, **environment) for _ in range(repeats)]
    first, n = runs[0], runs[0]["n_train"]
    solver, seconds = first["solver"] or {}, [run["seconds"] for run in runs]
    wall, limit, factor = of(runs, "wall", unit="s"), of(runs, "limit", unit="s"), of(seconds, "factor", unit="s")
    which = ALL if (first["name"], n) == ("mnist", MNIST) else ""
    rows = {
        f"test error{which}": of(runs, "test_error"),
        "train error": of(runs, "train_error"),
        f"norm{which}": of(runs, "norm", digits=10),
        f"norm, -1/+1{which}": of(runs, "norm_pm1", digits=10),
        "relative residual": of(runs, "relative_residual", digits=2),
        "condition, at least": of(runs, "condition_estimate", digits=2),
        "residual after each step": " ".join(f"{value:.0e}" for value in solver.get("residuals", [])) or None,
        "shift, breakdowns": f"{solver.get('shift', 0):g}, {len(solver.get('breakdowns', []))}",
        "columns of a panel": f"{solver.get('panel_width', 0):,}",
        "inner products kept": figure(solver.get("kept_bytes", 0), "GB", scale=1e9),
        "float64 matrix product, median of the run": of(runs, "rate", unit="GFLOP/s", scale=1e9),
        "float32 matrix product, median of the run": of(runs, "rate32", unit="GFLOP/s", scale=1e9),
        "limit: n^3 / 3 at the float64 rate": limit,
        "whole process": wall,
        "whole process / limit": ratio(wall, limit),
        "factor": factor,
        "factor, rate": of(runs, "gflops", unit="GFLOP/s"),
        "limit / factor": ratio(limit, factor),
        "Gram / whole": ratio(of(seconds, "gram"), wall),
        "peak memory": of(runs, "peak_bytes", unit="GB", scale=1e9),
        "peak memory / 4 n^2 bytes": of(runs, "peak_bytes", scale=4 * n * n),
        "seconds": phases(first["seconds"]),
    }
    return measures(f"`{first['command']}`, {first['kernel']}, n = {n:,}, {first['method']}", rows)


@case(
    targets={"exponent, as measured": within(3, 0.1), "exponent, at one rate": within(3, 0.1)},
    smoke={"data": "digits", "sizes": (200, 400)} | NARROW,
)
def slope(data="mnist", sizes=(5_000, 10_000, 20_000, 46_300, 46_400), bandwidth=5.0):
    """The factorisation in float64 against n; n^2 passes 2^31 between the last two sizes."""
    import numpy as np

    # The best of five where they are short: these also pay for what a process does for the first time.
    solves = [apart(best_of, settings(data, n, bandwidth, precision="float64"), 5 if n <= 20_000 else 1) for n in sizes]
    seconds, limits = ([run["seconds"]["factor"] for run in solves], [run["limit"] for run in solves])
    rows = [
        {
            "n": f"{n:,}",
            "factor": figure(taken, "s"),
            "float64 matrix product": figure(run["rate"], "GFLOP/s", scale=1e9),
            "limit / factor": figure(limit / taken),
        }
        for n, run, taken, limit in zip(sizes, solves, seconds, limits, strict=True)
    ]
    yield Table("Seconds of the factorisation", rows)
    even = [n**3 * taken / limit for n, taken, limit in zip(sizes, seconds, limits, strict=True)]
    exponents = {"as measured": seconds, "at one rate": even}
    fits = {
        f"exponent, {name}": figure(float(np.polyfit(np.log(sizes), np.log(times), 1)[0]))
        for name, times in exponents.items()
    }
    yield measures("Exponent of n", fits)


def best_of(options, count):
    return min((sampled_solve(options) for _ in range(count)), key=lambda run: run["seconds"]["factor"])


@case(
    targets={"limit / factor": at_least(0.70), "peak memory": at_most(12.9)},  # 0.75 of what it is in memory
    smoke={"data": "digits", "n": 1600} | NARROW,
)
def disk(data="mnist", n=80_000, bandwidth=5.0, address_space=12 * 2**30):
    """More points than memory holds, within 12 GiB of address space, with 28 GB of disk."""
    with tempfile.TemporaryDirectory(dir=SCRATCH) as folder:
        path = saved(enlarged(data, n), Path(folder) / "enlarged.npz")
        options = settings(path, None, bandwidth, precision="float64", scratch=folder)
        yield solved(options, address_space=address_space, BENCH_SCRATCH=folder)  # so that no record has its path


@case(smoke={"data": "digits", "n": 1000, "kills": 2, "memory": 1e9} | NARROW)
def kills(data="mnist", n=20_000, bandwidth=5.0, kills=50, memory=1.3e9):
    """Factors on disk, killed at random moments and gone on with: do the coefficients have the same bits?"""
    moments, arguments = random.Random(0), (data, n, bandwidth, int(memory))
    with tempfile.TemporaryDirectory(dir=SCRATCH) as folder:
        whole, alone = timed(apart, coefficients, folder, *arguments)
        survived, taken, answers = 0, 0.0, []
        while survived < kills or not answers:
            patience = moments.uniform(0.1, 0.6) * alone if survived < kills else None
            try:
                found, seconds = timed(apart, coefficients, folder, *arguments, timeout=patience)
                answers.append(found)
            except subprocess.TimeoutExpired:
                survived, seconds = survived + 1, patience
            taken += seconds
    same = sum(found == whole for found in answers)
    rows = {
        "one run, not killed": figure(alone, "s"),
        "kills and resumes": f"{survived} in {taken:.0f} s",
        "solves completed, with the same bits": f"{len(answers)}, {same}",
    }
    yield measures(f"n = {n:,} on disk", rows)


def coefficients(folder, data, n, bandwidth, memory):
    """Solve with the factor in a folder, or what is there of one; return a hash of the coefficients."""
    import hashlib

    from kernelfit.datasets.labels import one_hot
    from kernelfit.solvers.auto import Auto

    place = {"storage": "disk", "scratch": folder, "resume": True, "memory": memory, "device": "cpu"}
    with Auto(precision="float64", **place).factor(gram_of(data, n, bandwidth)) as factor:
        coef = factor.solve(one_hot(enlarged(data, n).y_train, 10)).coef
    return hashlib.sha256(coef.tobytes()).hexdigest()
