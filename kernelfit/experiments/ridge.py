"""`kernelfit ridge`: does regularisation help? (the paper's section 5 says that it does not)."""

import dataclasses
from typing import Annotated, Any

import numpy as np
from msgspec import Meta

from kernelfit.common.errors import InputError
from kernelfit.common.spec import option
from kernelfit.datasets.labels import error_rate, one_hot, plus_minus_one, right
from kernelfit.experiments.parts import Data, Engine, Factor, KernelOptions, Machine
from kernelfit.experiments.preparation import corruption_of, doubts_of, kernels_of, prepare, recorded, with_kernel
from kernelfit.experiments.registry import Experiment
from kernelfit.experiments.solve import Labelled
from kernelfit.experiments.solving import check_engine, experiment
from kernelfit.models.fit import first_solved, require_digits
from kernelfit.records.forms import Count, Measure, Share, Size
from kernelfit.records.record import Record
from kernelfit.solvers.auto import Auto
from kernelfit.solvers.ridges import checked_ridges, ridge_path
from kernelfit.solvers.solution import doubts


@dataclasses.dataclass(frozen=True, kw_only=True)
class RidgeSpec(Engine, Machine, Factor, KernelOptions, Labelled):
    """What to solve with each of several ridges, how, and where.

    The ridges are put into increasing order. For the smallest, `ridge`, the bandwidth is chosen (once for all) and the
    way to solve is planned.
    """

    words = ("ridge",)
    group = Data.group

    ridges: tuple[float, ...] = option(
        (0.0, 1e-8, 1e-6, 1e-4, 1e-2),
        "Added to the diagonal of K, one after the other: does any of them help?",
        name="ridge",
        shown=True,
    )

    def check(self):
        check_engine(self)
        ridges = checked_ridges(self.ridges)
        if len(ridges) < 2:
            raise InputError(f"a ridge path needs at least two ridges; got {ridges[0]:g} alone")
        object.__setattr__(self, "ridges", ridges)

    @property
    def ridge(self) -> float:  # type: ignore[override]
        """The smallest."""
        return self.ridges[0]


@dataclasses.dataclass(frozen=True, kw_only=True)
class RidgeRow:
    """One ridge. Errors are fractions; None is "not measured".

    Attributes
    ----------
    ridge : float
    train_error : float
        Against the labels fitted.
    test_error : float
        Against true labels.
    loo_error, loo_squared_error : float or None
        Closed-form leave-one-out, against the labels fitted: of the largest score, and mean squared over examples.
    test_corrected, test_broken : int
        Test examples that the smallest ridge gets wrong and this one right, and the reverse: a difference of two errors
        of which these counts are nearly equal is chance.
    norm, norm_pm1 : float
        RKHS norm for 0/1 and for -1/+1 targets.
    norm_disagreement : float
        The larger relative difference of two routes to them.
    relative_residual : float
        |Y_c - (K + ridge I) coef_c| / |Y_c| against recomputed Gram blocks, of the class c where it is largest.
    way : str
    """

    ridge: Size
    train_error: Share
    test_error: Share
    loo_error: Share | None = None
    loo_squared_error: Measure = None
    test_corrected: Count
    test_broken: Count
    norm: Measure
    norm_pm1: Measure
    norm_disagreement: Measure = None
    relative_residual: Measure
    way: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class RidgeResults:
    """A path of ridges.

    Attributes
    ----------
    kernel, features, augmentation : str
    bandwidth_choice : dict or None
        As of a solve.
    corruption : dict
    method, reason : str
        An eigendecomposition, or a factor for each ridge, and why.
    eigenvalues : list of float or None
        The extreme ones of K.
    chosen_by_loo, loo_improves, test_improves
        See `verdict`.
    rows : list of RidgeRow
        By increasing ridge.
    """

    kernel: str
    features: str | None = None
    augmentation: str = "none"
    bandwidth_choice: dict[str, Any] | None = None
    corruption: dict[str, Any] = dataclasses.field(default_factory=dict)
    method: str
    reason: str
    eigenvalues: list[Measure] | None = None
    chosen_by_loo: Size | None = None
    loo_improves: bool | None = None
    test_improves: bool | None = None
    rows: Annotated[list[RidgeRow], Meta(min_length=1)]


