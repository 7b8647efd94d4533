"""One figure, one table: every renderer shows the same points and the same texts, where the axes say, and escaped."""

import io
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.figure import Figure as Drawn
from PIL import Image
from rich.console import Console

from kernelfit.common.errors import DataNotFoundError, InputError
from kernelfit.report import words
from kernelfit.report.figure import STYLES, Axis, Bar, Figure, Panel, Point, Rule, Series, Steps
from kernelfit.report.plots import PLOTS
from kernelfit.report.render import html, svg
from kernelfit.report.render.markdown import markdown
from kernelfit.report.render.markup import Markup, element, join
from kernelfit.report.render.matplotlib import draw
from kernelfit.report.render.scales import Scale
from kernelfit.report.render.terminal import renderable
from kernelfit.report.table import Cell, Row, Table, listing, stacked
from tests.report import folders

RANGES = [(0, 1), (0, 1e-9), (-3, 5), (1e9, 1e9 + 1), (0.0122, 0.0122), (0, 0), (-7, -7), (0, 103), (1, 1e99), (5, 5.3)]
ONE = Panel(
    title="T",
    x=Axis(label="x"),
    y=Axis(label="y", low=0.0),
    series=(Series(name="one", points=(Point(0, 10, 2), Point(50, 30), Point(100, 20, 1, "<third>"))),),
    rules=(Rule(25.0, "chance"), Rule(60.0, vertical=True)),
)


@pytest.fixture(scope="module")
def everything():
    return folders.records(folders.everything())


def drawn(panel):
    return ElementTree.fromstring(svg.drawing(panel, "T"))


def of_class(root, tag, name):
    return [found for found in root.iter(tag) if found.get("class") == name]


def shown(table, width=1000):
    stream = io.StringIO()
    Console(file=stream, width=width).print(renderable(table))
    return stream.getvalue()


@pytest.mark.parametrize("ends", RANGES)
@pytest.mark.parametrize("log", [False, True])
def test_an_axis_covers_its_values_with_a_few_exact_ticks(ends, log):
    values = [value for value in ends if not log or value > 0]
    scale = Scale(Axis(label="x", log=log), list(ends), 60.0, 430.0)
    assert all(59.9 <= scale(value) <= 430.1 for value in values)
    assert 1 <= len(scale.ticks) <= 30 and (log or all(59.9 <= scale(value) <= 430.1 for value, _ in scale.ticks))
    step = abs(scale.ticks[-1][0] - scale.ticks[0][0]) / max(1, len(scale.ticks) - 1)
    for value, text in scale.ticks:
        assert float(text.replace(",", "")) == pytest.approx(value, rel=5e-3, abs=max(step, abs(value) * 1e-9) / 2)


def test_places_are_linear_in_the_value_or_its_logarithm():
    assert [Scale(Axis(label="x"), [0, 10], 0.0, 100.0)(value) for value in (0, 2.5, 10)] == [0, 25, 100]
    scale = Scale(Axis(label="x", log=True), [1, 100], 0.0, 100.0)
    assert [scale(value) for value in (1, 10, 100)] == pytest.approx([0, 50, 100])
    assert scale(0) is None and scale(-1) is None


@pytest.mark.parametrize("name", PLOTS)
def test_the_page_and_the_file_hold_the_same_points(name, everything, tmp_path, monkeypatch):
    """The points of a figure, read back from its SVG through the scale, and from the artists of matplotlib."""
    figure, saved = PLOTS[name].figure(PLOTS[name].find(everything)[-1]), []
    monkeypatch.setattr(Drawn, "savefig", lambda made, *_, **__: saved.append(made))
    draw(figure, tmp_path / "a.svg")
    assert figure.panels and len(saved[0].axes) == len(figure.panels)
    for panel, axes in zip(figure.panels, saved[0].axes, strict=True):
        (xs, ys), root = panel.values, drawn(panel)
        told = [title.text for title in root.iter("title")]
        assert root.find("desc").text == panel.description
        for series, container in zip(panel.series, axes.containers if panel.series else (), strict=True):
            points = np.array([(point.x, point.y) for point in series.points])
            np.testing.assert_array_equal(container[0].get_xydata(), points)
            assert all(panel.told(series, point) in told for point in series.points)
        lines = [path.get("d") for path in root.iter("path") if path.get("class", "").startswith("line")]
        top = 12 + svg._legend(panel)[1]
        across, up = Scale(panel.x, xs, 0.0, 364.0), Scale(panel.y, ys, 0.0, 300 - 12 - 46.0)
        joined = [series for series in panel.series if series.line and len(series.points) > 1]
        for series, path in zip(joined, [line for line in lines if "L" in line], strict=True):
            pairs = [tuple(map(float, pair.split())) for pair in path[1:].split("L")]
            places = [(62 + across(p.x), top + 242 - up(p.y)) for p in series.points if up(p.y) is not None]
            np.testing.assert_allclose(pairs, places, atol=0.06)
        for bar, patch in zip(panel.bars, axes.patches, strict=False):
            assert patch.get_width() == bar.value and f"{bar.name}: {panel.x.says(bar.value)}" in told


