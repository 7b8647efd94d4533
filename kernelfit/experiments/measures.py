"""`kernelfit measures`: every measure of complexity on true and on random labels, from one factor."""

import dataclasses

from kernelfit.analysis.comparison import measures_table
from kernelfit.common.errors import InputError
from kernelfit.common.progress import Progress
from kernelfit.common.stopwatch import Stopwatch
from kernelfit.corruption import corrupt_labels
from kernelfit.experiments.preparation import prepare
from kernelfit.solvers.panel_cholesky import cholesky
from kernelfit.solvers.solve import memory_explained


@memory_explained()
def run_measures(spec, *, progress=None):
    """Return (MeasuresTable, title) of a SolveSpec; `labels` does not apply, random labels are drawn by its seed.

    The factor is float64 and in memory: leave-one-out and stability need it.
    """
    if spec.labels != "true":
        raise InputError("measures compares true with random labels; leave out --labels")
    if spec.augment != "none":
        raise InputError("measures are of the training images alone; leave out --augment")
    if spec.scratch is not None:
        raise InputError("measures keeps its factor in memory; leave out --scratch")
    progress = progress or Progress()
    spec = dataclasses.replace(spec, loo=True, precision="float64")
    ready = prepare(spec, label_sets=2, watch=Stopwatch(), progress=progress)
    true, k = ready.data.y_train, len(ready.data.classes)
    made = measures_table(
        ready.K,
        cholesky(ready.K, ridge=spec.ridge, progress=progress),
        true,
        corrupt_labels(true, k, 1.0, seed=spec.seed)[0],
        n_classes=k,
        K_test=ready.K_test,
        y_test=ready.data.y_test,
        seed=spec.seed,
        progress=progress,
    )
    return made, f"{ready.data.name}, n = {len(true):,}, {ready.kernel}"
