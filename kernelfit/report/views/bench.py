"""Benchmarks: time and memory against n, with the limit of the machine drawn in."""

import numpy as np

from kernelfit.report.figure import Axis, Figure, Panel, Point, Series
from kernelfit.report.section import Finding, Section, gallery
from kernelfit.report.table import Row, Table
from kernelfit.report.words import count, known, listed, memory, number, percent, quotient, seconds, times

_COLUMNS = ("n", "contender", "time", "of the limit", "process", "memory", "test error", "residual", "BLAS", "note")
_N = Axis(label="training points n", log=True)
_TIME = Axis(label="time of fit and predict", unit="s", log=True)
_MEMORY = Axis(label="peak memory of the process", unit="GB", log=True)
_LIMIT = "limit: n³/3 at the dgemm rate"
_HOW = (
    "Time is that of fit and predict, process from its start to its predictions, with imports. The limit is n³/3 "
    "operations at the float64 matrix-product rate of the same minutes."
)


def table(run):
    """Return the rows of a benchmark, a list of Records, with the ratio of each time to the limit of the machine."""
    rows, previous = [], None
    for record in run:
        row = record.results
        of_limit = times(quotient(row.seconds, limit(row.n, row.gemm_rate)))
        measured = seconds(row.seconds), of_limit, seconds(row.process_seconds), memory(row.peak_bytes)
        note = f"not run: {row.skipped}" if row.skipped is not None else row.note or ""
        right = percent(row.test_error), number(row.relative_residual, 2)
        cells = count(row.n), row.contender, *measured, *right, listed(row.blas or ()), note
        rows.append(Row(cells, record.command, rule=row.n != previous))
        previous = row.n
    exponents = {name: slope(run, name) for name in _contenders(run)}
    powers = ", ".join(f"{name} {number(value, 3)}" for name, value in exponents.items() if value is not None)
    return Table(
        title=_title(run),
        columns=_COLUMNS,
        rows=tuple(rows),
        caption=_HOW,
        notes=(f"time grows as n to the power: {powers}",) if powers else (),
        about={"data": run[0].dataset.name},
    )


def figure(run):
    """Return time and peak memory against n, log-log, with the limit drawn in."""
    done, spent, used = _done(run), [], []
    for style, name in enumerate(_contenders(run)):
        own, power = [row for row in done if row.contender == name], slope(run, name)
        grows = f", n^{power:.2f}" if power is not None else ""
        spent.append(_series(name + grows, [(row.n, row.seconds) for row in own], style))
        used.append(_series(name, [(row.n, (row.peak_bytes or 0) / 1e9) for row in own], style))
    sizes = sorted({row.n for row in done})
    limits = [(n, limit(n, max(row.gemm_rate or 0 for row in done if row.n == n))) for n in sizes]
    spent.append(_series(_LIMIT, limits, 5, dashed=True))
    used.append(_series("half the matrix, float64", [(n, 4 * n * n / 1e9) for n in sizes], 5, dashed=True))
    panels = (
        Panel(title="Time against n", x=_N, y=_TIME, series=tuple(spent)),
        Panel(title="Memory against n", x=_N, y=_MEMORY, series=tuple(used)),
    )
    return Figure(title=_title(run), panels=panels, commands=tuple(record.command for record in run))


def solves_figure(records):
    """Return time against n of the solves that were run at several sizes, a line for each data, features and method."""
    found = {}
    for record in records.of("solve"):
        results, spent = record.results, record.seconds.get("total")
        # Another engine, other features or copies of images are another job: no point of the same line.
        if spent and (results.augmentation or {}).get("what") in (None, "none"):
            what = "" if results.features == "pixels" else f", {results.features}"
            sizes = found.setdefault(f"{record.dataset.name}{what}, {results.method}", {})
            sizes.setdefault(record.dataset.n_train, []).append(record)
    found = {name: sizes for name, sizes in found.items() if len(sizes) > 1}
    series, rates, commands = [], {}, []
    for style, (name, sizes) in enumerate(list(found.items())[:5]):
        least = [(n, min(record.seconds["total"] for record in own)) for n, own in sorted(sizes.items())]
        series.append(_series(name, least, style))
        for n, own in sizes.items():
            float64 = [each.results.gemm_gflops for each in own if each.results.precision == "float64"]
            rates[n] = max([rates.get(n, 0), *(1e9 * rate for rate in float64 if rate)])
            commands += [record.command for record in own]
    limits = [(n, limit(n, rate)) for n, rate in sorted(rates.items()) if rate]
    series += [_series(_LIMIT, limits, 5, dashed=True)] if limits else []
    panel = Panel(title="Time against n", x=_N, y=_TIME, series=tuple(series))
    return Figure(title="all solves", panels=(panel,), commands=tuple(commands))


def section(records):
    """Return all benchmarks, and how solves of one data set grow with n."""
    made = gallery("speed", "Speed and memory", runs(records), table, figure, what="benchmarks", caption=_HOW)
    return Section(made.name, made.title, (solves_figure(records), *made.parts))


def findings(records):
    """Return how near kernelfit came to the limit, and the quickest of the others."""
    found = []
    for run in reversed(runs(records)):
        done = _done(run)
        ratios = [
            (ratio, row.contender)
            for row in done
            if row.n == done[-1].n and (ratio := quotient(row.seconds, limit(row.n, row.gemm_rate)))
        ]
        ours, theirs = ([each for each in sorted(ratios) if _is_ours(each[1]) is own] for own in (True, False))
        if ours:
            others = f"; {theirs[0][1]}, the quickest of the others, {times(theirs[0][0])}" if theirs else ""
            what = f"{run[0].dataset.name}, n = {count(done[-1].n)}"
            text = f"{ours[0][1]} takes {times(ours[0][0])} the time of the machine's limit{others} ({what})."
            found.append(Finding(times(ours[0][0]), text, run[-1].command))
    return found


def _is_ours(contender):
    return contender.startswith("kernelfit")


def runs(records):
    """Return the Records of each benchmark: of every contender and size the last."""
    found = {}
    for record in records.of("bench"):
        own = found.setdefault((record.dataset.name, record.results.bandwidth, record.command), {})
        own[record.results.n, record.results.contender] = record
    return [list(own.values()) for own in found.values()]


def limit(n, rate):
    """Return the seconds of n^3 / 3 operations at a rate, or None."""
    return quotient(n**3 / 3, rate)


def slope(run, contender):
    """Return n's exponent in the time of a contender, by least squares on logarithms; None from fewer than 2 sizes."""
    points = [(row.n, row.seconds) for row in _done(run) if row.contender == contender]
    if len({n for n, _ in points}) < 2:
        return None
    sizes, spent = np.log(np.array(points, dtype=float)).T
    return float(np.polyfit(sizes, spent, 1)[0])


def _done(run):
    """Return the results that were measured, by size."""
    rows = [record.results for record in run if record.results.skipped is None and record.results.n > 0]
    return sorted((row for row in rows if known(row.seconds) and row.seconds > 0), key=lambda row: row.n)


def _contenders(run):
    return dict.fromkeys(record.results.contender for record in run if record.results in _done(run))


def _series(name, values, style, **look):
    return Series(name=name, points=tuple(Point(n, value) for n, value in values), style=style, **look)


def _title(run):
    return f"{run[0].dataset.name}, Gaussian kernel of bandwidth {listed(number(row.results.bandwidth) for row in run)}"
