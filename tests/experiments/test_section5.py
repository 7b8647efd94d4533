"""`kernelfit reproduce section5`: every row on small data, resumed row by row, and the table of all."""

import json

import pytest
from kernelfit.experiments.section5 import ROWS, Scale, Section5Spec, run_section5
from kernelfit.report.runs import read_runs
from kernelfit.report.section5 import section5_markdown, verdicts

from kernelfit.cli import main
from kernelfit.common.errors import InputError
from kernelfit.experiments import section5 as module
from kernelfit.features import parse_features
from kernelfit.records.record import Record
from kernelfit.report.page import report_page
from kernelfit.report.paper import SECTION_5_CLAIMS

TINY = Scale(200, 150, 64, (0, 1e-4, 1e-2), 60, 150, 64, 100, True)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """The digits in place of MNIST and CIFAR10."""

    def options(self, data, **changed):
        changed |= {"bandwidth": 1.0} if "bandwidth" in changed else {}
        return {"data": "digits", "n_test": 100, "device": "cpu"} | changed

    monkeypatch.setattr(Section5Spec, "options", options)
    monkeypatch.setattr(module, "SCALES", {"quick": TINY, "full": TINY})
    conv = "randomconv(filters={{}}, preset={!r}, patch=3, pool=3, stride=3)"
    monkeypatch.setattr(module, "CONV", {recipe: (2, conv.format(recipe)) for recipe in module.CONV})
    monkeypatch.setattr(module, "_RIDGES_TRIED", (1e-3, 1e-1))


@pytest.mark.parametrize("images, text", module.CONV.values(), ids=module.CONV)
def test_recipes_are_features(images, text):
    features = parse_features(text.format(512))
    assert features.filters == 512 and images == 1 + features.flip


def run(tmp_path, **options):
    return list(run_section5(Section5Spec(**options), runs=tmp_path))


def test_every_row_runs_once_and_is_kept(tmp_path, monkeypatch):
    outcomes = run(tmp_path)
    assert [outcome["row"] for outcome in outcomes] == list(ROWS) == list(SECTION_5_CLAIMS)
    assert not any("failed" in outcome for outcome in outcomes)
    done = {outcome["row"]: outcome for outcome in outcomes}
    records = [Record.from_json(line) for line in (tmp_path / "records.jsonl").read_text().splitlines()]
    assert len(records) == 4 + 2 + 4  # solves, and twice two ridges that leave-one-out chooses from
    assert done["mnist-pixels"]["norm"] in [record.norm for record in records]
    for name, outcome in done.items():
        if "relative_residual" in outcome:
            assert outcome["relative_residual"] < 1e-8, name
    path = done["mnist-pixels-ridge"]["path"]
    assert [row["ridge"] for row in path] == [0, 1e-4, 1e-2]
    assert path[0]["norm"] > path[1]["norm"] > path[2]["norm"]
    # Nothing is chosen on test data: the ridge has the least leave-one-out error of those tried.
    tried = done["cifar10-randomconv-ridge"]["ridges_tried"]
    best = min(tried, key=lambda one: (one["loo_error"], one["ridge"]))
    assert done["cifar10-randomconv-ridge"]["ridge"] == best["ridge"]
    assert all(other["ratio"] > 1 for other in done["interpolants"]["others"])
    assert done["linear"]["distance"] < 1e-8 and done["linear"]["norm_elsewhere"] > done["linear"]["norm"]

    runs = read_runs(tmp_path)  # the report shows all of it
    assert runs.unread == [] and len(runs.section5) == len(ROWS) and len(runs.solves) == len(records)
    assert len(runs.ridges) == 2 and len(runs.interpolants) == 1 and "could not be read" not in report_page(runs)

    monkeypatch.setattr(module, "run_solve", None)
    assert run(tmp_path) == json.loads(json.dumps(outcomes))  # nothing was run again
    assert section5_markdown(run(tmp_path)) == section5_markdown(outcomes)


def test_a_row_that_fails_is_told_and_run_again(tmp_path, monkeypatch):
    def refused(spec, **options):
        raise InputError("not today")

    with monkeypatch.context() as patch:
        patch.setattr(module, "run_solve", refused)
        first = run(tmp_path, rows=("linear", "mnist-pixels"))
        assert [outcome.get("failed") for outcome in first] == ["not today", None]
        assert "not today" in section5_markdown(first) and "not run" in section5_markdown(first)
    again = run(tmp_path, rows=("linear", "mnist-pixels"))
    assert "failed" not in again[0] and again[1]["created"] == first[1]["created"]


def test_torn_lines_are_skipped(tmp_path):
    run(tmp_path, rows=("linear",))
    with open(tmp_path / "section5.jsonl", "a") as file:
        file.write('{"schema": "kernelfit.section5/1", "row"\n[]\n{"schema": "other"}\n')
    assert len(run(tmp_path, rows=("linear",))) == 1


def test_the_verdict_follows_the_numbers():
    pixels = {"row": "mnist-pixels", "norm": 145.0, "test_error": 0.012}
    gabor = {"row": "mnist-gabor", "norm": 1800.0, "test_error": 0.004}
    assert "does not predict" in verdicts([pixels, gabor])[0]
    assert "agrees with" in verdicts([pixels, gabor | {"test_error": 0.02}])[0]
    path = [{"ridge": 0, "test_error": 0.0120}, {"ridge": 1e-3, "test_error": 0.0119}]
    ridge = {"row": "mnist-pixels-ridge", "n_test": 10_000, "path": path}
    assert "less than noise" in verdicts([ridge])[0]
    assert "does not improve" in verdicts([ridge | {"path": [path[0], path[1] | {"test_error": 0.012}]}])[0]
    assert " improves the test" in verdicts([ridge | {"path": [path[0], path[1] | {"test_error": 0.008}]}])[0]


def test_from_the_command_line(tmp_path, capsys):
    arguments = ["reproduce", "section5", "--rows", "linear", "mnist-pixels", "--runs", str(tmp_path / "runs")]
    assert main([*arguments, "--out", str(tmp_path / "table.md"), "--quiet"]) == 0
    assert "about 220" in capsys.readouterr().out
    text = (tmp_path / "table.md").read_text()
    assert text.startswith("# Section 5") and "kernelfit reproduce section5 --scale quick --rows linear" in text
    assert main([*arguments, "--json", "--quiet"]) == 0
    assert [outcome["row"] for outcome in json.loads(capsys.readouterr().out)] == ["mnist-pixels", "linear"]
    assert main(["reproduce", "section5", "--rows", "mnist-gabro", "--runs", str(tmp_path)]) == 2
    assert "mnist-gabor" in capsys.readouterr().err
