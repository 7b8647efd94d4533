"""`kernelfit interpolants`: norms of other interpolants of the training labels beside the minimum (section 5)."""

import dataclasses

import numpy as np

from kernelfit import backend
from kernelfit.common.errors import InputError, NotEnoughMemoryError, SingularMatrixError
from kernelfit.common.quantities import format_bytes
from kernelfit.common.rng import generator
from kernelfit.common.spec import option
from kernelfit.corruption import corrupt_labels
from kernelfit.datasets.labels import error_rate, one_hot, plus_minus_one
from kernelfit.experiments.parts import PIXELS, Data, KernelOptions, Memory, PixelSetting
from kernelfit.experiments.preparation import doubts_of, prepare, recorded, solved
from kernelfit.experiments.registry import Experiment
from kernelfit.experiments.solving import experiment
from kernelfit.grams.points import coordinates
from kernelfit.models.alternatives import bytes_about, interpolate_about, interpolate_also
from kernelfit.models.centres import parse_centres
from kernelfit.records.forms import Count, Measure, Share
from kernelfit.records.record import Record
from kernelfit.solvers.auto import Auto
from kernelfit.solvers.planning.problem import Problem
from kernelfit.solvers.solution import doubts

FORCED = "forced"


@dataclasses.dataclass(frozen=True, kw_only=True)
class InterpolantsSpec(Memory, KernelOptions, Data):
    """What to compare. Interpolants are exact, of true labels, in float64 on the CPU."""

    words = ("interpolants",)
    group = Data.group
    precision, device = "float64", "cpu"  # with far centres no digit is to spare

    others: tuple[str, ...] = option(
        ("perturbed(0.3)", "perturbed(1)", "pairs", "pairs x 2", "gaussian", FORCED),
        "Interpolants beside the minimum-norm ones. Expansions about other centres: perturbed(0.3) (training points "
        "moved by 0.3 median distances), pairs (random points between two training points), gaussian (noise); "
        '"pairs x 2" has two centres for every training point, and the smallest norm that they allow. forced: through '
        "random labels of the test points too.",
    )
    pixels: PixelSetting = option("true", PIXELS)

    def check(self):
        for text in self.others:
            if text != FORCED:
                parse_centres(text)


@dataclasses.dataclass(frozen=True, kw_only=True)
class InterpolantRow:
    """One interpolant. Errors are fractions; what could not be solved has only its name, and `failed`.

    Attributes
    ----------
    name : str
    labels : str
        Labels fitted: "true", or "random"; those of "forced" are true ones, and random ones of the test points.
    centres : int
        Terms of the expansion.
    norm, norm_pm1 : float
        RKHS norm for 0/1 and for -1/+1 targets.
    ratio : float
        Of the norm to the minimum norm for the true labels.
    train_error, test_error : float
        Against the labels fitted, and against true labels.
    relative_residual : float
        Over all labels fitted, of the class where it is largest.
    condition : float
        Of the system solved, an estimate from below.
    defect : float
        | |f|^2 - |f_0|^2 - |f - f_0|^2 | / |f|^2, where f_0 is the minimum-norm interpolant: 0 for every f with the
        same labels, which is why no norm is smaller; None for random labels.
    failed : str
        Why there is no such interpolant, or nothing.
    """

    name: str
    labels: str
    centres: Count
    norm: Measure = None
    norm_pm1: Measure = None
    ratio: Measure = None
    train_error: Share | None = None
    test_error: Share | None = None
    relative_residual: Measure = None
    condition: float | None = None
    defect: float | None = None
    failed: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class InterpolantsResults:
    """The minimum-norm interpolant of the true labels, that of random labels, and the others, a row each."""

    features: str | None = None
    kernel: str
    rows: list[InterpolantRow]


@experiment
def run_interpolants(spec, solver, watch, progress) -> Record:
    """Run an InterpolantsSpec; return its Record."""
    ready = prepare(spec, solver, label_sets=2, watch=watch, progress=progress)
    if not ready.K.points.has_coordinates:
        what = "a precomputed kernel" if ready.kernel.of_matrix else f"a kernel on {ready.features}"
        raise InputError(
            f"{what} is known only between the images given, and has no values at other centres; give one on points"
        )
    _require_memory(spec, ready)
    ready, rows, coef = _minimum_norms(ready, solver, spec, watch, progress)
    for text in spec.others:
        with watch(text):
            rows.append(_other(text, ready, coef, rows[0].norm, spec.seed, progress))
        progress.note(f"{text}: {rows[-1].failed or f'norm {rows[-1].norm:.4g}'}")
    return recorded(
        spec,
        InterpolantsResults(features=str(ready.features), kernel=str(ready.K.kernel), rows=rows),
        ready,
        watch,
        kind="interpolants",
        warnings=_warnings(rows) + doubts_of(ready, loo=False),
    )


