"""Ridge paths: what regularisation does to the errors and to the norm."""

from kernelfit.report.figure import Axis, Figure, Panel, Point, Rule, Series
from kernelfit.report.section import Finding, gallery
from kernelfit.report.table import Cell, Row, Table
from kernelfit.report.views.levels import NORM
from kernelfit.report.words import (
    ERRORS,
    about_of,
    count,
    kernel_of,
    known,
    number,
    percent,
    seconds,
    sizes_of,
    title_of,
)

_COLUMNS = ("ridge", "training error", "leave-one-out", "test error", "corrected, broken", "norm, 0/1", "norm, ±1")
_CHOSEN, _CAPTION = "* chosen by leave-one-out.", "Corrected, broken: test images, against the smallest ridge."
_ERROR = Axis(label="error", unit="%", low=0.0)


def table(record):
    """Return a row for each ridge, the choice of leave-one-out marked."""
    results, rows = record.results, []
    for k, row in enumerate(results.rows):
        mark = " *" if row.ridge == results.chosen_by_loo else ""
        changed = Cell(f"{count(row.test_corrected)}, {count(row.test_broken)}", row.test_corrected - row.test_broken)
        errors = (percent(error) for error in (row.train_error, row.loo_error, row.test_error))
        cells = (Cell(number(row.ridge) + mark, row.ridge), *errors, changed if k else Cell())
        rows.append(Row((*cells, number(row.norm, 6), number(row.norm_pm1, 6)), record.command))
    residual = max((row.relative_residual for row in results.rows if known(row.relative_residual)), default=None)
    how = (
        f"{len(results.rows)} ridges by {results.method} in {seconds(record.seconds.get('total'))} ({results.reason}); "
        f"relative residuals up to {number(residual, 2)}"
    )
    return Table(
        title=f"{sizes_of(record)}, {kernel_of(record)}",
        columns=_COLUMNS,
        rows=tuple(rows),
        caption=_CAPTION if results.chosen_by_loo is None else f"{_CHOSEN} {_CAPTION}",
        notes=(_sentence(results), how),
        warnings=tuple(record.warnings),
        about=about_of(record),
    )


def figure(record):
    """Return errors and norm against the ridge on a logarithmic axis, 0 at its left."""
    rows = record.results.rows
    at = positions([row.ridge for row in rows])
    ticks = tuple((place, str(number(row.ridge))) for place, row in zip(at, rows, strict=True))
    x = Axis(label="ridge", log=True, ticks=ticks)
    # 0 has no place on this axis: it stands beyond a line.
    beyond = (Rule((at[0] * at[1]) ** 0.5, vertical=True),) if rows[0].ridge == 0 and len(rows) > 1 else ()
    errors = [_series(rows, at, name, label, style, 100) for name, label, style in ERRORS]
    norms = [_series(rows, at, "norm", "targets 0/1", 0), _series(rows, at, "norm_pm1", "targets -1/+1", 3)]
    about = {True: "A larger ridge lowers", False: "No larger ridge lowers"}.get(record.results.loo_improves)
    caption = f"{about} the leave-one-out error." if about else ""
    errors = tuple(series for series in errors if series.points)
    panels = (
        Panel(title="Errors against the ridge", x=x, y=_ERROR, series=errors, rules=beyond, caption=caption),
        Panel(title="Norm against the ridge", x=x, y=NORM, series=tuple(norms), rules=beyond),
    )
    return Figure(title=title_of(record), panels=panels, commands=(record.command,))


def section(records):
    """Return all ridge paths: the figures of the last ones, and one table."""
    paths = records.latest("ridge")
    return gallery("ridge", "Regularisation: ridge paths", paths, table, figure, what="ridge paths", caption=_CAPTION)


def findings(records):
    """Return whether a ridge helped."""
    found = []
    for record in reversed(records.latest("ridge")):
        least = min(row.test_error for row in record.results.rows)
        text = f"{_sentence(record.results).capitalize()} ({title_of(record)})."
        found.append(Finding(percent(least), text, record.command))
    return found


def positions(ridges):
    """Return where increasing ridges stand on a logarithmic axis: as themselves, and 0 a decade below the first."""
    first = next((ridge for ridge in ridges if ridge > 0), 1.0)
    return [ridge or first / 10 for ridge in ridges]


def _series(rows, at, name, label, style, scale=1):
    values = [(place, getattr(row, name)) for place, row in zip(at, rows, strict=True)]
    points = tuple(Point(place, scale * value) for place, value in values if value is not None)
    return Series(name=label, points=points, style=style)


def _sentence(results):
    """Return in words whether a ridge improved anything."""
    if results.chosen_by_loo is None:
        loo = "there is no leave-one-out to choose by"
    else:
        verb = "lowers" if results.loo_improves else "does not lower"
        squared = results.chosen_by_loo > results.rows[0].ridge and not results.loo_improves
        chosen = f"{number(results.chosen_by_loo)}{', of equal ones by their squared error' if squared else ''}"
        loo = f"a larger ridge {verb} the leave-one-out error, which would choose {chosen}"
    first, best = results.rows[0], min(results.rows, key=lambda row: row.test_error)
    if not results.test_improves:
        return f"{loo}; none improves the test error of {percent(first.test_error)}"
    errors = f"{percent(best.test_error)} at {number(best.ridge)} instead of {percent(first.test_error)}"
    return f"{loo}; in hindsight the test error is {errors}"
