"""Charts as SVG: points with error bars, lines and rules, on linear and logarithmic axes; the same bytes each time.

Colours come from the style of the page (classes c0, c1, ...), so that they suit dark and light; marks and dashes differ
too, so that nobody needs the colours. Every mark tells its values when pointed at.
"""

import dataclasses
import math

from kernelfit.report.svg.frame import BOTTOM, HEIGHT, LEFT, RIGHT, STYLES, TOP, WIDTH, at, axes, legend, mark_path, svg
from kernelfit.report.svg.markup import element
from kernelfit.report.svg.scales import Scale

_MARKS = 80  # a line of more points has no marks


@dataclasses.dataclass(frozen=True)
class Point:
    """A value of y at x, give or take `spread`, and what it says when pointed at."""

    x: float
    y: float
    spread: float = 0.0
    title: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Series:
    """Points that belong together; those that are no finite numbers have no place and are left out.

    Attributes
    ----------
    name : str
        In the legend.
    points : tuple of Point
        In the order in which a line joins them.
    style : int
        Of colour and mark; from 0 on, and again from the first after the last.
    line : bool
    dashed : bool
    """

    name: str
    points: tuple
    style: int = 0
    line: bool = True
    dashed: bool = False

    def __post_init__(self):
        kept = tuple(point for point in self.points if math.isfinite(point.x) and math.isfinite(point.y))
        object.__setattr__(self, "points", kept)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rule:
    """A horizontal line at y, as chance is one, or a limit."""

    name: str
    y: float


def chart(*, title, description, x, y, series, rules=(), height=HEIGHT):
    """Return an <svg> of series on two Axis; `title` and `description` are read out to who cannot see it."""
    names = [(each.name, each.style % STYLES, each.dashed, each.line) for each in series if each.name]
    names += [(rule.name, None, True, True) for rule in rules]
    names_drawn, depth = legend(names)
    top = TOP + depth
    points = [point for each in series for point in each.points]
    across = Scale(x, [point.x for point in points], LEFT, WIDTH - RIGHT)
    reach = [end for point in points for end in (point.y - point.spread, point.y + point.spread)]
    up = Scale(y, [*reach, *(rule.y for rule in rules)], height + depth - BOTTOM, top)
    content = [axes(x, y, across, up, top, height + depth)]
    for rule in rules:
        place = up(rule.y)
        if place is not None:
            line = element("line", x1=LEFT, x2=WIDTH - RIGHT, y1=at(place), y2=at(place), class_="rule")
            content.append(element("g", element("title", f"{rule.name}: {rule.y:.4g}"), line))
    content += [_drawn(each, across, up) for each in series]
    return svg(title, description, height + depth, *content, names_drawn)


def _drawn(series, across, up):
    """Return a Series as a group of a line, error bars and marks."""
    style = series.style % STYLES
    places = [(point, across(point.x), up(point.y)) for point in series.points]
    places = [(point, x, y) for point, x, y in places if x is not None and y is not None]
    parts = []
    if series.line and len(places) > 1:
        path = "M" + "L".join(f"{at(x)} {at(y)}" for _, x, y in places)
        parts.append(element("path", d=path, class_="line dashed" if series.dashed else "line"))
    for point, x, y in places if len(places) <= _MARKS else ():
        bar = None
        if point.spread:
            low, high = up(point.y - point.spread), up(point.y + point.spread)
            low = y if low is None else low  # below a logarithmic axis
            ends = "".join(f"M{at(x - 3)} {at(end)}h6" for end in (low, high))
            bar = element("path", d=f"M{at(x)} {at(low)}V{at(high)}{ends}", class_="bar")
        mark = element("path", d=mark_path(style, x, y), class_="mark")
        said = element("title", point.title or f"{point.x:.4g}: {point.y:.4g}")
        parts.append(element("g", said, bar, mark))
    return element("g", *parts, class_=f"c{style}")