def _require_memory(spec, ready):
    """Raise NotEnoughMemoryError if one of the others does not fit, before the first is solved."""
    free = min(backend.free_memory(), spec.memory or float("inf"))
    X, k = ready.changed.X_train, len(ready.data.classes)
    n, n_test, d = len(X), len(ready.changed.X_test), int(np.prod(X.shape[1:]))
    needed = {}
    for text in spec.others:
        if text == FORCED:
            larger = Problem(n + n_test, n_test, d, k, X.dtype)
            [way] = Auto(precision="float64", storage="memory", device="cpu").plan(larger).ways
            needed[text] = way.memory
        else:
            needed[text] = bytes_about(n, n * parse_centres(text).times, d, k)
    short = {text: size for text, size in needed.items() if size > free}
    if short:
        sizes = ", ".join(f"{text}: {format_bytes(size)}" for text, size in short.items())
        raise NotEnoughMemoryError(
            f"n = {n:,} training points: {format_bytes(free)} are free, and these interpolants need more ({sizes}). "
            "Leave them out of `others`, take fewer points, `n_train` (and `n_test` for forced), or free memory"
        )


def _minimum_norms(ready, solver, spec, watch, progress):
    """Return (Prepared, rows of the minimum-norm interpolants of true and random labels, coefficients of the first)."""
    k, true = len(ready.data.classes), ready.true_labels
    random = corrupt_labels(ready.data.y_train, k, 1.0, seed=spec.seed)[0][ready.training.groups]
    Y, rows, pick = np.hstack([one_hot(y, k) for y in (true, random)]), [], np.eye(2 * k)
    ready, factor, both = solved(ready, Y, solver, ridge=0.0, watch=watch, progress=progress)
    with factor, watch("predict"):
        scores = factor.predict(ready.K_test, both.coef, progress=progress)
    for index, (name, y) in enumerate((("true", true), ("random", random))):
        T = pick[:, index * k : (index + 1) * k]
        solution = both.combined(T)
        norm = solution.norm.total
        row = InterpolantRow(
            name="minimum",
            labels=name,
            centres=len(y),
            norm=norm,
            norm_pm1=solution.combined(plus_minus_one(k)).norm.total,
            ratio=norm / (rows[0].norm if rows else norm),
            train_error=error_rate(solution.fitted, y),
            test_error=error_rate(scores @ T, ready.data.y_test),
            relative_residual=solution.relative_residual,
            condition=solution.condition_estimate,
            defect=None if rows else 0.0,
        )
        rows.append(row)
    return ready, rows, both.coef[:, :k]


def _other(text, ready, least, minimum, seed, progress):
    """Return the row of one other interpolant; `least` are the coefficients of the minimum-norm one."""
    X, X_test = ready.X_train, ready.X_test
    y, y_test, k = ready.true_labels, ready.data.y_test, len(ready.data.classes)
    Y, kernel = one_hot(y, k), ready.K.kernel
    row = {"name": text, "labels": "true"}
    try:
        if text == FORCED:
            row |= {"centres": len(y) + len(y_test)}
            drawn = generator(seed, "forced labels").integers(0, k, len(y_test))
            made = interpolate_also(X_test, one_hot(drawn, k), X, Y, kernel, progress=progress)
        else:
            centres, flat = parse_centres(text), coordinates(X)
            row |= {"centres": len(y) * centres.times}
            Z = centres.draw(flat, seed=seed)
            made = interpolate_about(Z, flat, Y, kernel, progress=progress)
    except SingularMatrixError as error:
        return InterpolantRow(**row, failed=" ".join([str(error), *getattr(error, "__notes__", [])]))
    norm, norm_pm1 = _norms(made.function.coef, made.at_centres)
    # |f - f_0|^2 = |f|^2 + |f_0|^2 - 2 <f, f_0>, with <f, f_0> = tr least^T f(X) and |f_0|^2 = tr least^T Y.
    defect = 2 * abs(float(np.vdot(least, made.fitted - Y))) / norm**2
    return InterpolantRow(
        **row,
        norm=norm,
        norm_pm1=norm_pm1,
        ratio=norm / minimum,
        train_error=error_rate(made.fitted, y),
        test_error=error_rate(made(X_test, progress=progress), y_test),
        relative_residual=made.relative_residual,
        condition=made.condition,
        defect=defect,
    )


def _warnings(rows):
    """What a reader of the rows must know."""
    found = ((row, doubts(row.relative_residual, condition_estimate=row.condition)) for row in rows)
    return [f"{row.name}, {row.labels} labels: {doubt}" for row, own in found for doubt in own]


def _norms(coef, values):
    """Return the norms of an expansion for 0/1 and -1/+1 targets, from its values at its own centres."""
    T = plus_minus_one(coef.shape[1])
    return [float(np.sqrt(np.vdot(*pair))) for pair in ((coef, values), (coef @ T, values @ T))]


EXPERIMENT = Experiment("interpolants", InterpolantsSpec, InterpolantsResults, run_interpolants)
