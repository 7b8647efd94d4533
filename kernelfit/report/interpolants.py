"""Interpolants of the same labels and their norms, as a table in the terminal and as a figure."""

import math

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from kernelfit.common.progress import duration
from kernelfit.report.figures import BLUE, COLUMN, VERMILION, figure, titled
from kernelfit.report.words import batch_title


def interpolants_table(result):
    """Return a renderable of an InterpolantsResult: norm, ratio to the minimum, error, residual, condition."""
    shared = result.shared
    table = Table(
        title=Text(
            f"{shared['dataset']['name']}: {shared['n_train']:,} training and {shared['n_test']:,} test examples, "
            f"{shared['kernel']}"
        ),
        title_justify="left",
        caption=Text(
            f"RKHS norms for targets 0/1; condition: a lower bound; all in {duration(shared['seconds']['total'])}"
            + "".join(f"\nwarning: {found}" for found in shared.get("warnings", []))
        ),
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        padding=(0, 1, 0, 0),
    )
    names = ("interpolant", "centres", "norm", "ratio", "test\nerror, %", "residual", "condition")
    for name in names:
        table.add_column(name, justify="left" if name == "interpolant" else "right", no_wrap=True)
    for row in result.rows:
        table.add_row(*interpolant_cells(row))
    failures = [Text(f"{row.name}: {row.failed.partition(' Likely causes')[0]}") for row in result.rows if row.failed]
    return Group(table, *failures)


def plot_interpolants(result, path):
    """Draw the norms as multiples of the least, as bars on a logarithmic axis; returns the path."""
    rows = [row for row in result.rows if row.ratio is not None and row.ratio > 0]
    with figure(path, COLUMN) as made:
        axes = made.subplots()
        names = [interpolant_cells(row)[0].replace("minimum", "least").replace("$", r"\$") for row in rows]
        colours = [BLUE if row.name == "minimum" else VERMILION for row in rows]
        drawn = axes.barh(names, [row.ratio for row in rows], color=colours)
        axes.bar_label(drawn, [f" {_number(row.ratio)}" for row in rows], fontsize=7)
        axes.set(
            xscale="log",
            xlabel="norm, as a multiple of the least",
            xlim=(0.5, 20 * max((row.ratio for row in rows), default=1)),
        )
        axes.invert_yaxis()
        axes.grid(axis="y", visible=False)
        titled(axes, batch_title(result.shared, result.shared["kernel"]))
    return path


def interpolant_cells(row):
    """Return the cells of an InterpolantRow as texts."""
    name = f"{row.name}, {row.labels} labels" if row.name == "minimum" else row.name
    if row.failed:
        return [name, f"{row.centres:,}", "none", "", "", "", ""]
    error = f"{100 * row.test_error:.2f}"
    numbers = _number(row.norm), _number(row.ratio), error, _power(row.relative_residual), _power(row.condition)
    return [name, f"{row.centres:,}", *numbers]


def _number(value):
    return f"{value:,.4g}" if value < 1e4 else f"{value:,.0f}" if value < 1e6 else _power(value, 3)


def _power(value, digits=0):
    if not math.isfinite(value):
        return f"{value}"
    mantissa, exponent = f"{value:.{digits}e}".split("e")
    return f"{mantissa}e{int(exponent)}"
