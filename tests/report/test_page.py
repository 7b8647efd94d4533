"""The page shows every record, escapes whatever it holds, names broken lines, and is the same every time."""

import contextlib
import html.parser
import json
import re

import pytest

from kernelfit.common.errors import DataNotFoundError
from kernelfit.experiments.registry import read_records
from kernelfit.report.page import report_page
from kernelfit.report.plots import PLOTS, shown_by
from kernelfit.report.views import VIEWS
from tests.report import folders

HOSTILE = "<script>alert('x')</script>\"'&\x00\ud800"


def page(folder):
    return report_page(read_records(folder))


class Reader(html.parser.HTMLParser):
    """Checks that elements are closed in order, and collects what the page holds."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.words, self.links = [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.links += [value for name, value in attributes if name in ("src", "href", "srcset", "action", "data")]
        assert not [name for name, _ in attributes if name.startswith("on")]
        if tag not in ("meta", "link", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return folders.write(tmp_path_factory.mktemp("runs"), folders.everything())


def test_every_kind_of_record_is_shown_with_its_command(whole):
    text = Reader(page(whole)).text
    records = read_records(whole)
    assert not records.unread and all(record.command in text for record in records)
    for made in (view.section(records) for view in VIEWS):
        assert made.parts and made.title in text
    titles = (
        "Errors against corruption, Norm against corruption, Norm against error: all solves, Other interpolants, "
        "Errors against the ridge, Margins, Leave-one-out residuals, Memorised training images, Random filters, "
        "Misclassified test images, Gabor filters, Training curves: inception, Time to overfit, Test error against "
        "corruption: nets, Test accuracy while training, Time against n: all solves, Time against n: mnist, Memory "
        "against n, Randomization test: Tree(), Double descent: digits"
    )
    for title in titles.split(", "):
        assert title in text
    assert "label 4 truly 1 left out: 9" in text


def test_the_first_screen_says_what_was_found(whole):
    records, made = read_records(whole), page(whole)
    first = Reader(made[: made.index("<nav")] + "</body></html>").text
    findings = [found for view in VIEWS if hasattr(view, "findings") for found in view.findings(records)]
    for found in findings:
        assert re.fullmatch(r"\S.*\.", found.sentence) and found.number in found.sentence and found.command
    assert sum(found.sentence in first for found in findings) == 8 and len(findings) > 8
    assert "training error 0 %, test error 90.00 % instead of 0 %, 5.878 x the norm" in first


def test_the_paper_stands_beside_ours(whole):
    rows = re.findall(r"<tr[^>]*>(.*?)</tr>", page(whole), re.S)
    cells = [[re.sub(r"<[^>]*>", "", cell) for cell in re.findall(r"<td[^>]*>(.*?)</td>", row, re.S)] for row in rows]
    gabor = next(row for row in cells if row and row[0] == "MNIST, after Gabor wavelets")
    assert gabor[1:6] == ["60,000", "0.6 %", "0.42 %", "about 390", "184.1"]
    inception = next(row for row in cells if row and row[:2] == ["Inception", "none"])
    assert inception[2:6] == ["100 %", "100.00 %", "85.75 %", "80.00 %"]
    assert sum(row[:1] == ["Inception V3"] for row in cells) == 3
    grey = [row for row in re.findall(r"<tr[^>]*>.*?</tr>", page(whole), re.S) if "AlexNet" in row]
    assert all('class="grey"' in row and "not run yet" in row for row in grey)


def test_the_same_bytes_twice_and_whatever_the_order_of_files(whole, tmp_path):
    lines = folders.everything()
    folders.write(tmp_path / "other", lines[len(lines) // 2 :], "b.jsonl")
    folders.write(tmp_path / "other", lines[: len(lines) // 2], "a.jsonl")
    assert page(whole) == page(whole) == page(tmp_path / "other")


def test_nothing_is_fetched_and_every_drawing_is_described(whole):
    read = Reader(page(whole))
    assert all(link.startswith(("#", "data:")) for link in read.links)
    assert "url(" not in page(whole) and "@import" not in page(whole)
    policies = [about["content"] for tag, about in read.tags if about.get("http-equiv") == "Content-Security-Policy"]
    assert policies and policies[0].startswith("default-src 'none'")
    charts = [about for tag, about in read.tags if tag == "svg"]
    assert len(charts) > 20 and all(about["role"] == "img" and len(about["aria-label"]) > 20 for about in charts)
    assert all(about["alt"] for tag, about in read.tags if tag == "img")


def hostile(value):
    """Return a line whose every text, but for those that the schema decides, is hostile."""
    if isinstance(value, dict):
        kept = ("schema", "kind", "row", "created", "png", "filters", "scale", "pixels", "stopped_by", "role")
        return {key: part if key in kept else hostile(part) for key, part in value.items()}
    if isinstance(value, list):
        return [hostile(part) for part in value]
    return HOSTILE if isinstance(value, str) else value


def test_whatever_a_record_holds_shows_as_text(tmp_path):
    folder = folders.write(tmp_path / "runs", [hostile(line) for line in folders.everything()])
    assert len(read_records(folder).unread) <= 1
    read = Reader(page(folder))
    assert sum(tag == "script" for tag, _ in read.tags) == 1
    assert "<script>alert" not in page(folder) and "<script>alert('x')</script>" in read.text
    assert "\x00" not in page(folder) and page(folder).encode()


def test_lines_that_cannot_be_read_are_named(tmp_path):
    good = folders.solve()
    broken = {2: '{"schema": "kernelfit.record/1", "test_err', 4: json.dumps(good | {"test_error": "<b>none</b>"})}
    folder = folders.write(tmp_path / "runs", [broken.get(number, good) for number in range(1, 5)])
    text = Reader(page(folder)).text
    assert "2 lines could not be read and are left out" in text
    assert all(f"records.jsonl, line {number}:" in text for number in broken)
    many = folders.write(tmp_path / "many", ["[1]"] * 60)
    assert "and 10 more" in Reader(page(many)).text


def test_the_page_of_200_records_is_under_3_mb(tmp_path):
    examples = [folders.EXAMPLE | {"png": "A" * 1332}] * 12  # the largest that records.pictures.picture makes
    pictures = {"misclassified": examples, "memorised": examples, "filters": "A" * 6000}
    counts = {"low": -1.0, "high": 1.0, "counts": list(range(40))}
    histograms = dict.fromkeys(("train_margins", "test_margins", "loo_margins", "loo_residuals"), counts)
    command = "kernelfit solve --data mnist --kernel gaussian --bandwidth 5.0 " + 10 * "--n-train 10000 "
    lines = [folders.solve(pictures=pictures, histograms=histograms, command=command) for _ in range(100)]
    for k in range(50):
        lines += [folders.sweep(level=p / 10, command=f"kernelfit sweep --seed {k}") for p in range(11)]
        fine = {"every": 10, "loss": [1.0 / (1 + i) for i in range(5000)]}
        lines.append(folders.net(command=f"kernelfit nn train --seed {k}", step_curve=fine))
    assert len(page(folders.write(tmp_path / "runs", lines)).encode()) < 3e6


def test_a_single_record_of_each_kind_has_a_page(tmp_path):
    for number, line in enumerate(folders.everything()):
        bare = {key: value for key, value in line.items() if key not in ("histograms", "pictures")}
        Reader(page(folders.write(tmp_path / str(number), [bare])))


def test_measures_that_rounding_left_without_a_number_are_gaps(tmp_path):
    """kernelfit writes null for what is no finite number, e.g. the square root of a square that came out negative."""
    lines = folders.everything()
    for line in lines:
        measured = ("norm", "norm_pm1", "relative_residual", "condition", "gemm_gflops", "ratio", "test_margins")
        line |= dict.fromkeys(set(measured) & set(line))
        if line["schema"] == "kernelfit.descent/1":
            line |= {name: [[0.4, None, 0.2], [0.3, 0.8, 0.1]] for name in ("norm", "condition")}
        if line["schema"] == "kernelfit.sweep/1":
            line["test_margins"] = {"mean": None}
    lines.append(folders.section5(row="interpolants", others=[{"name": "pairs", "labels": "true", "ratio": None}]))
    records = read_records(folders.write(tmp_path / "runs", lines))
    text = Reader(report_page(records)).text
    assert not records.unread and not {"nan", "None", "inf"} & set(text.split())
    for plot in PLOTS.values():
        for shown in plot.find(records)[-1:]:
            assert plot.table(shown).rows and plot.figure(shown)


def paths(fields, before=()):
    """Yield the way to every field of a line, and of the maps in it."""
    for name, value in fields.items():
        yield (*before, name)
        if isinstance(value, dict):
            yield from paths(value, (*before, name))


WRONG = [None, "text", -1, 0, 1e308, [], {}, True, [[1]], {"a": 1}, 10**30, [None], ["x"]]
SCHEMAS = sorted({str(line["schema"]) for line in folders.everything()})


@pytest.mark.parametrize("schema", SCHEMAS)
def test_a_damaged_field_is_shown_or_named_but_never_a_traceback(tmp_path, schema):
    """Every field in turn is lost, or of another kind, in the first line or in the last."""
    lines = [line for line in folders.everything() if str(line["schema"]) == schema]
    for at, each in enumerate((0, len(lines) - 1)):
        for number, (*parents, name) in enumerate(paths(lines[each])):
            damaged = json.loads(json.dumps(lines))  # nothing is shared between them
            holder = damaged[each]
            for parent in parents:
                holder = holder[parent]
            if at == 0:
                del holder[name]
            else:
                holder[name] = WRONG[number % len(WRONG)]
            try:
                records = read_records(folders.write(tmp_path / "runs", damaged))
                report_page(records)
                for plot in PLOTS.values():
                    with contextlib.suppress(DataNotFoundError):
                        shown, _ = shown_by(plot, records, "runs")
                        assert plot.table(shown) and plot.figure(shown)
            except Exception as error:
                raise AssertionError(f"{schema}: {'.'.join((*parents, name))} = {holder.get(name)!r}") from error