@experiment
def run_ridge(spec, solver, watch, progress, method="auto") -> Record:
    """Run a RidgeSpec; return its Record.

    `method` is that of kernelfit.solvers.ridges.ridge_path. An eigendecomposition gives leave-one-out for nothing;
    refactoring computes it if spec.loo. Where --precision mixed is asked for, "auto" refactors.
    """
    ready = prepare(spec, solver, watch=watch, progress=progress)
    y, y_test, k = ready.training.y, ready.data.y_test, len(ready.data.classes)
    if isinstance(solver, Auto):
        solver = dataclasses.replace(solver, outputs=k, n_test=len(y_test))
    method = "refactoring" if method == "auto" and spec.precision == "mixed" else method
    options = {"loo": spec.loo, "method": method, "progress": progress}

    def attempt(kernel):
        own = ready if kernel is ready.K.kernel else with_kernel(ready, kernel, progress)
        path = ridge_path(own.K, one_hot(y, k), spec.ridges, solver, **options)
        if ready.choice:
            require_digits(path.solutions[0])
        return own, path

    (ready, path), passed = first_solved(attempt, kernels_of(ready), progress=progress)
    ready = dataclasses.replace(ready, passed=passed)
    watch.add(path.seconds)
    with watch("predict"):  # each entry of the test Gram is made once, for all ridges
        coefs = np.hstack([solution.coef for solution in path.solutions])
        scores = np.split(ready.K_test.product(coefs, progress=progress), len(path.solutions), axis=1)
    with watch("measure"):
        first = right(scores[0], y_test)
        rows = [
            _row(solution, diagonal, y, own, y_test, first)
            for solution, diagonal, own in zip(path.solutions, path.inverse_diagonals, scores, strict=True)
        ]
    results = RidgeResults(
        kernel=str(ready.K.kernel),
        features=str(ready.features),
        augmentation=spec.augment,
        bandwidth_choice=dataclasses.asdict(ready.choice) if ready.choice else None,
        corruption=corruption_of(ready.changed, ready.data),
        method=path.method,
        reason=path.reason,
        eigenvalues=path.eigenvalues,
        **verdict(rows),
        rows=rows,
    )
    return recorded(
        spec, results, ready, watch, kind="ridge", launcher=solver.launcher, warnings=_warnings(rows, path, ready)
    )


def verdict(rows):
    """Return what the rows, by increasing ridge, say about regularisation, as a dict.

    chosen_by_loo is the ridge of the smallest leave-one-out error; among equals that of the smallest leave-one-out
    squared error, as for a bandwidth; test errors have no part in it. loo_improves and test_improves say whether any
    larger ridge has a smaller error than the smallest ridge. All but test_improves are None without leave-one-out.
    """
    first, *others = rows
    chosen = improves = None
    if all(row.loo_error is not None for row in rows):
        chosen = min(rows, key=lambda row: (row.loo_error, row.loo_squared_error, row.ridge)).ridge
        improves = any(row.loo_error < first.loo_error for row in others)
    test = any(row.test_error < first.test_error for row in others)
    return {"chosen_by_loo": chosen, "loo_improves": improves, "test_improves": test}


def _row(solution, diagonal, y, scores, y_test, first_right):
    norm, pm1 = solution.norm, solution.combined(plus_minus_one(scores.shape[1])).norm
    loo_error = loo_squared_error = None
    if diagonal is not None:
        left_out = solution.left_out(diagonal)
        loo_error = error_rate(left_out, y)
        loo_squared_error = float(np.mean(np.sum((left_out - solution.targets) ** 2, axis=1)))
    own_right = right(scores, y_test)
    return RidgeRow(
        ridge=solution.ridge,
        train_error=error_rate(solution.fitted, y),
        test_error=error_rate(scores, y_test),
        loo_error=loo_error,
        loo_squared_error=loo_squared_error,
        test_corrected=int(np.sum(own_right & ~first_right)),
        test_broken=int(np.sum(first_right & ~own_right)),
        norm=norm.total,
        norm_pm1=pm1.total,
        norm_disagreement=max(norm.disagreement, pm1.disagreement),
        relative_residual=solution.relative_residual,
        way=solution.method,
    )


def _warnings(rows, path, ready):
    """What a reader of the rows must know."""
    found = []
    for row, solution in zip(rows, path.solutions, strict=True):
        own = doubts(
            row.relative_residual,
            norm_disagreement=row.norm_disagreement,
            condition_estimate=solution.condition_estimate,
        )
        found += [f"ridge {row.ridge:g}: {doubt}" for doubt in own]
    if ready.merged and len(rows) > 1:
        found.append("with a ridge equal images would weigh more; a path that begins above 0 keeps them")
    return found + doubts_of(ready, loo=rows[0].loo_error is not None)


EXPERIMENT = Experiment("ridge", RidgeSpec, RidgeResults, run_ridge)
