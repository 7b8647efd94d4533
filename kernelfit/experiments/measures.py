"""`kernelfit measures`: every measure of complexity on true and on random labels, from one factor."""

import dataclasses
from typing import Literal

import numpy as np

from kernelfit.analysis.comparison import MeasuresTable, measures_table
from kernelfit.common.spec import option
from kernelfit.corruption import corrupt_labels
from kernelfit.datasets.labels import one_hot
from kernelfit.experiments.parts import RIDGE, Data, KernelOptions, Machine, MpiEngine
from kernelfit.experiments.preparation import doubts_of, prepare, recorded, solved
from kernelfit.experiments.registry import Experiment
from kernelfit.experiments.solving import check_engine, experiment
from kernelfit.records.record import Record

LABELLINGS = 10  # random ones: what chance does to each measure


@dataclasses.dataclass(frozen=True, kw_only=True)
class MeasuresSpec(MpiEngine, Machine, KernelOptions, Data):
    """What is measured, and where. The factor is float64: leave-one-out and stability need it."""

    words = ("measures",)
    group = Data.group
    loo, precision = True, "float64"

    ridge: float = option(0.0, RIDGE)
    device: Literal["auto", "cpu", "cuda"] = option("cpu", "auto: the GPU where CuPy finds one.", incidental=True)

    def check(self):
        check_engine(self)


@dataclasses.dataclass(frozen=True, kw_only=True)
class MeasuresResults:
    """Every measure of one kernel on true and on random labels."""

    kernel: str
    features: str
    table: MeasuresTable


@experiment
def run_measures(spec, solver, watch, progress) -> Record:
    """Run a MeasuresSpec; return its Record."""
    ready = prepare(spec, solver, label_sets=1 + LABELLINGS, watch=watch, progress=progress)
    true, k = ready.true_labels, len(ready.data.classes)
    seeds = range(spec.seed, spec.seed + LABELLINGS)
    random = np.array([corrupt_labels(ready.data.y_train, k, 1.0, seed=seed)[0] for seed in seeds])
    ready, factor, _ = solved(ready, one_hot(true, k), solver, ridge=spec.ridge, watch=watch, progress=progress)
    with factor, watch("measure"):
        table = measures_table(
            factor,
            true,
            random[:, ready.training.groups],
            n_classes=k,
            K_test=ready.K_test,
            y_test=ready.data.y_test,
            seed=spec.seed,
            progress=progress,
        )
    return recorded(
        spec,
        MeasuresResults(kernel=str(ready.K.kernel), features=str(ready.features), table=table),
        ready,
        watch,
        kind="measures",
        launcher=solver.launcher,
        warnings=table.warnings + doubts_of(ready, loo=True),
    )


EXPERIMENT = Experiment("measures", MeasuresSpec, MeasuresResults, run_measures)
