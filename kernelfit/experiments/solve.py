"""The main job: data -> corruption -> kernel -> Gram blocks -> factor -> coefficients -> measures -> Record."""

import dataclasses
import importlib.metadata
import shlex

import numpy as np

from kernelfit.common.errors import InputError
from kernelfit.common.progress import Progress
from kernelfit.common.stopwatch import Stopwatch
from kernelfit.common.validation import check_integer, check_number
from kernelfit.datasets.augmentation import parse_augment
from kernelfit.datasets.labels import error_rate, one_hot, plus_minus_one
from kernelfit.experiments.preparation import doubts_of, prepare, solved
from kernelfit.experiments.solving import check_engine, solver_of
from kernelfit.models.fit import pivot_of
from kernelfit.records import pictures
from kernelfit.records.record import Record, now
from kernelfit.solvers.planning.plan import check_precision
from kernelfit.solvers.protocol import memory_explained
from kernelfit.solvers.solution import doubts


@dataclasses.dataclass(frozen=True, kw_only=True)
class SolveSpec:
    """What to solve; the fields are the options of `kernelfit solve`.

    bandwidth None stands for "auto": closed-form leave-one-out on bandwidth_points of the training points. memory is in
    bytes. grid ("2x2") and block are those of --engine mpi; scheduler, workers, tolerance, rank and steps those of
    --engine dask.
    """

    data: str = "digits"
    features: str = "pixels"
    kernel: str = "gaussian"
    bandwidth: float | None = None
    bandwidth_points: int = 3000
    labels: str = "true"
    pixels: str = "true"
    augment: str = "none"
    ridge: float = 0.0
    seed: int = 0
    n_train: int | None = None
    n_test: int | None = None
    loo: bool = False
    precision: str = "auto"
    device: str = "auto"
    memory: int | None = None
    scratch: str | None = None
    resume: bool = False
    engine: str = "local"
    grid: str | None = None
    block: int | None = None
    scheduler: str | None = None
    workers: int | None = None
    tolerance: float | None = None
    rank: int | None = None
    steps: int | None = None
    data_dir: str | None = None

    def __post_init__(self):
        check_engine(self)
        for name in ("n_train", "n_test", "seed", "memory", "block", "workers", "rank", "steps", "bandwidth_points"):
            if getattr(self, name) is not None or name in ("seed", "bandwidth_points"):
                check_integer(name, getattr(self, name), 0 if name in ("seed", "rank") else 1)
        check_number("ridge", self.ridge)
        if self.tolerance is not None and not (isinstance(self.tolerance, float) and 0 < self.tolerance < 1):
            raise InputError(f"tolerance = {self.tolerance!r}; it is a relative residual, between 0 and 1")
        check_precision(self.precision, self.loo)
        if parse_augment(self.augment) and self.loo:
            raise InputError(
                f"leave-one-out with augment = {self.augment!r}: leaving one row out leaves its copies in, so that "
                "the error would be far too small. Leave out `loo` or `augment`"
            )
        if self.resume and self.scratch is None:
            raise InputError("`resume` goes on with the factor in a `scratch` folder; name that folder")

    def command(self):
        """Return the command line that repeats the run."""
        words = ["kernelfit", "solve"]
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            option = "--" + field.name.replace("_", "-")
            if isinstance(value, bool):
                words += [option] * value
            elif value != field.default or field.name in ("data", "kernel"):
                words += [option, str(value)]
        return shlex.join(words)


@memory_explained()
def run_solve(spec, *, progress=None):
    """Run a SolveSpec; return (Record, KernelExpansion), or (None, None) in a process that only follows another's lead.

    Raises
    ------
    KernelfitError
        Of the kind that fits: data not found or unusable, option out of range, too little memory, singular matrix.
    """
    progress, watch = progress or Progress(), Stopwatch()
    with solver_of(spec).opened() as solver:
        return _run(spec, solver, watch, progress) if solver.is_root else (None, None)


