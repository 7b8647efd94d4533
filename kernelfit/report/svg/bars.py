"""Two more charts as SVG: histograms as outlines, and bars on a logarithmic axis."""

from kernelfit.report.svg.frame import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    STYLES,
    TOP,
    WIDTH,
    at,
    axes,
    legend,
    svg,
    ticks_across,
)
from kernelfit.report.svg.markup import element, join
from kernelfit.report.svg.scales import Axis, Scale

_BAR = 26  # height of a bar with its share of the gap
_NAMES = 140  # width of the names beside bars


def histogram(*, title, description, label, groups):
    """Return an <svg> of histograms on one axis, as shares: groups of (name, low, high, counts, style)."""
    names, depth = legend([(name, style, False, True) for name, *_, style in groups])
    bottom, top = HEIGHT + depth - BOTTOM, TOP + depth
    across = Scale(
        Axis(label=label), [end for _, low, high, _, _ in groups for end in (low, high)], LEFT, WIDTH - RIGHT
    )
    shares = [[100 * count / max(1, sum(counts)) for count in counts] for *_, counts, _ in groups]
    up_axis = Axis(label="share (%)", low=0.0)
    up = Scale(up_axis, [share for each in shares for share in each], bottom, top)
    content = [axes(Axis(label=label), up_axis, across, up, top, HEIGHT + depth)]
    for (name, low, high, counts, style), heights in zip(groups, shares, strict=True):
        width = (high - low) / len(counts)
        path, bins = f"M{at(across(low))} {at(up(0))}", []
        for k, share in enumerate(heights):
            left, right = across(low + k * width), across(low + (k + 1) * width)
            path += f"V{at(up(share))}H{at(right)}"
            if share:
                said = (
                    f"{name}: {counts[k]:,} ({share:.3g} %) from {low + k * width:.3g} to {low + (k + 1) * width:.3g}"
                )
                size = {"width": at(right - left), "height": at(up(0) - up(share))}
                bins.append(element("rect", element("title", said), x=at(left), y=at(up(share)), **size, class_="bin"))
        outline = element("path", d=f"{path}V{at(up(0))}", class_="line")
        content.append(element("g", *bins, outline, class_=f"c{style % STYLES}"))
    return svg(title, description, HEIGHT + depth, *content, names)


def bars(*, title, description, label, rows, start=None):
    """Return an <svg> of horizontal bars, rows of (name, value, text, style), on a logarithmic axis from `start`."""
    top, height = TOP, TOP + _BAR * len(rows) + BOTTOM
    axis = Axis(label=label, log=True, low=start)
    across = Scale(axis, [value for _, value, *_ in rows], _NAMES, WIDTH - 70)
    parts = []
    parts.append(ticks_across(across, top, height - BOTTOM))
    middle = at((_NAMES + WIDTH - 70) / 2)
    parts.append(element("text", label, x=middle, y=height - 8, class_="label middle"))
    for k, (name, value, text, style) in enumerate(rows):
        y = top + _BAR * k + 5
        shown = name if len(name) <= 19 else name[:18] + "…"
        length = max(1.0, across(value) - _NAMES)
        bar = element("rect", x=_NAMES, y=y, width=at(length), height=_BAR - 10, class_="solid")
        parts += [
            element("text", shown, x=_NAMES - 6, y=y + 12, class_="name end"),
            element("g", element("title", f"{name}: {text}"), bar, class_=f"c{style % STYLES}"),
            element("text", text, x=at(_NAMES + length + 5), y=y + 12, class_="name"),
        ]
    return svg(title, description, height, join(*parts))
