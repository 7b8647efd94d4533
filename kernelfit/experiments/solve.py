"""The main job: data -> corruption -> kernel -> Gram blocks -> factor -> coefficients -> measures -> Record."""

import dataclasses
import importlib.metadata
import shlex

import numpy as np

from kernelfit import backend
from kernelfit.common.errors import InputError
from kernelfit.common.progress import Progress
from kernelfit.common.stopwatch import Stopwatch
from kernelfit.datasets.augmentation import parse_augment
from kernelfit.experiments.engines import check_engine, open_engine
from kernelfit.experiments.preparation import doubts_of, prepare
from kernelfit.kernels import Precomputed
from kernelfit.models.model import Model
from kernelfit.records import pictures
from kernelfit.records.record import Record, now
from kernelfit.solvers import measures
from kernelfit.solvers.engine import Answer
from kernelfit.solvers.planning.plan import LOO_IN_MIXED, PRECISIONS
from kernelfit.solvers.solve import memory_explained, solve


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
        if self.engine != "local" and type(self) is not SolveSpec:
            raise InputError(
                f"--engine {self.engine} solves for one ridge and one set of labels; leave it out for this"
            )
        for name in ("n_train", "n_test", "seed", "memory", "block", "workers", "rank", "steps", "bandwidth_points"):
            value = getattr(self, name)
            smallest, optional = name not in ("seed", "rank"), name not in ("seed", "bandwidth_points")
            if not (isinstance(value, int) and value >= smallest) and not (optional and value is None):
                raise InputError(f"{name} = {value!r}; it must be an integer of at least {smallest:d}")
        if not (isinstance(self.ridge, int | float) and 0 <= self.ridge < float("inf")):
            raise InputError(f"ridge = {self.ridge!r}; it must be 0 or a positive number")
        if self.tolerance is not None and not (isinstance(self.tolerance, float) and 0 < self.tolerance < 1):
            raise InputError(f"tolerance = {self.tolerance!r}; it is a relative residual, between 0 and 1")
        if self.precision not in ("auto", *PRECISIONS):
            raise InputError(f"precision {self.precision!r}; known are auto, {', '.join(PRECISIONS)}")
        if self.loo and self.precision == "mixed":
            raise InputError(LOO_IN_MIXED)
        if parse_augment(self.augment) and self.loo:
            raise InputError(
                f"leave-one-out with augment = {self.augment!r}: leaving one row out leaves its copies in, so that "
                "the error would be far too small. Leave out --loo or --augment"
            )
        if self.resume and self.scratch is None:
            raise InputError("--resume goes on with the factor in a --scratch folder; name that folder")

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
    """Run a SolveSpec; return (Record, Model), or (None, None) in a process that only follows another's lead.

    Raises
    ------
    KernelfitError
        Of the kind that fits: data not found or unusable, option out of range, too little memory, singular matrix.
    """
    progress = progress or Progress()
    if spec.engine == "local":
        return _run(spec, None, progress)
    with open_engine(spec) as engine:
        return _run(spec, engine, progress) if engine.is_root else (None, None)


def _run(spec, engine, progress):
    """Run a SolveSpec with an engine, or in this process without one."""
    watch = Stopwatch()
    ready = prepare(spec, planned=engine is None, watch=watch, progress=progress)
    data, changed, kernel, choice = ready.data, ready.changed, ready.kernel, ready.choice
    y, k = ready.training.y, len(data.classes)
    Y = measures.one_hot(y, k)
    if engine is None:
        answer = _solve_here(spec, ready, Y, progress)
    else:
        answer = engine.solve(ready.K, ready.K_test, Y, ridge=spec.ridge, progress=progress)
    watch.add(answer.seconds)
    measured = _measure(answer, Y, y, spec.ridge)
    with watch("pictures"):
        illustrated = _illustrations(ready, spec, Y, answer)
    watch.seconds["total"] = watch.total()

    record = Record(
        created=now(),
        version=importlib.metadata.version("kernelfit"),
        command=(engine.launcher if engine else "") + spec.command(),
        dataset={"asked": str(spec.data), "name": data.name, "provenance": data.provenance, "sha256": data.hashes()},
        n_train=len(changed.y_train),
        n_test=len(data.y_test),
        d=ready.d,
        n_classes=k,
        kernel=str(kernel),
        bandwidth_choice=dataclasses.asdict(choice) if choice else None,
        features="precomputed" if isinstance(kernel, Precomputed) else str(ready.features),
        corruption={
            "labels": changed.labels,
            "pixels": changed.pixels,
            "seed": changed.seed,
            "labels_replaced": int(changed.replaced.sum()),
            "labels_changed": int(np.sum(changed.y_train != data.y_train)),
            "sha256": changed.sha256,
        },
        ridge=answer.ridge,
        method=answer.method,
        precision=answer.precision,
        device=answer.device,
        seed=spec.seed,
        test_error=measures.error_rate(answer.scores, data.y_test),
        **measured,
        **illustrated,
        warnings=_warnings(ready, measured, spec.ridge, answer),
        seconds={name: round(seconds, 4) for name, seconds in watch.seconds.items()},
        gflops=answer.gflops,
        gemm_gflops=answer.gemm_gflops,
        peak_bytes=answer.peak_bytes,
        environment=ready.K.device.describe(),
        solver=answer.report,
        augmentation={"what": spec.augment, "rows": len(y), "left_out": ready.training.left_out},
    )
    return record, Model(
        kernel, ready.training.X, answer.coef, data.classes, spec.ridge, spec.pixels, ready.features, spec.seed
    )


