"""Norm against test error over the labels of a sweep: in the terminal, and as a figure."""

from rich import box
from rich.table import Table
from rich.text import Text

from kernelfit.report.figures import COLOURS, COLUMN, MARKS, figure, titled
from kernelfit.report.words import batch_title

KINDS = (
    ("true labels", 0, lambda level: level == 0),
    ("partly replaced", 2, lambda level: 0 < level < 1),
    ("random labels", 1, lambda level: level == 1),
)
"""Name, style and levels of the kinds of labels that are told apart."""


def norms_table(result):
    """Return a rich Table of a sweep: range of norms and of test errors, for each kind of labels."""
    table = Table(
        title=Text(_title(result)),
        title_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        padding=(0, 1, 0, 0),
    )
    for name in ("labels", "sets", "norm, 0/1", "test error, %"):
        table.add_column(name, justify="left" if name == "labels" else "right")
    for name, _, holds in KINDS:
        rows = [row for row in result.rows if holds(row.level)]
        if rows:
            ranges = _range([row.norm for row in rows]), _range([100 * row.test_error for row in rows])
            table.add_row(name, str(len(rows)), *ranges)
    return table


def plot_norms(result, path):
    """Draw a mark for each set of labels of a sweep: its norm and its test error; returns the path."""
    with figure(path, COLUMN) as made:
        axes = made.subplots()
        for name, style, holds in KINDS:
            rows = [row for row in result.rows if holds(row.level)]
            if rows:
                look = {"color": COLOURS[style], "marker": MARKS[style], "linestyle": "none", "label": name}
                axes.plot([row.norm for row in rows], [100 * row.test_error for row in rows], **look)
        axes.set(xlabel="RKHS norm, targets 0/1", ylabel="test error (%)", xlim=(0, None), ylim=(0, None))
        titled(axes, _title(result))
        axes.legend()
    return path


def _title(result):
    return batch_title(result.shared, next(iter(result.shared["kernels"].values())))


def _range(values):
    values = [value for value in values if value == value] or values
    low, high = f"{min(values):.4g}", f"{max(values):.4g}"
    return low if low == high else f"{low} to {high}"
