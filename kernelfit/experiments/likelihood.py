"""`kernelfit likelihood`: how likely are labels to a Gaussian process, beside the norm of the function that fits them?

A Gaussian process with covariance k and noise of variance `ridge` gives every output y of n examples the probability
density log p(y) = -1/2 y^T A^-1 y - 1/2 log det A - n/2 log 2 pi, A = K + ridge I (Rasmussen and Williams, "Gaussian
processes for machine learning", 2006, equation 2.30). Its mean is the function that a solve fits. Without a ridge the
first term is half of the squared norm, so that for one kernel the likelihood orders labels as the norm does; unlike the
norm it also weighs how much the kernel could fit, log det A, and so compares kernels.
"""

import dataclasses

import numpy as np

from kernelfit.common.errors import InputError
from kernelfit.common.spec import option
from kernelfit.corruption import corrupt_labels, label_probability
from kernelfit.datasets.labels import one_hot
from kernelfit.experiments.parts import LABELS, RIDGE, Data, KernelOptions, Machine, MpiEngine, label_levels
from kernelfit.experiments.preparation import doubts_of, prepare, recorded, solved
from kernelfit.experiments.registry import Experiment
from kernelfit.experiments.solve import SolveSpec
from kernelfit.experiments.solving import check_engine, experiment
from kernelfit.models.posterior import likelihood_of
from kernelfit.records.forms import Count, Measure, Share
from kernelfit.records.record import Record


@dataclasses.dataclass(frozen=True, kw_only=True)
class LikelihoodSpec(MpiEngine, Machine, KernelOptions, Data):
    """Which labels, of which examples, under which process. The factor is float64: a determinant needs it."""

    words = ("likelihood",)
    group = Data.group
    precision = "float64"

    labels: tuple[float, ...] = option(  # type: ignore[assignment]
        tuple(k / 10 for k in range(11)), LABELS, parse=label_levels, shown=True
    )
    seeds: int = option(5, "How many seeds of the labels at each level: 0, 1, ...", least=1, shown=True)
    ridge: float = option(0.0, f"{RIDGE[:-1]}: the variance of the noise.")

    def check(self):
        check_engine(self)
        if not self.labels:
            raise InputError("give at least one level of labels")
        for level in self.labels:
            label_probability(level)

    def setting(self) -> SolveSpec:
        """Return what is to be solved, with true labels."""
        own = {field.name for field in dataclasses.fields(self)} - {"labels"}
        shared = {field.name: getattr(self, field.name) for field in dataclasses.fields(SolveSpec) if field.name in own}
        return SolveSpec(**shared, precision="float64")


@dataclasses.dataclass(frozen=True, kw_only=True)
class LikelihoodRow:
    """One set of labels, as 0/1 targets.

    Attributes
    ----------
    level, seed
        The setting.
    labels_changed : int
        Training labels that differ from the true ones.
    log_likelihood : float
        log p(Y), the sum over outputs, in nats.
    per_output : list of float
    norm : float
        RKHS norm of the function that a solve fits, the mean of the process given these labels.
    """

    level: Share
    seed: int
    labels_changed: Count
    log_likelihood: Measure
    per_output: list[Measure]
    norm: Measure


@dataclasses.dataclass(frozen=True, kw_only=True)
class LikelihoodResults:
    """The likelihood of all sets of labels.

    Attributes
    ----------
    kernel, features, method : str
    n : int
        Examples that the likelihood is of: the distinct ones.
    log_determinant : float
        log det A, which labels do not change.
    relative_residual : float
        The largest of all classes of all sets.
    rows : list of LikelihoodRow
    """

    kernel: str
    features: str
    method: str
    n: Count
    log_determinant: Measure
    relative_residual: Measure
    rows: list[LikelihoodRow]


@experiment
def run_likelihood(spec, solver, watch, progress) -> Record:
    """Run a LikelihoodSpec; return its Record."""
    # Without replaced labels all seeds are one.
    sets = [(level, seed) for level in spec.labels for seed in range(spec.seeds if level else 1)]
    ready = prepare(spec.setting(), solver, label_sets=len(sets), watch=watch, progress=progress)
    k = len(ready.data.classes)
    labels = [corrupt_labels(ready.data.y_train, k, level, seed=seed)[0] for level, seed in sets]
    if spec.ridge == 0:
        dataclasses.replace(ready.duplicates, targets=np.column_stack(labels)).require_equal_targets()
    labels = [y[ready.training.groups] for y in labels]
    Y = np.hstack([one_hot(y, k) for y in labels])
    ready, factor, solution = solved(ready, Y, solver, ridge=spec.ridge, watch=watch, progress=progress)
    with factor, watch("measure"):
        log_determinant = factor.log_determinant()
        likelihoods = np.split(likelihood_of(solution.quadratic.diagonal(), log_determinant, len(Y), 1), len(sets))
        norms = np.split(np.array(solution.norm.per_output), len(sets))
    rows = [
        LikelihoodRow(
            level=level,
            seed=seed,
            labels_changed=int(np.sum(y != ready.true_labels)),
            log_likelihood=own.sum(),
            per_output=own.tolist(),
            norm=float(np.linalg.norm(norm)),
        )
        for (level, seed), y, own, norm in zip(sets, labels, likelihoods, norms, strict=True)
    ]
    results = LikelihoodResults(
        kernel=str(ready.K.kernel),
        features=str(ready.features),
        method=solution.method,
        n=len(Y),
        log_determinant=log_determinant,
        relative_residual=solution.relative_residual,
        rows=rows,
    )
    return recorded(
        spec,
        results,
        ready,
        watch,
        kind="likelihood",
        launcher=solver.launcher,
        warnings=solution.doubts() + doubts_of(ready, loo=False),
    )


EXPERIMENT = Experiment("likelihood", LikelihoodSpec, LikelihoodResults, run_likelihood)
