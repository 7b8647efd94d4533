"""The paper's experiments with nets as `kernelfit reproduce` runs them: table 1, figures 1 and 2, and what they say."""

from itertools import pairwise

from kernelfit.records.fits import THRESHOLD
from kernelfit.report.figure import Figure, Panel
from kernelfit.report.paper import FIGURE_1A_STEPS, TABLE_1
from kernelfit.report.table import Cell, Row, Table
from kernelfit.report.views import net_curves as net
from kernelfit.report.views.table1 import ACCURACIES, accuracies
from kernelfit.report.words import averaged, count, known, listed, mean_sd, number, percent, quotient, share

ARRIVED = 0.1  # of figure 1a: a curve has arrived once its mean over some steps is at most this
_TITLES = {"table1": "Table 1", "figure1": "Figure 1", "figure2": "Figure 2"}
_COLUMNS = {
    "table1": ("row", "n", *ACCURACIES),
    "figure1": ("curve", "n", "steps to loss 0.1", "steps to fit", "relative time", "training error", "test error"),
    "figure2": ("curve", "n", "training accuracy", "test accuracy", "best along the way", "its epoch"),
}


def table(study, outcomes):
    """Return the Outcomes of a study of nets beside the paper's, with the verdicts."""
    done = [outcome for outcome in outcomes if outcome.records]
    names = listed(record.dataset.name for outcome in done for record in outcome.records)
    cells = {"table1": _table1_cells, "figure1": _figure1_cells, "figure2": _figure2_cells}[study]
    true = {model: dict(levels).get(0.0, ()) for model, levels in _by_level(done).items()}
    rows = [
        Row(
            (
                outcome.name,
                Cell(f"{count(outcome.records[0].dataset.n_train)} x {len(outcome.records)}"),
                *cells(outcome, true),
            ),
            "\n".join(record.command for record in outcome.records),
        )
        for outcome in done
    ]
    failed = [f"{outcome.name} was not run: {outcome.failed}" for outcome in outcomes if outcome.failed]
    return Table(
        title=f"{_TITLES[study]} of the paper, and kernelfit{f' on {names}' if names else ''}",
        columns=_COLUMNS[study],
        rows=tuple(rows),
        notes=(*failed, *verdicts(study, outcomes)),
    )


def figure(study, outcomes):
    """Return the outcomes of a study like the paper's figure. A table is drawn as training curves."""
    done = [outcome for outcome in outcomes if outcome.records]
    records = [record for outcome in done for record in outcome.records]
    curves = [outcome for outcome in done if outcome.part == "a"]
    levels = [record for outcome in done if outcome.part == "bc" for record in outcome.records]
    if study == "figure1":
        losses = [net.loss(each.records[0], each.name, k) for k, each in enumerate(curves)]
        panels = [Panel(title="Training loss, first seed", x=net.STEPS, y=net.LOSS, series=tuple(losses))]
        panels += [net.overfit_panel(levels), net.errors_panel(levels)] if levels else []
    else:
        series = []
        for k, each in enumerate(done):
            series.append(net.curve(each.records[0], "accuracy", "", k, dashed=True))
            series.append(net.curve(each.records[0], "test_accuracy", each.name, k))
        about = "Training dotted, test solid."
        panels = [
            Panel(title="Accuracy, first seed", x=net.EPOCHS, y=net.ACCURACY, series=tuple(series), caption=about)
        ]
    names = listed(record.dataset.name for record in records)
    commands = tuple(record.command for record in records)
    return Figure(title=f"{_TITLES[study]} of the paper, on {names}", panels=tuple(panels), commands=commands)


def verdicts(study, outcomes):
    """Return what the rows say together, as sentences; those that need a row that is not there are left out."""
    done = [outcome for outcome in outcomes if outcome.records]
    return {"table1": _table1_verdicts, "figure1": _figure1_verdicts, "figure2": _figure2_verdicts}[study](done)


def steps_to_loss(record):
    """Return the steps after which the loss curve of a net is at most ARRIVED for the first time, or None."""
    every, losses = record.results.step_curve["every"], record.results.step_curve["loss"]
    found = (k for k, value in enumerate(losses, 1) if value is not None and value <= ARRIVED)
    k = next(found, None)
    return k and min(record.results.steps, k * every)


