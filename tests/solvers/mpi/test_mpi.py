"""Solving over MPI, in processes that mpiexec starts: the answer of one process, and no failure that hangs."""

import importlib.metadata
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from kernelfit.backend import CPU
from kernelfit.common.errors import InputError
from kernelfit.experiments.registry import read_records
from kernelfit.experiments.solve import SolveSpec
from kernelfit.solvers.mpi.layout import Layout, grid_shape
from kernelfit.solvers.mpi.memory import matrix_bytes
from kernelfit.solvers.mpi.solver import Mpi
from tests.support.mpi_runs import CONDITION

ROOT = Path(__file__).parents[3]
MPIEXEC = shutil.which("mpiexec", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
LONGEST = 10.0  # seconds in which all must have ended after a failure


def start(count, *command):
    """Start `count` processes."""
    for package in ("mpi4py", "mkl"):
        if not list(importlib.metadata.distributions(name=package)):
            pytest.skip(f"{package} is not installed: pip install 'kernelfit[mpi]'")
    if MPIEXEC is None:
        pytest.skip("there is no mpiexec: pip install 'kernelfit[mpi]'")
    # One thread each; more processes than cores had better not wait for long before they give theirs away.
    quiet = {"OMP_NUM_THREADS": "1", "MPIR_CVAR_POLLS_BEFORE_YIELD": "1"}
    return subprocess.Popen(
        [MPIEXEC, "-n", str(count), sys.executable, "-m", *map(str, command)],
        cwd=ROOT,
        env=os.environ | quiet,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finished(process, timeout=120):
    """Return (exit code, standard output, standard error) of what `start` started."""
    try:
        output, errors = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return process.returncode, output, errors


def result(count, mode, folder):
    code, output, errors = finished(start(count, "tests.support.mpi_runs", mode, folder))
    assert code == 0, errors
    return json.loads(output)


def numbers(folder):
    return [int(path.read_text()) for path in folder.iterdir() if path.name.isdigit()]


def alive(pid):
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


@pytest.mark.heavy
def test_every_grid_gives_the_coefficients_of_one_process(tmp_path):
    cases = result(4, "grids", tmp_path)
    assert {tuple(case["report"]["grid"]) for case in cases} == {(1, 4), (2, 2), (4, 1)}
    assert {case["r"] for case in cases} == {1, 10, 300}
    # Two backward stable solvers differ by some n eps condition, 3e-10 at worst and far less as a rule.
    for case in cases:
        assert max(case[name] for name in ("coef", "fitted", "scores", "quadratic")) < 1e-10, case
        assert case["norm_1"] < 1e-14 and case["pivot"] < 1e-10 and case["residual"] < 1e-11
        assert case["precision"] == "float64" and len(case["report"]["peaks"]) == 4
        assert case["phases"] == ["kernel matrix", "factor", "kernel product", "predict"]
        assert case["wrong_phases"] == []
        assert case["condition"] <= 10 * CONDITION * (1 + 1e-9)  # |.|_1 <= sqrt(n) |.|_2 on both sides; typically less


@pytest.mark.heavy
def test_mixed_precision_gives_the_float64_answer(tmp_path):
    case = result(3, "mixed", tmp_path)
    assert case["precision"] == "mixed" and 1 <= case["report"]["steps"] < 10
    assert case["residual"] <= 1e-10 and case["report"]["residuals"][-1] == case["residual"]
    # The residual, times the condition.
    assert max(case[name] for name in ("coef", "fitted", "scores")) < 1e-10 * CONDITION
    assert case["report"]["grid"] == [1, 3]


@pytest.mark.heavy
def test_what_every_solver_promises(tmp_path):
    """The checks of tests/solvers/test_contract.py, in both precisions."""
    assert result(2, "contract", tmp_path) == "kept"


@pytest.mark.heavy
def test_failures_that_all_agree_on_are_typed_and_leave_the_processes_usable(tmp_path):
    grid, memory, one, allocation, tile, singular, coarse, end = result(3, "agreed", tmp_path)
    assert grid[0] == "InputError" and "`grid=3x5` has 15 processes; there are 3" in grid[1]
    assert memory[0] == "NotEnoughMemoryError" and "for the 3 processes" in memory[1]
    assert one[0] == "NotEnoughMemoryError" and "0 MB are free" in one[1]
    assert allocation[0] == "NotEnoughMemoryError" and "process 1 of 3" in allocation[1] and "made up" in allocation[1]
    assert tile[0] == "KernelfitError" and "process 1 of 3" in tile[1] and "ZeroDivisionError: made up" in tile[1]
    assert (
        singular[0] == "SingularMatrixError" and singular[2] == 90 and "points 20 and 90 are identical" in singular[1]
    )
    assert coarse[0] == "NotConvergedError" and '`precision="float64"`' in coarse[1]
    assert end == "solved"


@pytest.mark.heavy
def test_what_users_get_wrong_is_told_and_nothing_hangs(tmp_path):
    found = result(2, "misused", tmp_path)
    assert max(found["apart"]) < 1e-12
    said = [
        "training and test data must have one shape and one kind",
        "this K has none: a precomputed kernel",
        "an Mpi() is open already",
        "this factor was closed",
        "the block of Mpi().opened() has ended",
    ]
    for (kind, message), expected in zip(found["told"], said, strict=True):
        assert kind == "InputError" and expected in message


def test_parameters_that_are_none():
    for wrong in ({"block": -3}, {"block": 2.5}, {"memory": -5}, {"memory": "1GB"}, {"outputs": -1}, {"grid": 5}):
        [name] = wrong
        with pytest.raises(InputError, match=f"{name} = "):
            Mpi(**wrong)


@pytest.mark.heavy
def test_an_exception_in_one_process_ends_all_with_one_message(tmp_path):
    process = start(3, "tests.support.mpi_runs", "stuck", tmp_path)
    wait_for(tmp_path / "begun", process)
    began = time.monotonic()
    code, _, errors = finished(process)
    assert code != 0 and time.monotonic() - began < LONGEST
    assert errors.count("kernelfit: process 2 of 3 on") == 1 and errors.count("kernelfit: process") == 1
    assert "ZeroDivisionError: made up; all processes end" in errors
    assert gone(tmp_path)


@pytest.mark.heavy
@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_process_ends_all(tmp_path, victim):
    process = start(3, "tests.support.mpi_runs", "endless", tmp_path)
    wait_for(tmp_path / "begun", process)
    began = time.monotonic()
    os.kill(int((tmp_path / str(victim)).read_text()), signal.SIGKILL)
    code, output, errors = finished(process)
    assert code != 0 and time.monotonic() - began < LONGEST
    assert "KILLED BY SIGNAL: 9" in output + errors or "EXIT CODE: 9" in output + errors
    assert gone(tmp_path)


@pytest.mark.heavy
def test_ctrl_c_ends_all(tmp_path):
    process = start(3, "tests.support.mpi_runs", "endless", tmp_path)
    wait_for(tmp_path / "begun", process)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    code, *_ = finished(process)
    assert code != 0 and time.monotonic() - began < LONGEST
    assert gone(tmp_path)


def wait_for(path, process):
    while not path.exists():
        assert process.poll() is None or path.exists(), process.communicate()
        time.sleep(0.05)


def gone(folder):
    """Whether no process is left, after a moment in which the last may end."""
    until = time.monotonic() + 2
    while any(map(alive, numbers(folder))) and time.monotonic() < until:
        time.sleep(0.05)
    return len(numbers(folder)) == 3 and not any(map(alive, numbers(folder)))


@pytest.mark.heavy
def test_the_command_line_writes_the_record_of_one_process(tmp_path):
    options = ["solve", "--bandwidth", "1.0", "--n-train", "300", "--n-test", "100", "--precision", "float64", "--json"]
    places = ["--runs", tmp_path / "mpi", "--save", tmp_path / "mpi.npz"]
    mpi = start(2, "kernelfit", *options, *places, "--engine", "mpi", "--block", "64")
    code, output, errors = finished(mpi)
    assert code == 0, errors
    assert (tmp_path / "mpi" / "records.jsonl").read_text() == output
    alone = subprocess.run(
        [sys.executable, "-m", "kernelfit", *options, "--quiet", "--runs", tmp_path / "one"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    assert json.loads(alone)["kind"] == "solve"
    [record], [other] = read_records(tmp_path / "mpi"), read_records(tmp_path / "one")
    results, expected = record.results, other.results
    assert record.dataset == other.dataset and not record.warnings
    for name in ("d", "kernel", "corruption", "ridge", "precision", "train_error", "test_error"):
        assert getattr(results, name) == getattr(expected, name), name
    for name in ("norm", "norm_pm1", "norm_per_output", "condition_estimate", "smallest_pivot"):
        np.testing.assert_allclose(getattr(results, name), getattr(expected, name), rtol=1e-10)
    assert results.relative_residual < 1e-12 and results.norm_disagreement < 1e-12
    assert results.solver["engine"] == "mpi" and results.solver["block"] == 64 and results.solver["grid"] == [1, 2]
    assert results.method == "block Cholesky in float64 over 2 processes as 1 x 2"
    assert record.command.startswith("mpiexec -n 2 kernelfit solve ") and "--engine mpi" in record.command
    assert SolveSpec.of_command(record.command) == SolveSpec(**record.spec) and (tmp_path / "mpi.npz").exists()


@pytest.mark.heavy
def test_a_wrong_option_is_told_once(tmp_path):
    for options in (["--data", "nonesuch"], ["--grid", "3x5"], ["--precision", "mixed", "--loo"], ["--bogus"]):
        code, output, errors = finished(start(2, "kernelfit", "solve", "--engine", "mpi", *options))
        assert code == 2 and not output and sum(options[-1].strip("-") in line for line in errors.splitlines()) == 1


def test_what_an_engine_has_no_use_for_is_refused():
    for options in ({"scratch": "x"}, {"device": "cuda"}, {"rank": 5}):
        with pytest.raises(InputError, match=r"does not apply to .engine=.mpi"):
            SolveSpec(engine="mpi", **options)
    with pytest.raises(InputError, match=r"does not apply to .engine=.local"):
        SolveSpec(grid="2x2")
    with pytest.raises(InputError, match="did you mean 'mpi'"):
        SolveSpec(engine="mpl")


def test_what_is_never_written_takes_no_memory():
    """Half of a matrix of 64 MB, in columns of 16 pages, of which the lower triangle is written."""

    def resident():
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    if not Path("/proc/self/statm").exists():
        pytest.skip("resident memory is read from /proc")
    n, before = 8192, resident()
    layout = Layout(n, 128, (1, 8))
    A = CPU.reserved((n // 8, n))
    for row, index in zip(A, layout.column_indices(0), strict=True):
        row[index // 128 * 128 :] = 1.0
    taken = resident() - before
    assert 0.4 * A.nbytes < taken < 0.65 * A.nbytes
    assert taken < 1.02 * matrix_bytes(layout, 0, 8) + 2**20
    assert A[5, 0] == 1.0 and A[-1, 0] == 0.0


@pytest.mark.parametrize("grid", [(1, 1), (2, 3), (3, 1), (1, 4)])
@pytest.mark.parametrize(("n", "block"), [(1, 4), (23, 4), (24, 4), (5, 9)])
def test_every_entry_and_every_right_hand_side_has_one_owner(n, block, grid):
    layout = Layout(n, block, grid)
    owned, parts, processes = np.zeros((n, n), int), np.zeros(n, int), range(grid[0] * grid[1])
    for process in processes:
        rows = layout.row_indices(process)
        owned[np.ix_(rows, layout.column_indices(process))] += 1
        parts[rows[slice(*layout.own_part(process))]] += 1
    assert (owned == 1).all() and (parts == 1).all()
    for r in (1, 2, 10):
        shares = [layout.column_share(process, r) for process in range(grid[1])]
        assert sorted(k for share in shares for k in range(*share)) == list(range(r))


def test_the_grid_is_near_a_square_unless_asked_for():
    assert [grid_shape(count) for count in (1, 2, 4, 6, 7, 12)] == [(1, 1), (1, 2), (2, 2), (2, 3), (1, 7), (3, 4)]
    assert grid_shape(6, "1x6") == (1, 6)
    for wrong in ("2x2", "6", "x6", "axb"):
        with pytest.raises(InputError, match="there are 6 processes"):
            grid_shape(6, wrong)


@pytest.mark.heavy
@pytest.mark.parametrize(
    "options",
    [
        ["sweep", "--labels", "0", "0.5", "1", "--seeds", "2", "--loo"],
        ["sweep", "--labels", "0", "1", "--seeds", "2", "--precision", "mixed"],
        ["ridge", "--ridge", "0", "1e-3", "--loo"],
        ["measures"],
    ],
    ids=["sweep", "mixed sweep", "ridge path", "measures"],
)
def test_what_two_processes_find_is_what_one_does(tmp_path, options):
    options = [*options, "--bandwidth", "1.0", "--n-train", "300", "--n-test", "100", "--quiet", "--json"]
    code, output, errors = finished(start(2, "kernelfit", *options, "--engine", "mpi", "--runs", tmp_path))
    assert code == 0, errors
    assert len((tmp_path / "records.jsonl").read_text().splitlines()) == 1
    command = [sys.executable, "-m", "kernelfit", *options, "--runs", tmp_path / "one"]
    alone = json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)
    rows, others = (rows_of(record["results"]) for record in (json.loads(output), alone))
    assert len(rows) == len(others) > 1
    close = 1e-6 if "mixed" in options else 1e-8 if options[0] == "measures" else 1e-10  # mixed ends at 1e-10
    for row, expected in zip(rows, others, strict=True):
        assert row.keys() == expected.keys()
        for name, value in expected.items():
            if isinstance(value, float) and name not in ("relative_residual", "norm_disagreement"):
                np.testing.assert_allclose(row[name], value, rtol=close, atol=close, err_msg=name)
            elif isinstance(value, dict):
                np.testing.assert_allclose([*row[name].values()], [*value.values()], rtol=0, atol=close)


def rows_of(results):
    return results["rows"] if "rows" in results else results["table"]["measures"]
