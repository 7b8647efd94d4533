"""Panels as SVG for the page, the same bytes each time.

Colours come from the style of the page (classes c0, c1, ...), so that they suit dark and light; marks and dashes differ
too, so that nobody needs the colours. Every mark tells its values when pointed at.
"""

import textwrap

from kernelfit.report.figure import MARKED, STYLES, Panel, Rule, Series, Steps
from kernelfit.report.render.markup import Markup, element, join
from kernelfit.report.render.scales import Scale

WIDTH, HEIGHT = 440, 300  # in units of the drawing, a page's pixel or a little less
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 14, 12, 46  # margins around what the axes enclose
_LETTER = 7.1  # width of a letter of 13 pixels, on average and a little more
_ROW = 18  # of the legend
_BAR = 26  # height of a bar with its share of the gap
_NAMES, _NUMBERS = 140, 70  # width of the names beside bars, and of the numbers behind them


def drawing(panel: Panel, title: str) -> Markup:
    """Return the <svg> of a panel; its title and description are read out to those who cannot see it."""
    height, content = _bars(panel) if panel.bars else _chart(panel)
    return element(
        "svg",
        element("title", title),
        element("desc", panel.description),
        *content,
        viewBox=f"0 0 {WIDTH} {height}",
        role="img",
        aria_label=f"{title}. {panel.description}",
        class_="chart",
    )


def _chart(panel):
    names, depth = _legend(panel)
    top, bottom = _TOP + depth, HEIGHT + depth - _BOTTOM
    xs, ys = panel.values
    across, up = Scale(panel.x, xs, _LEFT, WIDTH - _RIGHT), Scale(panel.y, ys, bottom, top)
    parts = [_ticks_across(across, top, bottom)]
    for value, text in up.ticks:
        place = up(value)
        parts.append(element("line", x1=_LEFT, x2=WIDTH - _RIGHT, y1=_at(place), y2=_at(place), class_="grid"))
        parts.append(element("text", text, x=_LEFT - 6, y=_at(place + 4), class_="tick end"))
    centre = _at((top + bottom) / 2)
    turned = f"rotate(-90 13 {centre})"
    parts += [
        _label(panel.x, (_LEFT + WIDTH - _RIGHT) / 2, bottom),
        element("text", panel.y.title, x=13, y=centre, transform=turned, class_="label middle"),
        element("path", d=f"M{_LEFT} {_at(top)}V{_at(bottom)}H{WIDTH - _RIGHT}", class_="axis"),
    ]
    parts += [_rule(rule, across, up, top, bottom) for rule in panel.rules]
    parts += [_steps(each, across, up) for each in panel.steps]
    parts += [_series(each, panel, across, up) for each in panel.series]
    return HEIGHT + depth, [*parts, names]


def _bars(panel):
    bottom = _TOP + _BAR * len(panel.bars)
    across = Scale(panel.x, panel.values[0], _NAMES, WIDTH - _NUMBERS)
    parts = [_ticks_across(across, _TOP, bottom), _label(panel.x, (_NAMES + WIDTH - _NUMBERS) / 2, bottom)]
    for k, bar in enumerate(panel.bars):
        y, said = _TOP + _BAR * k + 5, panel.x.says(bar.value)
        shown = bar.name if len(bar.name) <= 19 else bar.name[:18] + "…"
        length = max(1.0, (across(bar.value) or 0) - _NAMES)
        drawn = element("rect", x=_NAMES, y=y, width=_at(length), height=_BAR - 10, class_="solid")
        parts += [
            element("text", shown, x=_NAMES - 6, y=y + 12, class_="name end"),
            element("g", element("title", f"{bar.name}: {said}"), drawn, class_=f"c{bar.style % STYLES}"),
            element("text", said, x=_at(_NAMES + length + 5), y=y + 12, class_="name"),
        ]
    return bottom + _BOTTOM, parts


def _ticks_across(across, top, bottom):
    """Return the grid lines and numbers of a horizontal scale."""
    parts = []
    for _, place, text in across.texts(_LETTER):
        parts.append(element("line", x1=_at(place), x2=_at(place), y1=_at(top), y2=_at(bottom), class_="grid"))
        if text:
            x = min(place, WIDTH - _LETTER * len(text) / 2 - 1)  # not over the edge
            parts.append(element("text", text, x=_at(x), y=_at(bottom + 16), class_="tick middle"))
    return join(*parts)


def _label(axis, middle, bottom):
    return element("text", axis.title, x=_at(middle), y=_at(bottom + _BOTTOM - 8), class_="label middle")


def _rule(rule: Rule, across, up, top, bottom):
    place = across(rule.at) if rule.vertical else up(rule.at)
    if place is None:
        return None
    ends = {"x1": _LEFT, "x2": WIDTH - _RIGHT, "y1": _at(place), "y2": _at(place)}
    if rule.vertical:
        ends = {"x1": _at(place), "x2": _at(place), "y1": _at(top), "y2": _at(bottom)}
    said = element("title", rule.name) if rule.name else None
    return element("g", said, element("line", **ends, class_="rule"))


