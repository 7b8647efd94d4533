"""`kernelfit measures`: every measure of complexity on true and on random labels, from one factor."""

import dataclasses

from kernelfit.analysis.comparison import measures_table
from kernelfit.common.errors import InputError
from kernelfit.common.progress import Progress
from kernelfit.common.stopwatch import Stopwatch
from kernelfit.corruption import corrupt_labels
from kernelfit.datasets.labels import one_hot
from kernelfit.experiments.preparation import prepare, solved
from kernelfit.experiments.solving import solver_of
from kernelfit.solvers.protocol import memory_explained


@memory_explained()
def run_measures(spec, *, progress=None):
    """Return (MeasuresTable, title) of a SolveSpec; `labels` does not apply, random labels are drawn by its seed.

    The factor is float64: leave-one-out and stability need it.
    """
    if spec.labels != "true":
        raise InputError("measures compares true with random labels; leave out `labels`")
    if spec.augment != "none":
        raise InputError("measures are of the training images alone; leave out `augment`")
    if spec.engine == "dask":
        raise InputError(
            'measures need a factor, for leave-one-out and stability, and `engine="dask"` makes none. Use '
            '`engine="local"`, or "mpi"'
        )
    progress, watch = progress or Progress(), Stopwatch()
    spec = dataclasses.replace(spec, loo=True, precision="float64")
    with solver_of(spec).opened() as solver:
        return _run(spec, solver, watch, progress) if solver.is_root else (None, None)


def _run(spec, solver, watch, progress):
    ready = prepare(spec, solver, label_sets=2, watch=watch, progress=progress)
    true, k = ready.true_labels, len(ready.data.classes)
    random = corrupt_labels(ready.data.y_train, k, 1.0, seed=spec.seed)[0][ready.training.groups]
    ready, factor, _ = solved(ready, one_hot(true, k), solver, ridge=spec.ridge, watch=watch, progress=progress)
    with factor:
        made = measures_table(
            factor,
            true,
            random,
            n_classes=k,
            K_test=ready.K_test,
            y_test=ready.data.y_test,
            seed=spec.seed,
            progress=progress,
        )
    return made, f"{ready.data.name}, n = {len(true):,}, {ready.K.kernel}"
