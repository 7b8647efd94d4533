"""`kernelfit hardness`: do the exact kernel and nets find the same training examples hard?

The kernel says it in closed form, by the leave-one-out margin of each example: the label's own class minus the largest
other one, of the function fitted without it. A net says it by when it learns the example for good, and how often it
forgets it meanwhile (Toneva et al., "An empirical study of example forgetting during deep neural network learning",
ICLR 2019). Both saw the same bytes: the nets are those of earlier runs whose corrupted data have the same hash.
"""

import contextlib
import dataclasses
import shlex
from pathlib import Path
from typing import Any

import numpy as np

from kernelfit.analysis.learning_order import first_learnt, forgetting_events, learnt_for_good, load_correctness
from kernelfit.analysis.leaving_out import margin_distribution, margins
from kernelfit.common.errors import DataNotFoundError, InputError
from kernelfit.common.spec import option
from kernelfit.datasets.labels import error_rate, one_hot
from kernelfit.experiments.parts import PIXELS, RIDGE, Data, KernelOptions, Machine, PixelSetting
from kernelfit.experiments.preparation import corruption_of, doubts_of, prepare, recorded, solved
from kernelfit.experiments.registry import Experiment, read_records
from kernelfit.experiments.solving import experiment
from kernelfit.records.forms import Count, Measure, Number, Share, Size
from kernelfit.records.record import Record

GROUPS = 10


