"""Norm against error: true and random labels on one kernel, all solves, and other interpolants of the same labels."""

from kernelfit.report.interpolants import interpolant_cells
from kernelfit.report.norms import KINDS
from kernelfit.report.page.parts import (
    figure,
    figures,
    last,
    number,
    paragraph,
    percent,
    percent_text,
    power,
    repeat,
    section,
    table,
)
from kernelfit.report.page.sweeps import sweep_title
from kernelfit.report.svg.bars import bars
from kernelfit.report.svg.chart import Point, Series, chart
from kernelfit.report.svg.scales import Axis
from kernelfit.report.words import batch_title, compact, is_true


def norms_section(runs):
    """Return the section that sets norms against errors: true and random labels, and other interpolants."""
    scatter = [_norms_of_sweep(batch) for batch in last(runs.sweeps, "")[0]]
    scatter += [_norms_of_solves(runs)]
    drawn, note = last(runs.interpolants, "comparisons of interpolants")
    header = ("data", "n", "interpolant", "labels", "centres", "norm, 0/1", "times the least", "test error", "residual")
    header += ("condition", "command")
    rows = [
        [
            batch.shared["dataset"]["name"],
            number(row.n_train, f"{row.n_train:,}"),
            row.name,
            row.labels,
            number(row.centres, f"{row.centres:,}"),
            number(row.norm),
            number(row.ratio),
            row.failed if row.failed else percent(row.test_error),
            power(row.relative_residual),
            power(row.condition),
            repeat(row.command),
        ]
        for batch in reversed(runs.interpolants)
        for row in batch.rows
    ]
    caption = "Interpolants of the same training labels. The first is the one of least norm."
    return section(
        "norms",
        "Norm against error",
        figures([*scatter, *map(_interpolants_figure, drawn)]),
        paragraph(note),
        table(header, rows, caption=caption) if rows else None,
    )


def _norms_of_sweep(batch):
    """Return the scatter of a sweep: norm against test error, a colour for each kind of labels."""
    series = []
    for name, style, holds in KINDS:
        points = tuple(
            Point(
                row.norm,
                100 * row.test_error,
                0,
                f"{100 * row.level:g} % replaced, {row.pixels} pixels, norm "
                f"{row.norm:.4g}: {percent_text(row.test_error)}",
            )
            for row in batch.rows
            if holds(row.level)
        )
        if points:
            series.append(Series(name=name, points=points, style=style, line=False))
    title = sweep_title(batch)
    drawing = chart(
        title=f"Norm against test error, {title}",
        description="; ".join(f"{each.name}: {len(each.points)} sets of labels" for each in series),
        x=Axis(label="RKHS norm, targets 0/1", low=0.0),
        y=Axis(label="test error (%)", low=0.0),
        series=series,
    )
    about = "A mark for each set of labels, all fitted with the same kernel."
    return figure(f"Norm against error: {title}", drawing, caption=about, commands=[batch.shared["command"]])


def _norms_of_solves(runs):
    """Return the scatter of all solves of true labels, whatever the kernel and the features; None of a single one."""
    true = [row for row in runs.solves if is_true(row) and row.norm]
    rows = [(row.dataset["name"], row.norm, row.test_error, _told(row), row.command) for row in true]
    rows += [
        (row["dataset"], row["norm"], row["test_error"], f"{row['row']}, n = {row['n_train']:,}", row["command"])
        for row in runs.section5
        if row["norm"] and row["test_error"] is not None
    ]
    rows = [row for row in rows if row[1] > 0]
    if len({(round(norm, 3), error) for _, norm, error, *_ in rows}) < 2:
        return None
    series = []
    for style, name in enumerate(list(dict.fromkeys(name for name, *_ in rows))[:6]):
        points = tuple(
            Point(norm, 100 * error, 0, f"{told}: norm {norm:.4g}, {percent_text(error)}")
            for dataset, norm, error, told, _ in rows
            if dataset == name
        )
        series.append(Series(name=name, points=points, style=style, line=False))
    drawing = chart(
        title="Norm against test error of all solves",
        description=f"{len(rows)} solves of {len(series)} data sets.",
        x=Axis(label="RKHS norm, targets 0/1", log=True),
        y=Axis(label="test error (%)", low=0.0),
        series=series,
    )
    about = "A mark for each solve of true labels, over all kernels and features. Point at it to see which."
    return figure("Norm against error: all solves", drawing, caption=about, commands=[row[-1] for row in rows])


def _told(row):
    """Return in a few words what a Record solved."""
    return f"{compact(row.kernel)} on {row.features}, n = {row.n_train:,}"


def _interpolants_figure(batch):
    """Return the bars of norms as multiples of the least."""
    rows = [row for row in batch.rows if row.ratio and row.ratio > 0]
    if not rows:
        return None
    title = batch_title(batch.shared, batch.shared["kernel"])
    drawn = []
    for row in rows:
        cells = interpolant_cells(row)
        name = f"least, {row.labels} labels" if row.name == "minimum" else row.name
        drawn.append((name, row.ratio, f"{cells[3]} x", 0 if row.name == "minimum" else 1))
    drawing = bars(
        title=f"Norms of other interpolants, {title}",
        description="; ".join(f"{name}: {text}" for name, _, text, _ in drawn),
        label="norm, as a multiple of the least",
        rows=drawn,
        start=0.5,
    )
    return figure(f"Other interpolants: {title}", drawing, commands=[batch.shared["command"]])
