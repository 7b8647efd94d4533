"""The paper's experiments with nets beside ours: tables on the terminal and as Markdown, figures, and what they say."""

import statistics
from itertools import pairwise

from rich import box
from rich.table import Table
from rich.text import Text

from kernelfit.common.errors import InputError
from kernelfit.report.figures import COLOURS, COLUMN, figure
from kernelfit.report.paper import FIGURE_1A_STEPS, TABLE_1

LOSS = 0.1  # of figure 1a: a curve has arrived once its mean over some steps is at most this
_TITLES = {
    "table1": "Table 1 of the paper, and kernelfit",
    "figure1": "Figure 1 of the paper, and kernelfit",
    "figure2": "Figure 2 of the paper, and kernelfit",
}
_HEADERS = {
    "table1": ("row", "n", "training accuracy, %: paper", "kernelfit", "test accuracy, %: paper", "kernelfit"),
    "figure1": (
        "curve",
        "n",
        "steps to loss 0.1",
        "steps to fit",
        "relative time",
        "training error, %",
        "test error, %",
    ),
    "figure2": ("curve", "n", "training accuracy, %", "test accuracy, %", "best along the way, %", "its epoch"),
}


def study_table(study, outcomes):
    """Return the rich Table of the outcomes of a study (kernelfit.experiments.nets_paper), the verdicts below it."""
    table = Table(
        title=Text(_title(study, outcomes)),
        title_justify="left",
        caption=Text("\n\n".join([*_failures(outcomes), *verdicts(study, outcomes)])),
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        padding=(0, 1, 0, 0),
    )
    for name in _HEADERS[study]:
        table.add_column(name.replace(": ", ":\n"), justify="left" if name in ("row", "curve") else "right")
    for row in _rows(study, outcomes):
        table.add_row(*map(Text, row))
    return table


def study_markdown(study, outcomes):
    """Return the same as Markdown, with the command that repeats each run."""
    header = _HEADERS[study]
    lines = [f"# {_title(study, outcomes)}", "", _line(header), "|" + "---|" * len(header)]
    lines += map(_line, _rows(study, outcomes))
    lines += ["", *(f"* {sentence}" for sentence in (*_failures(outcomes), *verdicts(study, outcomes))), "", "```bash"]
    commands = [record.command for outcome in outcomes for record in outcome.records]
    return "\n".join([*lines, *dict.fromkeys(commands), "```", ""])


def verdicts(study, outcomes):
    """Return what the rows say together, as sentences; those that need a row that is not there are left out."""
    done = [outcome for outcome in outcomes if outcome.records]
    return {"table1": _table1_verdicts, "figure1": _figure1_verdicts, "figure2": _figure2_verdicts}[study](done)


def steps_to_loss(record, loss=LOSS):
    """Return the steps after which the step curve of a NetRecord is at most `loss` for the first time, or None."""
    every, losses = record.step_curve["every"], record.step_curve["loss"]
    for k, value in enumerate(losses, 1):
        if value is not None and value <= loss:
            return min(record.steps, k * every)
    return None


def mean_sd(values):
    """Return (mean, standard deviation) of the values that are not None; None where there is none, or one alone."""
    values = [value for value in values if value is not None]
    mean = statistics.fmean(values) if values else None
    return mean, statistics.stdev(values) if len(values) > 1 else None


