"""Sweeps of label corruption: errors, leave-one-out and norm at every level (the paper's figure 1c, for kernels)."""

import statistics

from kernelfit.report.figures import ERRORS
from kernelfit.report.page.parts import (
    figure,
    figures,
    last,
    number,
    paragraph,
    percent,
    repeat,
    section,
    table,
)
from kernelfit.report.svg.chart import Point, Rule, Series, chart
from kernelfit.report.svg.scales import Axis
from kernelfit.report.sweep import mean_and_spread
from kernelfit.report.words import batch_title, compact

LEVEL = Axis(label="training labels replaced (%)", low=0.0, high=100.0)


def sweeps_section(runs):
    """Return the section of label corruption."""
    drawn, note = last(runs.sweeps, "sweeps")
    header = ("data", "n", "kernel", "pixels", "labels replaced", "seeds", "test error", "training error")
    header += ("leave-one-out", "recovered", "norm, 0/1", "test margin", "command")
    rows = [_sweep_row(batch, *group) for batch in reversed(runs.sweeps) for group in groups(batch)]
    caption = "Means over seeds. Recovered: replaced labels whose leave-one-out prediction is the true class."
    return section(
        "sweeps",
        "Label corruption",
        figures([made for batch in drawn for made in _sweep_figures(batch)]),
        paragraph(note),
        table(header, rows, caption=caption) if rows else None,
    )


def groups(batch):
    """Return (pixels, level, rows of all seeds) for each setting of a sweep."""
    settings = dict.fromkeys((row.pixels, row.level) for row in batch.rows)
    return [(*each, [row for row in batch.rows if (row.pixels, row.level) == each]) for each in settings]


def _sweep_row(batch, pixels, level, rows):
    def mean(name):
        values = [getattr(row, name) for row in rows if getattr(row, name) is not None]
        return statistics.fmean(values) if values else None

    shared = batch.shared
    return [
        shared["dataset"]["name"],
        number(shared["n_train"], f"{shared['n_train']:,}"),
        compact(shared["kernels"].get(pixels, "")),
        pixels,
        number(level, f"{100 * level:g} %"),
        number(len(rows)),
        *(percent(mean(name)) for name in ("test_error", "train_error", "loo_error", "recovered")),
        number(mean("norm")),
        number(statistics.fmean(row.test_margins["mean"] for row in rows), None),
        repeat(shared["command"]),
    ]


def sweep_title(batch):
    """Return in words what was swept."""
    return batch_title(batch.shared, next(iter(batch.shared["kernels"].values())))


def _sweep_figures(batch):
    shared, title = batch.shared, sweep_title(batch)
    errors, norms = [], []
    for index, pixels in enumerate(dict.fromkeys(row.pixels for row in batch.rows)):
        suffix = "" if pixels == "true" else f", {pixels} pixels"
        own = [(level, rows) for name, level, rows in groups(batch) if name == pixels]
        for name, label, style in ERRORS:
            series = averaged(own, name, label + suffix, style if index == 0 else 3 + index, scale=100, unit=" %")
            if index == 0 or name == "test_error":
                errors.append(series)
        norms.append(averaged(own, "norm", f"norm, targets 0/1{suffix}", 0 if index == 0 else 3 + index))
    errors = [series for series in errors if series.points]
    chance = 100 * (1 - 1 / shared["n_classes"]) if shared["n_classes"] else 0
    return [
        figure(
            f"Errors against corruption: {title}",
            chart(
                title=f"Errors against label corruption, {title}",
                description=told(errors, "%"),
                x=LEVEL,
                y=Axis(label="error (%)", low=0.0, high=100.0),
                series=errors,
                rules=[Rule(name=f"chance, {chance:.3g} %", y=chance)],
            ),
            caption="Mean and standard deviation over seeds; the paper's figure 1c shows the same for nets.",
            commands=[shared["command"]],
        ),
        figure(
            f"Norm against corruption: {title}",
            chart(
                title=f"RKHS norm against label corruption, {title}",
                description=told(norms, ""),
                x=LEVEL,
                y=Axis(label="RKHS norm", low=0.0),
                series=norms,
            ),
            commands=[shared["command"]],
        ),
    ]


def averaged(own, name, label, style, scale=1, unit=""):
    """Return the Series of means over seeds, of the levels at which all seeds have a value."""
    points = []
    for level, rows in own:
        values = [scale * getattr(row, name) for row in rows if getattr(row, name) is not None]
        if values:
            mean, spread = mean_and_spread(values)
            give = f" ± {spread:.2g}" if spread else ""
            points.append(Point(100 * level, mean, spread, f"{label} at {100 * level:g} %: {mean:.4g}{give}{unit}"))
    return Series(name=label, points=tuple(points), style=style)


def told(series, unit):
    """Return for readers who cannot see a chart where each line starts and ends."""
    return "; ".join(
        f"{each.name}: from {each.points[0].y:.3g} to {each.points[-1].y:.3g} {unit}".rstrip()
        for each in series
        if each.points
    )
