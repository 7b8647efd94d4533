"""Ridge paths: what regularisation does to the errors and to the norm."""

from kernelfit.report.figures import ERRORS
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
from kernelfit.report.page.sweeps import told
from kernelfit.report.ridge_path import positions
from kernelfit.report.svg.chart import Point, Series, chart
from kernelfit.report.svg.scales import Axis
from kernelfit.report.words import batch_title, compact


def ridges_section(runs):
    """Return the section of ridge paths."""
    drawn, note = last(runs.ridges, "ridge paths")
    header = ("data", "n", "kernel", "features", "ridge", "test error", "training error", "leave-one-out")
    header += ("corrected, broken", "norm, 0/1", "norm, -1/+1", "residual", "command")
    rows = [
        [
            row.dataset["name"],
            number(row.n_train, f"{row.n_train:,}"),
            compact(row.kernel),
            row.features or "",
            number(row.ridge, f"{row.ridge:g}{' *' if row.ridge == row.chosen_by_loo else ''}"),
            percent(row.test_error),
            percent(row.train_error),
            percent(row.loo_error),
            number(row.test_corrected - row.test_broken, f"{row.test_corrected:,}, {row.test_broken:,}"),
            number(row.norm),
            number(row.norm_pm1),
            power(row.relative_residual),
            repeat(row.command),
        ]
        for batch in reversed(runs.ridges)
        for row in batch.rows
    ]
    caption = "* leave-one-out would choose this. Corrected, broken: test images against the smallest ridge."
    return section(
        "ridge",
        "Regularisation: ridge paths",
        figures([made for batch in drawn for made in _ridge_figures(batch)]),
        paragraph(note),
        table(header, rows, caption=caption) if rows else None,
    )


def _ridge_figures(batch):
    shared, rows = batch.shared, sorted(batch.rows, key=lambda row: row.ridge)
    if len(rows) < 2 or rows[1].ridge <= 0:
        return []
    title = batch_title(shared, shared["kernel"])
    at = positions([row.ridge for row in rows])
    x = Axis(
        label="ridge", log=True, ticks=tuple((place, f"{row.ridge:g}") for place, row in zip(at, rows, strict=True))
    )
    series = []
    for name, label, style in ERRORS:
        points = tuple(
            Point(
                place, 100 * getattr(row, name), 0, f"ridge {row.ridge:g}: {label} {percent_text(getattr(row, name))}"
            )
            for place, row in zip(at, rows, strict=True)
            if getattr(row, name) is not None
        )
        if points:
            series.append(Series(name=label, points=points, style=style))
    norms = [
        Series(
            name=f"norm, targets {targets}",
            points=tuple(
                Point(place, getattr(row, name), 0, f"ridge {row.ridge:g}: norm {getattr(row, name):.5g}")
                for place, row in zip(at, rows, strict=True)
            ),
            style=style,
        )
        for name, targets, style in (("norm", "0/1", 0), ("norm_pm1", "-1/+1", 3))
    ]
    about = {True: "A larger ridge improves leave-one-out.", False: "No larger ridge improves leave-one-out."}
    return [
        figure(
            f"Errors against the ridge: {title}",
            chart(
                title=f"Errors against the ridge, {title}",
                description=told(series, "%"),
                x=x,
                y=Axis(label="error (%)", low=0.0),
                series=series,
            ),
            caption=about.get(shared["loo_improves"]),
            commands=[shared["command"]],
        ),
        figure(
            f"Norm against the ridge: {title}",
            chart(
                title=f"Norm against the ridge, {title}",
                description=told(norms, ""),
                x=x,
                y=Axis(label="RKHS norm", low=0.0),
                series=norms,
            ),
            commands=[shared["command"]],
        ),
    ]
