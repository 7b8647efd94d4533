"""Label corruption from 0 to 1 for the price of one solve: labels never touch the factor (the paper's figure 1c)."""

import dataclasses
import shlex
from pathlib import Path

import numpy as np

from kernelfit.analysis.leaving_out import margin_distribution, margins
from kernelfit.common.errors import InputError
from kernelfit.common.progress import Progress
from kernelfit.common.stopwatch import Stopwatch
from kernelfit.common.validation import check_integer
from kernelfit.corruption import corrupt_labels, label_probability
from kernelfit.datasets.labels import error_rate, one_hot, plus_minus_one
from kernelfit.experiments.preparation import doubts_of, prepare, solved
from kernelfit.experiments.solve import SolveSpec
from kernelfit.experiments.solving import solver_of
from kernelfit.records.record import append_json, now
from kernelfit.solvers.protocol import memory_explained
from kernelfit.solvers.solution import doubts

SCHEMA = "kernelfit.sweep/1"


@dataclasses.dataclass(frozen=True, kw_only=True)
class SweepSpec(SolveSpec):
    """What to sweep: the options of `kernelfit sweep`, and those of a solve that apply.

    Attributes
    ----------
    levels : tuple of float
        Probabilities with which a training label is replaced.
    seeds : int
        Seeds 0, 1, ..., seeds - 1 of the labels at each level.
    pixel_settings : tuple of str
        Each is a solve of its own: "true", "shuffled", "random", "gaussian".
    """

    levels: tuple = tuple(k / 10 for k in range(11))
    seeds: int = 5
    pixel_settings: tuple = ("true",)

    def __post_init__(self):
        super().__post_init__()
        if not self.levels or not self.pixel_settings:
            raise InputError("a sweep needs at least one level and one pixel setting")
        for level in self.levels:
            label_probability(level)
        if self.augment != "none":
            raise InputError("a sweep changes labels one by one, so no image may have copies; leave out `augment`")
        check_integer("seeds", self.seeds)

    def settings(self):
        """Return a SweepSpec for each pixel setting, with a scratch folder of its own: each has its own factor."""
        folders = {pixels: self.scratch and str(Path(self.scratch) / pixels) for pixels in self.pixel_settings}
        return [dataclasses.replace(self, pixels=pixels, scratch=folder) for pixels, folder in folders.items()]

    def command(self):
        """Return the command line that repeats the sweep."""
        base = SolveSpec(**{field.name: getattr(self, field.name) for field in dataclasses.fields(SolveSpec)})
        words = ["kernelfit", "sweep", *shlex.split(base.command())[2:], "--levels", *map(str, self.levels)]
        return shlex.join([*words, "--seeds", str(self.seeds), "--pixels", *self.pixel_settings])


@dataclasses.dataclass(frozen=True, kw_only=True)
class SweepRow:
    """One set of labels. Errors are fractions; None is "no such example" or "not asked for".

    Attributes
    ----------
    pixels, level, seed
        The setting.
    labels_changed : int
        Training labels that differ from the true ones.
    train_error : float
        Against the labels fitted; clean_train_error and changed_train_error among the unchanged and the changed ones.
    test_error : float
        Against true labels.
    loo_error : float or None
        Closed-form leave-one-out, against the labels fitted; the same split.
    recovered : float or None
        Share of the changed examples whose leave-one-out prediction is their true class: what survived.
    norm, norm_pm1 : float
        RKHS norm for 0/1 and for -1/+1 targets.
    train_margins, test_margins : dict
        Score of the own class minus the largest other: mean, share below 0, quantiles.
    """

    pixels: str
    level: float
    seed: int
    labels_changed: int
    train_error: float
    clean_train_error: float | None
    changed_train_error: float | None
    test_error: float
    loo_error: float | None
    clean_loo_error: float | None
    changed_loo_error: float | None
    recovered: float | None
    norm: float
    norm_pm1: float
    train_margins: dict
    test_margins: dict


@dataclasses.dataclass(frozen=True)
class SweepResult:
    """All rows of a sweep, and what they have in common.

    Attributes
    ----------
    rows : list of SweepRow
    shared : dict
        JSON-ready: schema, created, command, dataset, n_train, n_test, n_classes, kernels (text for each pixel
        setting), method, seconds (by phase, over all pixel settings), relative_residual (the largest of all classes of
        all sets), warnings, environment.
    """

    rows: list
    shared: dict


@memory_explained()
def run_sweep(spec, *, runs=None, progress=None):
    """Run a SweepSpec; return the SweepResult, whose rows are also appended to sweep.jsonl in the folder `runs`.

    In a process that only follows another's lead it is None.
    """
    progress, watch = progress or Progress(), Stopwatch()
    with solver_of(spec).opened() as solver:
        if not solver.is_root:
            return None
        rows, kernels, solutions, warnings = [], {}, [], []
        for setting in spec.settings():
            if setting.scratch != spec.scratch:
                solver = dataclasses.replace(solver, scratch=setting.scratch)
            ready, solution, own, found = _sweep_labels(setting, solver, watch, progress)
            rows += own
            kernels[setting.pixels] = str(ready.K.kernel)
            solutions.append(solution)
            warnings += [f"pixels {setting.pixels}: {doubt}" for doubt in found + doubts_of(ready)]
    watch.seconds["total"] = watch.total()
    shared = {
        "schema": SCHEMA,
        "created": now(),
        "command": solver.launcher + spec.command(),
        "dataset": {"asked": str(spec.data), "name": ready.data.name, "sha256": ready.data.hashes()},
        "n_train": len(ready.changed.y_train),
        "n_test": len(ready.data.y_test),
        "n_classes": len(ready.data.classes),
        "features": str(ready.features),
        "kernels": kernels,
        "ridge": spec.ridge,
        "method": solution.method,
        "relative_residual": float(np.max([solution.relative_residual for solution in solutions])),
        "warnings": warnings,
        "seconds": {name: round(seconds, 4) for name, seconds in watch.seconds.items()},
        "environment": ready.K.device.describe(),
    }
    result = SweepResult(rows, shared)
    if runs is not None:
        append_rows(runs, result)
    return result


