"""Trained nets: the paper's table 1 beside ours, its figures 1 and 2, and every training."""

import statistics

from kernelfit.common.progress import duration
from kernelfit.report.net_curves import (
    by_curve,
    errors_at_levels,
    losses,
    one_of_each,
    setting_of,
    steps_to_fit,
    thinned,
    times_to_fit,
)
from kernelfit.report.norms import KINDS
from kernelfit.report.page.parts import (
    WAITS,
    figure,
    figures,
    moment,
    number,
    paragraph,
    percent,
    percent_text,
    repeat,
    section,
    table,
)
from kernelfit.report.paper import FIGURE_1A_STEPS, TABLE_1
from kernelfit.report.svg.chart import Point, Rule, Series, chart
from kernelfit.report.svg.scales import Axis
from kernelfit.report.table1 import in_words, records_of
from kernelfit.report.words import is_true, labels_of

_ERRORS = ("train_error", "test_error")
_LEVEL = Axis(label="training labels replaced (%)", low=0.0, high=100.0)


def nets_section(runs):
    """Return the section of nets; rows of table 1 that no net has answered yet are grey."""
    nets = runs.nets
    return section(
        "nets",
        "Tables and figures of nets",
        _table_1(nets),
        paragraph(_steps_of_the_paper() if nets else ""),
        figures(
            [
                *_training_curves(nets),
                _against_level(
                    nets,
                    "Test error against corruption",
                    "test error (%)",
                    errors_at_levels(nets),
                    "The paper's figure 1c.",
                ),
                _time_to_overfit(nets),
                *_test_curves(nets),
                _norms(nets),
            ]
        ),
        _all_nets(nets),
    )


def _table_1(nets):
    header = ("net", "setting", "training accuracy: paper", "kernelfit", "test accuracy: paper", "kernelfit", "data")
    header += ("command",)
    rows, grey = [], set()
    for name, (train, test) in TABLE_1.items():
        found = records_of(name, nets)
        data = "ImageNet" if name.startswith("imagenet") else "CIFAR10"
        ours, end = (WAITS, ""), (data, repeat(f"kernelfit nn table1 --scale full --rows {name}"))
        if found:
            ours = [percent(1 - statistics.fmean(getattr(row, which) for row in found)) for which in _ERRORS]
            seeds = f", {len(found)} seeds" if len(found) > 1 else ""
            data = f"{found[-1].dataset['name']}, n = {found[-1].n_train:,}{seeds}"
            end = data, repeat(found[-1].command)
        else:
            grey.add(len(rows))
        rows.append([*in_words(name), _accuracy(train), ours[0], _accuracy(test), ours[1], *end])
    caption = "Table 1 of the paper (accuracy), and its ImageNet results. wd: weight decay; crop: random crops."
    return table(header, rows, caption=caption, grey=grey)


def _accuracy(percentage):
    return number(percentage, None if percentage is None else f"{percentage:.2f} %")


def _steps_of_the_paper():
    steps = ", ".join(f"{name} {count:,}" for name, count in FIGURE_1A_STEPS.items())
    return f"Figure 1a in a careful replication, steps until the training loss is 0.1: {steps}."


def _training_curves(nets):
    """Return a figure of training loss against steps for each net, a line for each kind of labels and pixels."""
    made = []
    for name, rows in by_curve(nets):
        series = []
        for style, row in enumerate(one_of_each(rows)[:8]):
            label = labels_of(row.corruption)
            points = tuple(
                Point(step, loss, 0, f"{label}, step {step:,}: loss {loss:.3g}") for step, loss in losses(row)
            )
            if points:
                series.append(Series(name=label, points=points, style=style, dashed=style >= 6))
        if not series:
            continue
        told = "; ".join(f"{each.name}: from {each.points[0].y:.3g} to {each.points[-1].y:.3g}" for each in series)
        drawing = chart(
            title=f"Training loss of {name}",
            description=told,
            x=Axis(label="steps", low=0.0),
            y=Axis(label="training loss", low=0.0),
            series=series,
        )
        commands = [row.command for row in rows]
        made.append(figure(f"Training curves: {name}", drawing, caption="The paper's figure 1a.", commands=commands))
    return made