def _table1_cells(outcome, _):
    paper = [share(None if each is None else each / 100) for each in TABLE_1.get(outcome.name, (None, None))]
    train, test = (averaged(accuracies(outcome.records, name), percent) for name in ("train_error", "test_error"))
    return paper[0], train, paper[1], test


def _figure1_cells(outcome, true):
    records, relative = outcome.records, []
    if outcome.part == "bc":
        true = true[records[0].results.model]
        least = {record.results.seed: net.steps_to_fit(record) for record in true}
        relative = [quotient(net.steps_to_fit(record), least.get(record.results.seed)) for record in records]
    return (
        averaged(map(steps_to_loss, records), count),
        averaged(map(net.steps_to_fit, records), count),
        averaged(relative, lambda value: number(value, 3)),
        averaged((record.results.train_error for record in records), percent),
        averaged((record.results.test_error for record in records), percent),
    )


def _figure2_cells(outcome, _):
    lines = [net.curve(record, "test_accuracy", "", 0).points for record in outcome.records]
    best = [max((point.y / 100, -point.x) for point in line) for line in lines if line]
    return (
        averaged(accuracies(outcome.records, "train_error"), percent),
        averaged(accuracies(outcome.records, "test_error"), percent),
        averaged((accuracy for accuracy, _ in best), percent),
        averaged((-epoch for _, epoch in best), count),
    )


def _table1_verdicts(done):
    found = []
    for outcome in done:
        name, random, slower = outcome.name.partition("-random")
        if random:
            worst = max(record.results.train_error for record in outcome.records)
            verb = "fits" if worst <= THRESHOLD else "does not fit"
            how = " with a slower decay of the learning rate" if slower else ""
            found.append(f"{name} {verb} random labels{how}: training error at most {percent(worst)}.")
    return found


def _figure1_verdicts(done):
    found = []
    curves = {outcome.name: outcome.records for outcome in done if outcome.part == "a"}
    if set(curves) == set(FIGURE_1A_STEPS):
        found.append(_order_1a({name: mean_sd(map(steps_to_loss, curves[name]))[0] for name in FIGURE_1A_STEPS}))
    for model, levels in _by_level(done).items():
        errors = [(level, mean_sd(record.results.test_error for record in records)[0]) for level, records in levels]
        if len(errors) > 1:
            rises = "rises" if all(a < b for (_, a), (_, b) in pairwise(errors)) else "does not rise"
            (first, low), (last, high) = errors[0], errors[-1]
            found.append(
                f"The test error of {model} {rises} with every level, from {percent(low)} at {share(first)} to "
                f"{percent(high)} at {share(last)}."
            )
    return found


def _order_1a(steps):
    late = [name for name, value in steps.items() if not known(value)]
    if late:
        return f"No order of steps to a loss of {ARRIVED}: {listed(late)} did not reach it."
    middle = [steps["random-pixels"], steps["gaussian"]]
    holds = steps["true"] < steps["shuffled"] < min(middle) and max(middle) < steps["random-labels"]
    ours, theirs = (", ".join(f"{name} {count(each[name])}" for name in steps) for each in (steps, FIGURE_1A_STEPS))
    return (
        "Figure 1a's order, true < shuffled < random pixels and gaussian < random labels, "
        f"{'holds' if holds else 'does not hold'}: {ours} steps (a replication on CIFAR10: {theirs})."
    )


def _figure2_verdicts(done):
    records = {outcome.name: outcome.records for outcome in done}
    nets = ("inception", "inception-nobn")
    if not set(nets) <= set(records):
        return []
    unfitted = [name for name in nets if max(record.results.train_error for record in records[name]) > THRESHOLD]
    if unfitted:
        return [f"Nothing is said of batch normalisation: {listed(unfitted)} did not fit the training labels."]
    with_bn, without = (mean_sd(accuracies(records[name], "test_error"))[0] for name in nets)
    gain = number(100 * (with_bn - without), 2)
    return [f"Batch normalisation is worth {gain} points of test accuracy (paper: 3 to 4 on CIFAR10)."]


def _by_level(done):
    """Return {model: [(level, records), ...]} of the entries of figures 1b and 1c, in their order."""
    found = {}
    for outcome in done:
        if outcome.part == "bc":
            first = outcome.records[0].results
            found.setdefault(first.model, []).append((first.corruption["labels"], outcome.records))
    return found
