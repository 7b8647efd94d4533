"""The page shows every Record, escapes whatever it holds, skips and names broken lines, and is the same every time."""

import html.parser
import io
import json
import os
import re

import pytest
from rich.console import Console

from kernelfit import cli
from kernelfit.common.errors import DataNotFoundError, InputError, KernelfitError
from kernelfit.report.page import report_page
from kernelfit.report.plots import PLOTS
from kernelfit.report.runs import read_runs
from tests.support import report_folders as folders

HOSTILE = "<script>alert('x')</script>\"'&\x00\ud800"


def page(folder):
    return report_page(read_runs(folder))


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
    for line in folders.everything():
        if line.get("command"):
            assert line["command"] in text
    for words in ("Label corruption", "Norm against error", "ridge paths", "Pictures", "Speed and memory", "Table 1"):
        assert words in text
    titles = (
        "Errors against corruption, Norm against corruption, Other interpolants, Errors against the ridge, Margins, "
    )
    titles += "Training curves: inception, Time to overfit, Test error against corruption: nets, Gabor filters, "
    titles += "Leave-one-out residuals, Memorised training images, Misclassified test images, Random filters, "
    titles += "Time against n, Memory against n, Randomization test: Tree(), Double descent: digits"
    for title in titles.split(", "):
        assert title in text
    assert "label 4 truly 1 left out: 9" in text


def test_the_paper_stands_beside_ours(whole):
    rows = re.findall(r"<tr[^>]*>(.*?)</tr>", page(whole), re.S)
    cells = [[re.sub(r"<[^>]*>", "", cell) for cell in re.findall(r"<td[^>]*>(.*?)</td>", row, re.S)] for row in rows]
    gabor = next(row for row in cells if row and row[0] == "MNIST, after Gabor wavelets")
    assert gabor[1:6] == ["60,000", "0.6 %", "0.42 %", "about 390", "184.1"]
    inception = next(row for row in cells if row and row[:2] == ["Inception", "none"])
    assert inception[2:6] == ["100.00 %", "100.00 %", "85.75 %", "80.00 %"]
    assert sum(row[:1] == ["Inception V3"] for row in cells) == 3
    assert 'class="grey"' in next(
        row for row in re.findall(r"<tr[^>]*>.*?</tr>", page(whole), re.S) if "AlexNet" in row
    )


