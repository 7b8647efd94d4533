"""A factor on disk: killed at any moment it goes on with the same bits, and what is damaged or another's is refused."""

import contextlib
import errno
import fcntl
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from kernelfit.backend import CPU
from kernelfit.common.errors import KernelfitError, NotEnoughDiskError, ScratchError, SingularMatrixError
from kernelfit.gram.matrix import MatrixGram
from kernelfit.solvers import out_of_core
from kernelfit.solvers import scratch as module
from kernelfit.solvers.out_of_core import OutOfCorePanels
from kernelfit.solvers.panel_cholesky import cholesky
from kernelfit.solvers.planning.plan import Problem, plan_solve
from kernelfit.solvers.planning.rates import Rates
from kernelfit.solvers.scratch import FOLDER, Scratch, bytes_taken, unfinished
from kernelfit.solvers.solve import solve
from tests.support.problems import symmetric_matrix

N, WIDTH = 60, 12
Y = np.random.default_rng(0).standard_normal((N, 2))
IDENTITY = {"n": N, "width": WIDTH, "dtype": "float64"}
RATES = Rates(1e11, 2e11, 1e-9, 1e9, 1e9)


@pytest.fixture(autouse=True)
def many_pieces(monkeypatch):
    monkeypatch.setattr(out_of_core, "PIECE", 100)
    monkeypatch.setattr(os, "fsync", lambda number: None)  # nothing here outlives the machine


@pytest.fixture(name="K")
def matrix():
    return MatrixGram(symmetric_matrix(N, 1e3)[0])


def panels_in(folder, identity=IDENTITY, resume=True):
    store = Scratch(folder, identity, CPU, resume=resume)
    return OutOfCorePanels(identity["n"], identity["width"], np.dtype(identity["dtype"]), CPU, store)


def finished_in(folder):
    """Return how many panels a run that resumes would find."""
    panels = panels_in(folder)
    panels.abandon()
    return panels.finished


def answer(K, folder, **options):
    """Factor to the end and return the bytes of the solution."""
    panels = panels_in(folder, **options)
    coef = cholesky(K, panels=panels).solve(Y)
    panels.finish()
    return coef.tobytes()


class Stopped(BaseException):
    pass


def interrupt(K, folder, after, identity=IDENTITY, resume=True):
    """Stop a factorisation once `after` panels are closed; leave what a killed process would leave."""
    panels = panels_in(folder, identity, resume)
    opened = panels.open

    def stop(j):
        if j == after:
            raise Stopped
        return opened(j)

    panels.open = stop
    with contextlib.suppress(Stopped):
        cholesky(K, panels=panels)
    panels.abandon()
    return Path(folder) / FOLDER


@pytest.fixture
def expected(K, tmp_path_factory):
    return answer(K, tmp_path_factory.mktemp("undisturbed"))