def append_rows(folder, result):
    """Append the rows of a SweepResult to sweep.jsonl in `folder`, a JSON line each; return the file's path."""
    lines = [result.shared | dataclasses.asdict(row) for row in result.rows]
    return append_json(Path(folder) / "sweep.jsonl", *lines)


def _sweep_labels(spec, solver, watch, progress):
    """Return (Prepared, Solution, rows, doubts) of all levels and seeds on one factor."""
    # Without replaced labels all seeds are one: solved once, and reported once.
    settings = [(level, seed) for level in spec.levels for seed in range(spec.seeds if level else 1)]
    ready = prepare(spec, solver, label_sets=len(settings), watch=watch, progress=progress)
    k = len(ready.data.classes)
    labels = [corrupt_labels(ready.data.y_train, k, level, seed=seed)[0] for level, seed in settings]
    if ready.duplicates is not None:
        dataclasses.replace(ready.duplicates, targets=np.column_stack(labels)).require_equal_targets()
    labels = [y[ready.training.groups] for y in labels]
    Y = _targets(labels, k)
    ready, factor, whole = solved(ready, Y, solver, ridge=spec.ridge, watch=watch, progress=progress)
    diagonal = None
    with factor:
        if spec.loo:
            with watch("leave_one_out"):
                diagonal = factor.inverse_diagonal(progress=progress)
        with watch("predict"):
            scores = factor.predict(ready.K_test, whole.coef, progress=progress)
    rows, worst = [], {}
    with watch("measure"):
        for index, ((level, seed), y) in enumerate(zip(settings, labels, strict=True)):
            T = _of_set(Y.shape[1], index, np.bincount(y, minlength=k) > 0)
            setting = {"pixels": spec.pixels, "level": level, "seed": seed}
            row, numbers = _row(setting, ready, y, whole.combined(T), scores @ T, diagonal)
            rows.append(row)
            worst = {name: max(value, worst.get(name, value)) for name, value in numbers.items()}
    return ready, whole, rows, doubts(**worst, condition_estimate=whole.condition_estimate)


def _targets(labels, k):
    """Return the right-hand sides (n, 1 + sets (k - 1)) of all sets of labels: ones, then all classes but the last.

    The 0/1 targets of a set sum to one over its classes, so whatever is linear in them is known for the last class too.
    """
    return np.hstack([np.ones((len(labels[0]), 1)), *(one_hot(y, k)[:, :-1] for y in labels)])


def _of_set(columns, index, present):
    """Return T with Y T the targets of all classes of one set of labels, for the right-hand sides Y of all sets.

    The last class is the difference of the others. That is only nearly 0 for a class without examples: not `present`.
    """
    k = len(present)
    T, own = np.zeros((columns, k)), 1 + index * (k - 1) + np.arange(k - 1)
    T[own, np.arange(k - 1)] = 1.0
    T[0, -1], T[own, -1] = 1.0, -1.0
    return T * present


def _row(setting, ready, y, solution, scores, diagonal):
    """Return (SweepRow, {relative_residual, norm_disagreement}) of one set of labels."""
    fitted, left_out = solution.fitted, None if diagonal is None else solution.left_out(diagonal)
    norm, norm_pm1 = solution.norm, solution.combined(plus_minus_one(scores.shape[1])).norm
    true, y_test = ready.true_labels, ready.data.y_test
    changed = y != true
    row = SweepRow(
        **setting,
        labels_changed=int(changed.sum()),
        train_error=error_rate(fitted, y),
        clean_train_error=_error(fitted, y, ~changed),
        changed_train_error=_error(fitted, y, changed),
        test_error=error_rate(scores, y_test),
        loo_error=None if left_out is None else error_rate(left_out, y),
        clean_loo_error=None if left_out is None else _error(left_out, y, ~changed),
        changed_loo_error=None if left_out is None else _error(left_out, y, changed),
        recovered=None if left_out is None or not changed.any() else 1.0 - _error(left_out, true, changed),
        norm=norm.total,
        norm_pm1=norm_pm1.total,
        train_margins=margin_distribution(margins(fitted, y)),
        test_margins=margin_distribution(margins(scores, y_test)),
    )
    disagreement = max(norm.disagreement, norm_pm1.disagreement)
    return row, {"relative_residual": solution.relative_residual, "norm_disagreement": disagreement}


def _error(scores, y, rows):
    return error_rate(scores[rows], y[rows]) if rows.any() else None