@pytest.mark.parametrize("name", PLOTS)
def test_every_figure_is_written_the_same_each_time(name, everything, tmp_path):
    found = PLOTS[name].find(everything)[-1]
    paths = [draw(PLOTS[name].figure(found), tmp_path / file) for file in ("a.svg", "b.svg")]
    assert paths[0].read_bytes() == paths[1].read_bytes()
    text = "".join(ElementTree.parse(paths[0]).getroot().itertext())
    for panel in PLOTS[name].figure(found).panels:
        assert panel.x.title in text and (panel.bars or panel.y.title in text)
        assert all(series.name in text for series in panel.series)


@pytest.mark.parametrize("name", PLOTS)
def test_every_table_has_the_same_texts_everywhere(name, everything):
    table = PLOTS[name].table(PLOTS[name].find(everything)[-1])
    lines = shown(table).splitlines()
    for row in table.rows:
        assert any(re.search(r"\s+".join(map(re.escape, filter(None, row.cells))), line) for line in lines)
    cells = re.findall(r"<td[^>]*>(.*?)</td>", html.table(table), re.S)
    width = len(table.columns) + bool(table.commands)
    read = [tuple(cells[k : k + len(table.columns)]) for k in range(0, len(cells), width)]
    assert read == [tuple(map(join, row.cells)) for row in table.rows]
    document = markdown(table)
    marked = [line for line in document.splitlines() if line.startswith("| ")][2:]
    assert [tuple(each.strip() for each in line.split("|")[1:-1]) for line in marked] == [
        row.cells for row in table.rows
    ]
    assert all(command in document for command in table.commands)
    told = " ".join(shown(table).split())
    assert all(" ".join(sentence.split()) in told and sentence in document for sentence in table.sentences)


def test_the_tables_of_commands_fit_a_terminal(everything):
    for name in ("sweep", "norms", "ridge", "margins", "descent", "randomization"):
        printed = shown(PLOTS[name].table(PLOTS[name].find(everything)[-1]), 80)
        assert "…" not in printed and max(map(len, printed.splitlines())) <= 80, name


def test_files_are_of_three_kinds_and_whole(tmp_path):
    figure = Figure(title="$x^2$ <b> & $\\frac", panels=(ONE,))
    for kind, start in ((".PNG", b"\x89PNG"), (".pdf", b"%PDF"), (".svg", b"<?xml")):
        assert draw(figure, tmp_path / f"a{kind}").read_bytes().startswith(start)
    assert figure.title in "".join(ElementTree.parse(tmp_path / "a.svg").getroot().itertext())
    pixels = np.asarray(Image.open(tmp_path / "a.PNG").convert("RGB")).reshape(-1, 3)
    assert all((pixels == colour).all(axis=1).sum() > 100 for colour in ((0, 0x72, 0xB2), (0x76, 0x76, 0x76)))
    with pytest.raises(InputError, match=r"\.svg, \.png or \.pdf"):
        draw(figure, tmp_path / "a.gif")
    with pytest.raises(DataNotFoundError, match="nothing to draw"):
        draw(Figure(title="none", panels=()), tmp_path / "b.svg")
    assert len(list(tmp_path.iterdir())) == 3


def test_marks_bars_and_rules_stand_where_the_axes_say():
    root = drawn(ONE)
    ticks = {float(text.text): float(text.get("y")) - 4 for text in of_class(root, "text", "tick end")}
    (low, bottom), (high, top) = min(ticks.items()), max(ticks.items())

    def height(value):
        return bottom + (value - low) / (high - low) * (top - bottom)

    ends = [
        tuple(map(float, re.match(r"M\S+ (\S+)V([\d.]+)", path.get("d")).groups()))
        for path in of_class(root, "path", "bar")
    ]
    np.testing.assert_allclose(ends, [(height(8), height(12)), (height(19), height(21))], atol=0.15)
    chance, upright = of_class(root, "line", "rule")
    assert float(chance.get("y1")) == pytest.approx(height(25), abs=0.15)
    assert upright.get("x1") == upright.get("x2")
    titles = [title.text for title in root.iter("title")]
    assert titles == ["T", "chance", "one: y 10 ± 2, x 0", "one: y 30, x 50", "<third>: y 20 ± 1, x 100"]


