"""The page in a real browser: no error, no request, every figure visible at the width of a phone and of a desk."""

import pytest

from kernelfit.report.page import report_page
from tests.report import folders
from tests.support import browser

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.skipif(browser.CHROMIUM is None, reason="there is no Chromium on this machine"),
]

# Every figure with a drawing or a picture in it, how much of it the window is wide enough for, and its smallest text.
FIGURES = """[...document.querySelectorAll("figure")].map(figure => {
  const drawing = figure.querySelector("svg, img"), box = drawing.getBoundingClientRect();
  const texts = [...drawing.querySelectorAll("text")].map(text => text.getBoundingClientRect());
  const inside = texts.filter(t => t.left >= box.left - 1 && t.right <= box.right + 1 && t.top >= box.top - 1 &&
    t.bottom <= box.bottom + 1);
  const size = drawing.tagName === "svg" ? 13 * box.width / 440 : 13;
  return {title: figure.querySelector("h3").textContent, left: box.left, right: box.right, width: box.width,
    height: box.height, loaded: drawing.tagName !== "IMG" || drawing.naturalWidth > 0,
    cut: texts.length - inside.length,
    marks: drawing.querySelectorAll(".mark, .line, .solid").length, size, image: drawing.tagName === "IMG"};
})"""


@pytest.fixture(scope="module")
def chromium():
    with browser.Browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    made = tmp_path_factory.mktemp("page") / "report.html"
    made.write_text(report_page(folders.records(folders.everything())), encoding="utf-8")
    return made


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [375, 1280])
def test_every_figure_is_visible_and_nothing_goes_wrong(chromium, path, width, dark):
    chromium.open(path, width=width, dark=dark)
    figures = chromium.evaluate(FIGURES)
    assert len(figures) > 20
    for figure in figures:
        assert figure["left"] >= 0 and figure["right"] <= width, figure
        assert figure["width"] >= 40 and figure["height"] >= 40 and figure["loaded"], figure
        assert figure["cut"] == 0 and figure["size"] > 8.5, figure
        assert figure["image"] or figure["marks"], figure
    assert chromium.evaluate("document.documentElement.scrollWidth") == width, "the page must not scroll sideways"
    background = chromium.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, background[4:-1].split(","))) < 200) is dark
    assert chromium.errors == []
    assert [url for url in chromium.requests if not url.startswith("data:")] == [f"file://{path}"]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_texts_and_marks_can_be_told_from_their_background(chromium, path, dark):
    """WCAG 2: a contrast of 4.5 for text, 3 for what is drawn."""
    chromium.open(path, width=1280, dark=dark)
    card = _luminance(chromium.evaluate("getComputedStyle(document.querySelector('figure')).backgroundColor"))
    for k in range(6):
        colour = chromium.evaluate(f"getComputedStyle(document.documentElement).getPropertyValue('--c{k}')").strip()
        assert _contrast(card, _luminance(colour)) >= 3, colour
    colours = {".chart .tick": 4.5, "figcaption": 4.5, "tr.grey td": 4.5, "h3": 4.5, "summary": 4.5}
    for selector, least in colours.items():
        name = "fill" if "tick" in selector else "color"
        colour = _luminance(chromium.evaluate(f"getComputedStyle(document.querySelector('{selector}')).{name}"))
        assert _contrast(card, colour) >= least, selector


def test_tables_are_sorted_by_their_numbers(chromium, path):
    chromium.open(path, width=1280)
    column = """(() => {
      const table = [...document.querySelectorAll("table")].find(t => t.tHead.textContent.includes("times the least"));
      const head = [...table.tHead.rows[0].cells].find(cell => cell.textContent === "times the least");
      CLICKS
      return [...table.tBodies[0].rows].map(row => row.cells[head.cellIndex].textContent);
    })()"""
    assert chromium.evaluate(column.replace("CLICKS", "head.click();")) == ["1", "8", "300", ""]
    assert chromium.evaluate(column.replace("CLICKS", "head.click();")) == ["300", "8", "1", ""]
    assert chromium.errors == []


def test_all_is_there_without_scripts(chromium, path):
    chromium.open(path, width=1280, scripts=False)
    sorting = chromium.evaluate("document.querySelectorAll('th[aria-sort]').length")
    assert sorting == 0 and len(chromium.evaluate(FIGURES)) > 20
    chromium.open(path, width=1280)
    assert chromium.evaluate("document.querySelectorAll('th[aria-sort]').length") > 20


def test_a_command_is_shown_when_it_is_asked_for(chromium, path):
    chromium.open(path, width=375)
    shown = """(() => {
      const details = document.querySelector("td details"), code = details.querySelector("code");
      const before = code.checkVisibility(); details.querySelector("summary").click();
      return [before, code.checkVisibility(), code.textContent.startsWith("kernelfit ")]; })()"""
    assert chromium.evaluate(shown) == [False, True, True]


def test_hostile_records_run_nothing(chromium, tmp_path):
    trick = "</title></script><script>console.error('ran')</script><img src=x onerror=console.error('ran')>"
    lines = [folders.solve(kernel=trick, command=trick, dataset={"name": trick, "asked": trick}), "{broken " + trick]
    made = tmp_path / "report.html"
    made.write_text(report_page(folders.records(lines)), encoding="utf-8")
    chromium.open(made, width=1280)
    assert chromium.errors == [] and chromium.evaluate("document.body.innerText.includes('onerror=console')")


def _contrast(one, other):
    return (max(one, other) + 0.05) / (min(one, other) + 0.05)


def _luminance(colour):
    """Return the relative luminance of "rgb(r, g, b)" or "#rrggbb"."""
    if colour.startswith("#"):
        parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    else:
        parts = [int(part) / 255 for part in colour[4:-1].split(",")]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
