"""Nothing that was computed is lost: not to a standard output that fails, and not to files that cannot be written."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from kernelfit import cli, datasets

FEW = ["--n-train", "40", "--n-test", "20"]
# Each command that writes something by itself, and the files that it is to leave.
WRITERS = {
    "solve": (["solve", *FEW, "--bandwidth", "2", "--save", "r/m.npz"], ["r/records.jsonl", "r/m.npz"]),
    "ridge": (
        ["solve", *FEW, "--bandwidth", "2", "--ridge", "0", "1e-3", "--plot", "r/p.svg"],
        ["r/ridge.jsonl", "r/p.svg"],
    ),
    "sweep": (
        ["sweep", *FEW, "--bandwidth", "2", "--levels", "0", "1", "--seeds", "1", "--plot", "r/p.svg"],
        ["r/sweep.jsonl", "r/p.svg"],
    ),
    "interpolants": (["interpolants", *FEW, "--bandwidth", "2", "--others", "pairs"], ["r/interpolants.jsonl"]),
    "descent": (
        ["descent", *FEW, "--grid", "10", "80", "--seeds", "1", "--plot", "r/p.svg"],
        ["r/descent.jsonl", "r/p.svg"],
    ),
    "randomize": (
        ["randomize", "--estimator", "sklearn.tree.DecisionTreeClassifier", *FEW, "--levels", "0", "1", "--seeds", "1"],
        ["r/fits.jsonl"],
    ),
    "section5": (["reproduce", "section5", "--rows", "linear", "--out", "r/t.md"], ["r/section5.jsonl", "r/t.md"]),
}
writers = pytest.mark.parametrize(("arguments", "files"), WRITERS.values(), ids=WRITERS)


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


@pytest.mark.parametrize("name", ["solve", "ridge"])
def test_a_standard_output_that_fails_loses_no_file(name, monkeypatch, capsys):
    arguments, files = WRITERS[name]
    monkeypatch.setattr(sys, "stdout", Broken(FULL))
    assert cli.main([*arguments, "--runs", "r", "--quiet"]) == 1
    assert all(Path(file).stat().st_size > 0 for file in files)
    assert (
        capsys.readouterr().err == "kernelfit: standard output cannot be written: [Errno 28] No space left on device\n"
    )


@writers
def test_files_that_cannot_be_written_leave_the_result_on_standard_output(arguments, files, monkeypatch, capsys):
    monkeypatch.setattr("kernelfit.common.files.os.fsync", lambda descriptor: (_ for _ in ()).throw(FULL))
    code = cli.main([*arguments, "--runs", "r", "--json", "--quiet"])
    out, err = capsys.readouterr()
    assert code == 1 and err.count("\n") == 1 and "No space left on device" in err
    assert json.loads(out)
    left = [path.name for path in Path("r").rglob("*") if path.is_file() and path.stat().st_size]
    assert left == [], "nothing is half written"


def test_one_file_that_cannot_be_written_does_not_keep_the_others_back(monkeypatch, capsys):
    monkeypatch.setattr("kernelfit.records.record.append_lines", lambda *_: (_ for _ in ()).throw(FULL))
    assert cli.main([*WRITERS["solve"][0], "--runs", "r"]) == 1
    assert Path("r/m.npz").exists() and "test error" in capsys.readouterr().out


def test_a_reader_who_has_gone_is_told_nothing(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdout", Broken(BrokenPipeError(32, "Broken pipe")))
    for command in (["data", "list"], ["solve", "--help"], ["--version"]):
        assert cli.main(command) == 1
    assert capsys.readouterr().err == ""


def test_a_table_that_cannot_be_drawn_is_a_sentence(monkeypatch, capsys):
    monkeypatch.setattr("kernelfit.report.table.solve_table", lambda record: 1 / 0)
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
    sweep = ["sweep", *some, "--bandwidth", "2", "--levels", "0", "--seeds", "1", "--plot", "s.svg"]
    assert cli.main(sweep) == 0 and "n\\udce9" in Path("s.svg").read_text(encoding="utf-8")
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

    monkeypatch.setattr("kernelfit.experiments.solve.run_solve", fail)
    assert cli.main(["solve", "--quiet"]) == 1
    told = capsys.readouterr().err
    assert told.startswith(f"kernelfit: {type(raised).__name__}: ") and told.count("\n") == 1
    assert "test_output.py" in told and "KERNELFIT_TRACEBACK=1" in told
    monkeypatch.setenv("KERNELFIT_TRACEBACK", "1")
    assert cli.main(["solve", "--quiet"]) == 1
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(("said", "told"), [("", "no file is left half written"), ("repeat it", "repeat it")])
def test_ctrl_c_says_something(said, told, monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt(said)

    monkeypatch.setattr("kernelfit.experiments.measures.run_measures", interrupted)
    assert cli.main(["measures", "--quiet"]) == 130
    assert capsys.readouterr().err == f"kernelfit: interrupted; {told}\n"


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


def test_streams_that_are_closed_or_full_in_the_shell():
    program = f"{sys.executable} -m kernelfit"
    script = (
        f"{program} solve --n-train 40 --n-test 20 --bandwidth 2 --quiet >&-; echo $? >&2\n"
        f"{program} data list 2>&- >/dev/null <&-; echo $? >&2\n"
        f"{program} data lst 2>/dev/full >&2; echo $? >&2\n"
    )
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True)
    assert done.stderr.splitlines() == [f"{UNWRITTEN}: [Errno 9] Bad file descriptor", "1", "0", "2"]
    assert len(Path("runs/records.jsonl").read_text().splitlines()) == 1


def test_numba_may_be_told_not_to_compile(monkeypatch, capsys):
    import numba

    from kernelfit.kernels.compiled import tile_pass

    norms = []
    for disabled in (0, 1):
        monkeypatch.setattr(numba.config, "DISABLE_JIT", disabled)
        tile_pass.cache_clear()
        assert cli.main(["solve", *FEW, "--bandwidth", "2", "--json", "--quiet"]) == 0
        norms.append(json.loads(capsys.readouterr().out)["norm"])
    tile_pass.cache_clear()
    # The entries of K differ in their last bits; the condition number, about 10, keeps 14 digits of the norm.
    assert norms[1] == pytest.approx(norms[0], rel=1e-12)