@pytest.mark.parametrize("wild", [1e308, -1e308, float("nan"), float("inf"), None, "text", 10**400])
def test_what_is_no_number_or_beyond_measure_has_no_place(wild, tmp_path):
    points = (Point(1, 2), Point(wild, 1), Point(2, wild), Point(3, 5, wild), Point(4, 8))
    panel = Panel(title="T", x=Axis(label="x"), y=Axis(label="y"), series=(Series(name="one", points=points),))
    assert len(of_class(drawn(panel), "path", "mark")) == 2 + 1  # one in the legend
    assert draw(Figure(title="T", panels=(panel,)), tmp_path / "a.svg").stat().st_size > 1000
    for say in (words.number, words.count, words.percent, words.share, words.times, words.seconds, words.memory):
        assert say(wild) == "" and say(wild).value is None
    assert words.quotient(1.0, wild) is None and words.mean_sd([wild, 1, 3])[0] == 2


def test_a_logarithmic_axis_leaves_out_what_it_cannot_show():
    y = Axis(label="y", log=True)
    root = drawn(
        Panel(title="T", x=ONE.x, y=y, series=(Series(name="", points=(Point(1, 0), Point(2, 1), Point(3, 9))),))
    )
    assert len(of_class(root, "path", "mark")) == 2
    below = drawn(Panel(title="T", x=ONE.x, y=y, series=(Series(name="", points=(Point(1, 1, 2), Point(3, 10))),)))
    assert of_class(below, "path", "bar")


def test_every_style_has_a_mark_of_its_own_and_then_dashes():
    shapes = set()
    for style in range(STYLES):
        series = Series(name="one", points=(Point(0, 1), Point(1, 2)), style=style)
        mark = of_class(drawn(Panel(title="T", x=ONE.x, y=ONE.y, series=(series,))), "path", "mark")[0].get("d")
        shapes.add(re.sub(r"^M\S+ \S+?(?=[a-z])", "", mark))
    assert len(shapes) == STYLES and Series(name="", points=(), style=STYLES).dashed and not series.dashed


def test_a_histogram_has_the_area_of_its_counts_and_bars_the_length_of_their_logarithms():
    steps = Steps(name="a", low=-1.0, high=1.0, counts=(1, 0, 3)), Steps(name="b", low=0.0, high=3.0, counts=(2, 2))
    root = drawn(Panel(title="T", x=ONE.x, steps=steps))
    bins = [(float(each.get("width")), float(each.get("height"))) for each in root.iter("rect")]
    assert len(bins) == 4 and bins[1][1] / bins[0][1] == pytest.approx(3, rel=0.02)  # an empty one is not drawn
    assert "a: 3 (75 %) from 0.333 to 1" in [title.text for title in root.iter("title")]
    bars = (Bar("one", 1.0), Bar("hundred", 100.0), Bar("ten", 10.0))
    root = drawn(Panel(title="T", x=Axis(label="x", log=True, low=0.1), bars=bars))
    lengths = [float(bar.get("width")) for bar in root.iter("rect")]
    assert np.array(lengths[1:]) / lengths[0] == pytest.approx([3, 2], rel=0.01)


def test_only_elements_are_not_escaped():
    made = element("b", "<i>", element("i", "&"), class_='"', data_value=None)
    assert made == '<b class="&quot;">&lt;i&gt;<i>&amp;</i></b>'
    assert join("a\x00\ud800\x85b", Markup("<br>"), None) == "a\ufffd\ufffd\ufffdb<br>"
    assert element("option", selected=True, hidden=False) == "<option selected></option>"
    assert "| a\\|b &lt;i> |" in markdown(Table(title="", columns=("a|b\n<i>",), rows=()))


