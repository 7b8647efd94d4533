"""The claims of the paper's section 5 on kernels and linear models, a row each; nothing is chosen on test data."""

import dataclasses
import functools
import shlex
from pathlib import Path

import numpy as np

from kernelfit.common.errors import DataError, InputError, KernelfitError, suggestion
from kernelfit.common.files import written
from kernelfit.common.progress import Progress
from kernelfit.common.rng import generator
from kernelfit.common.stopwatch import Stopwatch
from kernelfit.experiments import interpolants, ridge_path
from kernelfit.experiments.interpolants import InterpolantsSpec, run_interpolants
from kernelfit.experiments.ridge_path import RidgePathSpec, run_ridge_path
from kernelfit.experiments.solve import SolveSpec, run_solve
from kernelfit.records.record import append_json, append_record, from_json, now, read_lines

SCHEMA = "kernelfit.section5/1"
# Recipes of random convolutional features: one without mirror images, as the paper has it, and the best of our trials.
# With flip=True an image and its mirror image are convolved with each filter, so that half as many cost as much.
CONV = {
    "normalised": (1, "randomconv(filters={}, preset='normalised')"),
    "rooted": (2, "randomconv(filters={}, preset='rooted', flip=True)"),
}
_RIDGES_TRIED = (1e-4, 1e-3, 1e-2, 1e-1)  # for random convolutional features; the best by leave-one-out is taken


@dataclasses.dataclass(frozen=True)
class Scale:
    """How much of the study is run: numbers of training images (None: all), of filters, and the ridges of a path.

    `selection` and `selection_filters` are those on which leave-one-out chooses a ridge; an automatic bandwidth is
    chosen on `bandwidth_points`.
    """

    mnist: int | None
    cifar10: int | None
    filters: int
    ridges: tuple
    interpolants: int
    selection: int
    selection_filters: int
    bandwidth_points: int
    loo: bool