def _solve_here(spec, ready, Y, progress):
    """Return the Answer of a Prepared problem, solved in this process in the way of its plan."""
    solution = solve(
        ready.K,
        Y,
        ready.way,
        ridge=spec.ridge,
        fallback=ready.plan.fallback(ready.way),
        scratch=spec.scratch,
        resume=spec.resume,
        progress=progress,
    )
    watch, factor, way = Stopwatch(), solution.factor, solution.way
    with solution:
        inverse_diagonal = None
        if spec.loo:
            with watch("leave_one_out"):
                inverse_diagonal = factor.inverse_diagonal(progress=progress)
        smallest_pivot = factor.smallest_pivot()
        with watch("predict"):
            scores = ready.K_test.product(solution.coef, progress=progress)
    return Answer(
        coef=solution.coef,
        check=solution.check,
        energy=solution.energy,
        scores=scores,
        inverse_diagonal=inverse_diagonal,
        condition_estimate=solution.condition_estimate,
        smallest_pivot=smallest_pivot,
        ridge=factor.ridge,
        method=str(way),
        precision=way.precision,
        report=solution.report | {"reason": ready.reason},
        seconds=solution.seconds | watch.seconds,
        gflops=_gflops(len(Y), solution),
        gemm_gflops=ready.plan.rates.gemm(way.precision) / 1e9,
        peak_bytes=backend.peak_memory(),
        device=ready.K.device.name,
    )


def _gflops(n, solution):
    """Return the rate of the panels made in this run, or None if an earlier run had made them all."""
    before = min(n, solution.report["resumed_panels"] * solution.report["panel_width"])
    # Column k of n takes 2 k (n - k) operations.
    made = (n**3 - 3 * n * before**2 + 2 * before**3) / 3
    return made / solution.seconds["factor"] / 1e9 if made else None


def _measure(answer, Y, y, ridge):
    """Return the fields of the Record that measure an Answer for the targets Y of the labels y."""
    coef, check = answer.coef, answer.check
    norm = measures.rkhs_norm(coef, check.fitted, answer.energy, ridge)
    coef_pm1, fitted_pm1, *energy_pm1 = map(measures.to_plus_minus_one, (coef, check.fitted, *answer.energy))
    norm_pm1 = measures.rkhs_norm(coef_pm1, fitted_pm1, energy_pm1, ridge)
    loo_error = None
    if answer.inverse_diagonal is not None:
        loo_error = measures.error_rate(measures.leave_one_out(Y, coef, answer.inverse_diagonal), y)
    return {
        "train_error": measures.error_rate(check.fitted, y),
        "loo_error": loo_error,
        "norm": norm.total,
        "norm_pm1": norm_pm1.total,
        "norm_per_output": norm.per_output,
        "norm_pm1_per_output": norm_pm1.per_output,
        "norm_disagreement": max(norm.disagreement, norm_pm1.disagreement),
        "relative_residual": check.relative_residual,
        "condition_estimate": answer.condition_estimate,
        "smallest_pivot": answer.smallest_pivot,
    }


def _illustrations(ready, spec, Y, answer):
    """Return the fields of the Record that the report draws: histograms, and pictures where there are images."""
    data, y, diagonal = ready.data, ready.training.y, answer.inverse_diagonal
    drawn = {
        "misclassified": pictures.misclassified(ready.changed.X_test, data.y_test, answer.scores, data.classes),
        "memorised": [],
        "filters": None,
    }
    if diagonal is not None:
        drawn["memorised"] = pictures.memorised(
            ready.training.X, Y, y, data.y_train, answer.coef, diagonal, data.classes, ridge=spec.ridge
        )
    filters = getattr(ready.X_train, "filters", None)
    if filters is not None:
        drawn["filters"] = pictures.sheet(filters)
    histograms = pictures.histograms(Y, y, answer.check.fitted, answer.coef, answer.scores, data.y_test, diagonal)
    return {"histograms": histograms, "pictures": drawn}


def _warnings(ready, measured, ridge, answer):
    """What a reader of the numbers must know."""
    names = ("relative_residual", "norm_disagreement", "condition_estimate")
    found = measures.doubts(**{name: measured[name] for name in names})
    if answer.report["shift"]:
        found.append(
            f"float32 broke down, and its factor is that of a matrix with {answer.report['shift']:.1e} more on the "
            "diagonal; the smallest pivot is that of this matrix, all else of the problem itself"
        )
    if ridge == 0 and measured["train_error"] > 0:
        found.append(
            f"{100 * measured['train_error']:.3g} % of the training points are not fitted: this is no interpolant"
        )
    if not np.isfinite(answer.scores).all():
        found.append("some test points have no finite prediction; they count as errors")
    k, present = answer.scores.shape[1], set(ready.changed.y_train.tolist())
    if len(present) < k:
        found.append(f"{k - len(present)} of {k} classes have no training example")
    choice = ready.choice
    if choice and choice.bandwidth == choice.candidates[-1]["bandwidth"]:
        found.append(f"the bandwidth chosen, {choice.bandwidth:.3g}, is the widest that could be tried")
    return found + doubts_of(ready)