def test_the_same_bytes_twice_and_whatever_the_order_of_files(whole, tmp_path):
    lines = folders.everything()
    other = tmp_path / "other"
    folders.write(other, lines[len(lines) // 2 :], "b.jsonl")
    folders.write(other, lines[: len(lines) // 2], "a.jsonl")
    assert page(whole) == page(whole) == page(other)


def test_nothing_is_fetched(whole):
    read = Reader(page(whole))
    assert all(link.startswith(("#", "data:")) for link in read.links)
    assert "url(" not in page(whole) and "@import" not in page(whole)
    policies = [about["content"] for tag, about in read.tags if about.get("http-equiv") == "Content-Security-Policy"]
    assert policies and policies[0].startswith("default-src 'none'")


def test_every_figure_is_described(whole):
    read = Reader(page(whole))
    charts = [about for tag, about in read.tags if tag == "svg"]
    assert len(charts) > 12
    for about in charts:
        assert about["role"] == "img" and len(about["aria-label"]) > 20
    assert all(about["alt"] for tag, about in read.tags if tag == "img")


def hostile(value):
    """Return a line whose every text, but for those that the schema decides, is hostile."""
    if isinstance(value, dict):
        kept = ("schema", "row", "created", "png", "filters", "scale", "identity", "pixels", "labels", "stopped_by")
        return {key: part if key in kept else hostile(part) for key, part in value.items()}
    return (
        [hostile(part) for part in value] if isinstance(value, list) else HOSTILE if isinstance(value, str) else value
    )


def test_whatever_a_record_holds_shows_as_text(tmp_path):
    lines = [hostile(line) for line in folders.everything()]
    made = page(folders.write(tmp_path / "runs", lines))
    read = Reader(made)
    assert sum(tag == "script" for tag, _ in read.tags) == 1
    assert "<script>alert" not in made and "<script>alert('x')</script>" in read.text
    assert "\x00" not in made and made.encode()


@pytest.mark.parametrize("name", ["dataset", "command", "kernel"])
def test_a_dataset_called_script_shows_as_text(tmp_path, name):
    value = {"name": "<script>", "asked": "<script>"} if name == "dataset" else "<script>"
    read = Reader(page(folders.write(tmp_path / "runs", [folders.solve(**{name: value})])))
    assert "<script>" in read.text and sum(tag == "script" for tag, _ in read.tags) == 1


def test_broken_lines_are_named_and_skipped(tmp_path, capsys):
    good = folders.solve()
    broken = {
        2: '{"schema": "kernelfit.record/1", "test_err',
        3: "[1, 2]",
        4: json.dumps(good | {"schema": "kernelfit.record/99"}),
        5: json.dumps(good | {"test_error": "<b>none</b>"}),
        6: json.dumps({key: value for key, value in good.items() if key != "kernel"}),
        8: json.dumps(good).replace("0.0333", "1e999"),
        9: json.dumps(good | {"pictures": {"misclassified": [{"index": 1}]}}),
        10: json.dumps(good | {"histograms": {"train_margins": {"low": 1.0, "high": 0.0, "counts": [1]}}}),
        11: "[" * 100_000,
        12: json.dumps(folders.section5(row="mnist-pixels", norm="none")),
        13: json.dumps(folders.section5(row="unheard of")),
        14: json.dumps(folders.descent(norm=[[1.0], [2.0]])),
    }
    lines = [broken.get(number, good) for number in range(1, 15)]
    folder = folders.write(tmp_path / "runs", lines)
    assert cli.main(["report", str(folder), "-o", str(tmp_path / "r.html"), "--json"]) == 0
    out, err = capsys.readouterr()
    text = Reader((tmp_path / "r.html").read_text()).text
    for number in broken:
        assert f"records.jsonl, line {number}," in err
        assert f"records.jsonl, line {number}:" in text
    found = json.loads(out)
    assert [each["line"] for each in found["unread"]] == sorted(broken)
    assert found["records"] == {"solves": 2} and found["bytes"] == (tmp_path / "r.html").stat().st_size


def test_a_file_that_is_no_text_is_no_traceback(tmp_path):
    folder = folders.write(tmp_path / "runs", [folders.solve()])
    (folder / "bytes.jsonl").write_bytes(b"\xff\xfe\x00\n" * 3)
    runs = read_runs(folder)
    assert [each.file for each in runs.unread] == ["bytes.jsonl"] * 3 and len(runs.solves) == 1


def test_what_is_no_file_is_named_and_skipped(tmp_path, capsys):
    (tmp_path / "folder.jsonl").mkdir()
    (tmp_path / "nowhere.jsonl").symlink_to(tmp_path / "missing")
    os.mkfifo(tmp_path / "pipe.jsonl")
    (tmp_path / "records.jsonl").write_text(json.dumps(folders.solve()) + "\n")
    runs = read_runs(tmp_path)
    assert [each.file for each in runs.unread] == ["folder.jsonl", "nowhere.jsonl", "pipe.jsonl"]
    assert runs.lines == {"solves": 1} and "folder.jsonl" in report_page(runs)


def test_a_folder_with_nothing_to_show_says_what_to_do(tmp_path, capsys):
    with pytest.raises(DataNotFoundError, match="kernelfit solve --runs"):
        read_runs(tmp_path / "absent")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="not a folder"):
        read_runs(tmp_path / "file")
    assert cli.main(["report", str(tmp_path / "absent")]) == 1
    assert cli.main(["report", str(tmp_path), "-o", str(tmp_path / "r.txt")]) == 2
    assert ".html" in capsys.readouterr().err


def test_the_page_of_200_records_is_under_3_mb(tmp_path):
    examples = [folders.EXAMPLE | {"png": "A" * 1332}] * 12  # the largest that illustrations.picture makes
    pictures = {"misclassified": examples, "memorised": examples, "filters": "A" * 6000}
    counts = {"low": -1.0, "high": 1.0, "counts": list(range(40))}
    histograms = dict.fromkeys(("train_margins", "test_margins", "loo_margins", "loo_residuals"), counts)
    command = "kernelfit solve --data mnist --kernel gaussian --bandwidth 5.0 " + 10 * "--n-train 10000 "
    lines = [folders.solve(pictures=pictures, histograms=histograms, seed=k, command=command) for k in range(100)]
    for k in range(50):
        lines += [folders.sweep(level=p / 10, command=f"kernelfit sweep --seed {k}") for p in range(11)]
        lines.append(
            folders.net(identity=str(k), step_curve={"every": 10, "loss": [1.0 / (1 + i) for i in range(5000)]})
        )
    assert len(page(folders.write(tmp_path / "runs", lines)).encode()) < 3e6


def test_sparse_folders_have_pages_too(tmp_path):
    """A single line of each kind, with everything optional left out."""
    for number, line in enumerate(folders.everything()):
        bare = {
            key: value for key, value in line.items() if key not in ("histograms", "pictures", "features", "loo_error")
        }
        bare |= {"features": "pixels"} if line["schema"] in ("kernelfit.record/1", "kernelfit.descent/1") else {}
        runs = read_runs(folders.write(tmp_path / str(number), [bare]))
        assert not runs.unread
        Reader(report_page(runs))


def test_measures_that_rounding_left_without_a_number_are_gaps(tmp_path):
    """kernelfit writes null for what is no finite number, e.g. the square root of a square that came out negative."""
    lines = folders.everything()
    for line in lines:
        measured = ("norm", "norm_pm1", "relative_residual", "condition", "gemm_gflops", "ratio", "test_margins")
        for name in set(measured) & set(line):
            line[name] = None
        if line["schema"] == "kernelfit.descent/1":
            line |= {name: [[0.4, None, 0.2], [0.3, 0.8, 0.1]] for name in ("norm", "condition")}
        if line["schema"] == "kernelfit.sweep/1":
            line["test_margins"] = {"mean": None}
    lines.append(folders.section5(row="interpolants", others=[{"name": "pairs", "labels": "true", "ratio": None}]))
    runs = read_runs(folders.write(tmp_path / "runs", lines))
    assert runs.unread == []
    assert "nan" not in Reader(report_page(runs)).text.replace("nan x", "").split()
    for name, plot in PLOTS.items():
        for shown in plot.find(runs)[-1:]:
            Console(file=io.StringIO()).print(plot.table(shown))
            plot.draw(shown, tmp_path / f"{name}.svg")


def paths(fields, before=()):
    """Yield the way to every field of a line, and of the maps in it."""
    for name, value in fields.items():
        yield (*before, name)
        if isinstance(value, dict):
            yield from paths(value, (*before, name))


WRONG = [None, "text", -1, 0, 1e308, [], {}, True, [[1]], {"a": 1}, 10**30, [None], ["x"]]
SCHEMAS = sorted({line["schema"] for line in folders.everything()})


@pytest.mark.parametrize("schema", SCHEMAS)
def test_a_damaged_field_is_shown_or_named_but_never_a_traceback(tmp_path, schema):
    """Every field in turn is lost, or of another kind, in the first line or in the last."""
    lines = [line for line in folders.everything() if line["schema"] == schema]
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
            runs = read_runs(folders.write(tmp_path / "runs", damaged))
            assert len(runs.unread) <= 1
            report_page(runs)
            for plot in PLOTS.values():
                for shown in plot.find(runs)[-1:]:
                    try:
                        Console(file=io.StringIO()).print(plot.table(shown))
                    except KernelfitError as error:
                        assert "train one" in str(error)  # of nets, one level of corruption is left