def _steps(steps: Steps, across, up):
    """Return a histogram as an outline over bins that tell their counts."""
    floor = up(0)
    path, bins = f"M{_at(across(steps.low))} {_at(floor)}", []
    for count, (low, high, share) in zip(steps.counts, steps.bins, strict=True):
        left, right, y = across(low), across(high), up(share)
        path += f"V{_at(y)}H{_at(right)}"
        if share:
            said = element("title", f"{steps.name}: {count:,} ({share:.3g} %) from {low:.3g} to {high:.3g}")
            size = {"x": _at(left), "y": _at(y), "width": _at(right - left), "height": _at(floor - y)}
            bins.append(element("rect", said, **size, class_="bin"))
    outline = element("path", d=f"{path}V{_at(floor)}", class_="line")
    return element("g", *bins, outline, class_=f"c{steps.style % STYLES}")


def _series(series: Series, panel, across, up):
    """Return a Series as a group of a line, error bars and marks."""
    places = [(point, across(point.x), up(point.y)) for point in series.points]
    places = [(point, x, y) for point, x, y in places if x is not None and y is not None]
    parts = []
    if series.line and len(places) > 1:
        path = "M" + "L".join(f"{_at(x)} {_at(y)}" for _, x, y in places)
        parts.append(element("path", d=path, class_="line dashed" if series.dashed else "line"))
    for point, x, y in places if len(places) <= MARKED or not series.line else ():
        bar = None
        if point.spread:
            low, high = up(point.y - point.spread), up(point.y + point.spread)
            low = y if low is None else low  # below a logarithmic axis
            ends = "".join(f"M{_at(x - 3)} {_at(end)}h6" for end in (low, high))
            bar = element("path", d=f"M{_at(x)} {_at(low)}V{_at(high)}{ends}", class_="bar")
        mark = element("path", d=_mark(series.style, x, y), class_="mark")
        parts.append(element("g", element("title", panel.told(series, point)), bar, mark))
    return element("g", *parts, class_=f"c{series.style % STYLES}")


def _legend(panel):
    """Return (the legend above a chart, how deep it is)."""
    names = [(each.name, each.style, "line dashed" if each.dashed else "line", each.line) for each in panel.series]
    names += [(each.name, each.style, "line", True) for each in panel.steps]
    names += [(rule.name, None, "rule", True) for rule in panel.rules]
    parts, x, y = [], _LEFT, 12
    for name, style, kind, line in names:
        if not name:
            continue
        shown = textwrap.wrap(name, 48, max_lines=3, placeholder=" …") or [""]
        width = 30 + _LETTER * max(map(len, shown))
        if x > _LEFT and x + width > WIDTH - 4:
            x, y = _LEFT, y + _ROW
        drawn = element("path", d=f"M{_at(x)} {y}h20", class_=kind) if line else None
        mark = None if style is None else element("path", d=_mark(style, x + 10, y), class_="mark")
        parts.append(element("g", drawn, mark, class_=None if style is None else f"c{style % STYLES}"))
        parts += [
            element("text", text, x=_at(x + 25), y=y + 4 + k * _ROW, class_="name") for k, text in enumerate(shown)
        ]
        x, y = x + width + 16, y + (len(shown) - 1) * _ROW
    return (join(*parts), y + 6) if parts else (Markup(""), 0)


def _mark(style, x, y):
    """Return the path of the mark of a style: circle, square, triangle, diamond, cross, inverted triangle."""
    size = 3.6
    a, b, c = (_at(size * factor) for factor in (1, 1.3, 2.2))
    double = _at(2 * size)
    return {
        0: f"M{_at(x - size)} {_at(y)}a{a} {a} 0 1 0 {double} 0a{a} {a} 0 1 0 -{double} 0",
        1: f"M{_at(x - size)} {_at(y - size)}h{double}v{double}h-{double}z",
        2: f"M{_at(x)} {_at(y - 1.3 * size)}l{b} {c}h-{_at(2.6 * size)}z",
        3: f"M{_at(x)} {_at(y - 1.3 * size)}l{b} {b}l-{b} {b}l-{b} -{b}z",
        4: f"M{_at(x - size)} {_at(y - size)}l{double} {double}m0 -{double}l-{double} {double}",
        5: f"M{_at(x)} {_at(y + 1.3 * size)}l{b} -{c}h-{_at(2.6 * size)}z",
    }[style % STYLES]


def _at(place):
    """Return a place in the drawing, to a tenth of a unit."""
    text = f"{place:.1f}".removesuffix(".0")
    return "0" if text == "-0" else text
