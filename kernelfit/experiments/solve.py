"""The main job: data -> corruption -> kernel -> Gram blocks -> factor -> coefficients -> measures -> Record."""

import dataclasses
import importlib.metadata
import shlex

import numpy as np

from kernelfit import backend, illustrations, measures
from kernelfit.augmentation import parse_augment
from kernelfit.errors import InputError
from kernelfit.experiments.preparation import prepare
from kernelfit.kernels import Precomputed
from kernelfit.model import Model
from kernelfit.progress import Progress
from kernelfit.records import Record, now
from kernelfit.solvers.plan import LOO_IN_MIXED, PRECISIONS
from kernelfit.solvers.solve import memory_explained, solve
from kernelfit.stopwatch import Stopwatch


@dataclasses.dataclass(frozen=True, kw_only=True)
class SolveSpec:
    """What to solve; the fields are the options of `kernelfit solve`.

    bandwidth None stands for "auto": closed-form leave-one-out on bandwidth_points of the training points. memory is in
    bytes.
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
    data_dir: str | None = None

    def __post_init__(self):
        for name in ("n_train", "n_test", "seed", "memory", "bandwidth_points"):
            value = getattr(self, name)
            smallest, optional = (0, False) if name == "seed" else (1, name != "bandwidth_points")
            if not (isinstance(value, int) and value >= smallest) and not (optional and value is None):
                raise InputError(f"{name} = {value!r}; it must be an integer of at least {smallest}")
        if not (isinstance(self.ridge, int | float) and 0 <= self.ridge < float("inf")):
            raise InputError(f"ridge = {self.ridge!r}; it must be 0 or a positive number")
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
    """Run a SolveSpec; return (Record, Model).

    Raises
    ------
    KernelfitError
        Of the kind that fits: data not found or unusable, option out of range, too little memory, singular matrix.
    """
    progress = progress or Progress()
    watch = Stopwatch()
    ready = prepare(spec, watch=watch, progress=progress)
    data, changed, kernel, choice, K = ready.data, ready.changed, ready.kernel, ready.choice, ready.K
    y, k = ready.training.y, len(data.classes)
    Y = measures.one_hot(y, k)
    solution = solve(
        K,
        Y,
        ready.way,
        ridge=spec.ridge,
        fallback=ready.plan.fallback(ready.way),
        scratch=spec.scratch,
        resume=spec.resume,
        progress=progress,
    )
    watch.add(solution.seconds)
    with solution:
        measured, diagonal = _measure(solution, Y, y, spec, watch, progress)
        with watch("predict"):
            scores = ready.against.product(solution.coef, progress=progress)
    with watch("pictures"):
        illustrated = _illustrations(ready, spec, Y, solution, scores, diagonal)
    watch.seconds["total"] = watch.total()

    record = Record(
        created=now(),
        version=importlib.metadata.version("kernelfit"),
        command=spec.command(),
        dataset={"asked": spec.data, "name": data.name, "provenance": data.provenance, "sha256": data.hashes()},
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
        ridge=solution.factor.ridge,
        method=str(solution.way),
        precision=solution.way.precision,
        device=K.device.name,
        seed=spec.seed,
        test_error=measures.error_rate(scores, data.y_test),
        **measured,
        **illustrated,
        warnings=_warnings(measured, spec.ridge, choice, scores, set(range(k)) - set(changed.y_train.tolist())),
        seconds={name: round(seconds, 4) for name, seconds in watch.seconds.items()},
        gflops=_gflops(len(y), solution),
        gemm_gflops=ready.plan.rates.gemm(solution.way.precision) / 1e9,
        peak_bytes=backend.peak_memory(),
        environment=K.device.describe(),
        solver=solution.report | {"reason": ready.reason},
        augmentation={"what": spec.augment, "rows": len(y), "left_out": ready.training.left_out},
    )
    return record, Model(
        kernel, ready.training.X, solution.coef, data.classes, spec.ridge, spec.pixels, ready.features, spec.seed
    )


def _gflops(n, solution):
    """Return the rate of the panels made in this run, or None if an earlier run had made them all."""
    before = min(n, solution.report["resumed_panels"] * solution.report["panel_width"])
    # Column k of n takes 2 k (n - k) operations.
    made = (n**3 - 3 * n * before**2 + 2 * before**3) / 3
    return made / solution.seconds["factor"] / 1e9 if made else None


def _measure(solution, Y, y, spec, watch, progress):
    """Return the fields of the Record that measure a solution for the targets Y of y, and the diagonal of the inverse.

    The diagonal is None without leave-one-out.
    """
    coef, check, factor = solution.coef, solution.check, solution.factor
    norm = measures.rkhs_norm(coef, check.fitted, solution.energy, spec.ridge)
    coef_pm1, fitted_pm1, *energy_pm1 = map(measures.to_plus_minus_one, (coef, check.fitted, *solution.energy))
    norm_pm1 = measures.rkhs_norm(coef_pm1, fitted_pm1, energy_pm1, spec.ridge)
    condition = None
    if solution.way.storage != "disk":  # each of its solves would read the whole factor twice
        with watch("condition"):
            condition = measures.condition_estimate(factor, check.norm_1)
    loo_error = diagonal = None
    if spec.loo:
        with watch("leave_one_out"):
            diagonal = factor.inverse_diagonal(progress=progress)
            scores = measures.leave_one_out(Y, coef, diagonal)
        loo_error = measures.error_rate(scores, y)
    measured = {
        "train_error": measures.error_rate(check.fitted, y),
        "loo_error": loo_error,
        "norm": norm.total,
        "norm_pm1": norm_pm1.total,
        "norm_per_output": norm.per_output,
        "norm_pm1_per_output": norm_pm1.per_output,
        "norm_disagreement": max(norm.disagreement, norm_pm1.disagreement),
        "relative_residual": check.relative_residual,
        "condition_estimate": condition,
        "smallest_pivot": factor.smallest_pivot(),
    }
    return measured, diagonal


def _illustrations(ready, spec, Y, solution, scores, diagonal):
    """Return the fields of the Record that the report draws: histograms, and pictures where there are images."""
    data, y, coef = ready.data, ready.training.y, solution.coef
    pictures = {
        "misclassified": illustrations.misclassified(ready.changed.X_test, data.y_test, scores, data.classes),
        "memorised": [],
        "filters": None,
    }
    if diagonal is not None:
        pictures["memorised"] = illustrations.memorised(
            ready.training.X, Y, y, data.y_train, coef, diagonal, data.classes, ridge=spec.ridge
        )
    filters = getattr(ready.X_train, "filters", None)
    if filters is not None:
        pictures["filters"] = illustrations.sheet(filters)
    drawn = illustrations.histograms(Y, y, solution.check.fitted, coef, scores, data.y_test, diagonal)
    return {"histograms": drawn, "pictures": pictures}


def _warnings(measured, ridge, choice, scores, missing):
    """What a reader of the numbers must know; each bound is where fewer than about six digits are left."""
    residual, disagreement = measured["relative_residual"], measured["norm_disagreement"]
    condition, train_error = measured["condition_estimate"], measured["train_error"]
    tried = [candidate["bandwidth"] for candidate in choice.candidates] if choice else []
    found = []
    if not residual <= 1e-8:
        found.append(f"the relative residual is {residual:.1e}: the system is not solved to 8 digits")
    if not disagreement <= 1e-6:
        found.append(f"two routes to the norm differ by {disagreement:.1e}")
    if condition is not None and not condition <= 1e12:
        found.append(f"the condition number is at least {condition:.1e}: the coefficients have few correct digits")
    if ridge == 0 and train_error > 0:
        found.append(f"{100 * train_error:.3g} % of the training points are not fitted: this is no interpolant")
    if not np.isfinite(scores).all():
        found.append("some test points have no finite prediction; they count as errors")
    if missing:
        found.append(f"{len(missing)} of {scores.shape[1]} classes have no training example")
    if choice and choice.bandwidth in (tried[0], tried[-1]):
        found.append(f"the bandwidth chosen, {choice.bandwidth:.3g}, is the outermost that could be tried")
    return found
