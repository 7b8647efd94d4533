"""What all charts of the report share: the drawing, its axes, its legend, its marks."""

import textwrap

from kernelfit.report.svg.markup import Markup, element, join

WIDTH, HEIGHT = 440, 300  # in units of the drawing, a page's pixel or a little less
LEFT, RIGHT, TOP, BOTTOM = 62, 14, 12, 46  # margins around what the axes enclose
STYLES = 6  # of colours and marks
_LETTER = 7.1  # width of a letter of 13 pixels, on average and a little more
_ROW = 18  # of the legend


def svg(title, description, height, *content):
    """Return an <svg> of the page's width with a title and a description."""
    return element(
        "svg",
        element("title", title),
        element("desc", description),
        *content,
        viewBox=f"0 0 {WIDTH} {height}",
        role="img",
        aria_label=f"{title}. {description}",
        class_="chart",
    )


def axes(x, y, across, up, top, height):
    """Return grid lines, numbers and labels."""
    bottom = height - BOTTOM
    parts = [ticks_across(across, top, bottom)]
    for value, text in up.ticks:
        place = up(value)
        parts.append(element("line", x1=LEFT, x2=WIDTH - RIGHT, y1=at(place), y2=at(place), class_="grid"))
        parts.append(element("text", text, x=LEFT - 6, y=at(place + 4), class_="tick end"))
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(element("text", x.label, x=at(middle), y=at(height - 8), class_="label middle"))
    centre = (top + bottom) / 2
    turned = f"rotate(-90 13 {at(centre)})"
    parts.append(element("text", y.label, x=13, y=at(centre), transform=turned, class_="label middle"))
    parts.append(element("path", d=f"M{LEFT} {at(top)}V{at(bottom)}H{WIDTH - RIGHT}", class_="axis"))
    return join(*parts)


def ticks_across(across, top, bottom):
    """Return the grid lines and numbers of a horizontal scale."""
    parts, last = [], -1e9
    for value, text in across.ticks:
        place, half = across(value), _LETTER * len(text) / 2
        parts.append(element("line", x1=at(place), x2=at(place), y1=at(top), y2=at(bottom), class_="grid"))
        if place - half > last + 4:  # texts do not run into each other, nor over the edge
            parts.append(
                element("text", text, x=at(min(place, WIDTH - half - 1)), y=at(bottom + 16), class_="tick middle")
            )
            last = place + half
    return join(*parts)


def legend(names):
    """Return (the legend above a chart, how deep it is) for (name, style or None, dashed, line)."""
    parts, x, y = [], LEFT, 12
    for name, style, dashed, line in names:
        shown = textwrap.wrap(name, 48, max_lines=3, placeholder=" …") or [""]
        width = 30 + _LETTER * max(map(len, shown))
        if x > LEFT and x + width > WIDTH - 4:
            x, y = LEFT, y + _ROW
        drawn = []
        if line:
            kind = "rule" if style is None else "line dashed" if dashed else "line"
            drawn.append(element("path", d=f"M{at(x)} {y}h20", class_=kind))
        if style is not None:
            drawn.append(element("path", d=mark_path(style, x + 10, y), class_="mark"))
        group = element("g", *drawn, class_=None if style is None else f"c{style}")
        texts = [element("text", text, x=at(x + 25), y=y + 4 + k * _ROW, class_="name") for k, text in enumerate(shown)]
        parts.append(join(group, *texts))
        x, y = x + width + 16, y + (len(shown) - 1) * _ROW
    return (join(*parts), y + 6) if parts else (Markup(""), 0)


def mark_path(style, x, y, size=3.6):
    """Return the path of the mark of a style: circle, square, triangle, diamond, cross, inverted triangle."""
    a, b, c = (at(size * factor) for factor in (1, 1.3, 2.2))
    double = at(2 * size)
    return {
        0: f"M{at(x - size)} {at(y)}a{a} {a} 0 1 0 {double} 0a{a} {a} 0 1 0 -{double} 0",
        1: f"M{at(x - size)} {at(y - size)}h{double}v{double}h-{double}z",
        2: f"M{at(x)} {at(y - 1.3 * size)}l{b} {c}h-{at(2.6 * size)}z",
        3: f"M{at(x)} {at(y - 1.3 * size)}l{b} {b}l-{b} {b}l-{b} -{b}z",
        4: f"M{at(x - size)} {at(y - size)}l{double} {double}m0 -{double}l-{double} {double}",
        5: f"M{at(x)} {at(y + 1.3 * size)}l{b} -{c}h-{at(2.6 * size)}z",
    }[style % STYLES]


def at(place):
    """Return a place in the drawing, to a tenth of a unit."""
    text = f"{place:.1f}".removesuffix(".0")
    return "0" if text == "-0" else text