def killed_runs(mode, folder):
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # a process that forks has one
    command = [sys.executable, "-m", "tests.support.killed_runs", mode, str(folder), "0"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.heavy
def test_killed_at_random_moments_it_ends_with_the_same_bits(tmp_path):
    """Each of 40 kills is followed by a run that resumes; the panel in the making and the one being written may go."""
    told = killed_runs("random", tmp_path)
    assert sum(told["by_phase"].values()) == 40 and min(told["by_phase"][name] for name in ("factor", "finish")) > 0
    assert told["most_lost"] <= 1, "of the panels that were made"


@pytest.mark.heavy
def test_killed_at_every_touch_of_a_file_it_ends_with_the_same_bits(tmp_path):
    assert killed_runs("events", tmp_path)["kills"] > 40


@pytest.mark.parametrize("after", [0, 1, 3, 5])
def test_finished_panels_are_not_made_again(K, tmp_path, expected, after):
    interrupt(K, tmp_path, after)
    made = []
    block = K.block
    K.block = lambda rows, columns, out=None: made.append(columns) or block(rows, columns, out=out)
    assert answer(K, tmp_path) == expected
    assert len(made) == 5 - after
    assert list(tmp_path.iterdir()) == []


def test_an_unfinished_factor_is_not_overwritten_unasked(K, tmp_path):
    folder = interrupt(K, tmp_path, 2)
    with pytest.raises(ScratchError, match="--resume"):
        panels_in(tmp_path, resume=False)
    assert unfinished(tmp_path)["n"] == N and folder.exists()
    assert finished_in(tmp_path) == 2, "and the refused run holds no lock"


def test_every_torn_journal_is_read_rightly(K, tmp_path, expected):
    """Cut after any byte, the journal stands for the panels whose lines are whole, and can be written on."""
    folder = interrupt(K, tmp_path, 3)
    journal = folder / "journal.jsonl"
    whole = journal.read_bytes()
    for length in range(len(whole) + 1):
        journal.write_bytes(whole[:length])
        ends = [i for i in range(1, len(whole) + 1) if whole[i - 1 : i] == b"}"]
        assert finished_in(tmp_path) == sum(end <= length for end in ends)
    for length in (ends[1] - 3, ends[1], ends[2]):  # torn inside of a line, or just before its newline
        journal.write_bytes(whole[:length])
        assert interrupt(K, tmp_path, 4) == folder
        assert finished_in(tmp_path) == 4
    assert answer(K, tmp_path) == expected


@pytest.mark.parametrize(
    "rubbish", [b"[]\n", b"5\n", b"\xff\xfe\n", b'{"panel": [1], "crc32": 2}\n', b'{"panel": 0}\n']
)
def test_rubbish_in_the_journal_stands_for_nothing(K, tmp_path, expected, rubbish):
    folder = interrupt(K, tmp_path, 2)
    with open(folder / "journal.jsonl", "ab") as file:
        file.write(rubbish)
    assert answer(K, tmp_path) == expected


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def swap(path):
    other = path.with_name("panel-00001.bin")
    first, second = path.read_bytes(), other.read_bytes()
    path.write_bytes(second), other.write_bytes(first)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (flip, "not the panel that was written"),
        (swap, "not the panel that was written"),
        (lambda path: os.truncate(path, 40), "not the panel that was written"),
        (lambda path: path.write_bytes(b""), "not the panel that was written"),
        (lambda path: path.unlink(), "cannot be read"),
        (lambda path: (path.unlink(), path.mkdir()), "cannot be read"),
    ],
)
def test_damaged_panels_are_refused(K, tmp_path, damage, message):
    folder = interrupt(K, tmp_path, 3)
    damage(folder / "panel-00002.bin" if damage is not swap else folder / "panel-00000.bin")
    with pytest.raises(ScratchError, match=rf"panel-0000\d.bin.*{message}.*Remove"):
        panels_in(tmp_path)


@pytest.mark.parametrize("header", ["", "{", "[]", "{}", '{"format": "kernelfit.scratch/1"}', '{"format": "other"}'])
def test_damaged_headers_are_refused(K, tmp_path, header):
    folder = interrupt(K, tmp_path, 2)
    (folder / "header.json").write_text(header)
    for look in (lambda: unfinished(tmp_path), lambda: panels_in(tmp_path)):
        with pytest.raises(ScratchError, match=r"damaged|no scratch folder"):
            look()


def test_another_identity_is_refused_by_name(K, tmp_path):
    interrupt(K, tmp_path, 2)
    for name, value in {"n": 61, "width": 13, "dtype": "float32", "matrix": "ab", "ridge": 0.1}.items():
        with pytest.raises(ScratchError, match=rf"another problem \({name} .*{value}"):
            panels_in(tmp_path, IDENTITY | {name: value})


def test_a_factor_without_a_header_is_never_trusted(K, tmp_path, expected):
    """Killed while it removed its folder, header first; then another problem of the same size is begun and stopped."""
    folder = interrupt(K, tmp_path, 4)
    (folder / "header.json").unlink()
    other = MatrixGram(symmetric_matrix(N, 1e3, seed=9)[0])
    interrupt(other, tmp_path, 1, IDENTITY | {"matrix": "other"}, resume=False)
    panels = panels_in(tmp_path, IDENTITY | {"matrix": "other"})
    assert panels.finished == 1, "not the four of the first problem"
    coef = cholesky(other, panels=panels).solve(Y)
    panels.finish()
    assert coef.tobytes() == answer(other, tmp_path) != expected


