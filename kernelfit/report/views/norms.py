"""Norm against error: true and random labels on one kernel, and all solves of true labels."""

from kernelfit.report.figure import Axis, Figure, Panel, Point, Series
from kernelfit.report.section import Section, last
from kernelfit.report.table import Cell, Row, Table
from kernelfit.report.views.levels import KINDS
from kernelfit.report.words import count, is_true, kernel_of, known, number, percent, share, title_of

_NORM = Axis(label="RKHS norm, targets 0/1", low=0.0)
_NORMS = Axis(label="RKHS norm, targets 0/1", log=True)
_ERROR = Axis(label="test error", unit="%", low=0.0)


def table(record):
    """Return the range of norms and of test errors of a sweep, for each kind of labels and pixels."""
    rows = []
    for name, _, own in _kinds(record):
        ranges = _range([row.norm for row in own], number), _range([row.test_error for row in own], percent)
        rows.append(Row((name, count(len(own)), *ranges)))
    return Table(title=title_of(record), columns=("labels", "sets", "norm, 0/1", "test error"), rows=tuple(rows))


def figure(record):
    """Return a mark for each set of labels of a sweep: its norm and its test error."""
    series = []
    for kind, style, rows in _kinds(record):
        points = (
            Point(row.norm, 100 * row.test_error, name=f"{share(row.level)} replaced, {row.pixels} pixels")
            for row in rows
        )
        series.append(Series(name=kind, points=tuple(points), style=style, line=False))
    about = "A mark for each set of labels; those of the same pixels are fitted with the same kernel."
    panel = Panel(title="Norm against error", x=_NORM, y=_ERROR, series=tuple(series), caption=about)
    return Figure(title=title_of(record), panels=(panel,), commands=(record.command,))


def all_solves(records):
    """Return norm against test error of all solves of true labels, whatever the kernel and the features."""
    found = {}
    for record in [*filter(is_true, records.of("solve")), *records.latest("section5")]:
        norm, error = record.results.norm, record.results.test_error
        if known(norm) and known(error) and norm > 0:
            solve, n = record.kind == "solve", count((record.dataset or record.results).n_train)
            what = f"{kernel_of(record) if solve else record.results.row}, n = {n}"
            name = record.dataset.name if solve else record.results.dataset
            marks, commands = found.setdefault(name, ({}, []))
            marks[round(norm, 3), error] = Point(norm, 100 * error, name=what)  # a row of section 5 is a solve too
            commands.append(record.command)
    series = [
        Series(name=name, points=tuple(marks.values()), style=style, line=False)
        for style, (name, (marks, _)) in enumerate(list(found.items())[:6])
    ]
    several = sum(len(each.points) for each in series) > 1
    about = "A mark for each solve of true labels, over all kernels and features. Point at it to see which."
    panel = Panel(
        title="Norm against error", x=_NORMS, y=_ERROR, series=tuple(series if several else ()), caption=about
    )
    commands = tuple(command for _, own in found.values() for command in own)
    return Figure(title="all solves", panels=(panel,), commands=commands)


def section(records):
    """Return norms against errors: of each of the last sweeps, and of all solves."""
    drawn, _ = last(records.latest("sweep"), "")
    return Section("norms", "Norm against error", (*map(figure, drawn), all_solves(records)))


def _kinds(record):
    """Return (name, style, rows) of each kind of labels on each kind of pixels that a sweep has."""
    found = []
    for index, pixels in enumerate(dict.fromkeys(row.pixels for row in record.results.rows)):
        suffix = "" if pixels == "true" else f", {pixels} pixels"
        for kind, style, holds in KINDS:
            own = [row for row in record.results.rows if row.pixels == pixels and holds(row.level)]
            found += [(kind + suffix, style + index * len(KINDS), own)] if own else []
    return found


def _range(values, say):
    values = [value for value in values if known(value)]
    low, high = (say(pick(values, default=None)) for pick in (min, max))
    return low if low == high else Cell(f"{low} to {high}", low.value)
