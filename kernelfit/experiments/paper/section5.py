"""The claims of the paper's section 5 on kernels and linear models, a row each; nothing is chosen on test data."""

import dataclasses
import functools
from typing import Any

import numpy as np

from kernelfit import backend
from kernelfit.common.files import expanded, sha256
from kernelfit.common.rng import generator
from kernelfit.common.spec import option
from kernelfit.common.stopwatch import Stopwatch
from kernelfit.experiments.interpolants import InterpolantsSpec, run_interpolants
from kernelfit.experiments.paper.study import Entry, StudySpec, Task, is_own
from kernelfit.experiments.parts import DataFolder, Machine
from kernelfit.experiments.registry import Experiment
from kernelfit.experiments.ridge import RidgeSpec, run_ridge
from kernelfit.experiments.solve import SolveSpec, run_solve
from kernelfit.records.forms import Count, Measure, Share, Size
from kernelfit.records.record import DatasetUsed, append_record, make_record

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
class Section5Spec(Machine, DataFolder, StudySpec):
    """Every row of section 5, each a record of its own; those of its solves are kept too."""

    words = ("reproduce", "section5")
    group = StudySpec.group

    cifar10: str = option("cifar10", "Dataset of the CIFAR10 rows: cifar10, or a path.")

    def names(self):
        """Return the names of all rows, in order."""
        return list(ROWS)

    def entry(self, name):
        """Return a row."""
        one = dataclasses.replace(self, rows=(name,))
        identity = one.identity(**one.file(name))
        return Entry(name, "", (Task(identity, None, functools.partial(_run, one, name, identity)),))

    def file(self, name):
        """Return {"file": its SHA-256} where a row is of a file, which can change."""
        path = expanded(self.cifar10)
        if not (name.startswith("cifar10") and is_own(self.cifar10) and path.is_file()):
            return {}
        with path.open("rb") as file:
            return {"file": sha256(file)}

    def solve_options(self, data, **changed):
        """Return the fields of a SolveSpec on this data set."""
        shared = {"device": self.device, "memory": self.memory, "data_dir": self.data_dir}
        if "scratch" in changed:
            shared["resume"] = self.resume
        if "bandwidth" not in changed:
            shared["bandwidth_points"] = SCALES[self.scale].bandwidth_points
        return {"data": self.cifar10 if data == "cifar10" else data} | shared | changed


@dataclasses.dataclass(frozen=True, kw_only=True)
class Section5Row:
    """What the table shows of a row; None where a row has no such number.

    Attributes
    ----------
    row : str
        One of ROWS.
    scale : str
    dataset : str
        What was really loaded.
    path : list of dict or None
        Of a ridge path: ridge, train_error, test_error, loo_error and norm of each.
    others : list of dict or None
        Of interpolants: name, labels, norm and ratio to the least norm of each.
    ridges_tried : list of dict or None
        On which leave-one-out chose the ridge: ridge, kernel and loo_error of each.
    distance, distance_elsewhere, norm_elsewhere : float or None
        Of gradient descent: the distance to the minimum-norm solution over its norm; the same of another start, to its
        own limit, and its norm.
    solve_command : str or None
        The command of the solve behind it.
    """

    row: str
    scale: str
    dataset: str
    n_train: Count
    n_test: Count
    features: str | None = None
    kernel: str | None = None
    ridge: Size | None = None
    train_error: Share | None = None
    test_error: Share | None = None
    loo_error: Share | None = None
    norm: Measure = None
    norm_pm1: Measure = None
    relative_residual: Measure = None
    path: list[dict[str, Any]] | None = None
    chosen_by_loo: Size | None = None
    loo_improves: bool | None = None
    others: list[dict[str, Any]] | None = None
    ridges_tried: list[dict[str, Any]] | None = None
    distance: Measure = None
    distance_elsewhere: Measure = None
    norm_elsewhere: Measure = None
    solve_command: str | None = None


def _run(spec, name, identity, runs, progress):
    """Yield the Record of a row, and write it; those of its solves are written as they come."""
    watch, unwritten = Stopwatch(), []

    def keep(record):
        """Append a record to those in `runs`; the row goes on after a failure, which is raised at its end."""
        try:
            append_record(runs, record)
        except OSError as error:
            unwritten.append(error)
        return record

    row = ROWS[name](spec, SCALES[spec.scale], keep, progress)
    record = make_record(
        spec,
        Section5Row(row=name, scale=spec.scale, **row),
        kind="section5",
        id=identity,
        dataset=DatasetUsed(
            asked=row["dataset"], name=row["dataset"], n_train=row["n_train"], n_test=row["n_test"], n_classes=0
        ),
        environment=backend.describe(),
        seconds={"total": watch.total()},
    )
    yield record
    if unwritten:
        raise unwritten[0]
    append_record(runs, record)


