"""Whole commands: what they print, what they write, and what the next one makes of it."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import kernelfit
from kernelfit import cli
from kernelfit.datasets import load
from kernelfit.experiments.registry import kinds, read_records, run
from tests.support.commands import SPECS

SMALL = ["--bandwidth", "1.0", "--n-train", "200", "--n-test", "50"]
QUICK = ["--bandwidth", "2", "--n-train", "60", "--n-test", "20"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def solve(*arguments):
    return cli.main(["solve", *SMALL, *arguments])


def test_solve_prints_writes_and_predicts(capsys, tmp_path):
    assert solve("--save", "model.npz", "-o", "t.md", "--runs", "elsewhere") == 0
    out, err = capsys.readouterr()
    assert "test error" in out and "RKHS norm" in out and "plan: panel Cholesky" in err
    assert "test error" in Path("t.md").read_text() and "table written to t.md" in err
    assert solve("--json", "--quiet") == 0
    out, err = capsys.readouterr()
    solved = json.loads(out)
    assert err == "" and Path("runs/records.jsonl").read_text() == out and solved["dataset"]["n_train"] == 200
    assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere", "model.npz", "runs", "t.md"]

    assert cli.main(["predict", "model.npz", "--data", "digits", "--n-test", "50", "--json", "-o", "p.csv"]) == 0
    predicted = json.loads(capsys.readouterr().out)
    rows = list(csv.DictReader(Path("p.csv").read_text().splitlines()))
    wrong = sum(row["predicted"] != row["true"] for row in rows) / len(rows)
    assert predicted["test_error"] == solved["results"]["test_error"] == wrong
    assert cli.main(["predict", "model.npz", "--data", "synthetic"]) == 2
    assert cli.main(["predict", "absent.npz", "--data", "digits"]) == 1
    assert "kernelfit solve" in capsys.readouterr().err


def test_a_model_of_other_pixels_does_not_predict(capsys):
    assert solve("--pixels", "shuffled", "--save", "model.npz", "--quiet") == 0
    assert cli.main(["predict", "model.npz", "--data", "digits"]) == 1
    assert "shuffled pixels" in capsys.readouterr().err


def test_failures_exit_with_1_and_write_no_record(capsys, tmp_path):
    X, y = load("digits").X_train[:20], np.arange(20) % 2
    np.savez("twins.npz", X_train=np.concatenate([X, X[:1]]), y_train=np.append(y, 1), X_test=X, y_test=y)
    for options, told in ((["--data", "twins.npz"], "identical"), (["--memory", "150MB"], "do not fit")):
        assert cli.main(["solve", *options]) == 1 and told in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_a_kernel_of_ones_own(capsys, tmp_path):
    (tmp_path / "mine_kernel.py").write_text(
        "import numpy as np\ndef rbf(A, B):\n    return np.exp(-((A[:, None] - B) ** 2).sum(axis=2) / 2)\n"
    )
    arguments = ["--n-train", "100", "--n-test", "50", "--json", "--quiet"]
    assert cli.main(["solve", "--kernel", "mine_kernel:rbf", "--save", "model.npz", *arguments]) == 0
    assert cli.main(["solve", "--bandwidth", "1", *arguments]) == 0
    own, ours = (json.loads(line)["results"]["norm"] for line in capsys.readouterr().out.splitlines())
    assert own == pytest.approx(ours, rel=1e-10)
    assert cli.main(["predict", "model.npz", "--data", "digits"]) == 2, "a model file must not choose code to import"
    assert cli.main(["predict", "model.npz", "--data", "digits", "--kernel", "mine_kernel:rbf"]) == 0


# For each experiment: its options, what its table says, and whether it has a figure.
RUNS = {
    "ridge": ([*QUICK, "--ridge", "0", "1e-3"], "test corrected", "figure"),
    "sweep": ([*QUICK, "--labels", "0:1:0.5", "--seeds", "1"], "norm", "figure"),
    "interpolants": ([*QUICK, "--others", "pairs"], "minimum, random labels", ""),
    "measures": (QUICK, "tells apart", ""),
    "descent": ([*QUICK[2:], "--grid", "20", "60", "--seeds", "1"], "0.333", "figure"),
}


@pytest.mark.parametrize("kind", RUNS)
def test_a_record_repeats_itself_and_files_are_written_by_their_suffix(kind, capsys, tmp_path):
    """The table on the terminal and in Markdown, figures by one option or its old name, and the command of a record."""
    options, told, figure = RUNS[kind]
    files = ["-o", "t.md", *(["-o", "a.svg", "--plot", "b.svg"] if figure else [])]
    assert cli.main([kind, *options, *files, "--quiet"]) == 0
    assert told in " ".join(capsys.readouterr().out.split()) and Path("t.md").read_text().count("|") > 10
    assert [path.name for path in Path("runs").iterdir()] == ["records.jsonl"]
    if figure:
        assert Path("a.svg").read_bytes() == Path("b.svg").read_bytes() and "<svg" in Path("a.svg").read_text()
    [record] = read_records("runs")
    assert record.kind == kind and Path("runs/records.jsonl").read_text() == record.to_json() + "\n"
    again = run(kind, **record.spec)
    if kind == "ridge":  # the way is that which was measured to be quicker
        assert [row.test_error for row in again.results.rows] == [row.test_error for row in record.results.rows]
    else:
        assert again.results == record.results if kind != "descent" else again.results.norm == record.results.norm
    assert (again.id, again.command, again.spec) == (record.id, record.command, record.spec)
    if kind == "measures":
        assert cli.main([*record.command.split()[1:], "--json", "--quiet"]) == 0
        assert json.loads(capsys.readouterr().out)["results"] == json.loads(record.to_json())["results"]


def test_run_is_the_command_of_its_name(tmp_path):
    record = kernelfit.run("solve", n_train=60, n_test=20, bandwidth=2.0, labels="random", runs=tmp_path / "runs")
    assert record.results.train_error == 0 and record.command.endswith("--bandwidth 2.0")
    assert kernelfit.read_records(tmp_path / "runs").records == [record]
    for kind, options, told in (
        ("sovle", {}, "did you mean 'solve'"),
        ("solve", {"bandwith": 1}, "did you mean 'bandwidth'"),
        ("sweep", {"levels": (0, 1)}, "'levels'"),
        ("solve", {"bandwidth": "wide"}, "wide"),
        ("bench", {"sizes": (100,)}, "several records.*kernelfit bench"),
        ("randomize", {}, "several records.*kernelfit randomize"),
        ("section5", {}, "several records.*kernelfit reproduce section5"),
    ):
        with pytest.raises(kernelfit.common.errors.InputError, match=told):
            kernelfit.run(kind, **options)


def test_every_experiment_is_found_by_its_kind_and_has_a_command_and_a_view():
    assert {"solve", "ridge", "sweep", "interpolants", "measures", "descent", "randomize", "net"} <= set(kinds())
    for words in SPECS:
        assert cli.app.parse_args(list(words), exit_on_error=False)[0].__doc__
    for kind in kinds():
        view = __import__(f"kernelfit.report.views.{kind}", fromlist=["table"])
        assert callable(view.table)


def test_a_net_is_not_needed_where_nothing_is_trained():
    """Without PyTorch all else works, and training says what to install."""
    program = (
        "import sys\n"
        "class Finder:\n"
        "    def find_spec(name, path=None, target=None):\n"
        "        if name.partition('.')[0] == 'torch': raise ImportError('No module named torch')\n"
        "sys.meta_path.insert(0, Finder)\n"
        "import kernelfit.nn, kernelfit.experiments.net, kernelfit.report.views.net\n"
        "from kernelfit import cli\n"
        "assert cli.main(['solve', '--n-train', '100', '--n-test', '20', '--quiet', '--bandwidth', '1']) == 0\n"
        "assert cli.main(['nn', '--help']) == 0\n"
        "sys.exit(cli.main(['nn', 'train', '--quiet']))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 1 and "pip install 'kernelfit[nn]'" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
