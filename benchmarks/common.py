"""What the benchmark programs share: children with their own peak memory, the rate of the same minutes, Markdown."""

import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

RESULTS = Path(__file__).parent / "results"


def child(program, name, *arguments, **environment):
    """Run `program --child name arguments...` in a process of its own and return the JSON that it prints last.

    `environment` is what is different in the process's environment variables.
    """
    command = [sys.executable, program, "--child", name, *map(str, arguments)]
    environment = os.environ | {"STARTED": str(time.time())} | environment
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    return json.loads(done.stdout.splitlines()[-1])


def solve(**options):
    """Run a solve with the matrix-product rates sampled every ten seconds while it factors.

    Machines drift: the limit of a run is its operations at the rate of the same minutes. The time of the samples is
    taken off the clock. Returns record, rates (float64) and rates32, in operations per second, wall seconds since the
    process was started, and the Model.
    """
    import numpy as np

    from kernelfit.common.progress import Progress
    from kernelfit.experiments.solve import SolveSpec, run_solve
    from kernelfit.solvers.planning.rates import measure_gemm

    rates, rates32, spent = [], [], []

    def sample():
        rates.append(measure_gemm(1536, repeats=4))
        rates32.append(measure_gemm(1536, repeats=4, dtype=np.float32))

    class Sampler(Progress):
        @contextlib.contextmanager
        def phase(self, name, total, **options):
            last = time.perf_counter()

            def advance(amount, detail="", kind=""):
                nonlocal last
                begin = time.perf_counter()
                # After the entries of a panel: the other kinds are told from within what the factorisation times.
                if name == "factor" and kind == "entries" and begin - last > 10:
                    sample()
                    last = time.perf_counter()
                    spent.append(last - begin)

            yield advance

    record, model = run_solve(SolveSpec(**options), progress=Sampler())
    # From the start of this process on, as a person would see it.
    wall = time.time() - float(os.environ["STARTED"]) - sum(spent)
    if not rates:  # it was over in ten seconds
        sample()
    record = json.loads(record.to_json())
    record["seconds"]["total"] -= sum(spent)
    return {"record": published(record), "rates": rates, "rates32": rates32, "wall": wall}, model


def published(record):
    """Return a Record's dict without the paths of a machine."""
    place = os.environ.get("KERNELFIT_DATA", "$KERNELFIT_DATA")
    text = json.dumps(record).replace(place, "$KERNELFIT_DATA")
    return json.loads(text.replace(os.environ.get("BENCH_SCRATCH", "$BENCH_SCRATCH"), "$BENCH_SCRATCH"))


def keep(file, runs):
    """Append the runs that `solve` returned to a file of results, one JSON line each with the commit."""
    RESULTS.mkdir(exist_ok=True)
    with open(RESULTS / file, "a") as lines:
        for run in runs:
            extra = {"commit": commit(), "gemm_samples": run["rates"], "wall_seconds": run["wall"]}
            lines.write(json.dumps(run["record"] | extra) + "\n")


def limit(run):
    """Return n^3 / 3 operations at the float64 matrix-product rate of the same run, in seconds."""
    return run["record"]["n_train"] ** 3 / 3 / statistics.median(run["rates"])


def describe(title, rates):
    """Print the title, the machine, and its matrix-product rates by name."""
    import kernelfit
    from kernelfit import backend

    machine = ", ".join(f"{name} {value}" for name, value in backend.describe().items())
    print(f"# {title}\n\nkernelfit {kernelfit.__version__} ({commit()}), {machine}")
    for name, rate in rates.items():
        print(f"{name} matrix product: {rate / 1e9:.0f} GFLOP/s", flush=True)


def commit():
    """Return the commit that is measured."""
    command = ["git", "describe", "--always", "--dirty"]
    done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def spread(values, unit="", digits=3):
    """Return the median, and the range where there are several."""
    low, middle, high = (f"{value:.{digits}g}" for value in (min(values), statistics.median(values), max(values)))
    middle = f"{middle} {unit}".strip()
    return middle if len(values) == 1 else f"{middle} ({low} to {high}, {len(values)} runs)"


def phases(seconds):
    """Return seconds by phase as a line of text."""
    return ", ".join(f"{name} {value:.1f}" for name, value in seconds.items())


def table(header, rows):
    """Print rows of texts as a Markdown table."""
    print("| " + " | ".join(header) + " |\n|" + "---|" * len(header))
    for row in rows:
        print("| " + " | ".join(row) + " |", flush=True)