SCALES = {
    "quick": Scale(5000, 10_000, 2048, (0, 1e-8, 1e-6, 1e-4, 1e-2), 2000, 10_000, 2048, 3000, True),
    "full": Scale(None, None, 16_384, (0, 1e-4, 1e-2), 10_000, 10_000, 2048, 10_000, False),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Section5Spec:
    """What to reproduce: the options of `kernelfit reproduce section5`.

    Attributes
    ----------
    scale : str
        One of SCALES.
    rows : tuple of str
        Names of rows; all of ROWS unless given.
    cifar10 : str
        Dataset of the CIFAR10 rows: a name or a path. Rows are labelled with the name of what was loaded.
    """

    scale: str = "quick"
    rows: tuple = ()
    cifar10: str = "cifar10"
    device: str = "auto"
    memory: int | None = None
    scratch: str | None = None
    data_dir: str | None = None

    def __post_init__(self):
        for name, known in ((self.scale, SCALES), *((row, ROWS) for row in self.rows)):
            if name not in known:
                raise InputError(f"section5 has no {name!r}{suggestion(name, known)}; there are {', '.join(known)}")

    @property
    def names(self):
        """The rows to run, in order."""
        return tuple(name for name in ROWS if not self.rows or name in self.rows)

    def options(self, data, **changed):
        """Return the fields of a SolveSpec on this data set."""
        shared = {"device": self.device, "memory": self.memory, "data_dir": self.data_dir}
        shared["bandwidth_points"] = SCALES[self.scale].bandwidth_points
        return {"data": self.cifar10 if data == "cifar10" else data} | shared | changed

    def command(self, row):
        """Return the command line that repeats one row."""
        words = ["kernelfit", "reproduce", "section5", "--scale", self.scale, "--rows", row]
        if self.cifar10 != "cifar10":
            words += ["--cifar10", self.cifar10]
        return shlex.join(words)


def run_section5(spec, *, runs, progress=None):
    """Run the rows of a Section5Spec that `runs`/section5.jsonl does not hold yet; yield each row's outcome as a dict.

    An outcome has row, scale, dataset, n_train, n_test, test_error, norm and whatever else the row measures, command,
    created and seconds; or `failed` with the reason, for rows that could not be run: those are not kept. Records go to
    records.jsonl, paths and interpolants to their own files in `runs`.
    """
    progress = progress or Progress()
    kept = read_outcomes(Path(runs) / "section5.jsonl", progress=progress)
    for name in spec.names:
        known = kept.get((name, spec.command(name)))
        if known:
            progress.note(f"{name}: kept from {known['created']}")
            yield known
            continue
        progress.note(f"{name} ...")
        watch, unwritten = Stopwatch(), []
        keep = functools.partial(_keep, runs, unwritten)
        outcome = {"schema": SCHEMA, "row": name, "scale": spec.scale, "command": spec.command(name), "created": now()}
        try:
            outcome |= ROWS[name](spec, SCALES[spec.scale], keep, progress)
        except KernelfitError as error:
            yield outcome | {"failed": str(error)}
            continue
        outcome |= {"seconds": round(watch.total(), 3)}
        if unwritten:
            yield outcome
            raise unwritten[0]
        yield from written(outcome, append_json, Path(runs) / "section5.jsonl", outcome)


def _keep(runs, unwritten, append, result):
    """Append a result to its file in the folder `runs`; a failure is put into a list: the row that asks goes on."""
    try:
        append(runs, result)
    except OSError as error:
        unwritten.append(error)


def read_outcomes(path, *, progress=None):
    """Return {(row, command): outcome} of a file, the last of each; lines that are none are told and skipped."""
    outcomes, _ = read_lines(path, _outcome, progress=progress or Progress())
    return {(outcome["row"], outcome["command"]): outcome for outcome in outcomes}


def _outcome(line):
    try:
        outcome = from_json(line)
        known = outcome["schema"] == SCHEMA and {"row", "command"} <= set(outcome)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(f"no outcome of a row: {line[:80]!r}") from error
    if not known:
        raise DataError(f"no outcome of schema {SCHEMA}: {line[:80]!r}")
    return outcome


def _solve(spec, keep, progress, **options):
    """Run one solve, keep its Record, and return what the table shows of it."""
    record, _ = run_solve(SolveSpec(**options), progress=progress)
    keep(append_record, record)
    return {
        "dataset": record.dataset["name"],
        "n_train": record.n_train,
        "n_test": record.n_test,
        "features": record.features,
        "kernel": record.kernel,
        "ridge": record.ridge,
        "train_error": record.train_error,
        "test_error": record.test_error,
        "loo_error": record.loo_error,
        "norm": record.norm,
        "norm_pm1": record.norm_pm1,
        "relative_residual": record.relative_residual,
        "solve_command": record.command,
    }


def _mnist_pixels(spec, scale, keep, progress):
    return _solve(spec, keep, progress, **spec.options("mnist", n_train=scale.mnist, bandwidth=5.0, loo=scale.loo))


def _mnist_gabor(spec, scale, keep, progress):
    return _solve(spec, keep, progress, **spec.options("mnist", n_train=scale.mnist, features="gabor", loo=scale.loo))


def _mnist_scattering(spec, scale, keep, progress):
    options = spec.options("mnist", n_train=scale.mnist, features="scattering", loo=scale.loo)
    return _solve(spec, keep, progress, **options)


def _ridge_path(spec, scale, keep, progress, **options):
    options = spec.options("mnist", n_train=scale.mnist, loo=scale.loo) | options
    result = run_ridge_path(RidgePathSpec(ridges=scale.ridges, **options), progress=progress)
    keep(ridge_path.append_rows, result)
    shared, rows = result.shared, result.rows
    return {
        "dataset": shared["dataset"]["name"],
        "n_train": shared["n_train"],
        "n_test": shared["n_test"],
        "features": shared["features"],
        "kernel": shared["kernel"],
        "test_error": rows[0].test_error,
        "norm": rows[0].norm,
        "norm_pm1": rows[0].norm_pm1,
        "relative_residual": max(row.relative_residual for row in rows),
        "path": [
            {key: getattr(row, key) for key in ("ridge", "train_error", "test_error", "loo_error", "norm")}
            for row in rows
        ],
        "chosen_by_loo": shared["chosen_by_loo"],
        "loo_improves": shared["loo_improves"],
        "solve_command": shared["command"],
    }


def _mnist_pixels_ridge(spec, scale, keep, progress):
    return _ridge_path(spec, scale, keep, progress, bandwidth=5.0)


def _mnist_gabor_ridge(spec, scale, keep, progress):
    return _ridge_path(spec, scale, keep, progress, features="gabor")


def _cifar10_pixels(spec, scale, keep, progress):
    return _solve(spec, keep, progress, **spec.options("cifar10", n_train=scale.cifar10, loo=scale.loo))


def _conv(recipe, filters):
    images, features = CONV[recipe]
    return features.format(filters // images)


def _cifar10_randomconv(spec, scale, keep, progress, *, recipe="normalised"):
    features = _conv(recipe, scale.filters)
    options = spec.options("cifar10", n_train=scale.cifar10, features=features, scratch=spec.scratch, loo=scale.loo)
    return _solve(spec, keep, progress, **options)


def _cifar10_randomconv_ridge(spec, scale, keep, progress, *, recipe="normalised"):
    """The ridge of least leave-one-out error on a part of the training images, each with the best bandwidth for it."""
    few = _conv(recipe, scale.selection_filters)
    tried = []
    for ridge in _RIDGES_TRIED:
        options = spec.options("cifar10", n_train=scale.selection, features=few, scratch=spec.scratch)
        tried.append(_solve(spec, keep, progress, **options, ridge=ridge, loo=True))
    best = min(tried, key=lambda outcome: (outcome["loo_error"], outcome["ridge"]))
    candidates = [{key: outcome[key] for key in ("ridge", "kernel", "loo_error")} for outcome in tried]
    if (scale.selection, scale.selection_filters) == (scale.cifar10, scale.filters):
        return best | {"ridges_tried": candidates}
    features = _conv(recipe, scale.filters)
    options = spec.options("cifar10", n_train=scale.cifar10, features=features, scratch=spec.scratch)
    return _solve(spec, keep, progress, **options, ridge=best["ridge"]) | {"ridges_tried": candidates}


def _interpolants(spec, scale, keep, progress):
    options = spec.options("mnist", n_train=scale.interpolants, n_test=scale.interpolants, bandwidth=5.0)
    options |= {"device": "cpu"}
    result = run_interpolants(InterpolantsSpec(**options), progress=progress)
    keep(interpolants.append_rows, result)
    rows = [row for row in result.rows if row.norm is not None]
    least = rows[0]
    return {
        "dataset": result.shared["dataset"]["name"],
        "n_train": result.shared["n_train"],
        "n_test": result.shared["n_test"],
        "kernel": result.shared["kernel"],
        "test_error": least.test_error,
        "norm": least.norm,
        "norm_pm1": least.norm_pm1,
        "others": [{key: getattr(row, key) for key in ("name", "labels", "norm", "ratio")} for row in rows[1:]],
        "solve_command": result.shared["command"],
    }


def _linear(spec, scale, keep, progress):
    """SGD from 0, and from elsewhere, on a linear model with more coordinates than points (seeded Gaussian data)."""
    from kernelfit.theory.linear import stochastic_gradient_descent

    rng = generator(0, "section5", "linear")
    X, Y = rng.standard_normal((100, 1000)), rng.standard_normal((100, 3))
    start = rng.standard_normal((1000, 3))
    zero, elsewhere = (stochastic_gradient_descent(X, Y, start=s, epochs=300) for s in (None, start))
    size = float(np.linalg.norm(zero.solution.weights))
    return {
        "dataset": "Gaussian",
        "n_train": 100,
        "n_test": 0,
        "distance": float(zero.distance[-1]) / size,
        "distance_elsewhere": float(elsewhere.limit_distance[-1]) / size,
        "norm": float(zero.norm[-1]),
        "norm_elsewhere": float(elsewhere.norm[-1]),
    }


ROWS = {
    "mnist-pixels": _mnist_pixels,
    "mnist-gabor": _mnist_gabor,
    "mnist-scattering": _mnist_scattering,
    "mnist-pixels-ridge": _mnist_pixels_ridge,
    "mnist-gabor-ridge": _mnist_gabor_ridge,
    "cifar10-pixels": _cifar10_pixels,
    "cifar10-randomconv": _cifar10_randomconv,
    "cifar10-randomconv-ridge": _cifar10_randomconv_ridge,
    "cifar10-randomconv-rooted": functools.partial(_cifar10_randomconv, recipe="rooted"),
    "cifar10-randomconv-rooted-ridge": functools.partial(_cifar10_randomconv_ridge, recipe="rooted"),
    "interpolants": _interpolants,
    "linear": _linear,
}
