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
from kernelfit.common import scratch as module
from kernelfit.common.errors import InputError, NotConvergedError, NotEnoughDiskError, ScratchError, SingularMatrixError
from kernelfit.solvers import out_of_core
from kernelfit.solvers.auto import Auto
from kernelfit.solvers.cholesky import Cholesky
from kernelfit.solvers.out_of_core import OutOfCorePanels
from kernelfit.solvers.panel_cholesky import cholesky
from kernelfit.solvers.planning.plan import plan_solve
from kernelfit.solvers.planning.problem import Problem
from kernelfit.solvers.planning.rates import Rates
from kernelfit.solvers.scratch import Scratch, bytes_taken, unfinished
from tests.support.problems import as_gram, symmetric_matrix

N, WIDTH = 60, 12
FOLDER = "kernelfit-factor"
Y = np.random.default_rng(0).standard_normal((N, 2))
IDENTITY = {"n": N, "width": WIDTH, "dtype": "float64"}
RATES = Rates(1e11, 2e11, 1e-9, 1e9, 1e9)


@pytest.fixture(autouse=True)
def many_pieces(monkeypatch):
    monkeypatch.setattr(out_of_core, "PIECE", 100)
    monkeypatch.setattr(os, "fsync", lambda number: None)  # nothing here outlives the machine


@pytest.fixture(name="K")
def matrix():
    return as_gram(symmetric_matrix(N, 1e3)[0])


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
    assert killed_runs("events", tmp_path)["kills"] > 30


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
    with pytest.raises(ScratchError, match="`resume=True`"):
        panels_in(tmp_path, resume=False)
    assert unfinished(tmp_path)["n"] == N and folder.exists()
    assert finished_in(tmp_path) == 2, "and the refused run holds no lock"


def test_a_panel_that_is_not_there_is_made_again_with_those_after_it(K, tmp_path, expected):
    folder = interrupt(K, tmp_path, 4)
    (folder / "panel-00001.bin").unlink()
    assert finished_in(tmp_path) == 1
    assert answer(K, tmp_path) == expected


@pytest.mark.parametrize("rubbish", [b"", b"torn", bytes(10_000)])
def test_what_a_killed_run_left_in_the_making_does_not_matter(K, tmp_path, expected, rubbish):
    """A file in the making may be of any length, shorter or longer than the panel will be."""
    folder = interrupt(K, tmp_path, 2)
    for j in (2, 3):
        (folder / f".panel-{j:05d}.part").write_bytes(rubbish)
    assert finished_in(tmp_path) == 2
    assert answer(K, tmp_path) == expected


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def flip_in_the_line(path):
    path.write_bytes(path.read_bytes().replace(b'"facts": null', b'"facts": 1234', 1))


def swap(path):
    other = path.with_name("panel-00001.bin")
    first, second = path.read_bytes(), other.read_bytes()
    path.write_bytes(second), other.write_bytes(first)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (flip, "not what was written"),
        (flip_in_the_line, "not what was written"),
        (swap, "not what was written"),
        (lambda path: os.truncate(path, 40), "not what was written"),
        (lambda path: os.truncate(path, path.stat().st_size - 1), "not what was written"),
        (lambda path: path.write_bytes(path.read_bytes() + b"x"), "not what was written"),
        (lambda path: path.write_bytes(b""), "not what was written"),
        (lambda path: (path.unlink(), path.mkdir()), "cannot be read"),
    ],
)
def test_damaged_panels_are_refused(K, tmp_path, damage, message):
    folder = interrupt(K, tmp_path, 3)
    damage(folder / "panel-00002.bin" if damage is not swap else folder / "panel-00000.bin")
    with pytest.raises(ScratchError, match=rf"panel-0000\d.bin.*{message}.*Remove"):
        panels_in(tmp_path)


@pytest.mark.parametrize("header", ["", "{", "[]", "{}", '{"format": "kernelfit.scratch/2"}', '{"format": "other"}'])
def test_damaged_headers_are_refused(K, tmp_path, header):
    folder = interrupt(K, tmp_path, 2)
    (folder / "header.json").write_text(header)
    for look in (lambda: unfinished(tmp_path), lambda: panels_in(tmp_path)):
        with pytest.raises(ScratchError, match=r"damaged|no scratch folder"):
            look()


