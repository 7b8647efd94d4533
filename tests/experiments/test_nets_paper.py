import dataclasses
import io

import pytest
from rich.console import Console

pytest.importorskip("torch", reason="PyTorch is not installed: the extra nn")

from kernelfit.experiments.nets_paper import SCALES, PaperSpec, run_study
from kernelfit.records.nets import read_nets
from kernelfit.report.nets_paper import steps_to_loss, study_markdown, study_table, verdicts
from kernelfit.report.runs import read_runs

from kernelfit import cli
from kernelfit.common.errors import InputError
from kernelfit.experiments import nets_paper
from kernelfit.report.page import report_page
from kernelfit.report.paper import FIGURE_1A_STEPS, TABLE_1

TINY = dataclasses.replace(
    SCALES["quick"],
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
def tiny(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(nets_paper.SCALES, "quick", TINY)


def spec(study, **options):
    return PaperSpec(study=study, data="digits", seeds=2, **options)


def test_the_full_table_has_the_papers_rows():
    full = PaperSpec(study="table1", scale="full", imagenet="pictures")
    assert {entry.name for entry in full.entries()} == set(TABLE_1)
    assert {entry.name for entry in PaperSpec(study="figure1").entries() if entry.part == "a"} == set(FIGURE_1A_STEPS)
    for entry in full.entries():
        made = full.net_spec(entry, 1)
        assert made.seed == 1 and made.lr == (0.1 if entry.name.startswith(("inception", "imagenet")) else 0.01)
        assert made.augment == ("crop" in entry.name) and made.lr_decay == 0.95
        assert (made.weight_decay > 0) == entry.name.endswith("wd")
        assert made.labels == ("random" if entry.name.endswith("random") else "true")
        assert made.data == ("pictures" if entry.name.startswith("imagenet") else "cifar10")
        assert made.stream == entry.name.startswith("imagenet")


def test_the_rate_decays_by_images_seen_at_every_scale():
    made = spec("table1").net_spec(spec("table1").entries()[0], 0)
    assert made.lr_decay ** (50_000 / 60) == pytest.approx(0.95, rel=1e-3)


def test_a_study_is_run_once(monkeypatch):
    first = list(run_study(spec("figure1"), runs="runs"))
    assert [outcome.entry.name for outcome in first][:5] == list(nets_paper.SETTINGS_1A) and len(first) == 7
    assert all(len(outcome.records) == 2 and outcome.failed is None for outcome in first)
    assert len(read_nets("runs/nets.jsonl")) == 14
    assert first[1].records[0].corruption["pixels"] == "shuffled" and first[4].records[0].corruption["labels"] == 1
    runs = read_runs("runs")
    assert runs.unread == [] and len(runs.nets) == 14 and "could not be read" not in report_page(runs)
    ran = []
    actual = nets_paper.run_nets

    def counted(specs, **options):
        ran.extend(spec.seed for spec in specs)
        return actual(specs, **options)

    monkeypatch.setattr(nets_paper, "run_nets", counted)
    again = list(run_study(spec("figure1"), runs="runs"))
    assert ran == [] and [o.records for o in again] == [o.records for o in first]
    list(run_study(dataclasses.replace(spec("figure1", rows=("true",)), seeds=3), runs="runs"))
    assert ran == [2], "a further seed is all that is missing"


def test_a_row_that_fails_does_not_end_the_study(capsys):
    outcomes = list(run_study(spec("figure2", imagenet="absent/"), runs="runs"))
    assert [bool(outcome.failed) for outcome in outcomes] == [False, False, True, True]
    assert len(read_nets("runs/nets.jsonl")) == 4
    assert "imagenet-none was not run: absent is no folder" in text(study_table("figure2", outcomes))
    arguments = ["reproduce", "figure2", "--data", "digits", "--seeds", "1", "--imagenet", "absent/", "--quiet"]
    assert cli.main(arguments) == 1


def test_wrong_names_are_refused():
    with pytest.raises(InputError, match="did you mean 'mlp1x512-none'"):
        spec("table1", rows=("mlp1x512-non",))
    with pytest.raises(InputError, match="seeds"):
        PaperSpec(study="table1", seeds=0)


def text(table):
    stream = io.StringIO()
    Console(file=stream, width=200).print(table)
    return " ".join(stream.getvalue().split())


def test_the_commands_print_write_and_draw(capsys, tmp_path):
    shared = ["--data", "digits", "--seeds", "2", "--quiet"]
    assert cli.main(["nn", "table1", *shared, "--rows", "mlp1x512-random", "mlp1x512-none", "--out", "t.md"]) == 0
    assert cli.main(["reproduce", "figure1", *shared, "--plot", "figure1.svg"]) == 0
    assert cli.main(["reproduce", "figure2", *shared, "--plot", "figure2.svg", "--json"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "99.34" in out and "mlp1x512 fits random labels: training error at most 0 %" in out
    markdown = (tmp_path / "t.md").read_text()
    row = next(line for line in markdown.splitlines() if line.startswith("| mlp1x512-random"))
    assert row.split("|")[2:5] == [" 60 x 2 ", " 99.34 ", " 100.00 ± 0.00 "]
    assert markdown.count("kernelfit nn train") == 4
    assert all((tmp_path / name).read_text().startswith("<?xml") for name in ("figure1.svg", "figure2.svg"))


def test_verdicts_follow_the_numbers():
    outcomes = list(run_study(spec("figure1"), runs="runs"))

    def arriving(order):
        made = []
        for outcome in outcomes:
            if outcome.entry.part == "a":
                at = order.index(outcome.entry.name)
                curve = {"every": 10, "loss": [2.0] * (at + 1) + [0.05]}
                records = tuple(dataclasses.replace(r, step_curve=curve, steps=1000) for r in outcome.records)
                outcome = dataclasses.replace(outcome, records=records)
            made.append(outcome)
        return verdicts("figure1", made)[0]

    right = ["true", "shuffled", "gaussian", "random-pixels", "random-labels"]
    assert "holds: true 20, shuffled 30" in arriving(right)
    assert "does not hold" in arriving(right[::-1]) and "does not hold" in arriving([*right[1:], "true"])
    assert "rises with every level" in verdicts("figure1", outcomes)[1]
    assert len(verdicts("figure1", outcomes[1:])) == 1, "no order of four"
    table = text(study_table("figure1", outcomes))
    assert "mlp(hidden=[24])-1" in table and "1.00 ± 0.00" in table
    assert study_markdown("figure1", outcomes).count("| 60 x 2 |") == 7


def test_steps_to_a_loss():
    record = next(iter(run_study(spec("figure1", rows=("true",)), runs="runs"))).records[0]
    curve = {"every": 8, "loss": [1.0, None, 0.09, 0.2]}
    assert steps_to_loss(dataclasses.replace(record, step_curve=curve, steps=30)) == 24
    assert steps_to_loss(dataclasses.replace(record, step_curve=curve, steps=30), loss=0.01) is None
    short = {"every": 8, "loss": [1.0, 0.09]}
    assert steps_to_loss(dataclasses.replace(record, step_curve=short, steps=11)) == 11
