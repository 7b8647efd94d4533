"""Every way to solve, from run_solve and the command line: one answer, how it was reached, going on after a stop."""

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from kernelfit import cli
from kernelfit.backend import CPU
from kernelfit.cli.running import how_to_go_on
from kernelfit.common.errors import InputError, NotConvergedError, NotEnoughDiskError, ScratchError, SingularMatrixError
from kernelfit.common.progress import Progress
from kernelfit.common.stopwatch import Stopwatch
from kernelfit.experiments.likelihood import LikelihoodSpec, run_likelihood
from kernelfit.experiments.measures import MeasuresSpec, run_measures
from kernelfit.experiments.preparation import kernels_of, prepare, with_kernel
from kernelfit.experiments.registry import read_records
from kernelfit.experiments.ridge import RidgeSpec, run_ridge
from kernelfit.experiments.solve import SolveSpec, run_solve
from kernelfit.experiments.solving import solver_of
from kernelfit.report.views.solve import table
from kernelfit.solvers import auto, out_of_core, ridges
from kernelfit.solvers.cholesky import Cholesky
from kernelfit.solvers.panel_cholesky import PanelFactor
from kernelfit.solvers.planning.plan import plan_solve
from kernelfit.solvers.planning.rates import Rates
from kernelfit.solvers.scratch import Scratch, unfinished

SPEC = SolveSpec(bandwidth=1.0, n_train=700, precision="float64")
RATES = Rates(float64=1e11, float32=2e11, entry=1e-9, read=1e9, write=1e9)
WIDTH = 96


@pytest.fixture(scope="module", autouse=True)
def quick_calibration():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CPU, "probe", 128)
        yield


@pytest.fixture
def disk(monkeypatch, tmp_path):
    """Make every plan one for the disk, with eight panels; return the scratch folder."""

    def narrow(*arguments, width=None, scratch=None, **options):
        options |= {"storage": "disk" if scratch else "memory", "rates": RATES}
        return plan_solve(*arguments, width=width or WIDTH, scratch=scratch, **options)

    monkeypatch.setattr(auto, "plan_solve", narrow)
    monkeypatch.setattr(out_of_core, "PIECE", 2**14)
    return tmp_path / "scratch"


@pytest.fixture(scope="module")
def reference():
    return run_solve(SPEC)


def same_answer(found, reference):
    """Check a solve against another; return its record and results."""
    (record, model), (other, expected_model) = found, reference
    results, expected = record.results, other.results
    # Both residuals are below 1e-10, the condition number is below 1e5 (it is in the Record), so coefficients agree to
    # 1e-5 and norms, whose error is that of the residual times the coefficients, to 1e-8.
    assert results.relative_residual <= 1e-10 and expected.condition_estimate < 1e5
    scale = np.abs(expected_model.coef).max()
    np.testing.assert_allclose(model.coef, expected_model.coef, rtol=0, atol=1e-5 * scale)
    np.testing.assert_allclose(results.norm, expected.norm, rtol=1e-8)
    np.testing.assert_allclose(results.norm_pm1, expected.norm_pm1, rtol=1e-8)
    assert (results.train_error, results.test_error) == (0, expected.test_error)
    assert results.norm_disagreement < 1e-8 and record.warnings == []
    return record, results


# ---- one answer in every way -----------------------------------------------------------------------------------------


def test_mixed_precision(reference):
    record, results = same_answer(run_solve(dataclasses.replace(SPEC, precision="mixed")), reference)
    assert results.precision == "mixed" and "float32 corrected to float64" in results.method
    assert results.solver["steps"] >= 1 and results.solver["residuals"][-1] <= 1e-10
    assert results.solver["reason"] == "asked for" and results.solver["fallback"] is None
    assert {"refine", "factor"} <= set(record.seconds)
    assert results.gflops > 0 and results.condition_estimate > 1


@pytest.mark.parametrize("precision", ["float64", "mixed"])
def test_disk(disk, reference, precision):
    spec = dataclasses.replace(SPEC, precision=precision, scratch=str(disk))
    _, results = same_answer(run_solve(spec), reference)
    assert results.solver["storage"] == "disk" and results.solver["panel_width"] == WIDTH
    assert results.condition_estimate is None and results.solver["resumed_panels"] == 0
    assert list(disk.iterdir()) == []


def test_leave_one_out_from_disk(disk):
    spec = dataclasses.replace(SPEC, precision="auto", loo=True)
    plain = run_solve(spec)[0].results
    results = run_solve(dataclasses.replace(spec, scratch=str(disk)))[0].results
    assert results.loo_error == plain.loo_error is not None
    assert results.solver["reason"] == "leave-one-out needs it" and results.precision == "float64"
    with pytest.raises(InputError, match="leave-one-out"):
        dataclasses.replace(spec, precision="mixed")