def test_a_factor_of_an_earlier_version_is_refused_and_left_as_it_is(tmp_path):
    folder = tmp_path / FOLDER
    folder.mkdir()
    (folder / "header.json").write_text(json.dumps({"format": "kernelfit.scratch/1"} | IDENTITY))
    (folder / "panel-00000.bin").write_bytes(bytes(8 * N * WIDTH))
    (folder / "journal.jsonl").write_text('{"panel": 0, "crc32": 1}\n')
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    for resume in (True, False):
        with pytest.raises(ScratchError, match=r"no scratch folder of this version.*the version that wrote it"):
            panels_in(tmp_path, resume=resume)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before | {"lock": b""}


def test_another_identity_is_refused_by_name(K, tmp_path):
    interrupt(K, tmp_path, 2)
    for name, value in {"n": 61, "width": 13, "dtype": "float32", "matrix": "ab", "ridge": 0.1}.items():
        with pytest.raises(ScratchError, match=rf"another problem \({name} .*{value}"):
            panels_in(tmp_path, IDENTITY | {name: value})


def test_a_factor_without_a_header_is_never_trusted(K, tmp_path, expected):
    """Killed while it removed its folder, header first; then another problem of the same size is begun and stopped."""
    folder = interrupt(K, tmp_path, 4)
    (folder / "header.json").unlink()
    other = as_gram(symmetric_matrix(N, 1e3, seed=9)[0])
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

    monkeypatch.setattr("kernelfit.common.scratch.fcntl.flock", late)
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
    with pytest.raises(ScratchError, match="not a folder that can be made, written and locked"):
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
    monkeypatch.setattr(module, "_allocate", refuse(code, lambda: calls.append(1) or len(calls) == 3))
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
        patch.setattr(module, "_allocate", refuse(errno.ENOSPC))
        with pytest.raises(NotEnoughDiskError):
            answer(K, tmp_path)
    assert finished_in(tmp_path) == 3
    assert answer(K, tmp_path) == expected


@pytest.mark.parametrize("target", ["fsync", "replace"])
@pytest.mark.parametrize(("code", "kind"), [(errno.ENOSPC, NotEnoughDiskError), (errno.EIO, ScratchError)])
def test_a_write_that_fails_in_the_middle_is_not_trusted(K, tmp_path, monkeypatch, expected, target, code, kind):
    """The file of a panel is written and may not have reached the disk, or has not got its name; neither counts."""
    calls = []
    with monkeypatch.context() as patch:
        panels = panels_in(tmp_path)
        panels.allocate(lambda entries: None)
        panels.allocate = lambda advance: None
        whole, fails = getattr(os, target), refuse(code, lambda: calls.append(1) or len(calls) > 2)
        patch.setattr(os, target, lambda *arguments: fails() or whole(*arguments))
        with pytest.raises(kind, match=rf"panel-00002 .*{os.strerror(code)}.*what was saved is kept"):
            cholesky(K, panels=panels)
        panels.abandon()
    assert finished_in(tmp_path) == 2
    assert answer(K, tmp_path) == expected


