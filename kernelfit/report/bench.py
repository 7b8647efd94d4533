"""The comparison of solvers as a table and as a figure."""

import math

import numpy as np
from rich.table import Table
from rich.text import Text

from kernelfit.report.figures import figure, line


def bench_table(rows):
    """Return a rich Table of the rows of run_bench, with the ratio of each time to n^3 / 3 at the GEMM rate."""
    first = rows[0]
    title = f"{first['data']}, Gaussian kernel of bandwidth {first['bandwidth']:g}: fit and predict"
    table = Table(title=Text(title), title_justify="left")
    names = ("n", "contender", "time", "/ limit", "memory", "error", "residual")
    for name in names:
        table.add_column(name, justify="left" if name == "contender" else "right", no_wrap=True)
    previous = None
    for row in (row for row in rows if "skipped" not in row):
        if previous not in (None, row["n"]):
            table.add_section()
        previous = row["n"]
        table.add_row(f"{row['n']:,}", Text(row["contender"]), *map(Text, _cells(row)))
    skipped = dict.fromkeys(f"{row['contender']}: {row['skipped']}" for row in rows if "skipped" in row)
    exponents = {name: slope(rows, name) for name in dict.fromkeys(row["contender"] for row in rows)}
    known = [f"{name} {value:.2f}" for name, value in exponents.items() if value == value]
    ran = dict.fromkeys(row["contender"] for row in rows if "skipped" not in row)
    about = [f"{row['contender']}: {row['note']}" for row in rows if row.get("note") and row["contender"] in ran]
    notes = ["time grows as n to the power: " + ", ".join(known)] if known else []
    table.caption = Text("\n".join([*notes, *dict.fromkeys(about), *(f"not run: {reason}" for reason in skipped)]))
    return table


def plot_bench(rows, path):
    """Draw time and peak memory against n, log-log, with the limit drawn in; returns the path."""
    done = [row for row in rows if "skipped" not in row]
    with figure(path, (7.0, 3.2)) as made:
        times, memory = made.subplots(1, 2)
        for style, name in enumerate(dict.fromkeys(row["contender"] for row in done)):
            own = [row for row in done if row["contender"] == name]
            sizes = [row["n"] for row in own]
            look = {"style": style, "label": name, "linewidth": 2 if name.startswith("kernelfit") else 1}
            line(times, sizes, [row["seconds"] for row in own], **look)
            line(memory, sizes, [row["peak_bytes"] / 1e9 for row in own], **look)
        sizes = sorted({row["n"] for row in done})
        rates = {n: max(row["gemm_rate"] for row in done if row["n"] == n) for n in sizes}
        times.plot(sizes, [n**3 / 3 / rates[n] for n in sizes], "k--", label="n³/3 at the dgemm rate")
        memory.plot(sizes, [4 * n * n / 1e9 for n in sizes], "k--", label="half the matrix, float64")
        for axes, label in ((times, "seconds, fit and predict"), (memory, "peak memory of the process (GB)")):
            axes.set(xscale="log", yscale="log", xlabel="training points n", ylabel=label)
            axes.legend()
    return path


def slope(rows, contender, what="seconds"):
    """Return n's exponent in the time of a contender, by least squares on logarithms; NaN from fewer than 2 sizes."""
    points = [(row["n"], row[what]) for row in rows if row["contender"] == contender and row.get(what)]
    if len({n for n, _ in points}) < 2:
        return math.nan
    sizes, times = np.log(np.array(points, dtype=float)).T
    return float(np.polyfit(sizes, times, 1)[0])


def _cells(row):
    limit = row["n"] ** 3 / 3 / row["gemm_rate"]
    residual = "" if row["relative_residual"] is None else f"{row['relative_residual']:.1e}"
    return [
        f"{row['seconds']:.2f} s",
        f"{row['seconds'] / limit:.2f}",
        f"{row['peak_bytes'] / 1e9:.2f} GB",
        f"{100 * row['test_error']:.2f} %",
        residual,
    ]