@dataclasses.dataclass(frozen=True, kw_only=True)
class HardnessSpec(Machine, KernelOptions, Data):
    """Which examples, under which kernel, beside which nets. The factor is float64: leave-one-out needs it."""

    words = ("hardness",)
    group = Data.group
    loo, precision = True, "float64"

    labels: str = option("true", "Training labels: true, random, or the probability of replacement.")
    pixels: PixelSetting = option("true", PIXELS)
    ridge: float = option(0.0, RIDGE)
    nets: str = option(
        "runs", "Folder of the runs that trained nets on the same images and labels.", path=True, incidental=True
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class NetBeside:
    """A net beside the kernel. Correlations are Spearman's; None where one side is the same for all examples.

    Attributes
    ----------
    net : str
        Identity of its record.
    model : str
    seed : int
        Of its weights and order.
    epochs : int
    train_error, test_error : float
    learnt_for_good, first_learnt, forgetting : float or None
        Correlation of the kernel's margin, the largest first, with the epoch from which on the net was right (epochs +
        1 for never), with the first in which it was, and with the number of forgetting events, above all others for
        what was never right, as in Toneva et al. Above 0: what one finds hard the other does.
    clean, corrupted : float or None
        learnt_for_good among the examples with their true labels, and among the others.
    epoch_by_group, events_by_group : list of float
        Mean epoch from which on examples were right, and mean forgetting events of those that ever were (None where
        none was), of each tenth of the examples: those with the largest margin of the kernel first.
    """

    net: str
    model: str
    seed: int
    epochs: Count
    train_error: Share
    test_error: Share
    learnt_for_good: Number | None
    first_learnt: Number | None
    forgetting: Number | None
    clean: Number | None
    corrupted: Number | None
    epoch_by_group: list[Number]
    events_by_group: list[Number | None]


@dataclasses.dataclass(frozen=True, kw_only=True)
class HardnessResults:
    """The kernel, and nets beside it.

    Attributes
    ----------
    kernel, features, method : str
    ridge : float
    corruption : dict
        As of a solve.
    n : int
        Examples that are compared: the distinct ones.
    loo_error, test_error : float
        Of the kernel.
    norm : float
        Of the function, 0/1 targets.
    relative_residual : float
    margins : dict
        Of leave-one-out, as margin_distribution returns them.
    margin_by_group : list of float
        Mean of each tenth, the largest first.
    nets : list of NetBeside
    among_nets : float or None
        Mean correlation of learnt_for_good between two nets: how alike nets are to each other; None for one net.
    """

    kernel: str
    features: str
    method: str
    ridge: Size
    corruption: dict[str, Any]
    n: Count
    loo_error: Share
    test_error: Share
    norm: Measure
    relative_residual: Measure
    margins: dict[str, Any]
    margin_by_group: list[Number]
    nets: list[NetBeside]
    among_nets: Number | None


@experiment
def run_hardness(spec, solver, watch, progress) -> Record:
    """Run a HardnessSpec; return its Record.

    Raises
    ------
    InputError
        No net of the runs was trained on these images and labels.
    DataError
        What a run kept of its net's examples cannot be read.
    """
    ready = prepare(spec, solver, watch=watch, progress=progress)
    y, k = ready.training.y, len(ready.data.classes)
    beside = _nets(spec, ready.changed.sha256, len(ready.data.y_train))  # before the solve: there may be none
    ready, factor, solution = solved(ready, one_hot(y, k), solver, ridge=spec.ridge, watch=watch, progress=progress)
    with factor:
        with watch("leave_one_out"):
            left_out = solution.left_out(factor.inverse_diagonal(progress=progress))
        with watch("predict"):
            scores = factor.predict(ready.K_test, solution.coef, progress=progress)
    with watch("compare"):
        margin, wrong_label = margins(left_out, y), y != ready.true_labels
        groups = np.array_split(np.argsort(-margin, kind="stable"), min(GROUPS, len(y)))
        correct = [each[:, ready.training.groups] for _, each in beside]
        found = [
            _compared(record, own, margin, wrong_label, groups)
            for (record, _), own in zip(beside, correct, strict=True)
        ]
        epochs = [_epoch(own) for own in correct]
        pairs = [_correlation(a, b) for i, a in enumerate(epochs) for b in epochs[:i]]
    results = HardnessResults(
        kernel=str(ready.K.kernel),
        features=str(ready.features),
        method=solution.method,
        ridge=spec.ridge,
        corruption=corruption_of(ready.changed, ready.data),
        n=len(y),
        loo_error=error_rate(left_out, y),
        test_error=error_rate(scores, ready.data.y_test),
        norm=solution.norm.total,
        relative_residual=solution.relative_residual,
        margins=margin_distribution(margin),
        margin_by_group=[float(margin[rows].mean()) for rows in groups],
        nets=found,
        among_nets=float(np.mean(pairs)) if pairs and None not in pairs else None,
    )
    warnings = solution.doubts() + doubts_of(ready, loo=True)
    return recorded(spec, results, ready, watch, kind="hardness", warnings=warnings)


def _nets(spec, digest, n):
    """Return [(Record, correctness (epochs, n))] of the nets that were trained on the data with this hash."""
    found, nets = [], []
    with contextlib.suppress(DataNotFoundError):  # what to do is told below
        nets = read_records(spec.nets).latest("net")
    for record in nets:
        file = record.results.learning.get("file")
        if record.results.corruption.get("sha256") == digest and file and (Path(spec.nets) / file).exists():
            correct = load_correctness(Path(spec.nets) / file)
            if correct.shape[1] == n:
                found.append((record, correct))
    if not found:
        same = {name: getattr(spec, name) for name in ("data", "n_train", "n_test", "labels", "pixels", "data_dir")}
        told = {name.replace("_", "-"): value for name, value in same.items() if value not in (None, "true")}
        chosen = (f"--{name} {shlex.quote(str(value))}" for name, value in told.items())
        raise InputError(
            f"no net in {spec.nets} was trained and tested on these images and labels (SHA-256 {digest[:16]}...) and "
            f"kept what it learnt when. Train one: kernelfit nn train {' '.join(chosen)} --seed {spec.seed} --runs "
            f"{shlex.quote(str(spec.nets))}"
        )
    return found


def _compared(record, correct, margin, wrong_label, groups):
    """Return the NetBeside of a net's correctness, whose columns are the examples with these margins of the kernel."""
    epoch, events = _epoch(correct), forgetting_events(correct)
    first = first_learnt(correct)
    ever = first > 0
    first[~ever] = len(correct) + 1
    results = record.results
    return NetBeside(
        net=record.id,
        model=results.model,
        seed=results.seed,
        epochs=results.epochs,
        train_error=results.train_error,
        test_error=results.test_error,
        learnt_for_good=_correlation(-margin, epoch),
        first_learnt=_correlation(-margin, first),
        forgetting=_correlation(-margin, np.where(ever, events, len(correct))),
        clean=_correlation(-margin[~wrong_label], epoch[~wrong_label]),
        corrupted=_correlation(-margin[wrong_label], epoch[wrong_label]),
        epoch_by_group=[float(epoch[rows].mean()) for rows in groups],
        events_by_group=[float(events[rows][ever[rows]].mean()) if ever[rows].any() else None for rows in groups],
    )


def _epoch(correct):
    """Return the epoch from which on each example was right, one more than there are for never."""
    epoch = learnt_for_good(correct)
    return np.where(epoch == 0, len(correct) + 1, epoch)


def _correlation(a, b):
    """Return Spearman's rank correlation, with mean ranks of equal values; None where all of one side are equal."""
    from scipy.stats import spearmanr

    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    return float(spearmanr(a, b).statistic)


EXPERIMENT = Experiment("hardness", HardnessSpec, HardnessResults, run_hardness)
