"""Histograms of margins and leave-one-out residuals of a Record: in the terminal, and as a figure."""

from rich import box
from rich.table import Table
from rich.text import Text

from kernelfit.report.figures import PAGE, figure, sparkline, titled
from kernelfit.report.words import title_of

KINDS = {
    "train_margins": ("training margins", 0),
    "loo_margins": ("leave-one-out margins", 2),
    "test_margins": ("test margins", 1),
    "loo_residuals": ("leave-one-out residuals", 2),
}


def margins_table(record):
    """Return a rich Table of the histograms of a Record, drawn with block characters."""
    table = Table(
        title=Text(title_of(record)),
        title_justify="left",
        caption=Text("margin: score of the own class minus the largest other; residual: 1 minus the own class's score"),
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        padding=(0, 1, 0, 0),
    )
    for name in ("", "from", "histogram", "to"):
        table.add_column(name, justify="right" if name == "from" else "left")
    for key, (name, _) in KINDS.items():
        if key in record.histograms:
            found = record.histograms[key]
            table.add_row(name, f"{found['low']:.3g}", sparkline(found["counts"]), f"{found['high']:.3g}")
    return table


def plot_margins(record, path):
    """Draw the histograms of a Record: margins on the left, residuals on the right; returns the path."""
    found = record.histograms
    residuals = "loo_residuals" in found
    with figure(path, PAGE if residuals else (3.4, 2.6)) as made:
        axes = made.subplots(1, 1 + residuals, squeeze=False)[0]
        for key, (name, style) in KINDS.items():
            if key in found:
                _steps(axes[-1] if key == "loo_residuals" else axes[0], found[key], name, style)
        axes[0].set(xlabel="margin")
        titled(axes[0], title_of(record))
        if residuals:
            axes[1].set(xlabel="1 minus the own class's score, left out")
        for each in axes:
            each.set(ylabel="share (%)", ylim=(0, None))
            each.legend()
    return path


def _steps(axes, histogram, name, style):
    """Draw a histogram as an outline, unless all is in one place, as the margins of interpolated labels are."""
    import numpy as np

    from kernelfit.records.pictures import is_one_value
    from kernelfit.report.figures import COLOURS

    if is_one_value(histogram):
        return
    counts = np.asarray(histogram["counts"], dtype=float)
    edges = np.linspace(histogram["low"], histogram["high"], len(counts) + 1)
    axes.stairs(100 * counts / max(1.0, counts.sum()), edges, label=name, color=COLOURS[style], linewidth=1.4)
