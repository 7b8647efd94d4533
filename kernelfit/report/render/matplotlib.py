"""Figures as files for a paper: one style, no pyplot, written whole or not at all, the same bytes each time."""

import io
import textwrap
from pathlib import Path

from kernelfit.common.errors import DataNotFoundError, InputError
from kernelfit.common.files import atomic_write, encoded
from kernelfit.report.figure import MARKED, STYLES, Figure
from kernelfit.report.render.scales import Scale

KINDS = (".svg", ".png", ".pdf")
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#9B4A86", "#6B5B00", "#4D4DBB")  # told apart by all eyes, and in grey
MARKS = "os^DXv"
_GREY = "#767676"
_SPAN, _LETTER = 150, 5  # points that an axis is long, at least, and that a letter is wide, at most
_LONGEST, _LINE = 44, 0.13  # letters of a line of the legend, and inches from one to the next
_INSIDE = 4  # names that a legend in the chart has at most: more cover what is drawn
_GAP, _BELOW = 0.4, 0.45  # lines between two names of a legend, and inches from the axes to one below them
_ROOM = 0.03  # beyond the ends of an axis, of its length
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


def check_figure(path: str | Path) -> None:
    """Raise InputError unless the suffix of a path is that of a kind of figure."""
    if Path(path).suffix.lower() not in KINDS:
        raise InputError(f"{path}: the name of a figure ends in {', '.join(KINDS[:-1])} or {KINDS[-1]}")


def draw(figure: Figure, path: str | Path) -> str | Path:
    """Write a figure, in the size of a column (3.4 inches) or a page of a paper; return the path.

    The suffix of the path tells the kind of file. What a person's own settings of matplotlib say does not matter.
    """
    from matplotlib import style
    from matplotlib.figure import Figure as Drawn
    from matplotlib.text import Text

    check_figure(path)
    if not figure.panels:
        raise DataNotFoundError(f"{path} is not written: there is nothing to draw of {figure.title}")
    kind, content, several = Path(path).suffix.lower().removeprefix("."), io.BytesIO(), len(figure.panels)
    with style.context(["default", _STYLE]):
        made = Drawn(figsize=(3.4, 2.6) if several == 1 else (3.5 * several, 2.8), layout="constrained")
        every = zip(made.subplots(1, several, squeeze=False)[0], figure.panels, strict=True)
        lines = max([_draw(axes, panel) for axes, panel in every])
        made.set_figheight(made.get_figheight() + _LINE * lines)
        made.axes[0].set_title(figure.title, wrap=True)
        for text in made.findobj(Text):
            text.set_parse_math(False)  # a name with two dollars in it is a name
            shown = encoded(text.get_text()).decode()  # names of files need not be Unicode; matplotlib's texts must be
            if shown != text.get_text():
                text.set_text(shown)
        made.savefig(content, format=kind, metadata=_DATES.get(kind))
    with atomic_write(path) as file:
        file.write(content.getvalue())
    return path


def _draw(axes, panel):
    xs, ys = panel.values
    _scaled(axes, "x", panel.x, xs)
    if panel.bars:
        _bars(axes, panel)
    else:
        _scaled(axes, "y", panel.y, ys)
    for steps in panel.steps:
        edges = [steps.low, *(high for _, high, _ in steps.bins)]
        heights = [share for *_, share in steps.bins]
        axes.stairs(heights, edges, label=steps.name, color=COLOURS[steps.style % STYLES], linewidth=1.4)
    for series in panel.series:
        _series(axes, series)
    for rule in panel.rules:
        line, look = (axes.axvline, ":") if rule.vertical else (axes.axhline, "--")
        line(rule.at, color=_GREY, linestyle=look, linewidth=1, label=rule.name or "_")
    return _legend(axes)


def _legend(axes):
    """Say what is drawn: in the chart, or below it where names are long or many; return the lines below."""
    drawn, names = axes.get_legend_handles_labels()
    shown = [textwrap.fill(name, _LONGEST) for name in names]
    if shown == names and len(names) <= _INSIDE:
        if names:
            axes.legend()
        return 0
    from matplotlib.transforms import ScaledTranslation

    # Inches below the axes, whatever their height, which the layout finds from the room that this takes.
    below = axes.transAxes + ScaledTranslation(0, -_BELOW, axes.figure.dpi_scale_trans)
    axes.legend(drawn, shown, loc="upper left", bbox_to_anchor=(0, 0), bbox_transform=below, borderaxespad=0)
    return sum(1 + name.count("\n") + _GAP for name in shown)


def _scaled(axes, name, axis, values):
    """Set label, ends and ticks of an axis, "x" or "y", with a little room beyond both ends."""
    scale = Scale(axis, values, 0, _SPAN)
    room = (scale.high / scale.low) ** _ROOM if axis.log else _ROOM * (scale.high - scale.low)
    ends = (scale.low / room, scale.high * room) if axis.log else (scale.low - room, scale.high + room)
    axes.set(**{f"{name}label": axis.title, f"{name}scale": "log" if axis.log else "linear", f"{name}lim": ends})
    set_ticks = getattr(axes, f"set_{name}ticks")
    ticks = scale.texts(_LETTER if name == "x" and not axis.ticks else 0)  # those that were asked for are all shown
    set_ticks([value for value, *_ in ticks], [text for *_, text in ticks], rotation=30 if axis.ticks else 0)
    set_ticks([], minor=True)


def _series(axes, series):
    points = series.points
    look = {"color": COLOURS[series.style % STYLES], "label": series.name or "_"}
    look["linestyle"] = "none" if not series.line else ":" if series.dashed else "-"
    if len(points) <= MARKED or not series.line:
        look["marker"] = MARKS[series.style % STYLES]
    spread = [point.spread for point in points]
    axes.errorbar(
        [point.x for point in points], [point.y for point in points], yerr=spread if any(spread) else None, **look
    )


def _bars(axes, panel):
    places = range(len(panel.bars))
    colours = [COLOURS[bar.style % STYLES] for bar in panel.bars]
    drawn = axes.barh(places, [bar.value for bar in panel.bars], color=colours)
    axes.bar_label(drawn, [f" {panel.x.says(bar.value)}" for bar in panel.bars], fontsize=7)
    axes.set_xlim(right=axes.get_xlim()[1] * 20)  # room for the numbers
    axes.set_yticks(places, [bar.name for bar in panel.bars])
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
