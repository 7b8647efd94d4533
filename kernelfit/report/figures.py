"""How every figure is made: one style, no pyplot, written whole or not at all, the same bytes for the same result."""

import contextlib
import io
from pathlib import Path

from kernelfit.common.errors import InputError
from kernelfit.common.files import atomic_write, encoded

KINDS = (".svg", ".png", ".pdf")
BLUE, VERMILION, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#767676"  # told apart by all eyes, and by lightness
COLOURS = (BLUE, VERMILION, GREEN, "#9B4A86", "#6B5B00", "#4D4DBB")
MARKS = "os^DXv"
ERRORS = (
    ("test_error", "test error", 1),
    ("train_error", "training error", 0),
    ("loo_error", "leave-one-out error", 2),
)
"""Field, name and style of the errors: the same in every figure."""
# For a column of text (3.4 inches) or a page (7 inches) of a paper: what is drawn keeps its size.
COLUMN, PAGE = (3.4, 2.6), (7.0, 2.8)
_STYLE = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#E4E6E9",
    "grid.linewidth": 0.6,
    "legend.framealpha": 0.85,
    "legend.edgecolor": "none",
    "legend.fontsize": 7,
    "lines.linewidth": 1.4,
    "lines.markersize": 4,
    "errorbar.capsize": 2.5,
    "savefig.dpi": 300,
    # Text stays text, and ids do not change from run to run.
    "svg.fonttype": "none",
    "svg.hashsalt": "kernelfit",
    "pdf.fonttype": 42,
}
_DATES = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}


def check_figure(path):
    """Raise InputError unless the suffix of a path is that of a kind of figure."""
    if Path(path).suffix.lower() not in KINDS:
        raise InputError(f"{path}: the name of a figure ends in {', '.join(KINDS[:-1])} or {KINDS[-1]}")


@contextlib.contextmanager
def figure(path, size=PAGE):
    """Enter the making of a figure of a size in inches; yields a matplotlib Figure, which is written at the end.

    The suffix of the path tells the kind of file. What a person's own settings of matplotlib say does not matter.
    """
    from matplotlib import style
    from matplotlib.figure import Figure

    path = Path(path)
    check_figure(path)
    kind, content = path.suffix.lower().removeprefix("."), io.BytesIO()
    with style.context(["default", _STYLE]):
        made = Figure(figsize=size, layout="constrained")
        yield made
        for legend in filter(None, (axes.get_legend() for axes in made.axes)):
            for text in legend.get_texts():
                text.set_parse_math(False)  # a name with two dollars in it is a name
        for text in made.findobj(lambda part: hasattr(part, "set_text")):
            shown = encoded(text.get_text()).decode()  # names of files need not be Unicode; matplotlib's texts must be
            if shown != text.get_text():
                text.set_text(shown)
        made.savefig(content, format=kind, metadata=_DATES.get(kind))
    with atomic_write(path) as file:
        file.write(content.getvalue())


def titled(axes, text):
    """Set the title of axes, in several lines where it is long."""
    axes.set_title(text, wrap=True, parse_math=False)


def line(axes, x, y, *, style, label, spread=None, **options):
    """Draw a line with the colour and the mark of a style, 0, 1, ..., and error bars where there are spreads."""
    look = {"color": COLOURS[style % len(COLOURS)], "marker": MARKS[style % len(MARKS)]} | options
    axes.errorbar(x, y, yerr=spread if spread is not None and any(spread) else None, label=label, **look)


def rule(axes, y, label):
    """Draw a horizontal line, as chance is one."""
    axes.axhline(y, color=GREY, linestyle="--", linewidth=1, label=label)


def sparkline(values):
    """Return values as a line of block characters, the largest the highest, 0 the lowest.

    >>> sparkline([0, 1, 2, 4])
    '▁▃▅█'
    """
    largest = max(values, default=0) or 1
    return "".join("▁▂▃▄▅▆▇█"[min(7, max(0, int(8 * value / largest)))] for value in values)
