"""Label corruption from 0 to 1 for the price of one solve: labels never touch the factor (the paper's figure 1c)."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from msgspec import Meta

from kernelfit.analysis.leaving_out import margin_distribution, margins
from kernelfit.common.errors import InputError
from kernelfit.common.files import remove_if_empty
from kernelfit.common.spec import option
from kernelfit.corruption import corrupt_labels, label_probability
from kernelfit.datasets.labels import error_rate, one_hot, plus_minus_one
from kernelfit.experiments.parts import (
    LABELS,
    LOO,
    RIDGE,
    Data,
    Engine,
    Factor,
    KernelOptions,
    Machine,
    PixelSetting,
    label_levels,
)
from kernelfit.experiments.preparation import doubts_of, prepare, recorded, solved
from kernelfit.experiments.registry import Experiment
from kernelfit.experiments.solve import SolveSpec
from kernelfit.experiments.solving import check_engine, experiment
from kernelfit.models.posterior import log_determinant_of, log_marginal_likelihood
from kernelfit.records.forms import Count, Measure, Share
from kernelfit.records.record import Record
from kernelfit.solvers.solution import doubts


@dataclasses.dataclass(frozen=True, kw_only=True)
class SweepSpec(Engine, Machine, Factor, KernelOptions, Data):
    """What to sweep, how, and where. Each pixel setting is a solve of its own."""

    words = ("sweep",)
    group = Data.group

    labels: tuple[float, ...] = option(  # type: ignore[assignment]
        tuple(k / 10 for k in range(11)), LABELS, parse=label_levels, old="levels", shown=True
    )
    seeds: int = option(5, "How many seeds of the labels at each level: 0, 1, ...", least=1, shown=True)
    pixels: tuple[PixelSetting, ...] = option(  # type: ignore[assignment]
        ("true",), "Pixels of all images; each setting is a solve of its own."
    )
    ridge: float = option(0.0, RIDGE)
    loo: bool = option(False, LOO)

    def check(self):
        check_engine(self)
        if not self.labels or not self.pixels:
            raise InputError("a sweep needs at least one level and one pixel setting")
        for level in self.labels:
            label_probability(level)

    def settings(self) -> list[SolveSpec]:
        """Return what is solved for each pixel setting, with a scratch folder of its own: each has its own factor."""
        own = {field.name for field in dataclasses.fields(self)} - {"labels", "pixels", "scratch"}
        shared = {field.name: getattr(self, field.name) for field in dataclasses.fields(SolveSpec) if field.name in own}
        folders = {pixels: self.scratch and str(Path(self.scratch) / pixels) for pixels in self.pixels}
        return [SolveSpec(**shared, pixels=pixels, scratch=folder) for pixels, folder in folders.items()]


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
    log_marginal_likelihood : float or None
        Of the 0/1 targets, as in a solve.
    train_margins, test_margins : dict
        Score of the own class minus the largest other: mean, share below 0, quantiles.
    """

    pixels: str
    level: Share
    seed: int
    labels_changed: Count = 0
    train_error: Share
    clean_train_error: Share | None = None
    changed_train_error: Share | None = None
    test_error: Share
    loo_error: Share | None = None
    clean_loo_error: Share | None = None
    changed_loo_error: Share | None = None
    recovered: Share | None = None
    norm: Measure
    norm_pm1: Measure
    log_marginal_likelihood: Measure = None
    train_margins: dict[str, Any] = dataclasses.field(default_factory=dict)
    test_margins: dict[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class SweepResults:
    """All sets of labels of a sweep.

    Attributes
    ----------
    features : str
    kernels : dict
        The kernel of each pixel setting.
    method : str
    relative_residual : float
        The largest of all classes of all sets.
    rows : list of SweepRow
    """

    features: str | None = None
    kernels: dict[str, str]
    method: str
    relative_residual: Measure
    rows: Annotated[list[SweepRow], Meta(min_length=1)]


@experiment
def run_sweep(spec, solver, watch, progress) -> Record:
    """Run a SweepSpec; return its Record."""
    rows, kernels, solutions, warnings = [], {}, [], []
    for setting in spec.settings():
        if setting.scratch != spec.scratch:
            solver = dataclasses.replace(solver, scratch=setting.scratch)
        ready, solution, own, found = _sweep_labels(spec, setting, solver, watch, progress)
        if setting.scratch is not None:
            remove_if_empty(setting.scratch)
        rows += own
        kernels[setting.pixels] = str(ready.K.kernel)
        solutions.append(solution)
        warnings += [f"pixels {setting.pixels}: {doubt}" for doubt in found + doubts_of(ready, loo=spec.loo)]
    results = SweepResults(
        features=str(ready.features),
        kernels=kernels,
        method=solution.method,
        relative_residual=float(np.max([solution.relative_residual for solution in solutions])),
        rows=rows,
    )
    return recorded(spec, results, ready, watch, kind="sweep", launcher=solver.launcher, warnings=warnings)


def _sweep_labels(spec, setting, solver, watch, progress):
    """Return (Prepared, Solution, rows, doubts) of all levels and seeds on one factor."""
    # Without replaced labels all seeds are one: solved once, and reported once.
    sets = [(level, seed) for level in spec.labels for seed in range(spec.seeds if level else 1)]
    ready = prepare(setting, solver, label_sets=len(sets), watch=watch, progress=progress)
    k = len(ready.data.classes)
    labels = [corrupt_labels(ready.data.y_train, k, level, seed=seed)[0] for level, seed in sets]
    if spec.ridge == 0:
        dataclasses.replace(ready.duplicates, targets=np.column_stack(labels)).require_equal_targets()
    labels = [y[ready.training.groups] for y in labels]
    Y = _targets(labels, k)
    ready, factor, whole = solved(ready, Y, solver, ridge=spec.ridge, watch=watch, progress=progress)
    diagonal = None
    with factor:
        if spec.loo:
            with watch("leave_one_out"):
                diagonal = factor.inverse_diagonal(progress=progress)
        log_determinant = log_determinant_of(factor)
        with watch("predict"):
            scores = factor.predict(ready.K_test, whole.coef, progress=progress)
    rows, worst = [], {}
    with watch("measure"):
        for index, ((level, seed), y) in enumerate(zip(sets, labels, strict=True)):
            T = _of_set(Y.shape[1], index, np.bincount(y, minlength=k) > 0)
            which = {"pixels": setting.pixels, "level": level, "seed": seed}
            solution = whole.combined(T)
            which["log_marginal_likelihood"] = log_marginal_likelihood(solution, log_determinant)
            row, numbers = _row(which, ready, y, solution, scores @ T, diagonal)
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


def _row(which, ready, y, solution, scores, diagonal):
    """Return (SweepRow, {relative_residual, norm_disagreement}) of one set of labels."""
    fitted, left_out = solution.fitted, None if diagonal is None else solution.left_out(diagonal)
    norm, norm_pm1 = solution.norm, solution.combined(plus_minus_one(scores.shape[1])).norm
    true, y_test = ready.true_labels, ready.data.y_test
    changed = y != true
    row = SweepRow(
        **which,
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


EXPERIMENT = Experiment("sweep", SweepSpec, SweepResults, run_sweep)