def _test_curves(nets):
    """Return test accuracy against epochs of nets on true labels: the paper's figure 2b, with and without tricks."""
    series, commands = [], []
    true = [(name, [row for row in rows if is_true(row)]) for name, rows in by_curve(nets)]
    for name, row in [
        (name if len(rows) == 1 else f"{name}, seed {row.seed}", row) for name, rows in true for row in rows
    ]:
        accuracies = (row.curve or {}).get("test_accuracy") or []
        epochs = (row.curve or {}).get("epoch") or []
        points = [(e, 100 * a) for e, a in zip(epochs, accuracies, strict=False) if e is not None and a is not None]
        if len(points) > 1 and len(series) < 8:
            kept = thinned(points)
            told = tuple(Point(e, a, 0, f"{name}, epoch {e:g}: {a:.4g} %") for e, a in kept)
            series.append(Series(name=name, points=told, style=len(series), dashed=len(series) >= 6))
            commands.append(row.command)
    if not series:
        return []
    drawing = chart(
        title="Test accuracy while training on true labels",
        description="; ".join(f"{each.name} ends at {each.points[-1].y:.4g} %" for each in series),
        x=Axis(label="epochs", low=0.0),
        y=Axis(label="test accuracy (%)", high=100.0),
        series=series,
    )
    return [figure("Test accuracy while training", drawing, caption="The paper's figure 2.", commands=commands)]


def _time_to_overfit(nets):
    """Return the steps to fit against the level, as multiples of those for true labels (the paper's figure 1b)."""
    about = "The paper's figure 1b: about 1.5 to 3.5 times as long on random labels."
    return _against_level(nets, "Time to overfit", "steps to fit, of those of true labels", times_to_fit(nets), about)


def _against_level(nets, title, label, measured, caption):
    """Return a figure of what was measured of each net against the level of corruption, means over seeds."""
    if not measured:
        return None
    series = []
    for style, (name, levels) in enumerate(list(measured.items())[:6]):
        means = [(level, statistics.fmean(values)) for level, values in levels.items()]
        points = tuple(Point(100 * p, y, 0, f"{name}, {100 * p:g} % replaced: {y:.4g}") for p, y in means)
        series.append(Series(name=name, points=points, style=style))
    told = "; ".join(f"{each.name}: from {each.points[0].y:.3g} to {each.points[-1].y:.3g}" for each in series)
    error = "error" in label
    drawing = chart(
        title=f"{title} of nets",
        description=told,
        x=_LEVEL,
        y=Axis(label=label, low=0.0, high=100.0 if error else None),
        series=series,
        rules=_chance(nets) if error else (),
    )
    commands = [row.command for name, rows in by_curve(nets) if name in measured for row in rows]
    return figure(f"{title}: nets", drawing, caption=caption, commands=commands)


def _chance(nets):
    """Return the Rule of a guess that knows nothing, where it is the same for all nets."""
    classes = {row.n_classes for row in nets}
    chance = 100 * (1 - 1 / max(classes))
    return [Rule(name=f"chance, {chance:.3g} %", y=chance)] if len(classes) == 1 else ()


def _norms(nets):
    """Return the scatter of the product of spectral norms against test error, true and random labels."""
    rows = [row for row in nets if ((row.norms or {}).get("spectral_product") or 0) > 0]
    series = []
    for name, style, holds in KINDS:
        points = tuple(
            Point(
                row.norms["spectral_product"],
                100 * row.test_error,
                0,
                f"{row.model}, {labels_of(row.corruption)}: {percent_text(row.test_error)}",
            )
            for row in rows
            if holds(row.corruption["labels"])
        )
        if points:
            series.append(Series(name=name, points=points, style=style, line=False))
    if not series:
        return None
    drawing = chart(
        title="Spectral norms against test error of nets",
        description=f"{len(rows)} nets.",
        x=Axis(label="product of the layers' spectral norms", log=True),
        y=Axis(label="test error (%)", low=0.0),
        series=series,
    )
    return figure("Norm against error: nets", drawing, commands=[row.command for row in rows])


def _all_nets(nets):
    header = ("net", "data", "n", "labels", "setting", "seed", "training error", "test error", "test loss", "epochs")
    header += ("steps to fit", "stopped by", "time", "parameters", "warnings", "made", "command")
    rows = [
        [
            row.model,
            row.dataset["name"],
            number(row.n_train, f"{row.n_train:,}"),
            labels_of(row.corruption),
            setting_of(row),
            number(row.seed),
            percent(row.train_error),
            percent(row.test_error),
            number(row.test_loss),
            number(row.epochs, f"{row.epochs:,}"),
            number(steps_to_fit(row), f"{steps_to_fit(row):,}") if steps_to_fit(row) is not None else "",
            row.stopped_by,
            number(row.seconds["total"], duration(row.seconds["total"])),
            number(row.parameters, f"{row.parameters:,}"),
            "; ".join(row.warnings),
            moment(row.created),
            repeat(row.command),
        ]
        for row in reversed(nets)
    ]
    return table(header, rows, caption="Every training.") if rows else None