def _solve(spec, keep, progress, **options):
    """Run one solve, keep its Record, and return what the table shows of it."""
    record = keep(run_solve(SolveSpec(**options), progress=progress)[0])
    names = ("features", "kernel", "ridge", "train_error", "test_error", "loo_error", "norm", "norm_pm1")
    return _about(record) | {name: getattr(record.results, name) for name in (*names, "relative_residual")}


def _about(record):
    """Return the fields of a row that say what was solved."""
    used = record.dataset
    return {"dataset": used.name, "n_train": used.n_train, "n_test": used.n_test, "solve_command": record.command}


def _one(spec, scale, keep, progress, *, data, **options):
    """One solve of a data set, of which the scale takes its own number of points."""
    options = spec.solve_options(data, n_train=getattr(scale, data), loo=scale.loo, **options)
    return _solve(spec, keep, progress, **options)


def _ridge_path(spec, scale, keep, progress, **options):
    options = spec.solve_options("mnist", n_train=scale.mnist, loo=scale.loo, **options)
    record = keep(run_ridge(RidgeSpec(ridges=scale.ridges, **options), progress=progress))
    results, rows = record.results, record.results.rows
    kept = ("ridge", "train_error", "test_error", "loo_error", "norm", "test_corrected", "test_broken")
    same = ("features", "kernel", "chosen_by_loo", "loo_improves")
    return (
        _about(record)
        | {name: getattr(results, name) for name in same}
        | {
            "test_error": rows[0].test_error,
            "norm": rows[0].norm,
            "norm_pm1": rows[0].norm_pm1,
            "relative_residual": max(
                (row.relative_residual for row in rows if row.relative_residual is not None), default=None
            ),
            "path": [{name: getattr(row, name) for name in kept} for row in rows],
        }
    )


def _conv(recipe, filters):
    images, features = CONV[recipe]
    return features.format(filters // images)


def _cifar10_randomconv(spec, scale, keep, progress, *, recipe="normalised"):
    features = _conv(recipe, scale.filters)
    return _one(spec, scale, keep, progress, data="cifar10", features=features, scratch=spec.scratch)


def _cifar10_randomconv_ridge(spec, scale, keep, progress, *, recipe="normalised"):
    """The ridge of least leave-one-out error on a part of the training images, each with the best bandwidth for it."""
    few = _conv(recipe, scale.selection_filters)
    tried = []
    for ridge in _RIDGES_TRIED:
        options = spec.solve_options("cifar10", n_train=scale.selection, features=few, scratch=spec.scratch)
        tried.append(_solve(spec, keep, progress, **options, ridge=ridge, loo=True))
    best = min(tried, key=lambda outcome: (outcome["loo_error"], outcome["ridge"]))
    candidates = [{key: outcome[key] for key in ("ridge", "kernel", "loo_error")} for outcome in tried]
    if (scale.selection, scale.selection_filters) == (scale.cifar10, scale.filters):
        return best | {"ridges_tried": candidates}
    features = _conv(recipe, scale.filters)
    options = spec.solve_options("cifar10", n_train=scale.cifar10, features=features, scratch=spec.scratch)
    return _solve(spec, keep, progress, **options, ridge=best["ridge"]) | {"ridges_tried": candidates}


def _interpolants(spec, scale, keep, progress):
    options = spec.solve_options("mnist", n_train=scale.interpolants, n_test=scale.interpolants, bandwidth=5.0)
    del options["device"]  # they are solved on the CPU
    record = keep(run_interpolants(InterpolantsSpec(**options), progress=progress))
    least, *others = [row for row in record.results.rows if row.norm is not None]
    kept = ("name", "labels", "norm", "ratio")
    return _about(record) | {
        "kernel": record.results.kernel,
        "test_error": least.test_error,
        "norm": least.norm,
        "norm_pm1": least.norm_pm1,
        "others": [{name: getattr(row, name) for name in kept} for row in others],
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
    "mnist-pixels": functools.partial(_one, data="mnist", bandwidth=5.0),
    "mnist-gabor": functools.partial(_one, data="mnist", features="gabor"),
    "mnist-scattering": functools.partial(_one, data="mnist", features="scattering"),
    "mnist-pixels-ridge": functools.partial(_ridge_path, bandwidth=5.0),
    "mnist-gabor-ridge": functools.partial(_ridge_path, features="gabor"),
    "cifar10-pixels": functools.partial(_one, data="cifar10"),
    "cifar10-randomconv": _cifar10_randomconv,
    "cifar10-randomconv-ridge": _cifar10_randomconv_ridge,
    "cifar10-randomconv-rooted": functools.partial(_cifar10_randomconv, recipe="rooted"),
    "cifar10-randomconv-rooted-ridge": functools.partial(_cifar10_randomconv_ridge, recipe="rooted"),
    "interpolants": _interpolants,
    "linear": _linear,
}

EXPERIMENT = Experiment("section5", Section5Spec, Section5Row, _run, several=True)
