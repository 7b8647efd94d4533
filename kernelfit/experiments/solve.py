"""The main job: data -> corruption -> kernel -> Gram blocks -> factor -> coefficients -> measures -> Record."""

import dataclasses
from typing import Any

from kernelfit.common.errors import InputError
from kernelfit.common.spec import option
from kernelfit.datasets.augmentation import parse_augment
from kernelfit.datasets.labels import error_rate, one_hot, plus_minus_one, undecided
from kernelfit.experiments.parts import LOO, PIXELS, RIDGE, Data, Engine, Factor, KernelOptions, Machine, PixelSetting
from kernelfit.experiments.preparation import corruption_of, doubts_of, prepare, recorded, solved
from kernelfit.experiments.registry import Experiment
from kernelfit.experiments.solving import check_engine, experiment
from kernelfit.models.fit import pivot_of
from kernelfit.models.posterior import log_determinant_of, log_marginal_likelihood
from kernelfit.records import pictures
from kernelfit.records.forms import Measure, Positive, Share, Size
from kernelfit.records.pictures import Histogram, Pictures
from kernelfit.records.record import Record
from kernelfit.solvers.solution import doubts


@dataclasses.dataclass(frozen=True, kw_only=True)
class Labelled(Data):
    """What is done to the training examples before a kernel is fitted to them."""

    labels: str = option("true", "Training labels: true, random, or the probability of replacement.")
    pixels: PixelSetting = option("true", PIXELS)
    augment: str = option(
        "none", 'Further training rows: flip (mirror images), shift(k) (moved by 1 to k pixels), "flip + shift(1)".'
    )
    loo: bool = option(False, LOO)

    def check(self):
        if parse_augment(self.augment) and self.loo:
            raise InputError(
                f"leave-one-out with augment = {self.augment!r}: leaving one row out leaves its copies in, so that "
                "the error would be far too small. Leave out `loo` or `augment`"
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class SolveSpec(Engine, Machine, Factor, KernelOptions, Labelled):
    """What to solve, how, and where."""

    words = ("solve",)
    group = Data.group

    ridge: float = option(0.0, RIDGE)

    def check(self):
        check_engine(self)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SolveResults:
    """The outcome of one solve.

    Attributes
    ----------
    d : int
        Features of an image, or pixels.
    kernel : str
        As parse_kernel reads it, the bandwidth filled in.
    bandwidth_choice : dict or None
        How an automatic bandwidth was chosen: subsample size and the leave-one-out errors of all candidates.
    corruption : dict
        labels (probability), pixels, seed, labels_replaced and labels_changed (counts), sha256 of the corrupted data.
    train_error, test_error : float
        Against the labels fitted, and against true labels.
    loo_error : float or None
        Closed-form leave-one-out error on the training points.
    norm, norm_pm1 : float
        sqrt(tr(coef^T K coef)) for 0/1 and for -1/+1 targets.
    norm_per_output, norm_pm1_per_output : list of float
        sqrt(coef_c^T K coef_c) for each class.
    log_marginal_likelihood : float or None
        log p of the 0/1 targets under a Gaussian process with this kernel and noise of variance `ridge`, all classes
        together (kernelfit.models.posterior); None where the solver gives no determinant, and in early records.
    norm_disagreement : float
        Relative difference of `norm` between two routes, one through recomputed Gram blocks, one through the factor; or
        of norm_pm1, or of one of the classes, where it is largest. Early records have it of all classes pooled.
    relative_residual : float
        |Y_c - (K + ridge I) coef_c| / |Y_c| against recomputed Gram blocks, of the class c where it is largest. Early
        records have it of all classes pooled, |Y - (K + ridge I) coef|_F / |Y|_F, which is never more.
    condition_estimate : float or None
        Of K + ridge I in the 1-norm; a lower bound, with or without a shift. None where it would cost too much.
    smallest_pivot : float
        Of the factor: an upper bound on the smallest eigenvalue of K + (ridge + shift) I.
    precision : str
        float64, or mixed: a float32 factor, corrected in float64.
    gflops : float or None
        Operations of the factorisation (n^3 / 3, less those of resumed panels) over seconds["factor"], in 10^9 per
        second; gemm_gflops is the matrix-product rate before it.
    solver : dict
        What the solver did: precision, storage, panel_width, shift, breakdowns, steps and residuals of conjugate
        gradients, fallback, resumed_panels, why this precision ("reason"). Another engine than the local one names
        itself ("engine") and adds what it has to say.
    augmentation : dict or None
        what, rows (of the system that was solved, at least n_train), left_out (copies equal to another image).
    histograms : dict or None
        train_margins, test_margins and, with leave-one-out, loo_margins and loo_residuals, each as
        kernelfit.records.pictures.histogram returns it.
    pictures : dict or None
        As kernelfit.records.pictures makes them: misclassified and memorised (lists of examples with index, label,
        predicted and png; the latter with true), filters (a PNG in base64, or None).
    """

    d: int
    kernel: str
    features: str
    corruption: dict[str, Any]
    ridge: Size
    method: str
    precision: str
    device: str
    train_error: Share
    test_error: Share
    loo_error: Share | None
    norm: Measure
    norm_pm1: Measure
    norm_per_output: list[Measure]
    norm_pm1_per_output: list[Measure]
    norm_disagreement: Measure
    relative_residual: Measure
    condition_estimate: float | None
    smallest_pivot: Measure
    log_marginal_likelihood: Measure = None
    gflops: Measure = None
    gemm_gflops: Positive | None = None
    bandwidth_choice: dict[str, Any] | None = None
    solver: dict[str, Any] | None = None
    augmentation: dict[str, Any] | None = None
    histograms: dict[str, Histogram] | None = None
    pictures: Pictures | None = None


@experiment
def run_solve(spec, solver, watch, progress) -> tuple[Record, Any]:
    """Run a SolveSpec; return (Record, KernelExpansion).

    Raises
    ------
    KernelfitError
        Of the kind that fits: data not found or unusable, option out of range, too little memory, singular matrix.
    """
    ready = prepare(spec, solver, watch=watch, progress=progress)
    data, y, k = ready.data, ready.training.y, len(ready.data.classes)
    ready, factor, solution = solved(ready, one_hot(y, k), solver, ridge=spec.ridge, watch=watch, progress=progress)
    diagonal = None
    with factor:
        if spec.loo:
            with watch("leave_one_out"):
                diagonal = factor.inverse_diagonal(progress=progress)
        pivot, log_determinant = pivot_of(factor), log_determinant_of(factor)
        with watch("predict"):
            scores = factor.predict(ready.K_test, solution.coef, progress=progress)
        peak = factor.peak_memory()
    left_out = None if diagonal is None else solution.left_out(diagonal)
    pm1 = solution.combined(plus_minus_one(k))
    with watch("pictures"):
        illustrated = _illustrations(ready, solution, scores, left_out)
    results = SolveResults(
        d=ready.d,
        kernel=str(ready.K.kernel),
        bandwidth_choice=dataclasses.asdict(ready.choice) if ready.choice else None,
        features="precomputed" if ready.kernel.of_matrix else str(ready.features),
        corruption=corruption_of(ready.changed, data),
        ridge=factor.ridge,
        method=factor.method,
        precision=factor.precision,
        device=factor.device,
        train_error=error_rate(solution.fitted, y),
        test_error=error_rate(scores, data.y_test),
        loo_error=None if left_out is None else error_rate(left_out, y),
        norm=solution.norm.total,
        norm_pm1=pm1.norm.total,
        norm_per_output=solution.norm.per_output,
        norm_pm1_per_output=pm1.norm.per_output,
        log_marginal_likelihood=log_marginal_likelihood(solution, log_determinant),
        norm_disagreement=max(solution.norm.disagreement, pm1.norm.disagreement),
        relative_residual=solution.relative_residual,
        condition_estimate=solution.condition_estimate,
        smallest_pivot=pivot,
        **illustrated,
        gflops=factor.gflops,
        gemm_gflops=factor.gemm_gflops,
        solver=factor.report | solution.report,
        augmentation={"what": spec.augment, "rows": len(y), "left_out": ready.training.left_out},
    )
    record = recorded(
        spec,
        results,
        ready,
        watch,
        kind="solve",
        launcher=solver.launcher,
        peak_bytes=peak,
        warnings=_warnings(ready, results, solution, scores),
    )
    return record, ready.function(spec, solution.coef)


def _illustrations(ready, solution, scores, left_out):
    """Return the fields of the Record that the report draws: histograms, and pictures where there are images."""
    data, y, fitted = ready.data, ready.training.y, solution.fitted
    drawn = {
        "misclassified": pictures.misclassified(
            ready.changed.X_test, data.y_test, data.rows_test, scores, data.classes
        ),
        "memorised": [],
        "filters": None,
    }
    if left_out is not None:
        rows = ready.training.X, y, ready.true_labels, ready.rows
        drawn["memorised"] = pictures.memorised(*rows, fitted, left_out, data.classes)
    filters = getattr(ready.X_train, "filters", None)
    if filters is not None:
        drawn["filters"] = pictures.sheet(filters)
    histograms = pictures.histograms(y, fitted, scores, data.y_test, left_out)
    return {"histograms": histograms, "pictures": drawn}


def _warnings(ready, results, solution, scores):
    """What a reader of the numbers must know."""
    found = doubts(
        results.relative_residual,
        norm_disagreement=results.norm_disagreement,
        condition_estimate=results.condition_estimate,
    )
    shift, choice = solution.report["shift"], ready.choice
    if shift:
        found.append(
            f"float32 broke down, and its factor is that of a matrix with {shift:.1e} more on the diagonal; the "
            "smallest pivot is that of this matrix, all else of the problem itself"
        )
    if results.ridge == 0 and results.train_error > 0:
        found.append(f"{100 * results.train_error:.3g} % of the training points are not fitted: this is no interpolant")
    found += undecided(scores)
    k, present = scores.shape[1], set(ready.changed.y_train.tolist())
    if len(present) < k:
        found.append(f"{k - len(present)} of {k} classes have no training example")
    if choice and choice.bandwidth == choice.candidates[-1]["bandwidth"]:
        found.append(f"the bandwidth chosen, {choice.bandwidth:.3g}, is the widest that could be tried")
    return found + doubts_of(ready, loo=results.loo_error is not None)


EXPERIMENT = Experiment("solve", SolveSpec, SolveResults, run_solve)
