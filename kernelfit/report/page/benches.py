"""Benchmarks: time and memory against n, with the limit of the machine drawn in."""

from kernelfit.report.bench import slope
from kernelfit.report.page.parts import figure, figures, last, number, paragraph, percent, power, repeat, section, table
from kernelfit.report.svg.chart import Point, Series, chart
from kernelfit.report.svg.scales import Axis

_N = Axis(label="training points n", log=True)


def benches_section(runs):
    """Return the section of benchmarks: `kernelfit bench`, and how solves of one data set grow with n."""
    drawn, note = last(runs.benches, "benchmarks")
    header = ("data", "n", "solver", "time", "of the limit", "memory", "test error", "residual", "note", "command")
    rows = [_row(row) for batch in reversed(runs.benches) for row in batch.rows]
    caption = "Fit and predict. The limit is n³/3 operations at the float64 matrix-product rate of the same minutes."
    return section(
        "benchmarks",
        "Speed and memory",
        figures([*(made for batch in drawn for made in _bench_figures(batch)), *_solve_figures(runs)]),
        paragraph(note),
        table(header, rows, caption=caption) if rows else None,
    )


def _row(row):
    if row.skipped is not None:
        return [row.data, number(row.n, f"{row.n:,}"), row.contender, "not run", "", "", "", "", row.skipped, ""]
    limit = row.n**3 / 3 / row.gemm_rate if row.gemm_rate else None
    return [
        row.data,
        number(row.n, f"{row.n:,}"),
        row.contender,
        number(row.seconds, f"{row.seconds:.2f} s"),
        number(row.seconds / limit, f"{row.seconds / limit:.2f}") if limit else "",
        number(row.peak_bytes, f"{row.peak_bytes / 1e9:.2f} GB"),
        percent(row.test_error),
        power(row.relative_residual),
        row.note or "",
        repeat(row.command) if row.command else "",
    ]


def _bench_figures(batch):
    done = [row for row in batch.rows if row.skipped is None and row.n > 0 and row.gemm_rate > 0]
    if not done:
        return []
    title = f"{batch.shared['data']}, Gaussian kernel of bandwidth {batch.shared['bandwidth']:g}"
    names = list(dict.fromkeys(row.contender for row in done))
    exponents = {name: slope([vars(row) for row in done], name) for name in names}
    times, memory = [], []
    for style, name in enumerate(names):
        own = sorted((row for row in done if row.contender == name), key=lambda row: row.n)
        grows = f", n^{exponents[name]:.2f}" if exponents[name] == exponents[name] else ""
        times.append(_series(name + grows, [(row.n, row.seconds) for row in own], style, "s"))
        memory.append(_series(name, [(row.n, row.peak_bytes / 1e9) for row in own], style, "GB"))
    sizes = sorted({row.n for row in done})
    rates = {n: max(row.gemm_rate for row in done if row.n == n) for n in sizes}
    times.append(_limit("limit: n³/3 at the dgemm rate", [(n, n**3 / 3 / rates[n]) for n in sizes], "s"))
    memory.append(_limit("half the matrix, float64", [(n, 4 * n * n / 1e9) for n in sizes], "GB"))
    commands = [batch.shared["command"]]
    return [
        _figure(f"Time against n: {title}", "seconds, fit and predict", times, commands),
        _figure(f"Memory against n: {title}", "peak memory (GB)", memory, commands),
    ]


def _solve_figures(runs):
    """Return time against n of the solves that were run at several sizes."""
    found = {}
    for row in runs.solves:
        # Another engine, other features or copies of images are another job: no point of the same line.
        copies = (row.augmentation or {}).get("what") not in (None, "none")
        if row.seconds["total"] > 0 and row.n_train > 0 and not copies:
            key = row.dataset["name"], row.features, row.method
            found.setdefault(key, {}).setdefault(row.n_train, []).append(row)
    found = {key: sizes for key, sizes in found.items() if len(sizes) > 1}
    if not found:
        return []
    series, limits, commands = [], {}, []
    for style, ((name, features, method), sizes) in enumerate(list(found.items())[:5]):
        values = [(n, min(row.seconds["total"] for row in rows)) for n, rows in sorted(sizes.items())]
        what = "" if features == "pixels" else f", {features}"
        series.append(_series(f"{name}{what}, {method}", values, style, "s"))
        commands += [row.command for rows in sizes.values() for row in rows]
        for n, rows in sizes.items():
            rates = [row.gemm_gflops for row in rows if row.gemm_gflops is not None and row.precision == "float64"]
            limits |= {n: n**3 / 3 / (1e9 * max(rates))} if rates else {}
    if limits:
        series.append(_limit("limit: n³/3 at the dgemm rate", sorted(limits.items()), "s"))
    return [_figure("Time against n: all solves", "seconds, whole solve", series, commands)]


def _series(name, values, style, unit):
    points = tuple(Point(n, value, 0, f"{name}, n = {n:,}: {value:.3g} {unit}") for n, value in values)
    return Series(name=name, points=points, style=style)


def _limit(name, values, unit):
    return Series(name=name, points=_series(name, values, 5, unit).points, style=5, dashed=True)


def _figure(title, label, series, commands):
    told = "; ".join(
        f"{each.name}: {each.points[0].y:.3g} at n = {each.points[0].x:,} to {each.points[-1].y:.3g} at n = "
        f"{each.points[-1].x:,}"
        for each in series
    )
    drawing = chart(title=title, description=told, x=_N, y=Axis(label=label, log=True), series=series)
    return figure(title, drawing, commands=commands)
