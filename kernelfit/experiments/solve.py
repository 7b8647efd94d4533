"""The main job: data -> corruption -> kernel -> Gram blocks -> factor -> coefficients -> measures -> Record."""

import contextlib
import dataclasses
import importlib.metadata
import shlex
import time

import numpy as np

from kernelfit import backend, datasets, measures
from kernelfit.bandwidth import choose_bandwidth
from kernelfit.corruption import corrupt, label_probability
from kernelfit.errors import InputError, SingularMatrixError
from kernelfit.gram import gram
from kernelfit.kernel_text import parse_kernel
from kernelfit.kernels import Precomputed
from kernelfit.model import Model
from kernelfit.points import first_duplicate
from kernelfit.progress import Progress
from kernelfit.records import Record, now
from kernelfit.solvers.cholesky import cholesky
from kernelfit.solvers.plan import plan_solve


@dataclasses.dataclass(frozen=True, kw_only=True)
class SolveSpec:
    """What to solve; the fields are the options of `kernelfit solve`.

    bandwidth None stands for "auto": closed-form leave-one-out on a subsample of the training points.
    """

    data: str = "digits"
    kernel: str = "gaussian"
    bandwidth: float | None = None
    labels: str = "true"
    pixels: str = "true"
    ridge: float = 0.0
    seed: int = 0
    n_train: int | None = None
    n_test: int | None = None
    loo: bool = False
    data_dir: str | None = None

    def __post_init__(self):
        for name in ("n_train", "n_test", "seed"):
            value = getattr(self, name)
            smallest, optional = (0, False) if name == "seed" else (1, True)
            if not (isinstance(value, int) and value >= smallest) and not (optional and value is None):
                raise InputError(f"{name} = {value!r}; it must be an integer of at least {smallest}")
        if not (isinstance(self.ridge, int | float) and 0 <= self.ridge < float("inf")):
            raise InputError(f"ridge = {self.ridge!r}; it must be 0 or a positive number")

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


class _Stopwatch:
    def __init__(self):
        self.start = time.perf_counter()
        self.seconds = {}

    @contextlib.contextmanager
    def __call__(self, name):
        start = time.perf_counter()
        yield
        self.add({name: time.perf_counter() - start})

    def add(self, seconds):
        for name, value in seconds.items():
            self.seconds[name] = self.seconds.get(name, 0.0) + value

    def total(self):
        return time.perf_counter() - self.start


def run_solve(spec, *, progress=None):
    """Run a SolveSpec; return (Record, Model).

    Raises
    ------
    KernelfitError
        Of the kind that fits: data not found or unusable, option out of range, too little memory, singular matrix.
    """
    progress = progress or Progress()
    watch = _Stopwatch()
    kernel = _kernel(spec)
    label_probability(spec.labels)  # a mistyped option should not cost a download first
    with watch("load"):
        data, changed = _load(spec, kernel, progress)
    n, k = len(changed.y_train), len(data.classes)
    plan = _plan(spec, kernel, changed, k)
    progress.note(str(plan))
    plan.require()
    choice = None
    if kernel.open_bandwidth:
        with watch("bandwidth"):
            choice = choose_bandwidth(
                changed.X_train,
                changed.y_train,
                kernel,
                n_classes=k,
                ridge=spec.ridge,
                seed=spec.seed,
                progress=progress,
            )
        kernel = kernel.with_bandwidth(choice.bandwidth)
        progress.note(f"bandwidth {choice.bandwidth:.4g} by leave-one-out on {choice.n:,} training points")

    with watch("gram"):
        K = gram(changed.X_train, kernel)
        against = _test_gram(changed.X_test, kernel, K)
    factor = cholesky(K, ridge=spec.ridge, progress=progress)
    watch.add(factor.seconds)
    measured, coef = _measure(K, factor, measures.one_hot(changed.y_train, k), changed.y_train, spec, watch, progress)
    with watch("predict"):
        scores = against.product(coef, progress=progress)
    watch.seconds["total"] = watch.total()

    record = Record(
        created=now(),
        version=importlib.metadata.version("kernelfit"),
        command=spec.command(),
        dataset={"asked": spec.data, "name": data.name, "provenance": data.provenance, "sha256": data.hashes()},
        n_train=n,
        n_test=len(data.y_test),
        d=int(np.prod(data.X_train.shape[1:])),
        n_classes=k,
        kernel=str(kernel),
        bandwidth_choice=dataclasses.asdict(choice) if choice else None,
        features="precomputed" if isinstance(kernel, Precomputed) else "pixels",
        corruption={
            "labels": changed.labels,
            "pixels": changed.pixels,
            "seed": changed.seed,
            "labels_replaced": int(changed.replaced.sum()),
            "labels_changed": int(np.sum(changed.y_train != data.y_train)),
            "sha256": changed.sha256,
        },
        ridge=factor.ridge,
        method=plan.method,
        precision="float64",
        device="cpu",
        seed=spec.seed,
        test_error=measures.error_rate(scores, data.y_test),
        **measured,
        warnings=_warnings(measured, factor.ridge, choice, scores, set(range(k)) - set(changed.y_train.tolist())),
        seconds={name: round(seconds, 4) for name, seconds in watch.seconds.items()},
        gflops=n**3 / 3 / factor.seconds["factor"] / 1e9,
        gemm_gflops=plan.gemm_gflops,
        peak_bytes=backend.peak_memory(),
        environment=backend.describe(),
    )
    return record, Model(kernel, changed.X_train, coef, data.classes, spec.ridge, spec.pixels)