def test_the_systems_own_limit_on_files(tmp_path):
    """RLIMIT_FSIZE: the first panel, 60 x 12 numbers, has 5,760 bytes."""
    program = (
        "import resource, signal, numpy as np; from tests.solvers.test_scratch import *\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))\n"
        f"answer(as_gram(np.eye(60)), {str(tmp_path)!r})"
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
        with pytest.raises(ScratchError, match=r"panel-00001.bin (is not what was written|cannot be read)"):
            factor.solve(Y)
        panels.finish()


# ---- the solver ------------------------------------------------------------------------------------------------------


def on_disk(folder, precision="float64", **options):
    return Cholesky(precision=precision, storage="disk", scratch=folder, width=WIDTH, **options)


@pytest.mark.parametrize("precision", ["float64", "mixed"])
def test_no_folder_is_left_after_what_would_fail_again(tmp_path, precision):
    ones, Y = as_gram(np.ones((40, 40))), np.eye(40)[:, :2]
    with pytest.raises((SingularMatrixError, NotConvergedError)), on_disk(tmp_path, precision).factor(ones) as factor:
        factor.solve(Y)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("precision", ["float64", "mixed"])
def test_wrong_targets_leave_no_folder(K, tmp_path, precision):
    with pytest.raises(InputError), on_disk(tmp_path, precision).factor(K) as factor:
        factor.solve(Y[1:])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("precision", ["float64", "mixed"])
def test_ctrl_c_leaves_the_folder_and_a_later_run_goes_on(K, tmp_path, precision):
    with pytest.raises(KeyboardInterrupt), on_disk(tmp_path, precision).factor(K) as factor:
        expected = factor.solve(Y)
        raise KeyboardInterrupt
    assert unfinished(tmp_path)["dtype"] == ("float64" if precision == "float64" else "float32")
    again = on_disk(tmp_path, precision, resume=True)
    with pytest.raises(ScratchError, match=r"another problem .*ridge"):
        again.factor(K, ridge=1.0)
    with pytest.raises(ScratchError, match=r"another problem .*matrix"):
        again.factor(as_gram(np.eye(N)))
    with pytest.raises(ScratchError, match="resume"):
        on_disk(tmp_path, precision).factor(K)
    with again.factor(K) as factor:
        solution = factor.solve(Y)
        assert factor.gflops is None, "nothing was factored in this run"
    assert solution.report["resumed_panels"] == 5 and np.array_equal(solution.coef, expected.coef)
    assert list(tmp_path.iterdir()) == []


def test_a_shift_is_gone_on_with(tmp_path):
    """float32 breaks down without one; a run that goes on does not begin with none again."""
    Q, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((N, N)))
    K = as_gram(symmetric_part((Q * np.resize([1.0, 0.5, 1e-10], N)) @ Q.T))
    right = K.product(Y)
    with pytest.raises(KeyboardInterrupt), on_disk(tmp_path, "mixed").factor(K) as factor:
        expected = factor.solve(right)
        raise KeyboardInterrupt
    assert unfinished(tmp_path)["shift"] == expected.report["shift"] > 0
    with on_disk(tmp_path, "mixed", resume=True).factor(K) as factor:
        solution = factor.solve(right)
    assert np.array_equal(solution.coef, expected.coef)
    assert solution.report["breakdowns"] == expected.report["breakdowns"] and solution.report["resumed_panels"] == 5


def symmetric_part(K):
    return (K + K.T) / 2


def test_auto_goes_on_in_the_way_that_was_begun(K, tmp_path):
    with pytest.raises(KeyboardInterrupt), on_disk(tmp_path, "mixed").factor(K):
        raise KeyboardInterrupt
    with Auto(scratch=tmp_path, resume=True).factor(K) as factor:
        report = factor.solve(Y).report
    assert (report["precision"], report["storage"], report["resumed_panels"]) == ("mixed", "disk", 5)
    assert report["panel_width"] == WIDTH and report["reason"] == "that of the unfinished factor"
    assert list(tmp_path.iterdir()) == []


def test_threads_are_part_of_the_identity(K, tmp_path, monkeypatch):
    with pytest.raises(KeyboardInterrupt), on_disk(tmp_path).factor(K):
        raise KeyboardInterrupt
    monkeypatch.setattr("kernelfit.backend.machine.num_threads", lambda: 99)
    with pytest.raises(ScratchError, match=r"arithmetic .*99"):
        on_disk(tmp_path, resume=True).factor(K)


def test_space_that_an_unfinished_factor_takes_is_not_asked_for_twice(K, tmp_path, monkeypatch):
    interrupt(K, tmp_path, 2)
    panels = 8 * sum((N - start) * min(WIDTH, N - start) for start in range(0, N, WIDTH))
    assert panels <= bytes_taken(tmp_path) <= panels + 5 * 4096  # the disk counts in blocks of 4 kB
    usage = type("Usage", (), {"free": 0})
    monkeypatch.setattr("kernelfit.solvers.planning.plan.shutil.disk_usage", lambda folder: usage)
    options = {"storage": "disk", "scratch": tmp_path, "rates": RATES, "width": WIDTH}
    assert plan_solve(Problem(N, 0, 0, 2), precision="float64", **options).chosen.width == WIDTH
    assert plan_solve(Problem(10 * N, 0, 0, 2), **options).ways[0].missing == ("disk",)
