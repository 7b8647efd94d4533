"""`kernelfit label-issues`: which training labels are likely to be wrong, and how well replaced ones are found."""

import dataclasses
from typing import Annotated, Any, Literal

import numpy as np
from msgspec import Meta

from kernelfit.analysis.label_issues import find_label_issues
from kernelfit.common.spec import option
from kernelfit.datasets.labels import one_hot
from kernelfit.experiments.parts import Data, KernelOptions, Memory
from kernelfit.experiments.preparation import corruption_of, doubts_of, prepare, recorded, solved
from kernelfit.experiments.registry import Experiment
from kernelfit.experiments.solving import experiment
from kernelfit.models.ridge import choose_ridge
from kernelfit.records import pictures
from kernelfit.records.forms import Count, Number, Share, Size
from kernelfit.records.pictures import Example
from kernelfit.records.record import Record


@dataclasses.dataclass(frozen=True, kw_only=True)
class LabelIssuesSpec(Memory, KernelOptions, Data):
    """Whose labels are looked at, and how. The factor is float64: leave-one-out needs it."""

    words = ("label-issues",)
    group = Data.group
    loo, precision = True, "float64"

    labels: str = option("true", "Labels to replace first, to see whether they are found: the probability, or true.")
    ridge: float | Literal["auto"] = option(  # type: ignore[assignment]
        "auto", "Added to the diagonal of K; auto: by leave-one-out, and with it an open bandwidth."
    )
    device: Literal["auto", "cpu", "cuda"] = option("cpu", "auto: the GPU where CuPy finds one.", incidental=True)
    bandwidth_points: int = option(500, "Training points, at most, on which ridge and bandwidth are chosen.", least=2)
    show: int = option(20, "How many labels to name, the most doubtful first, and what speaks against each.", least=1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Against:
    """A training point that speaks against a label: its index, its label, and what it adds to the other class."""

    index: Count
    label: str
    weight: Number


@dataclasses.dataclass(frozen=True, kw_only=True)
class Issue:
    """A doubtful label.

    Attributes
    ----------
    index : int
        Of the example in the whole training split.
    label, predicted, true : str
        As it was looked at, as the others say, and as it is in the data, before any was replaced.
    score : float
        Margin of the label; see kernelfit.analysis.label_issues.LabelIssues.
    against : list of Against
    """

    index: Count
    label: str
    predicted: str
    true: str
    score: Number
    against: Annotated[list[Against], Meta(min_length=1)]


@dataclasses.dataclass(frozen=True, kw_only=True)
class LabelIssuesResults:
    """Doubtful labels.

    Attributes
    ----------
    kernel, features : str
    ridge : float
    choice : dict or None
        How ridge and bandwidth were chosen: kernelfit.models.ridge.RidgeChoice, or BandwidthChoice.
    corruption : dict
        As in a solve.
    n : int
        Labels that were looked at.
    contradicted : int
        How many have a negative score.
    auc, average_precision : float or None
        Of finding the labels that differ from those of the data by the score, which knows nothing of them; None where
        none does. A label that was replaced by itself is not wrong, and does not count.
    issues : list of Issue
        The first ones, the most doubtful first.
    pictures, against : list of Example
        Of the first issues, where the data are images, and of what speaks most against each.
    """

    kernel: str
    features: str
    ridge: Size
    choice: dict[str, Any] | None
    corruption: dict[str, Any]
    n: Count
    contradicted: Count
    auc: Share | None
    average_precision: Share | None
    issues: list[Issue]
    pictures: list[Example]
    against: list[Example]


@experiment
def run_label_issues(spec, solver, watch, progress) -> Record:
    """Run a LabelIssuesSpec; return its Record."""
    choose = choose_ridge if spec.ridge == "auto" else None
    ready = prepare(spec, solver, choose=choose, watch=watch, progress=progress)
    ridge = ready.choice.ridge if choose else spec.ridge
    y, classes, rows = ready.training.y, ready.data.classes, ready.rows
    ready, factor, solution = solved(
        ready, one_hot(y, len(classes)), solver, ridge=ridge, watch=watch, progress=progress
    )
    with factor, watch("issues"):
        found = find_label_issues(factor, y, explain=spec.show, progress=progress)
    names = np.array(classes, dtype=object)
    labels, true, predicted = names[y], names[ready.true_labels], names[found.predicted]
    first = found.rows[: spec.show]
    issues = [
        Issue(
            index=rows[i],
            label=labels[i],
            predicted=said,
            true=true[i],
            score=score,
            against=[Against(index=rows[j], label=labels[j], weight=w) for j, w in zip(points, weights, strict=True)],
        )
        for i, said, score, points, weights in zip(
            first, predicted, found.scores, found.against, found.weights, strict=False
        )
    ]
    shown = first[: pictures.EXAMPLES]
    strongest, said = found.against[: len(shown), 0], predicted[: len(shown)]
    images = ready.training.X
    results = LabelIssuesResults(
        kernel=str(ready.K.kernel),
        features=str(ready.features),
        ridge=ridge,
        choice=dataclasses.asdict(ready.choice) if ready.choice else None,
        corruption=corruption_of(ready.changed, ready.data),
        n=len(y),
        contradicted=int(np.sum(found.scores < 0)),
        **found_wrong(found, y != ready.true_labels),
        issues=issues,
        pictures=pictures.examples(images, rows, shown, labels, said, true),
        against=pictures.examples(images, rows, strongest, labels, labels[strongest], true),
    )
    return recorded(
        spec, results, ready, watch, kind="label_issues", warnings=solution.doubts() + doubts_of(ready, loo=True)
    )


def found_wrong(found, wrong):
    """Return auc and average_precision of finding the rows `wrong` (n,), a mask, in the order of LabelIssues."""
    from sklearn.metrics import average_precision_score, roc_auc_score

    wrong = wrong[found.rows]
    if wrong.all() or not wrong.any():
        return {"auc": None, "average_precision": None}
    return {
        "auc": roc_auc_score(wrong, -found.scores),
        "average_precision": average_precision_score(wrong, -found.scores),
    }


EXPERIMENT = Experiment("label_issues", LabelIssuesSpec, LabelIssuesResults, run_label_issues)