def test_what_float32_cannot_do_is_done_in_float64_and_told(monkeypatch):
    """A bandwidth of 30 on pixels in 0..1 makes all kernel values nearly one: float32 sees a singular matrix."""
    spec = SolveSpec(bandwidth=30.0, n_train=300)
    monkeypatch.setattr(Rates, "gemm", lambda rates, precision, **_: 1e6 if precision == "float64" else 1e11)
    monkeypatch.setattr(auto, "_FORECAST_PAYS", 1e9)  # no forecast: mixed is tried
    results = run_solve(spec)[0].results
    assert results.precision == "float64" and results.solver["fallback"]
    monkeypatch.setattr(auto, "_FORECAST_PAYS", 0.0)
    warned = run_solve(spec)[0].results
    assert warned.precision == "float64" and warned.solver["fallback"] is None
    assert "too small for a float32 factor" in warned.solver["reason"]
    with pytest.raises(NotConvergedError, match=r"`precision=.float64.`"):
        run_solve(dataclasses.replace(spec, precision="mixed"))


def test_a_forecast_decides_where_it_pays(monkeypatch):
    monkeypatch.setattr(auto, "_FORECAST_PAYS", 0.0)
    record, _ = run_solve(dataclasses.replace(SPEC, precision="auto"))
    assert "corrections in float64" in record.results.solver["reason"] and "forecast" in record.seconds
    asked, _ = run_solve(SPEC)
    assert "forecast" not in asked.seconds


# ---- stopped and resumed ---------------------------------------------------------------------------------------------


class Stopped(BaseException):
    pass


@contextlib.contextmanager
def stopped_after(panels, monkeypatch):
    """Stop any run once that many panels are on the disk, as a kill would."""
    save = Scratch.save

    def limited(self, j, panel):
        if j == panels:
            raise Stopped
        save(self, j, panel)

    with monkeypatch.context() as patch:
        patch.setattr(Scratch, "save", limited)
        with pytest.raises(Stopped):
            yield


@pytest.mark.parametrize("precision", ["float64", "mixed", "auto"])
def test_a_stopped_run_goes_on(disk, monkeypatch, reference, precision):
    spec = dataclasses.replace(SPEC, precision=precision, scratch=str(disk))
    with stopped_after(3, monkeypatch):
        run_solve(spec)
    with pytest.raises(ScratchError, match="`resume=True`"):
        run_solve(spec)
    _, results = same_answer(run_solve(dataclasses.replace(spec, resume=True)), reference)
    assert results.solver["resumed_panels"] == 3 and results.gflops > 0
    assert results.solver["reason"] == ("asked for" if precision != "auto" else "that of the unfinished factor")
    assert list(disk.iterdir()) == []


def test_a_run_that_was_stopped_after_its_factor_goes_on(disk, monkeypatch, reference):
    """Nothing is left to factor, so no rate of factoring is known."""
    spec = dataclasses.replace(SPEC, scratch=str(disk))
    with monkeypatch.context() as patch:
        patch.setattr(PanelFactor, "pivots", lambda _: (_ for _ in ()).throw(Stopped))
        with pytest.raises(Stopped):
            run_solve(spec)
    record, results = same_answer(run_solve(dataclasses.replace(spec, resume=True)), reference)
    assert results.gflops is None and results.solver["resumed_panels"] == 8
    assert "factorisation" not in {row.cells[0] for row in table(record).rows}


def test_a_path_that_was_stopped_at_a_later_ridge_goes_on_there(disk, monkeypatch):
    data = {"data": "digits", "n_train": 700, "bandwidth": 1.0, "ridges": (0.0, 1e-3, 1e-2)}
    spec, saved = RidgeSpec(**data, precision="float64", scratch=str(disk)), []
    save = Scratch.save

    def limited(self, j, panel):
        if len(saved) == 11:  # of 8 panels each
            raise Stopped
        saved.append(j)
        save(self, j, panel)

    with monkeypatch.context() as patch, pytest.raises(Stopped):
        patch.setattr(Scratch, "save", limited)
        run_ridge(spec, method="refactoring")
    assert "--resume" in how_to_go_on(spec) and str(disk / "ridge-0.001") in how_to_go_on(spec)
    saved.clear()
    with monkeypatch.context() as patch:
        patch.setattr(Scratch, "save", lambda self, j, panel: (saved.append(j), save(self, j, panel)))
        monkeypatch.setattr(ridges, "_choose_method", lambda *_, **__: ("eigendecomposition", "quicker"))
        results = run_ridge(dataclasses.replace(spec, resume=True)).results  # whatever is predicted to be quicker
        rows = results.rows
        assert (results.method, results.reason) == ("refactoring", "that of the unfinished factor")
    assert len(saved) == 8 + 5 + 8 and not [*disk.rglob("*.bin")]
    for row, other in zip(rows, run_ridge(RidgeSpec(**data)).results.rows, strict=True):
        assert (row.train_error, row.test_error) == (other.train_error, other.test_error)
        assert row.norm == pytest.approx(other.norm, rel=1e-9)