def _run(spec, solver, watch, progress):
    ready = prepare(spec, solver, watch=watch, progress=progress)
    data, changed = ready.data, ready.changed
    y, k = ready.training.y, len(data.classes)
    ready, factor, solution = solved(ready, one_hot(y, k), solver, ridge=spec.ridge, watch=watch, progress=progress)
    diagonal = None
    with factor:
        if spec.loo:
            with watch("leave_one_out"):
                diagonal = factor.inverse_diagonal(progress=progress)
        pivot = pivot_of(factor)
        with watch("predict"):
            scores = factor.predict(ready.K_test, solution.coef, progress=progress)
        peak = factor.peak_memory()
    pm1 = solution.combined(plus_minus_one(k))
    with watch("pictures"):
        illustrated = _illustrations(ready, spec, solution, scores, diagonal)
    watch.seconds["total"] = watch.total()

    record = Record(
        created=now(),
        version=importlib.metadata.version("kernelfit"),
        command=solver.launcher + spec.command(),
        dataset={"asked": str(spec.data), "name": data.name, "provenance": data.provenance, "sha256": data.hashes()},
        n_train=len(changed.y_train),
        n_test=len(data.y_test),
        d=ready.d,
        n_classes=k,
        kernel=str(ready.K.kernel),
        bandwidth_choice=dataclasses.asdict(ready.choice) if ready.choice else None,
        features="precomputed" if ready.kernel.of_matrix else str(ready.features),
        corruption={
            "labels": changed.labels,
            "pixels": changed.pixels,
            "seed": changed.seed,
            "labels_replaced": int(changed.replaced.sum()),
            "labels_changed": int(np.sum(changed.y_train != data.y_train)),
            "sha256": changed.sha256,
        },
        ridge=factor.ridge,
        method=factor.method,
        precision=factor.precision,
        device=factor.device,
        seed=spec.seed,
        train_error=error_rate(solution.fitted, y),
        test_error=error_rate(scores, data.y_test),
        loo_error=None if diagonal is None else error_rate(solution.left_out(diagonal), y),
        norm=solution.norm.total,
        norm_pm1=pm1.norm.total,
        norm_per_output=solution.norm.per_output,
        norm_pm1_per_output=pm1.norm.per_output,
        norm_disagreement=max(solution.norm.disagreement, pm1.norm.disagreement),
        relative_residual=solution.relative_residual,
        condition_estimate=solution.condition_estimate,
        smallest_pivot=pivot,
        **illustrated,
        warnings=[],
        seconds={name: round(seconds, 4) for name, seconds in watch.seconds.items()},
        gflops=factor.gflops,
        gemm_gflops=factor.gemm_gflops,
        peak_bytes=peak,
        environment=ready.K.device.describe(),
        solver=factor.report | solution.report,
        augmentation={"what": spec.augment, "rows": len(y), "left_out": ready.training.left_out},
    )
    record = dataclasses.replace(record, warnings=_warnings(ready, record, solution, scores))
    return record, ready.function(spec, solution.coef)


def _illustrations(ready, spec, solution, scores, diagonal):
    """Return the fields of the Record that the report draws: histograms, and pictures where there are images."""
    data, y, Y, coef = ready.data, ready.training.y, solution.targets, solution.coef
    drawn = {
        "misclassified": pictures.misclassified(ready.changed.X_test, data.y_test, scores, data.classes),
        "memorised": [],
        "filters": None,
    }
    if diagonal is not None:
        drawn["memorised"] = pictures.memorised(
            ready.training.X, Y, y, ready.true_labels, coef, diagonal, data.classes, ridge=spec.ridge
        )
    filters = getattr(ready.X_train, "filters", None)
    if filters is not None:
        drawn["filters"] = pictures.sheet(filters)
    histograms = pictures.histograms(Y, y, solution.fitted, coef, scores, data.y_test, diagonal)
    return {"histograms": histograms, "pictures": drawn}


def _warnings(ready, record, solution, scores):
    """What a reader of the numbers must know."""
    found = doubts(
        record.relative_residual,
        norm_disagreement=record.norm_disagreement,
        condition_estimate=record.condition_estimate,
    )
    shift, choice = solution.report["shift"], ready.choice
    if shift:
        found.append(
            f"float32 broke down, and its factor is that of a matrix with {shift:.1e} more on the diagonal; the "
            "smallest pivot is that of this matrix, all else of the problem itself"
        )
    if record.ridge == 0 and record.train_error > 0:
        found.append(f"{100 * record.train_error:.3g} % of the training points are not fitted: this is no interpolant")
    if not np.isfinite(scores).all():
        found.append("some test points have no finite prediction; they count as errors")
    k, present = scores.shape[1], set(ready.changed.y_train.tolist())
    if len(present) < k:
        found.append(f"{k - len(present)} of {k} classes have no training example")
    if choice and choice.bandwidth == choice.candidates[-1]["bandwidth"]:
        found.append(f"the bandwidth chosen, {choice.bandwidth:.3g}, is the widest that could be tried")
    return found + doubts_of(ready)
