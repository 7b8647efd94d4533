"""`kernelfit reproduce`: every entry is run once, what is missing is run, and old lines count as done."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from kernelfit.cli import main
from kernelfit.common.errors import InputError
from kernelfit.experiments.paper import nets, section5
from kernelfit.experiments.paper.nets import Figure1Spec, Figure2Spec, Table1Spec
from kernelfit.experiments.paper.section5 import ROWS, Scale, Section5Spec
from kernelfit.experiments.paper.study import run_study
from kernelfit.experiments.registry import read_records
from kernelfit.features import parse_features
from kernelfit.nn import require_torch
from kernelfit.report.page import report_page
from kernelfit.report.paper import FIGURE_1A_STEPS, SECTION_5_CLAIMS, TABLE_1

TINY = Scale(200, 150, 64, (0, 1e-4, 1e-2), 60, 150, 64, 100, True)
TINY_NETS = dataclasses.replace(
    nets.SCALES["quick"],
    n_train=60,
    n_test=40,
    conv={"crop": 6},
    figure1a="mlp(hidden=[16])",
    figure1b=("mlp(hidden=[24])",),
    figure2=("mlp(hidden=[8])", "mlp(hidden=[9])"),
    levels=(0.0, 1.0),
    epochs=4,
    limit=120,
)


@pytest.fixture(autouse=True)
def small(monkeypatch, tmp_path):
    """The digits in place of MNIST and CIFAR10, and little of everything."""

    def options(self, data, **changed):
        changed |= {"bandwidth": 1.0} if "bandwidth" in changed else {}
        return {"data": "digits", "n_test": 100, "device": "cpu"} | changed

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Section5Spec, "solve_options", options)
    monkeypatch.setattr(section5, "SCALES", {"quick": TINY, "full": TINY})
    conv = "randomconv(filters={{}}, preset={!r}, patch=3, pool=3, stride=3)"
    monkeypatch.setattr(section5, "CONV", {recipe: (2, conv.format(recipe)) for recipe in section5.CONV})
    monkeypatch.setattr(section5, "_RIDGES_TRIED", (1e-3, 1e-1))
    monkeypatch.setitem(nets.SCALES, "quick", TINY_NETS)


@pytest.fixture
def torch():
    """Skip where PyTorch is not installed."""
    try:
        require_torch()
    except Exception as error:
        pytest.skip(str(error))


def study(spec):
    return list(run_study(spec, runs="runs"))


def run_counted(spec, monkeypatch):
    """Run a study; return its Outcomes and the (entry, seed) that were not kept from before."""
    ran = []
    with monkeypatch.context() as patch:
        for module, name in ((nets, "run_nets"), (section5, "run_solve")):
            run = getattr(module, name)
            patch.setattr(module, name, lambda *args, run=run, **more: ran.append(args[0]) or run(*args, **more))
        return study(spec), ran


def as_old(record, **more):
    """Return a record as a line of the version before: of a schema for each kind, all fields side by side."""
    fields = json.loads(record.to_json())
    dataset, results = fields.pop("dataset"), fields.pop("results")
    sizes = {name: dataset.pop(name) for name in ("n_train", "n_test", "n_classes")}
    names = ("created", "version", "command", "environment", "seconds", "warnings", "peak_bytes")
    return results | sizes | {"dataset": dataset} | {name: fields[name] for name in names} | more


def write(*lines, name):
    Path("runs").mkdir(exist_ok=True)
    Path("runs", name).write_text("".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines))


# ---- section 5 -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("images, text", section5.CONV.values(), ids=section5.CONV)
def test_recipes_are_features(images, text):
    features = parse_features(text.format(512))
    assert features.filters == 512 and images == 1 + features.flip


def test_every_row_of_section_5_runs_once_and_is_kept(monkeypatch):
    outcomes = study(Section5Spec())
    assert [outcome.name for outcome in outcomes] == list(ROWS) == list(SECTION_5_CLAIMS)
    assert not any(outcome.failed for outcome in outcomes)
    done = {outcome.name: outcome.records[0].results for outcome in outcomes}
    records = read_records("runs")
    assert len(records.of("solve")) == 4 + 2 + 4  # solves, and twice two ridges that leave-one-out chooses from
    assert len(records.of("ridge")) == 2 and len(records.of("interpolants")) == 1
    assert len(records.of("section5")) == len(ROWS) and records.unread == []
    assert done["mnist-pixels"].norm in [record.results.norm for record in records.of("solve")]
    assert all(row.relative_residual is None or row.relative_residual < 1e-8 for row in done.values())
    path = done["mnist-pixels-ridge"].path
    assert [row["ridge"] for row in path] == [0, 1e-4, 1e-2]
    assert path[0]["norm"] > path[1]["norm"] > path[2]["norm"]
    # Nothing is chosen on test data: the ridge has the least leave-one-out error of those tried.
    chosen = done["cifar10-randomconv-ridge"]
    best = min(chosen.ridges_tried, key=lambda one: (one["loo_error"], one["ridge"]))
    assert chosen.ridge == best["ridge"]
    assert all(other["ratio"] > 1 for other in done["interpolants"].others)
    assert done["linear"].distance < 1e-8 and done["linear"].norm_elsewhere > done["linear"].norm
    assert "could not be read" not in report_page(records)
    again, ran = run_counted(Section5Spec(), monkeypatch)
    assert ran == [] and again == outcomes


@pytest.mark.parametrize("kind", ["section5", "table1"])
def test_a_row_is_not_kept_when_its_data_have_changed(kind, monkeypatch, torch):
    def written(seed):
        rng = np.random.default_rng(seed)
        X, y = rng.integers(0, 256, (400, 8, 8, 3), dtype=np.uint8), np.arange(400) % 10
        np.savez("own.npz", X_train=X[:300], y_train=y[:300], X_test=X[300:], y_test=y[300:])

    if kind == "table1":
        spec = Table1Spec(data="own.npz", rows=("mlp1x512-random",), seeds=1)
    else:
        spec = Section5Spec(cifar10="own.npz", rows=("cifar10-pixels",))
    written(0)
    first, _ = run_counted(spec, monkeypatch)
    assert run_counted(spec, monkeypatch)[0] == first
    written(1)
    changed, _ = run_counted(spec, monkeypatch)
    assert changed != first
    assert run_counted(spec, monkeypatch)[0] == changed


def test_a_row_that_fails_is_told_and_run_again(monkeypatch, capsys):
    def refused(spec, **options):
        raise InputError("not today")

    spec = Section5Spec(rows=("linear", "mnist-pixels"))
    with monkeypatch.context() as patch:
        patch.setattr(section5, "run_solve", refused)
        first = study(spec)
        assert [outcome.failed for outcome in first] == ["not today", None]
        assert main(["reproduce", "section5", "--rows", "mnist-pixels", "-o", "t.md", "--quiet"]) == 1
        assert "not today" in capsys.readouterr().out and "not today" in Path("t.md").read_text()
    again = study(spec)
    assert again[0].failed is None and again[1] == first[1]


def test_a_disk_that_is_full_ends_a_study_with_what_there_is(monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("kernelfit.records.record.append_lines", full)
    found = []
    with pytest.raises(OSError, match="No space"):
        for outcome in run_study(Section5Spec(rows=("linear", "mnist-pixels")), runs="runs"):
            found.append(outcome)
    assert [len(outcome.records) for outcome in found] == [1] and "No space" in found[0].failed


def test_torn_and_old_lines_of_section_5():
    """What the version before wrote is done; a torn line, and one of something else, is passed over."""
    spec = Section5Spec(rows="linear")
    [outcome] = study(spec)
    [record] = outcome.records
    old = as_old(record, schema="kernelfit.section5/1", dataset="Gaussian", seconds=1.5)
    Path("runs/records.jsonl").unlink()
    write('{"schema": "kernelfit.section5/1", "row"', "[]", {"schema": "other"}, old, name="section5.jsonl")
    [again] = study(spec)
    assert again.records[0].id == record.id and again.records[0].results == record.results
    assert not Path("runs/records.jsonl").exists(), "nothing was run"


# ---- nets ------------------------------------------------------------------------------------------------------------


def test_the_full_table_has_the_papers_rows():
    full = Table1Spec(scale="full", imagenet="pictures")
    assert set(full.names()) == {*TABLE_1, "mlp1x512-random-slower"}
    curves = [entry.name for entry in Figure1Spec().entries() if entry.part == "a"]
    assert set(curves) == set(FIGURE_1A_STEPS)
    for entry in full.entries():
        name, made = entry.name, entry.tasks[1].run.args[0]
        assert made.identity() == entry.tasks[1].id and entry.tasks[1].seed == made.seed == 1
        assert made.lr == (0.1 if name.startswith(("inception-", "imagenet")) and "nobn" not in name else 0.01)
        assert made.augment == ("crop" in name) and made.lr_decay == (0.98 if "slower" in name else 0.95)
        assert (made.weight_decay > 0) == name.endswith("wd")
        assert made.init == ("glorot" if name.startswith("alexnet") else "he")
        assert made.labels == ("random" if "random" in name else "true")
        assert made.data == ("pictures" if name.startswith("imagenet") else "cifar10")
        assert made.stream == name.startswith("imagenet")


def test_the_rate_decays_by_images_seen_at_every_scale():
    made = Table1Spec(data="digits").entries()[0].tasks[0].run.args[0]
    assert made.lr_decay ** (50_000 / 60) == pytest.approx(0.95, rel=1e-3)


@pytest.mark.parametrize("study", [Table1Spec, Figure1Spec, Figure2Spec])
def test_a_study_of_fewer_images_is_that_of_the_scale_but_for_them(study):
    for whole, part in zip(*(study(scale="full", n_train=n).entries() for n in (None, 10_000)), strict=True):
        whole, part = (each.tasks[0].run.args[0] for each in (whole, part))
        assert part.n_train == 10_000 and part.lr_decay == round(whole.lr_decay**0.2, 6)
        assert dataclasses.replace(part, n_train=None, lr_decay=whole.lr_decay) == whole


def test_a_study_of_nets_is_run_once_and_goes_on_with_what_is_missing(torch, monkeypatch):
    spec = Figure1Spec(data="digits", seeds=2)
    first, ran = run_counted(spec, monkeypatch)
    assert [outcome.name for outcome in first][:5] == list(nets.SETTINGS_1A) and len(first) == 7 and len(ran) == 14
    assert all(len(outcome.records) == 2 and outcome.failed is None for outcome in first)
    corruptions = [outcome.records[0].results.corruption for outcome in first]
    assert corruptions[1]["pixels"] == "shuffled" and corruptions[4]["labels"] == 1
    records = read_records("runs")
    assert records.unread == [] and len(records.of("net")) == 14 and "could not be read" not in report_page(records)
    again, ran = run_counted(spec, monkeypatch)
    assert ran == [] and again == first
    _, ran = run_counted(dataclasses.replace(spec, rows=("true",), seeds=3), monkeypatch)
    assert [each.seed for [each] in ran] == [2], "a further seed is all that is missing"

    # The same folder as the version before left it, without one of its runs.
    old = [as_old(record, schema="kernelfit.net/1", identity=record.id) for record in records.records[1:]]
    Path("runs/records.jsonl").unlink()
    write(*old, name="nets.jsonl")
    kept, ran = run_counted(spec, monkeypatch)
    assert [each.seed for [each] in ran] == [0] and [len(outcome.records) for outcome in kept] == [2] * 7
    assert [each.records[1].results for each in kept] == [each.records[1].results for each in first]


def test_what_cannot_be_run_does_not_end_a_study_of_nets(torch, capsys):
    arguments = ["reproduce", "figure2", "--data", "digits", "--seeds", "1", "--imagenet", "absent/", "--json"]
    assert main([*arguments, "--plot", "figure2.svg", "--quiet"]) == 1
    outcomes = json.loads(capsys.readouterr().out)
    assert [bool(outcome["failed"]) for outcome in outcomes] == [False, False, True, True]
    assert len(read_records("runs").of("net")) == 2 and "<svg" in Path("figure2.svg").read_text()
    assert [outcome.part for outcome in study(Figure2Spec(data="digits", seeds=1))] == ["b", "b"]


def test_a_table_of_nets_is_shown_beside_the_papers(torch, capsys):
    shared = ["--data", "digits", "--seeds", "2", "--quiet", "--rows", "mlp1x512-random", "mlp1x512-none"]
    assert main(["nn", "table1", *shared, "--out", "t.md"]) == 0
    out, err = capsys.readouterr()
    assert "99.34" in out and "mlp1x512 fits random labels" in out and "kernelfit reproduce table1" in err
    row = next(line for line in Path("t.md").read_text().splitlines() if line.startswith("| mlp1x512-random"))
    assert "60 x 2" in row and "99.34" in row and Path("t.md").read_text().count("kernelfit nn train") == 4


@pytest.mark.parametrize("wrong", [{"seeds": 0}, {"rows": ("mlp1x512-non",)}, {"scale": "half"}], ids=str)
def test_what_is_no_study_is_refused(wrong):
    with pytest.raises(InputError):
        Table1Spec(**wrong)