def test_a_path_that_was_stopped_at_a_later_bandwidth_goes_on_there(disk, monkeypatch):
    spec = RidgeSpec(data="digits", n_train=700, ridges=(0.0, 1e-3), precision="float64", scratch=str(disk))
    ready = prepare(spec, solver_of(spec), watch=Stopwatch(), progress=Progress())
    second = with_kernel(ready, kernels_of(ready)[1], Progress())
    own = Cholesky(storage="disk", width=WIDTH, scratch=disk / "ridge-0.0")
    own.factor(second.K).close(KeyboardInterrupt())  # as a kill would leave it
    record = run_ridge(dataclasses.replace(spec, resume=True), method="refactoring")
    assert record.results.kernel == str(second.K.kernel)
    with pytest.raises(ScratchError, match="unfinished"):
        own.factor(second.K).close(KeyboardInterrupt())
        run_ridge(dataclasses.replace(spec, resume=True, bandwidth=1.23), method="refactoring")


@pytest.mark.parametrize(("spec", "run"), [(MeasuresSpec, run_measures), (LikelihoodSpec, run_likelihood)])
def test_every_command_with_a_scratch_folder_goes_on(disk, monkeypatch, spec, run):
    asked = spec(data="digits", n_train=700, bandwidth=1.0, scratch=str(disk))
    with stopped_after(3, monkeypatch):
        run(asked)
    with pytest.raises(ScratchError, match="`resume=True`"):
        run(asked)
    saved, save = [], Scratch.save
    monkeypatch.setattr(Scratch, "save", lambda self, j, panel: (saved.append(j), save(self, j, panel)))
    assert run(dataclasses.replace(asked, resume=True)) and len(saved) == 5


def test_resume_with_nothing_to_resume_begins(disk, reference):
    _, results = same_answer(run_solve(dataclasses.replace(SPEC, scratch=str(disk), resume=True)), reference)
    assert results.solver["resumed_panels"] == 0
    with pytest.raises(InputError, match="`scratch`"):
        dataclasses.replace(SPEC, resume=True)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"n_train": 699}, "n"),
        ({"bandwidth": 1.1}, "matrix"),
        ({"kernel": "laplacian"}, "matrix"),
        ({"ridge": 1e-3}, "ridge"),
        ({"seed": 1}, "matrix"),
        ({"pixels": "gaussian"}, "matrix"),
        ({"precision": "mixed"}, "dtype"),
    ],
)
def test_a_factor_of_another_problem_is_refused(disk, monkeypatch, change, named):
    spec = dataclasses.replace(SPEC, scratch=str(disk))
    with stopped_after(1, monkeypatch):
        run_solve(spec)
    with pytest.raises(ScratchError, match=rf"another problem .*{named} "):
        run_solve(dataclasses.replace(spec, resume=True, **change))
    assert unfinished(disk)["n"] == 700


def test_other_labels_may_go_on_with_a_factor(disk, monkeypatch):
    """Labels never touch the factor."""
    spec = dataclasses.replace(SPEC, scratch=str(disk))
    with stopped_after(2, monkeypatch):
        run_solve(spec)
    record, model = run_solve(dataclasses.replace(spec, resume=True, labels="random"))
    assert record.results.solver["resumed_panels"] == 2 and record.results.train_error == 0
    expected = run_solve(dataclasses.replace(SPEC, labels="random"))
    np.testing.assert_allclose(model.coef, expected[1].coef, rtol=0, atol=1e-9 * np.abs(model.coef).max())


def test_a_factor_that_would_never_do_leaves_nothing(disk):
    with pytest.raises(SingularMatrixError):
        run_solve(dataclasses.replace(SPEC, kernel="linear", bandwidth="auto", scratch=str(disk)))
    with pytest.raises(NotConvergedError):
        run_solve(dataclasses.replace(SPEC, bandwidth=30.0, precision="mixed", scratch=str(disk)))
    assert list(disk.iterdir()) == []


def test_a_full_disk(disk, monkeypatch):
    def full(file, size):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("kernelfit.common.scratch._allocate", full)
    with pytest.raises(NotEnoughDiskError):
        run_solve(dataclasses.replace(SPEC, scratch=str(disk)))
    assert list(disk.iterdir()) == []


