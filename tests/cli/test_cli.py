import csv
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from kernelfit import cli
from kernelfit.datasets import load

SMALL = ["--bandwidth", "1.0", "--n-train", "200", "--n-test", "50"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def run(*arguments):
    return cli.main(["solve", *SMALL, *arguments])


def test_solve_prints_a_table_and_appends_a_record(capsys, tmp_path):
    assert run() == 0
    assert run("--runs", "elsewhere") == 0
    out, err = capsys.readouterr()
    assert "test error" in out and "RKHS norm" in out
    assert "plan: panel Cholesky" in err
    assert len((tmp_path / "runs" / "records.jsonl").read_text().splitlines()) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere", "runs"]


def test_json_is_alone_on_standard_output(capsys, tmp_path):
    assert run("--json", "--quiet") == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert json.loads(out)["n_train"] == 200
    assert (tmp_path / "runs" / "records.jsonl").read_text() == out


def test_save_and_predict(capsys):
    assert run("--save", "model.npz", "--json") == 0
    solved = json.loads(capsys.readouterr().out)
    assert cli.main(["predict", "model.npz", "--data", "digits", "--n-test", "50", "--json", "--out", "p.csv"]) == 0
    predicted = json.loads(capsys.readouterr().out)
    assert predicted["test_error"] == solved["test_error"]
    with open("p.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    wrong = sum(row["predicted"] != row["true"] for row in rows)
    assert wrong / len(rows) == solved["test_error"]
    assert cli.main(["predict", "model.npz", "--data", "synthetic"]) == 2
    assert cli.main(["predict", "absent.npz", "--data", "digits"]) == 1
    assert "kernelfit solve" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["solve", "--kernel", "gausian"], "did you mean 'gaussian'"),
        (["solve", "--data", "mnsit"], "mnist"),
        (["solve", "--labels", "2"], "0 to 1"),
        (["solve", "--ridge", "-1"], "ridge"),
        (["solve", "--n-train", "99999"], "1437"),
        (["solve", "--save", "model.pkl"], ".npz"),
        (["solve", "--bandwidth", "wide"], "bandwidth"),
        (["solve", "--nonsense"], "nonsense"),
        (["nonsense"], "nonsense"),
    ],
)
def test_usage_errors_exit_with_2_and_write_nothing(capsys, tmp_path, arguments, message):
    assert cli.main(arguments) == 2
    out, err = capsys.readouterr()
    assert message in out + err
    assert list(tmp_path.iterdir()) == []


def test_targets_that_cannot_be_written_are_refused_first(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("kernelfit.experiments.solve.run_solve", lambda *_, **__: pytest.fail("solved"))
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.npz").mkdir()
    for wrong in (["--runs", "file"], ["--save", "folder.npz"], ["--save", "file/model.npz"]):
        assert run(*wrong) == 2


def test_what_was_computed_is_printed_even_if_the_disk_is_full(capsys, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("kernelfit.records.record.append_lines", full)
    assert run("--json") == 1
    out, err = capsys.readouterr()
    assert json.loads(out)["n_train"] == 200 and "No space left" in err


def test_a_model_of_other_pixels_does_not_predict(capsys):
    assert run("--pixels", "shuffled", "--save", "model.npz") == 0
    assert cli.main(["predict", "model.npz", "--data", "digits"]) == 1
    assert "shuffled pixels" in capsys.readouterr().err


def test_a_reader_who_has_gone_is_no_traceback():
    command = f"{sys.executable} -m kernelfit.cli data list | true"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, env=environment)
    assert done.stderr == ""


def test_failures_exit_with_1_and_write_no_record(capsys, tmp_path):
    X, y = load("digits").X_train[:20], np.arange(20) % 2
    np.savez("twins.npz", X_train=np.concatenate([X, X[:1]]), y_train=np.append(y, 1), X_test=X, y_test=y)
    assert cli.main(["solve", "--data", "twins.npz"]) == 1
    assert "identical" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_a_kernel_of_ones_own(capsys, tmp_path):
    (tmp_path / "mine_kernel.py").write_text(
        "import numpy as np\ndef rbf(A, B):\n    return np.exp(-((A[:, None] - B) ** 2).sum(axis=2) / 2)\n"
    )
    arguments = ["--n-train", "100", "--n-test", "50", "--json", "--quiet"]
    assert cli.main(["solve", "--kernel", "mine_kernel:rbf", "--save", "model.npz", *arguments]) == 0
    own = json.loads(capsys.readouterr().out)
    assert cli.main(["solve", "--bandwidth", "1", *arguments]) == 0
    ours = json.loads(capsys.readouterr().out)
    np.testing.assert_allclose(own["norm"], ours["norm"], rtol=1e-10)
    assert cli.main(["predict", "model.npz", "--data", "digits"]) == 2, "a model file must not choose code to import"
    assert cli.main(["predict", "model.npz", "--data", "digits", "--kernel", "mine_kernel:rbf"]) == 0


def test_data_commands(capsys, monkeypatch):
    monkeypatch.setenv("KERNELFIT_DATA", ".")
    assert cli.main(["data", "list"]) == 0
    assert "digits" in capsys.readouterr().out
    assert cli.main(["data", "list", "--json"]) == 0
    assert {entry["name"] for entry in json.loads(capsys.readouterr().out)} >= {
        "digits",
        "mnist",
        "cifar10",
        "synthetic",
    }
    assert cli.main(["data", "show", "digits", "--out", "grid.png"]) == 0
    with open("grid.png", "rb") as file:
        assert file.read(8) == b"\x89PNG\r\n\x1a\n"
    assert cli.main(["data", "fetch", "digits"]) == 0
    assert cli.main(["data", "verify", "digits"]) == 0
    assert cli.main(["data", "show", "nothing"]) == 2


def test_help_alone_and_version(capsys):
    assert cli.main([]) == 0
    assert "kernelfit solve --data mnist" in capsys.readouterr().out
    assert cli.main(["--version"]) == 0


def test_ctrl_c_leaves_nothing_half_written(tmp_path):
    """Interrupted while it factors, it ends with 130 and one sentence, and has written nothing."""
    command = [sys.executable, "-m", "kernelfit.cli", "solve", "--data", "synthetic:64", "--n-train", "8000"]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        [*command, "--bandwidth", "1", "--save", "model.npz"], stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        for line in process.stderr:
            if line.startswith("plan:"):
                break
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
        assert process.wait(timeout=60) == 130
    assert "interrupted" in rest and "Traceback" not in rest
    assert list(tmp_path.iterdir()) == []