def test_tables_are_put_together_by_their_heads():
    one = Table(title="1", columns=("a", "b"), rows=(Row(("x", Cell("1", 1)), "go"),), about={"n": Cell("5", 5)})
    other = Table(title="2", columns=("b", "c"), rows=(Row((Cell("2", 2), "z")),), warnings=("beware",))
    made = stacked([one, other], caption="both")
    assert made.columns == ("n", "a", "b", "c") and [row.cells for row in made.rows] == [
        ("5", "x", "1", ""),
        ("", "", "2", "z"),
    ]
    assert made.right == (True, False, True, False) and made.warnings == ("2: beware",) and made.commands == ("go",)
    assert stacked([]) is None
    listed = listing("t", [("a", "1"), ("gone", ""), None, ("gone", ""), ("b", "2"), ("c", "3")])
    assert [(row.cells[0], row.rule) for row in listed.rows] == [("a", False), ("b", True), ("c", False)]
    with pytest.raises(ValueError, match="2 columns"):
        Table(title="", columns=("a", "b"), rows=(Row(("x",)),))


@pytest.mark.parametrize(
    ("say", "value", "text"),
    [
        *((words.number, *each) for each in ((0.25, "0.25"), (2000, "2,000"), (1e-6, "1e-6"), (-0.001, "-0.001"))),
        *((words.number, *each) for each in ((0, "0"), (2.5e-7, "2.5e-7"), (12345.6, "12,346"), (59.98969, "59.99"))),
        *((words.percent, *each) for each in ((0.0122, "1.22 %"), (0.0, "0 %"), (1, "100.00 %"))),
        *((words.share, *each) for each in ((0.0122, "1.22 %"), (0.5, "50 %"))),
        *((words.seconds, *each) for each in ((0.531, "0.53 s"), (423, "7 min 03 s"))),
        (words.memory, 14.9e9, "14.9 GB"),
        (words.count, 60_000, "60,000"),
    ],
)
def test_numbers_are_made_in_one_place(say, value, text):
    assert say(value) == text and say(value).value == value


def test_mean_and_deviation_share_their_unit():
    assert words.averaged([0.01, 0.03], words.percent) == "2.00 ± 1.41 %"
    assert words.averaged([1.0, 2.0]) == "1.5 ± 0.71" and words.averaged([0.5], words.percent) == "50.00 %"
    assert words.averaged([None], words.percent) == "" and words.averaged([1.0, None, 3.0], words.seconds).value == 2


def test_long_names_stand_below_the_chart_and_leave_it_its_width(tmp_path):
    def drawn(*names):
        made = []
        series = tuple(Series(name=name, points=(Point(0, 1), Point(1, 2)), style=k) for k, name in enumerate(names))
        panel = Panel(title="t", x=Axis(label="x"), y=Axis(label="y"), series=series)
        with pytest.MonkeyPatch.context() as patch:
            save = Drawn.savefig
            patch.setattr(Drawn, "savefig", lambda self, *a, **k: (save(self, *a, **k), made.append(self))[0])
            draw(Figure(title="t", panels=(panel,)), tmp_path / "x.svg")
        [axes] = made[0].axes
        return axes.get_position(), axes.get_legend().get_window_extent(), axes.get_window_extent(), made[0]

    (short, inside, box, small), (long, below, chart, tall) = drawn("a", "b"), drawn("a", "a long name of a net " * 8)
    assert inside.y0 > box.y0 and below.y1 < chart.y0, "in the chart, and below it"
    assert abs(long.width - short.width) < 0.02 and tall.get_figheight() > small.get_figheight()
    assert abs(chart.height - box.height) < 0.3 * box.height and below.x1 <= tall.bbox.x1
    written = (tmp_path / "x.svg").read_text(encoding="utf-8")
    height = float(re.search(r'viewBox="0 0 [\d.]+ ([\d.]+)"', written)[1])
    lines = [float(y) for _, y in re.findall(r"translate\(([\d.]+) ([\d.]+)\)", written)]
    assert max(lines) < height - 2, "the last line is on the page"
    _, many, chart_of_many, _ = drawn(*"abcde")
    assert many.y1 < chart_of_many.y0, "five lines of names would cover what is drawn"


@pytest.mark.parametrize("names", [3, 7, 8, 20])
def test_a_legend_below_the_chart_is_whole(names, tmp_path):
    points = (Point(0.0, 1.0), Point(1.0, 2.0))
    series = [Series(name=f"a net of {k} layers " * 4, points=points, style=k % 6) for k in range(names)]
    panel = Panel(title="", x=Axis(label="x"), y=Axis(label="y"), series=tuple(series))
    draw(Figure(title="", panels=(panel,)), tmp_path / "figure.png")
    assert np.asarray(Image.open(tmp_path / "figure.png").convert("L"))[-4:].min() > 250, "nothing is cut off"