def _load(spec, kernel, progress):
    """Return the Dataset and its Corruption, fit to be solved."""
    data = datasets.load(
        spec.data, n_train=spec.n_train, n_test=spec.n_test, seed=spec.seed, data_dir=spec.data_dir, progress=progress
    )
    _check_precomputed(kernel, data, spec)
    changed = corrupt(
        data.X_train,
        data.y_train,
        data.X_test,
        n_classes=len(data.classes),
        labels=spec.labels,
        pixels=spec.pixels,
        seed=spec.seed,
    )
    if spec.ridge == 0:
        _refuse_duplicates(changed.X_train, changed.y_train, data.classes)
    return data, changed


def _plan(spec, kernel, changed, outputs):
    X = changed.X_train
    d = 0 if isinstance(kernel, Precomputed) else int(np.prod(X.shape[1:]))
    return plan_solve(len(X), len(changed.X_test), d, outputs, dtype=X.dtype, loo=spec.loo)


def _test_gram(X_test, kernel, K):
    """Return the Gram of the test points against the training points, having looked at each test point once."""
    try:
        against = gram(X_test, kernel, K.points)
        against.block((0, len(X_test)), (0, 1))
    except InputError as error:
        raise InputError(f"test set: {error}") from error
    return against


def _measure(K, factor, Y, y, spec, watch, progress):
    """Solve for Y and measure the solution; return the fields of the Record that follow, and the coefficients."""
    with watch("solve"):
        half = factor.half_solve(Y)
        coef = factor.half_solve_transposed(half)
    with watch("check"):
        check = measures.check_solution(K, Y, coef, ridge=spec.ridge, progress=progress)
    norm = measures.rkhs_norm(coef, check.fitted, half, spec.ridge)
    norm_pm1 = measures.rkhs_norm(*map(measures.to_plus_minus_one, (coef, check.fitted, half)), spec.ridge)
    with watch("condition"):
        condition = measures.condition_estimate(factor, check.norm_1)
    loo_error = None
    if spec.loo:
        with watch("leave_one_out"):
            scores = measures.leave_one_out(Y, coef, factor.inverse_diagonal(progress=progress))
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
    return measured, coef


def _kernel(spec):
    kernel = parse_kernel(spec.kernel)
    if spec.bandwidth is None:
        return kernel
    if not kernel.open_bandwidth:
        raise InputError(f"bandwidth {spec.bandwidth} was given, but the kernel {kernel} has no open bandwidth")
    return kernel.with_bandwidth(spec.bandwidth)


def _check_precomputed(kernel, data, spec):
    if isinstance(kernel, Precomputed) and (spec.n_train or spec.n_test or spec.pixels != "true"):
        raise InputError(
            "a precomputed kernel has no points to cut to a subset or to corrupt; pass the matrix you mean"
        )
    if isinstance(kernel, Precomputed) and data.X_train.dtype == np.uint8:
        raise InputError(f"{data.name} holds uint8 images; a precomputed kernel is a floating-point matrix K (n, n)")


def _refuse_duplicates(X, y, classes):
    """Two equal points make two equal rows of K: better said now than after most of the factorisation."""
    pair = first_duplicate(X)
    if pair is None:
        return
    labels = " and ".join(repr(classes[y[i]]) for i in pair)
    raise SingularMatrixError(
        f"training points {pair[0]} and {pair[1]} are identical (their labels: {labels}), so K is singular. Remove one "
        "of them, or give a ridge, e.g. --ridge 1e-6",
        row=pair[1],
        duplicate=pair[0],
    )


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
    if not condition <= 1e12:
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
