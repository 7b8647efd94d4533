"""`kernelfit bench`: the same problem, the same threads, one solver after the other, each in a process of its own."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from kernelfit import backend, datasets
from kernelfit.common.errors import InputError, MissingLibraryError, suggestion
from kernelfit.common.files import written
from kernelfit.common.progress import Progress
from kernelfit.common.spec import option
from kernelfit.common.validation import check_positive
from kernelfit.datasets.labels import error_rate, one_hot
from kernelfit.experiments import peers
from kernelfit.experiments.parts import DataFolder
from kernelfit.experiments.registry import Experiment
from kernelfit.grams.matrix import gram
from kernelfit.kernels import Gaussian
from kernelfit.records.forms import Count, Measure, Positive, Share
from kernelfit.records.record import DatasetUsed, append_record, make_record
from kernelfit.solvers.planning.rates import measure_gemm
from kernelfit.solvers.scaling import relative_residuals


@dataclasses.dataclass(frozen=True, kw_only=True)
class BenchSpec(DataFolder):
    """What to compare."""

    words = ("bench",)
    group = "What is compared"

    data: str = option("mnist", "Dataset of the problem, as for solve.", shown=True)
    sizes: tuple[int, ...] = option((2000, 4000, 8000), "Numbers of training points.", name="n", least=2, shown=True)
    bandwidth: float = option(5.0, "Of the Gaussian kernel, in units of pixels / 255.", shown=True)
    contenders: tuple[str, ...] = option(
        (),
        'Only these: "kernelfit float64", "kernelfit mixed", "kernelfit disk", "kernelfit estimator", scipy, numpy, '
        'scikit-learn, "scikit-learn GP", torch, gpytorch, cuml; default: all that are installed and run on a CPU.',
        name="contender",
    )
    floats: bool = option(False, "Give kernelfit float64 points, as the others get, not the pixels as they are stored.")
    cold: bool = option(False, "Without code that earlier runs of kernelfit compiled and kept.")
    scratch: str | None = option(
        None,
        "Folder on a disk for kernelfit disk; default: the folder for temporary files.",
        path=True,
        incidental=True,
    )

    def check(self):
        for name in self.contenders:
            if name not in peers.CONTENDERS:
                known = ", ".join(peers.CONTENDERS)
                raise InputError(f"contender {name!r}; known are {known}{suggestion(name, peers.CONTENDERS)}")
        if not self.sizes:
            raise InputError("give at least one number of training points")
        check_positive("bandwidth", self.bandwidth)


@dataclasses.dataclass(frozen=True, kw_only=True)
class BenchRow:
    """One contender at one size: what it took, or why it was skipped.

    Attributes
    ----------
    contender, note : str
    n : int
    bandwidth : float
    skipped : str or None
    seconds, fit_seconds, predict_seconds, factor_seconds : float or None
        Fit and predict; each of them; the factorisation alone where it is known.
    process_seconds : float or None
        From the start of its process to its predictions: imports and reading the points too; None in early records.
    peak_bytes, loaded_bytes : int or None
        Largest resident memory of its process, and in early records that before the fit.
    blas : list of str or None
        The kernels that the BLAS libraries of its process chose, such as SkylakeX or Haswell; None in early records.
    test_error, relative_residual : float or None
    gemm_rate : float or None
        The float64 matrix-product rate measured just before, in operations per second.
    """

    contender: str
    n: Count
    bandwidth: Positive
    note: str | None = None
    skipped: str | None = None
    seconds: Positive | None = None
    fit_seconds: Measure = None
    predict_seconds: Measure = None
    factor_seconds: Measure = None
    process_seconds: Positive | None = None
    peak_bytes: Count | None = None
    loaded_bytes: Count | None = None
    test_error: Share | None = None
    relative_residual: Measure = None
    gemm_rate: Positive | None = None
    blas: list[str] | None = None


def run_bench(spec, *, runs=None, progress=None):
    """Run every contender at every size; yield the Record of each, also appended to those in the folder `runs`."""
    progress = progress or Progress()
    chosen = spec.contenders or tuple(name for name in peers.CONTENDERS if name != "cuml")
    for name in spec.contenders:
        if not (contender := peers.CONTENDERS[name]).installed:
            raise MissingLibraryError(f"contender {name} needs {contender.module}: pip install {contender.module}")
    _loaded(spec, max(spec.sizes))  # says now, and not after hours, that there are not so many
    with progress.phase("bench", sum(n**3 for n in spec.sizes) * len(chosen)) as advance:
        for n in spec.sizes:
            with tempfile.TemporaryDirectory() as folder:
                problem = _saved(spec, n, folder)
                for name in chosen:
                    found = _run(name, n, spec, folder, problem)
                    note = peers.CONTENDERS[name].note
                    row = BenchRow(contender=name, note=note, n=n, bandwidth=spec.bandwidth, **found)
                    record = make_record(
                        spec,
                        row,
                        kind="bench",
                        id=spec.identity(contender=name, n=str(n)),
                        dataset=DatasetUsed(asked=spec.data, name=spec.data, n_train=n, n_test=0, n_classes=0),
                        environment=backend.describe(),
                        seconds={"total": row.seconds or 0.0},
                        peak_bytes=row.peak_bytes,
                    )
                    if runs is None:
                        yield record
                    else:
                        yield from written(record, append_record, runs, record)
                    advance(n**3)


def _loaded(spec, n):
    return datasets.load(spec.data, n_train=n, data_dir=spec.data_dir)


def _saved(spec, n, folder):
    """Write the problem of n points to a folder; return its Dataset and targets."""
    data = _loaded(spec, n)
    Y = one_hot(data.y_train, len(data.classes))
    X, Z = (peers.floats(part) if spec.floats else part for part in (data.X_train, data.X_test))
    peers.save(folder, X, Y, Z)
    return data, Y


def _run(name, n, spec, folder, problem):
    contender = peers.CONTENDERS[name]
    if not contender.installed:
        return {"skipped": f"{contender.module} is not installed"}
    needed, free = 8 * n * n * contender.squares + 1e9, backend.free_memory()
    if needed > free:
        return {"skipped": f"needs about {needed / 1e9:.1f} GB of {free / 1e9:.1f} GB"}
    rate = measure_gemm(2048)
    with tempfile.TemporaryDirectory() as empty:
        environment = os.environ | ({"KERNELFIT_CACHE": empty} if spec.cold else {})
        task = peers.Task(name, folder, spec.bandwidth, time.time(), spec.scratch)
        command = [sys.executable, "-m", "kernelfit.experiments.peers", json.dumps(dataclasses.asdict(task))]
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode < 0:
        return {"skipped": f"killed by {signal.Signals(-done.returncode).name}"}
    if done.returncode:
        reason = done.stderr.strip().splitlines()
        return {"skipped": reason[-1] if reason else f"ended with exit code {done.returncode}"}
    return json.loads(done.stdout.splitlines()[-1]) | {"gemm_rate": rate} | _judged(folder, spec, *problem)


def _judged(folder, spec, data, Y):
    """Return the test error of what a contender wrote, and the residual of its coefficients if it has any."""
    folder = Path(folder)
    found, coef = {"test_error": error_rate(np.load(folder / "scores.npy"), data.y_test)}, folder / "coef.npy"
    if coef.exists():
        fitted = gram(data.X_train, Gaussian(spec.bandwidth)).product(np.load(coef))
        found["relative_residual"] = float(relative_residuals(Y, fitted).max())
        coef.unlink()  # the next one may have none
    return found


EXPERIMENT = Experiment("bench", BenchSpec, BenchRow, run_bench, several=True)