def plot_study(study, outcomes, path):
    """Draw the outcomes of a study like the paper's figure; returns the path. A table is drawn as training curves."""
    outcomes = [outcome for outcome in outcomes if outcome.records]
    if not outcomes:
        raise InputError(f"nothing of {study} was run, so that there is nothing to draw")
    panels = _panels_1(outcomes) if study == "figure1" else _panels_2(outcomes)
    with figure(path, (COLUMN[0] * len(panels), COLUMN[1])) as made:
        for axes, panel in zip(made.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
            panel(axes)
            axes.legend()
    return path


def _title(study, outcomes):
    names = dict.fromkeys(record.dataset["name"] for outcome in outcomes for record in outcome.records)
    return f"{_TITLES[study]} on {', '.join(names)}" if names else _TITLES[study]


def _rows(study, outcomes):
    make = {"table1": _table1_row, "figure1": _figure1_row, "figure2": _figure2_row}[study]
    zero = {model: dict(points).get(0.0, ()) for model, points in _by_level(outcomes).items()}
    return [make(outcome, zero) for outcome in outcomes if outcome.records]


def _table1_row(outcome, _):
    name, records = outcome.entry.name, outcome.records
    paper = ["" if value is None else f"{value:.2f}" for value in TABLE_1.get(name, (None, None))]
    train, test = (
        _spread([100 * (1 - getattr(record, field)) for record in records]) for field in ("train_error", "test_error")
    )
    return name, _sizes(records), paper[0], train, paper[1], test


def _figure1_row(outcome, zero):
    records = outcome.records
    relative = ""
    if outcome.entry.part == "bc":
        relative = _spread(_relative(records, zero[outcome.entry.options["model"]]))
    return (
        outcome.entry.name,
        _sizes(records),
        _spread([steps_to_loss(record) for record in records], 0),
        _spread([_steps_to_fit(record) for record in records], 0),
        relative,
        _spread([100 * record.train_error for record in records]),
        _spread([100 * record.test_error for record in records]),
    )


def _figure2_row(outcome, _):
    records = outcome.records
    best = [max((a, -e) for e, a in _test_curve(record)) for record in records if _test_curve(record)]
    return (
        outcome.entry.name,
        _sizes(records),
        _spread([100 * (1 - record.train_error) for record in records]),
        _spread([100 * (1 - record.test_error) for record in records]),
        _spread([100 * accuracy for accuracy, _ in best]),
        _spread([-epoch for _, epoch in best], 0),
    )


def _table1_verdicts(outcomes):
    found = []
    for outcome in outcomes:
        name = outcome.entry.name
        if name.endswith("random"):
            worst = max(record.train_error for record in outcome.records)
            verb = "fits" if worst <= 0.01 else "does not fit"
            net = name.removesuffix("-random")
            found.append(f"{net} {verb} random labels: training error at most {100 * worst:.2g} %.")
    return found


def _figure1_verdicts(outcomes):
    found = []
    done = {outcome.entry.name: outcome.records for outcome in outcomes if outcome.entry.part == "a"}
    if set(done) == set(FIGURE_1A_STEPS):
        steps = {name: mean_sd([steps_to_loss(record) for record in done[name]])[0] for name in FIGURE_1A_STEPS}
        found.append(_order_1a(steps))
    for model, points in _by_level(outcomes).items():
        errors = [(level, mean_sd([record.test_error for record in records])[0]) for level, records in points]
        rising = all(a < b for (_, a), (_, b) in pairwise(errors))
        if len(errors) > 1:
            (first, low), (last, high) = errors[0], errors[-1]
            found.append(
                f"The test error of {model} {'rises' if rising else 'does not rise'} with every level, "
                f"from {100 * low:.1f} % at {first:g} to {100 * high:.1f} % at {last:g}."
            )
    return found


def _order_1a(steps):
    late = [name for name, value in steps.items() if value is None]
    if late:
        return f"No order of steps to a loss of {LOSS}: {', '.join(late)} did not reach it."
    middle = [steps["random-pixels"], steps["gaussian"]]
    holds = steps["true"] < steps["shuffled"] < min(middle) and max(middle) < steps["random-labels"]
    told = ", ".join(f"{name} {value:,.0f}" for name, value in steps.items())
    return (
        f"Figure 1a's order, true < shuffled < random pixels and gaussian < random labels, "
        f"{'holds' if holds else 'does not hold'}: {told} steps (a replication on CIFAR10: "
        f"{', '.join(f'{value:,}' for value in FIGURE_1A_STEPS.values())})."
    )


def _figure2_verdicts(outcomes):
    found, done = [], {outcome.entry.name: outcome.records for outcome in outcomes}
    if {"inception", "inception-nobn"} <= set(done):
        with_bn, without = (
            mean_sd([100 * (1 - record.test_error) for record in done[name]])[0]
            for name in ("inception", "inception-nobn")
        )
        found.append(
            f"Batch normalisation is worth {with_bn - without:.1f} points of test accuracy (paper: 3 to 4 on CIFAR10)."
        )
    return found


def _failures(outcomes):
    return [f"{outcome.entry.name} was not run: {outcome.failed}" for outcome in outcomes if outcome.failed]


def _panels_1(outcomes):
    panels = []
    curves = [outcome for outcome in outcomes if outcome.entry.part == "a"]
    if curves:
        panels.append(lambda axes: _draw_losses(axes, curves))
    levels = _by_level(outcomes)
    if any(dict(points).get(0.0) for points in levels.values()):
        panels.append(lambda axes: _draw_levels(axes, levels, "time to fit relative to true labels", _relative))
    if levels:
        panels.append(lambda axes: _draw_levels(axes, levels, "test error (%)", _test_errors))
    return panels


def _panels_2(outcomes):
    def panel(axes):
        for outcome, colour in zip(outcomes, COLOURS * len(outcomes), strict=False):
            record = outcome.records[0]
            axes.plot(record.curve["epoch"], [100 * a for a in record.curve["accuracy"]], color=colour, linestyle=":")
            test = _test_curve(record)
            if test:
                axes.plot(*zip(*((e, 100 * a) for e, a in test), strict=True), color=colour, label=outcome.entry.name)
        axes.set(xlabel="epochs", ylabel="accuracy (%): training dotted, test solid", ylim=(0, 103))

    return [panel]


def _draw_losses(axes, curves):
    for outcome, colour in zip(curves, COLOURS, strict=False):
        record = outcome.records[0]
        every, losses = record.step_curve["every"], record.step_curve["loss"]
        steps = [min(record.steps, every * k) for k in range(1, len(losses) + 1)]
        axes.plot(steps, losses, color=colour, label=outcome.entry.name)
    axes.set(xlabel="steps", ylabel="training loss, first seed", ylim=(0, None))


def _draw_levels(axes, levels, label, measure):
    for (model, points), colour in zip(levels.items(), COLOURS, strict=False):
        true = dict(points).get(0.0, ())
        drawn = [(100 * level, *mean_sd(measure(records, true))) for level, records in points]
        drawn = [(x, mean, sd or 0) for x, mean, sd in drawn if mean is not None]
        if drawn:
            x, means, deviations = zip(*drawn, strict=True)
            axes.errorbar(x, means, yerr=deviations, color=colour, marker="o", capsize=3, label=model)
    axes.set(xlabel="training labels replaced (%)", ylabel=label)


def _relative(records, first):
    zero = {record.seed: _steps_to_fit(record) for record in first if record.time_to_fit}
    return [_steps_to_fit(r) / zero[r.seed] for r in records if r.time_to_fit and r.seed in zero]


def _test_errors(records, _):
    return [100 * record.test_error for record in records]


def _by_level(outcomes):
    """Return {model: [(level, records), ...]} of the entries of figures 1b and 1c, in their order."""
    found = {}
    for outcome in outcomes:
        if outcome.entry.part == "bc":
            options = outcome.entry.options
            found.setdefault(options["model"], []).append((float(options["labels"]), outcome.records))
    return found


def _test_curve(record):
    pairs = zip(record.curve["epoch"], record.curve["test_accuracy"], strict=True)
    return [(epoch, accuracy) for epoch, accuracy in pairs if accuracy is not None]


def _steps_to_fit(record):
    return record.time_to_fit and record.time_to_fit["steps"]


def _sizes(records):
    return f"{records[0].n_train:,} x {len(records)}"


def _spread(values, digits=2):
    mean, sd = mean_sd(values)
    if mean is None:
        return "-"
    return f"{mean:,.{digits}f}" + ("" if sd is None else f" ± {sd:,.{digits}f}")


def _line(cells):
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"
