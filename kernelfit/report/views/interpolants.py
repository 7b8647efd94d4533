"""Other interpolants of the same labels: how much larger their norms are than the least."""

from kernelfit.report.figure import Axis, Bar, Figure, Panel
from kernelfit.report.section import Finding, gallery
from kernelfit.report.table import Row, Table
from kernelfit.report.words import (
    about_of,
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
    reasons = ((row.name, row.failed.partition(" Likely causes")[0]) for row in record.results.rows)
    failed = tuple(f"{name}: {reason}" for name, reason in reasons if reason)
    return Table(
        title=f"{sizes_of(record)}, {kernel_of(record)}",
        columns=_COLUMNS,
        rows=tuple(rows),
        caption="RKHS norms for targets 0/1; condition: a lower bound.",
        notes=(f"all in {seconds(record.seconds.get('total'))}",),
        warnings=(*failed, *record.warnings),
        about=about_of(record),
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
    about = {"what": "comparisons", "caption": "Interpolants of the same training labels, that of least norm first."}
    found = records.latest("interpolants")
    return gallery("interpolants", "Other interpolants", found, table, figure, **about)


def findings(records):
    """Return how much larger the norms of other interpolants are."""
    found = []
    for record in reversed(records.latest("interpolants")):
        others = [row for row in record.results.rows[1:] if known(row.ratio) and row.labels == "true"]
        if others:
            nearest, least = min(others, key=lambda row: row.ratio), record.results.rows[0]
            text = (
                f"Of {len(others)} other interpolants of the same labels the nearest, {nearest.name}, has "
                f"{times(nearest.ratio)} the least norm, and a test error of {percent(nearest.test_error)} instead of "
                f"{percent(least.test_error)} ({data_of(record)})."
            )
            found.append(Finding(times(nearest.ratio), text, record.command))
    return found