def test_one_process_at_a_time(tmp_path, K):
    panels = panels_in(tmp_path)
    program = f"from tests.solvers.test_scratch import panels_in; panels_in({str(tmp_path)!r})"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=Path(__file__).parents[2]
    )
    assert "in use by another process" in done.stderr and done.returncode
    panels.abandon()
    panels_in(tmp_path).abandon()


def test_a_lock_on_a_folder_that_was_removed_meanwhile_is_none(tmp_path, monkeypatch):
    """Its owner ends between the moments at which another process opens the lock file and locks it."""
    first = Scratch(tmp_path, IDENTITY, CPU)
    flock = fcntl.flock

    def late(file, how):
        first.remove()
        flock(file, how)

    monkeypatch.setattr("kernelfit.common.files.fcntl.flock", late)
    with pytest.raises(ScratchError, match="in use"):
        Scratch(tmp_path, IDENTITY, CPU)
    monkeypatch.undo()
    Scratch(tmp_path, IDENTITY, CPU).remove()


def test_removing_twice_does_not_touch_the_next_run(tmp_path):
    first = Scratch(tmp_path, IDENTITY, CPU)
    first.remove()
    second = Scratch(tmp_path, IDENTITY, CPU)
    second.create([4], lambda entries: None)
    first.remove()
    assert unfinished(tmp_path)
    second.remove()


def test_nothing_else_in_the_folder_is_touched(K, tmp_path):
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "panel-00000.bin").write_text("mine too")
    answer(K, tmp_path)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "mine": "mine",
        "panel-00000.bin": "mine too",
    }


@pytest.mark.parametrize("place", ["file", "file/below", "taken"])
def test_a_folder_that_cannot_be_made(tmp_path, place):
    (tmp_path / "file").write_text("")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / FOLDER).write_text("")
    assert unfinished(tmp_path / place) is None
    with pytest.raises(ScratchError, match="cannot be made or written"):
        Scratch(tmp_path / place, IDENTITY, CPU)


# ---- a disk that is full ---------------------------------------------------------------------------------------------


