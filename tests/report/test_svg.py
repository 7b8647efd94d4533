"""Charts say what they are given: values stand where the axes say, whatever their range."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from kernelfit.report.svg.bars import bars, histogram
from kernelfit.report.svg.chart import Point, Rule, Series, chart
from kernelfit.report.svg.frame import STYLES
from kernelfit.report.svg.markup import Markup, element, join
from kernelfit.report.svg.scales import Axis, Scale, short

RANGES = [
    (0, 1),
    (0, 1e-9),
    (-3, 5),
    (1e9, 1e9 + 1),
    (0.0122, 0.0122),
    (0, 0),
    (-7, -7),
    (0, 103),
    (1, 1e300),
    (5, 5.3),
]


@pytest.mark.parametrize("ends", RANGES)
@pytest.mark.parametrize("log", [False, True])
def test_an_axis_covers_its_values_with_a_few_exact_ticks(ends, log):
    values = [value for value in ends if not log or value > 0]
    scale = Scale(Axis(label="x", log=log), list(ends), 60.0, 430.0)
    places = [scale(value) for value in values]
    assert all(59.9 <= place <= 430.1 for place in places)
    assert 1 <= len(scale.ticks) <= 30
    assert all(59.9 <= scale(value) <= 430.1 for value, _ in scale.ticks)
    for value, text in scale.ticks:
        step = abs(scale.ticks[-1][0] - scale.ticks[0][0]) / max(1, len(scale.ticks) - 1)
        assert float(text.replace(",", "")) == pytest.approx(value, rel=5e-3, abs=max(step, abs(value) * 1e-9) / 2)


def test_places_are_linear_in_the_value_or_its_logarithm():
    scale = Scale(Axis(label="x"), [0, 10], 0.0, 100.0)
    assert [scale(value) for value in (0, 2.5, 10)] == [0, 25, 100]
    scale = Scale(Axis(label="x", log=True), [1, 100], 0.0, 100.0)
    assert [scale(value) for value in (1, 10, 100)] == pytest.approx([0, 50, 100])
    assert scale(0) is None and scale(-1) is None


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.25, "0.25"), (2000, "2,000"), (1e-6, "1e-6"), (1e5, "1e5"), (-0.001, "-0.001"), (0, "0"), (2.5e-7, "2.5e-7")],
)
def test_numbers_are_short(value, text):
    assert short(value) == text


def made(**changes):
    points = (Point(0, 10, 2, "first"), Point(50, 30, 0, "second"), Point(100, 20, 1, "<third>"))
    options = {"title": "T", "description": "D", "x": Axis(label="x"), "y": Axis(label="y", low=0)}
    options |= {"series": [Series(name="one", points=points)], "rules": [Rule(name="chance", y=25)]}
    return ElementTree.fromstring(chart(**options | changes))


def test_marks_bars_and_rules_stand_where_the_axes_say():
    root = made()
    ticks = {}
    for text in root.iter("text"):
        if text.get("class") == "tick end":
            ticks[float(text.text)] = float(text.get("y")) - 4
    (low, bottom), (high, top) = min(ticks.items()), max(ticks.items())

    def height(value):
        return bottom + (value - low) / (high - low) * (top - bottom)

    line = next(path.get("d") for path in root.iter("path") if path.get("class") == "line" and path.get("d").count("L"))
    heights = [float(pair.split()[1]) for pair in line[1:].split("L")]
    np.testing.assert_allclose(heights, [height(10), height(30), height(20)], atol=0.15)
    bars_drawn = [path.get("d") for path in root.iter("path") if path.get("class") == "bar"]
    ends = [tuple(map(float, re.match(r"M\S+ (\S+)V([\d.]+)", path).groups())) for path in bars_drawn]
    np.testing.assert_allclose(ends, [(height(8), height(12)), (height(19), height(21))], atol=0.15)
    rule = next(found for found in root.iter("line") if found.get("class") == "rule")
    assert float(rule.get("y1")) == pytest.approx(height(25), abs=0.15)
    titles = [title.text for title in root.iter("title")]
    assert titles == ["T", "chance: 25", "first", "second", "<third>"]


def test_what_has_no_place_on_a_logarithmic_axis_is_left_out():
    root = made(
        y=Axis(label="y", log=True), series=[Series(name="one", points=(Point(1, 0), Point(2, 1), Point(3, 10)))]
    )
    assert sum(path.get("class") == "mark" for path in root.iter("path")) == 2 + 1  # one in the legend
    below = made(y=Axis(label="y", log=True), series=[Series(name="one", points=(Point(1, 1, 2), Point(3, 10)))])
    assert any(path.get("class") == "bar" for path in below.iter("path"))


def test_every_style_has_a_mark_of_its_own():
    shapes = set()
    for style in range(STYLES):
        root = made(series=[Series(name="one", points=(Point(0, 1), Point(1, 2)), style=style)], rules=())
        marks = [path.get("d") for path in root.iter("path") if path.get("class") == "mark"]
        shapes.add(re.sub(r"^M\S+ \S+?(?=[a-z])", "", marks[0]))
    assert len(shapes) == STYLES


def test_a_histogram_has_the_area_of_its_counts():
    root = ElementTree.fromstring(
        histogram(
            title="T", description="D", label="x", groups=[("a", -1.0, 1.0, [1, 0, 3], 0), ("b", 0.0, 3.0, [2, 2], 1)]
        )
    )
    bins = [(float(bin_.get("width")), float(bin_.get("height"))) for bin_ in root.iter("rect")]
    assert len(bins) == 4  # an empty one is not drawn
    assert bins[1][1] / bins[0][1] == pytest.approx(3, rel=0.02) and bins[2] == pytest.approx(bins[3], abs=0.11)
    assert "a: 3 (75 %) from 0.333 to 1" in [title.text for title in root.iter("title")]


def test_bars_are_as_long_as_their_logarithms():
    rows = [("one", 1.0, "1 x", 0), ("hundred", 100.0, "100 x", 1), ("ten", 10.0, "10 x", 1)]
    root = ElementTree.fromstring(bars(title="T", description="D", label="x", rows=rows, start=0.1))
    lengths = [float(bar.get("width")) for bar in root.iter("rect")]
    assert lengths[1] / lengths[0] == pytest.approx(3, rel=0.01) and lengths[2] / lengths[0] == pytest.approx(
        2, rel=0.01
    )


def test_only_elements_are_not_escaped():
    assert (
        element("b", "<i>", element("i", "&"), class_='"', data_value=None)
        == '<b class="&quot;">&lt;i&gt;<i>&amp;</i></b>'
    )
    assert join("a\x00\ud800\x85b", Markup("<br>"), None) == "a\ufffd\ufffd\ufffdb<br>"
    assert element("option", selected=True, hidden=False) == "<option selected></option>"
