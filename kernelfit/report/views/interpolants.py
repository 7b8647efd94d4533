"""Other interpolants of the same labels: how much larger their norms are than the least."""

from kernelfit.report.figure import Axis, Bar, Figure, Panel
from kernelfit.report.section import Finding, Section, last
from kernelfit.report.table import Row, Table, stacked
from kernelfit.report.words import (
    count,
    data_of,
    kernel_of,
    known,
    number,
    percent,
    seconds,
    sizes_of,
    times,
    title_of,
)

_COLUMNS = ("interpolant", "centres", "norm, 0/1", "times the least", "test error", "residual", "condition")


def table(record):
    """Return norm, ratio to the least, error, residual and condition of each interpolant."""
    rows = [
        Row(
            (
                f"{row.name}, {row.labels} labels" if row.name == "minimum" else row.name,
                count(row.centres),
                number(row.norm),
                number(row.ratio),
                percent(row.test_error),
                number(row.relative_residual, 2),
                number(row.condition, 2),
            ),
            record.command,
        )
        for row in record.results.rows
    ]
    failed = tuple(
        f"{row.name}: {row.failed.partition(' Likely causes')[0]}" for row in record.results.rows if row.failed
    )
    return Table(
        title=f"{sizes_of(record)}, {kernel_of(record)}",
        columns=_COLUMNS,
        rows=tuple(rows),
        caption="RKHS norms for targets 0/1; condition: a lower bound.",
        notes=(f"all in {seconds(record.seconds.get('total'))}",),
        warnings=(*failed, *record.warnings),
        about={"data": record.dataset.name, "n": count(record.dataset.n_train), "kernel": kernel_of(record)},
    )


def figure(record):
    """Return the norms as multiples of the least, as bars on a logarithmic axis."""
    bars = tuple(
        Bar(f"least, {row.labels} labels" if row.name == "minimum" else row.name, row.ratio, int(row.name != "minimum"))
        for row in record.results.rows
        if known(row.ratio) and row.ratio > 0
    )
    x = Axis(label="norm, as a multiple of the least", unit="x", log=True, low=0.5)
    panel = Panel(title="Other interpolants", x=x, bars=bars)
    return Figure(title=title_of(record), panels=(panel,), commands=(record.command,))


def section(records):
    """Return all comparisons of interpolants: the figures of the last ones, and one table."""
    found = records.latest("interpolants")
    drawn, note = last(found, "comparisons of interpolants")
    caption = "Interpolants of the same training labels. The first is the one of least norm."
    rows = stacked(map(table, reversed(found)), caption=caption)
    return Section("interpolants", "Other interpolants", (*map(figure, drawn), note, rows))


def findings(records):
    """Return how much larger the norms of other interpolants are."""
    found = []
    for record in reversed(records.latest("interpolants")):
        least, *others = record.results.rows or [None]
        others = [row for row in others if known(row.ratio) and row.labels == "true"]
        if others:
            next_one = min(others, key=lambda row: row.ratio)
            text = (
                f"the least norm has the nearest of {len(others)} other interpolants of the same labels, "
                f"{data_of(record)}: {next_one.name}, with a test error of {percent(next_one.test_error)} instead of "
                f"{percent(least.test_error)}."
            )
            found.append(Finding(times(next_one.ratio), text, record.command))
    return found
