"""Nothing that was computed is lost: not to a standard output that fails, and not to files that cannot be written."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from kernelfit import cli, datasets

FEW = ["--n-train", "40", "--n-test", "20"]
# Each command that writes something by itself, and the files that it is to leave beside the records.
WRITERS = {
    "solve": (["solve", *FEW, "--bandwidth", "2", "--save", "r/m.npz"], ["r/m.npz"]),
    "ridge": (["ridge", *FEW, "--bandwidth", "2", "--ridge", "0", "1e-3", "-o", "r/p.svg"], ["r/p.svg"]),
    "sweep": (
        ["sweep", *FEW, "--bandwidth", "2", "--labels", "0", "1", "--seeds", "1", "-o", "r/p.svg", "-o", "r/t.md"],
        ["r/p.svg", "r/t.md"],
    ),
    "interpolants": (["interpolants", *FEW, "--bandwidth", "2", "--others", "pairs"], []),
    "measures": (["measures", *FEW, "--bandwidth", "2"], []),
    "descent": (["descent", *FEW, "--grid", "10", "80", "--seeds", "1", "--plot", "r/p.svg"], ["r/p.svg"]),
    "randomize": (
        ["randomize", "--estimator", "sklearn.tree.DecisionTreeClassifier", *FEW, "--labels", "0", "1", "--seeds", "1"],
        [],
    ),
    "section5": (["reproduce", "section5", "--rows", "linear", "--out", "r/t.md"], ["r/t.md"]),
}


class Broken(io.StringIO):
    """A standard output that cannot be flushed."""

    def __init__(self, error):
        super().__init__()
        self.error = error

    def flush(self):
        raise self.error


UNWRITTEN = "kernelfit: standard output cannot be written"
FULL = OSError(28, "No space left on device")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def full(*_, **__):
    raise FULL


@pytest.mark.parametrize("name", ["solve", "sweep", "section5"])
def test_a_standard_output_that_fails_loses_no_file(name, monkeypatch, capsys):
    arguments, files = WRITERS[name]
    Path("r").mkdir()
    monkeypatch.setattr(sys, "stdout", Broken(FULL))
    assert cli.main([*arguments, "--runs", "r", "--quiet"]) == 1
    assert all(Path(file).stat().st_size > 0 for file in ("r/records.jsonl", *files))
    assert capsys.readouterr().err == f"{UNWRITTEN}: [Errno 28] No space left on device\n"


@pytest.mark.parametrize("arguments", [arguments for arguments, _ in WRITERS.values()], ids=WRITERS)
def test_files_that_cannot_be_written_leave_the_result_on_standard_output(arguments, monkeypatch, capsys):
    Path("r").mkdir()
    monkeypatch.setattr("kernelfit.common.files.os.fsync", full)
    code = cli.main([*arguments, "--runs", "r", "--json", "--quiet"])
    out, err = capsys.readouterr()
    assert code == 1 and err.count("\n") == 1 and "No space left on device" in err
    assert json.loads(out)
    left = [path.name for path in Path("r").rglob("*") if path.is_file() and path.stat().st_size]
    assert left == [], "nothing is half written"


def test_one_file_that_cannot_be_written_does_not_keep_the_others_back(monkeypatch, capsys):
    Path("r").mkdir()
    monkeypatch.setattr("kernelfit.records.record.append_lines", full)
    assert cli.main([*WRITERS["solve"][0], "--runs", "r", "-o", "r/t.md"]) == 1
    assert Path("r/m.npz").exists() and Path("r/t.md").exists() and "test error" in capsys.readouterr().out


def test_a_reader_who_has_gone_is_told_nothing(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdout", Broken(BrokenPipeError(32, "Broken pipe")))
    for command in (["data", "list"], ["solve", "--help"], ["--version"]):
        assert cli.main(command) == 1
    assert capsys.readouterr().err == ""


def test_a_table_that_cannot_be_drawn_is_a_sentence(monkeypatch, capsys):
    monkeypatch.setattr("kernelfit.report.views.solve.table", lambda record: 1 / 0)
    assert cli.main([*WRITERS["solve"][0], "--runs", "r", "--quiet"]) == 1
    told = capsys.readouterr().err
    assert told.startswith("kernelfit: ZeroDivisionError") and told.count("\n") == 1
    assert Path("r/m.npz").exists() and Path("r/records.jsonl").exists()


@pytest.mark.parametrize("encoding", ["latin-1", "ascii", "utf-8"])
def test_letters_that_a_terminal_does_not_have_are_escaped(encoding, monkeypatch):
    """The result is readable and complete, so that the exit code is 0."""
    X, name = datasets.load("digits", n_train=40, n_test=20), "数据\udce9"
    np.savez(f"{name}.npz", X_train=X.X_train, y_train=X.y_train, X_test=X.X_test, y_test=X.y_test)
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", stream)
    assert cli.main(["solve", "--data", f"./{name}.npz", "--bandwidth", "2", "--runs", "r", "--quiet"]) == 0
    shown = stream.buffer.getvalue().decode(encoding)
    assert "test error" in shown and ("数据" in shown) == (encoding == "utf-8") and "\\udce9" in shown
    assert stream.errors == "strict", "the stream is as it was"


def test_names_that_are_not_unicode_are_written_to_every_kind_of_file(capsys):
    """A byte of a file or class name that is not UTF-8 comes into Python as a lone surrogate."""
    X = datasets.load("digits", n_train=40, n_test=20)
    labels = np.array(["c\udce9", "d"])
    y, y_test = labels[X.y_train % 2], labels[X.y_test % 2]
    np.savez("n\udce9.npz", X_train=X.X_train, y_train=y, X_test=X.X_test, y_test=y_test)
    some = ["--data", "./n\udce9.npz", "--quiet"]
    assert cli.main(["solve", *some, "--bandwidth", "2", "--save", "m.npz"]) == 0
    assert cli.main(["predict", "m.npz", *some, "--out", "p.csv"]) == 0
    assert Path("p.csv").read_text(encoding="utf-8").splitlines()[1].endswith(("c\\udce9", "d"))
    assert "c\\udce9" in Path("p.csv").read_text(encoding="utf-8")
    sweep = ["sweep", *some, "--bandwidth", "2", "--labels", "0", "--seeds", "1", "-o", "s.svg", "-o", "s.md"]
    assert cli.main(sweep) == 0
    assert all("n\\udce9" in Path(name).read_text(encoding="utf-8") for name in ("s.svg", "s.md"))
    assert cli.main(["report"]) == 0 and Path("report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("columns", ["0", "1", "-3", "²", "5000", ""])
def test_a_terminal_of_no_width_gets_help(columns, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", columns)
    assert cli.main(["data", "list", "--help"]) == 0
    assert 20 <= max(map(len, capsys.readouterr().out.splitlines())) <= 1000
    assert os.environ["COLUMNS"] == columns


@pytest.mark.parametrize("raised", [ZeroDivisionError("a\nb"), RuntimeError("home"), RecursionError("deep")])
def test_a_failure_that_nobody_foresaw_is_one_line_that_says_where(raised, monkeypatch, capsys):
    def fail(*_, **__):
        raise raised

    monkeypatch.setattr("kernelfit.cli.commands.solve.run_solve", fail)
    assert cli.main(["solve", "--quiet"]) == 1
    told = capsys.readouterr().err
    assert told.startswith(f"kernelfit: {type(raised).__name__}: ") and told.count("\n") == 1
    assert "test_output.py" in told and "KERNELFIT_TRACEBACK=1" in told
    monkeypatch.setenv("KERNELFIT_TRACEBACK", "1")
    assert cli.main(["solve", "--quiet"]) == 1
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(("kept", "told"), [("", "no file is left half written"), ("factor", "repeat the command")])
def test_ctrl_c_says_how_to_go_on(kept, told, monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("kernelfit.cli.commands.solve.run_solve", interrupted)
    monkeypatch.setattr("kernelfit.solvers.scratch.unfinished", lambda folder: kept)
    assert cli.main(["solve", "--scratch", "s", "--quiet"]) == 130
    err = capsys.readouterr().err
    assert err.startswith("kernelfit: interrupted; ") and told in err and err.count("\n") == 1


def test_ctrl_c_while_modules_are_loaded_is_no_traceback():
    program = (
        "import os, signal, sys\n"
        "class Interrupting:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'cyclopts': os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Interrupting())\n"
        "from kernelfit.cli import main\n"
        "sys.exit(main(['data', 'list']))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "kernelfit: interrupted before it began\n")


def test_ctrl_c_leaves_nothing_half_written(tmp_path):
    """Interrupted while it factors, it ends with 130 and one sentence, and has written nothing."""
    command = [sys.executable, "-m", "kernelfit", "solve", "--data", "synthetic:64", "--n-train", "8000"]
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
    assert "interrupted" in rest and "Traceback" not in rest and list(tmp_path.iterdir()) == []


def test_streams_that_are_closed_or_full_in_the_shell():
    program = f"{sys.executable} -m kernelfit"
    script = (
        f"{program} solve --n-train 40 --n-test 20 --bandwidth 2 --quiet >&-; echo $? >&2\n"
        f"{program} data list 2>&- >/dev/null <&-; echo $? >&2\n"
        f"{program} data lst 2>/dev/full >&2; echo $? >&2\n"
        f"{program} data list | true\n"
    )
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True)
    assert done.stderr.splitlines() == [f"{UNWRITTEN}: [Errno 9] Bad file descriptor", "1", "0", "2"]
    assert len(Path("runs/records.jsonl").read_text().splitlines()) == 1


def test_numba_may_be_told_not_to_compile(monkeypatch, capsys):
    from kernelfit.kernels.compiled import tile_pass

    norms = []
    for disabled in (0, 1):
        monkeypatch.setenv("NUMBA_DISABLE_JIT", str(disabled))
        tile_pass.cache_clear()
        assert cli.main(["solve", *FEW, "--bandwidth", "2", "--json", "--quiet"]) == 0
        norms.append(json.loads(capsys.readouterr().out)["results"]["norm"])
    tile_pass.cache_clear()
    # The entries of K differ in their last bits; the condition number, about 10, keeps 14 digits of the norm.
    assert norms[1] == pytest.approx(norms[0], rel=1e-12)