# ---- the command line ------------------------------------------------------------------------------------------------

SMALL = ["solve", "--bandwidth", "1.0", "--n-train", "300", "--n-test", "50"]


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A folder of its own for what the command writes, beside a home and a cache that must stay empty."""
    for name, variable in (("home", "HOME"), ("cache", "XDG_CACHE_HOME")):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(variable, str(tmp_path / name))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path


def files_in(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_solve_writes_its_record_and_nothing_else(elsewhere, disk, capsys):
    assert cli.main([*SMALL, "--scratch", str(disk), "--precision", "mixed"]) == 0
    assert files_in(elsewhere) == ["here/runs/records.jsonl"]
    out, err = capsys.readouterr()
    out = " ".join(out.split())
    assert "corrections in float64" in out and "disk" in out and "condition" not in out
    assert "disk" in err and "plan: " in err
    [record] = read_records("runs")
    assert record.results.solver["storage"] == "disk"
    options = {"bandwidth": 1.0, "n_train": 300, "n_test": 50, "precision": "mixed", "scratch": disk}
    assert SolveSpec.of_command(record.command) == SolveSpec(**options)


def test_the_table_tells_of_a_fallback(reference):
    results = reference[0].results
    solver = results.solver | {"fallback": "too coarse", "steps": 7, "residuals": [1e-3, 2e-11], "shift": 3e-6}
    changed = dataclasses.replace(reference[0], results=dataclasses.replace(results, solver=solver))
    cells = {row.cells[0]: row.cells[1] for row in table(changed).rows}
    assert cells["float32 failed"] == "too coarse"
    assert "7 steps to 2" in cells["corrections in float64"] and "added to the float32 factor" in str(cells)
    old = dataclasses.replace(reference[0], results=dataclasses.replace(results, solver=None))
    assert "corrections in float64" not in {row.cells[0] for row in table(old).rows}


PROGRAM = """
import functools, os, sys, time
from kernelfit import cli
from kernelfit.solvers import auto
from kernelfit.solvers.scratch import Scratch
from kernelfit.solvers.planning.plan import plan_solve
from kernelfit.solvers.planning.rates import Rates
def narrow(*arguments, width=None, rates=None, **options):
    options |= {"storage": "disk", "rates": Rates(1e11, 2e11, 1e-9, 1e9, 1e9)}
    return plan_solve(*arguments, width=width or 40, **options)
auto.plan_solve = narrow
save = Scratch.save
def slow(self, j, panel):
    save(self, j, panel)
    print("saved", file=sys.stderr, flush=True)
    time.sleep(0.2 if "--resume" not in sys.argv else 0)
Scratch.save = slow
sys.exit(cli.main(sys.argv[1:]))
"""


@pytest.mark.heavy
def test_ctrl_c_says_how_to_go_on_and_that_works(elsewhere):
    command = [sys.executable, "-c", PROGRAM, *SMALL, "--scratch", "scratch", "--precision", "float64"]
    environment = os.environ | {"PYTHONPATH": str(Path(cli.__file__).parents[2])}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        for line in process.stderr:
            if line == "saved\n":
                break
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
        code = process.wait(timeout=60)
    assert unfinished("scratch")["n"] == 300 and not Path("runs").exists()
    assert code == 130 and "Traceback" not in rest
    assert rest.splitlines()[-1] == (
        "kernelfit: interrupted; the factor in scratch is kept: repeat the command with --resume to go on"
    )
    done = subprocess.run([*command, "--resume", "--json"], capture_output=True, text=True, env=environment)
    results = json.loads(done.stdout)["results"]
    assert results["solver"]["resumed_panels"] >= 1 and results["relative_residual"] < 1e-12
    assert not (Path("scratch") / "kernelfit-factor").exists()


# ---- as the README promises ------------------------------------------------------------------------------------------


@pytest.mark.mnist
def test_mixed_precision_on_mnist(mnist):
    spec = SolveSpec(data="mnist", bandwidth=5.0, n_train=3000, precision="float64")
    (plain, model), (mixed, other) = (run_solve(dataclasses.replace(spec, precision=p)) for p in ("float64", "mixed"))
    plain, results = plain.results, mixed.results
    assert results.relative_residual <= 1e-10 and results.norm_disagreement < 1e-8 and mixed.warnings == []
    np.testing.assert_allclose(results.norm, plain.norm, rtol=1e-8)
    assert (results.train_error, results.test_error) == (0, plain.test_error)
    # |coef - coef'| <= condition times residual
    bound = plain.condition_estimate * 2e-10 * np.linalg.norm(model.coef)
    assert np.linalg.norm(other.coef - model.coef) <= bound
    assert results.solver["steps"] <= 5