def refuse(code, when=lambda: True):
    def function(*_):
        if when():
            raise OSError(code, os.strerror(code))

    return function


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_noticed_before_the_work_and_leaves_nothing(K, tmp_path, monkeypatch, code):
    calls = []
    monkeypatch.setattr(module, "_reserve", refuse(code, lambda: calls.append(1) or len(calls) == 3))
    with pytest.raises(NotEnoughDiskError, match=r"do not fit.*Free space"):
        answer(K, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_too_full_for_the_header(K, tmp_path, monkeypatch):
    monkeypatch.setattr("kernelfit.common.files.os.fsync", refuse(errno.ENOSPC))
    with pytest.raises(NotEnoughDiskError):
        answer(K, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_filled_up_meanwhile_keeps_what_is_finished(K, tmp_path, monkeypatch, expected):
    interrupt(K, tmp_path, 3)
    with monkeypatch.context() as patch:
        patch.setattr(module, "_reserve", refuse(errno.ENOSPC))
        with pytest.raises(NotEnoughDiskError):
            answer(K, tmp_path)
    assert finished_in(tmp_path) == 3
    assert answer(K, tmp_path) == expected


@pytest.mark.parametrize("target", ["fsync", "append_lines"])
def test_a_write_that_fails_in_the_middle_is_not_trusted(K, tmp_path, monkeypatch, expected, target):
    """The panel file is half written, or whole with no line in the journal; neither counts."""
    calls = []
    with monkeypatch.context() as patch:
        fails = refuse(errno.ENOSPC, lambda: calls.append(1) or len(calls) > 5)
        patch.setattr(*((module.os, "fsync") if target == "fsync" else (module, "append_lines")), fails)
        calls += [1] * (3 if target == "append_lines" else 0)
        panels = panels_in(tmp_path)
        with pytest.raises(
            ScratchError, match=r"panel-0000\d.bin: No space left.*panels are safe, go on with --resume"
        ):
            cholesky(K, panels=panels)
        panels.abandon()
    assert finished_in(tmp_path) <= 2
    assert answer(K, tmp_path) == expected


def test_the_systems_own_limit_on_files(tmp_path):
    """RLIMIT_FSIZE: the first panel, 60 x 12 numbers, has 5,760 bytes."""
    program = (
        "import resource, signal, numpy as np; from tests.solvers.test_scratch import *\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))\n"
        f"answer(MatrixGram(np.eye(60)), {str(tmp_path)!r})"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=Path(__file__).parents[2]
    )
    assert "NotEnoughDiskError" in done.stderr.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 5000


def test_a_panel_that_vanishes_or_shrinks_while_it_is_needed(K, tmp_path):
    for harm in (lambda path: os.truncate(path, 10), lambda path: path.unlink()):
        panels = panels_in(tmp_path)
        factor = cholesky(K, panels=panels)
        factor.solve(Y)
        harm(tmp_path / FOLDER / "panel-00001.bin")
        with pytest.raises(ScratchError, match=r"panel-00001.bin (is shorter|cannot be read)"):
            factor.solve(Y)
        panels.finish()


# ---- solve() ---------------------------------------------------------------------------------------------------------


def on_disk(K, folder, precision="float64", **options):
    n = K.shape[0]
    plan = plan_solve(Problem(n, 0, 0, 2), precision=precision, storage="disk", scratch=folder, rates=RATES)
    return solve(K, np.eye(n)[:, :2], plan.require(), scratch=folder, **options)


def test_solve_leaves_no_folder_after_what_would_fail_again(tmp_path):
    for precision in ("float64", "mixed"):
        with pytest.raises((SingularMatrixError, KernelfitError)):
            on_disk(MatrixGram(np.ones((40, 40))), tmp_path, precision)
        assert list(tmp_path.iterdir()) == []


def test_solve_leaves_the_folder_after_ctrl_c_and_goes_on(K, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(
            "kernelfit.solvers.solve.check_solution", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt)
        )
        with pytest.raises(KeyboardInterrupt):
            on_disk(K, tmp_path)
    assert unfinished(tmp_path)
    with pytest.raises(ScratchError, match=r"another problem .*arithmetic|ridge"):
        on_disk(K, tmp_path, resume=True, ridge=1.0)
    with pytest.raises(ScratchError, match=r"another problem .*matrix"):
        on_disk(MatrixGram(np.eye(N)), tmp_path, resume=True)
    solution = on_disk(K, tmp_path, resume=True)
    assert solution.report["resumed_panels"] == 1 and solution.check.relative_residual < 1e-12
    solution.factor.panels.finish()
    assert list(tmp_path.iterdir()) == []


def test_threads_are_part_of_the_identity(K, tmp_path, monkeypatch):
    solution = on_disk(K, tmp_path)
    solution.factor.panels.abandon()
    monkeypatch.setattr("kernelfit.backend.machine.num_threads", lambda: 99)
    with pytest.raises(ScratchError, match=r"arithmetic .*99"):
        on_disk(K, tmp_path, resume=True)


def test_space_that_an_unfinished_factor_takes_is_not_asked_for_twice(K, tmp_path, monkeypatch):
    interrupt(K, tmp_path, 2)
    panels = 8 * sum((N - start) * min(WIDTH, N - start) for start in range(0, N, WIDTH))
    assert panels <= bytes_taken(tmp_path) <= panels + 5 * 4096  # the disk counts in blocks of 4 kB
    usage = type("Usage", (), {"free": 0})
    monkeypatch.setattr("kernelfit.solvers.planning.plan.shutil.disk_usage", lambda folder: usage)
    options = {"storage": "disk", "scratch": tmp_path, "rates": RATES, "width": WIDTH}
    assert plan_solve(Problem(N, 0, 0, 2), precision="float64", **options).chosen.width == WIDTH
    assert plan_solve(Problem(10 * N, 0, 0, 2), **options).ways[0].missing == ("disk",)
