"""What every phase of real work tells of itself sums to its total, in every way to solve: no bar passes 100 %."""

import numpy as np
import pytest

from kernelfit.analysis.complexity import gram_sums
from kernelfit.analysis.leaving_out import draw_folds, leave_fold_out, stability
from kernelfit.backend import Cpu, cuda, device, select
from kernelfit.datasets.labels import one_hot
from kernelfit.experiments.solve import SolveSpec, run_solve
from kernelfit.experiments.sweep import SweepSpec, run_sweep
from kernelfit.features.accumulated import accumulate
from kernelfit.features.random_net import Net
from kernelfit.features.randomconv import RandomConv
from kernelfit.grams.matrix import gram
from kernelfit.kernels import Gaussian
from kernelfit.models.bandwidth import choose_bandwidth
from kernelfit.solvers import out_of_core
from kernelfit.solvers.auto import Auto, Choice
from kernelfit.solvers.cholesky import Cholesky
from kernelfit.solvers.conjugate_gradients import ConjugateGradients
from kernelfit.solvers.planning.plan import plan_solve
from kernelfit.solvers.planning.problem import Problem
from kernelfit.solvers.planning.rates import Rates
from kernelfit.solvers.scratch import Scratch
from tests.support import fake_cuda
from tests.support.tally import Tally

N, M = 331, 29  # multiples of no tile and no panel
RATES = Rates(float64=1e11, float32=2e11, entry=1e-12, read=1e9, write=1e9, upload=1e10)  # inner products are kept
X = np.random.default_rng(0).standard_normal((N + M, 7))
Y = np.random.default_rng(1).standard_normal((N, 2))
KERNEL = Gaussian(bandwidth=0.7)


SMALL = {"tile": 48, "panel": 40}


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    """Several tiles and panels, and panels on disk that are cut again within."""
    monkeypatch.setattr(select, "CPU", Cpu(**SMALL))  # what "cpu" stands for
    monkeypatch.setattr(Cpu, "probe", 64)
    monkeypatch.setattr(out_of_core, "PIECE", 2**11)


def solved(precision, storage, *, scratch=None, resume=False, on="cpu"):
    """Solve, leave one out and predict, as `kernelfit solve` does; return what was told."""
    tally, on = Tally(), device(on)
    K = gram(X[:N], KERNEL, device=on)
    problem = Problem(N, M, X.shape[1], Y.shape[1], dtype=np.float64)
    options = {"precision": precision, "storage": storage, "scratch": scratch, "width": 96}
    plan = plan_solve(problem, device=on, rates=RATES, **options)
    solver = Auto(scratch=scratch, resume=resume)
    with solver.take(Choice(plan, plan.chosen, "", {}), K, progress=tally) as factor:
        solution = factor.solve(Y, progress=tally)
        if precision == "float64":
            factor.inverse_diagonal(progress=tally)
        factor.predict(gram(X[N:], KERNEL, K.points), solution.coef, progress=tally)
    assert solution.relative_residual < 1e-9
    return tally, plan.chosen


@pytest.mark.parametrize("storage", ["memory", "disk"])
@pytest.mark.parametrize("precision", ["float64", "mixed"])
def test_every_phase_of_a_solve_ends_at_its_total(precision, storage, tmp_path):
    tally, way = solved(precision, storage, scratch=tmp_path if storage == "disk" else None)
    assert {"allocate", "factor", "kernel product"} <= set(tally.names)
    assert ("leave-one-out" in tally.names) == (precision == "float64")
    assert ("inner products" in tally.names) == (way.cached_bytes > 0) == (precision == "mixed" and storage == "memory")
    assert tally.wrong() == []


@pytest.mark.parametrize("storage", ["memory", "host"])
@pytest.mark.parametrize("precision", ["float64", "mixed"])
def test_every_phase_of_a_solve_on_a_gpu_ends_at_its_total(precision, storage, monkeypatch):
    with fake_cuda.installed():
        monkeypatch.setattr(cuda.Cuda, "probe", 64)
        tally, _ = solved(precision, storage, on=cuda.open_cuda(**SMALL))
    assert tally.wrong() == []


@pytest.mark.parametrize("precision", ["float64", "mixed"])
def test_a_run_that_goes_on_tells_the_rest_and_what_was_there(precision, tmp_path, monkeypatch):
    save = Scratch.save

    def stop_after_two(self, j, panel):
        if j == 2:
            raise KeyboardInterrupt
        save(self, j, panel)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Scratch, "save", stop_after_two)
        solved(precision, "disk", scratch=tmp_path)
    tally, _ = solved(precision, "disk", scratch=tmp_path, resume=True)
    assert tally.names[0] == "verify" and tally.wrong() == []


def test_a_plan_foresees_the_phases_that_come():
    for precision in ("float64", "mixed"):
        tally, way = solved(precision, "memory")
        assert tally.expected == [("solve", [name for name, _ in way.phases])]
        coming = iter(tally.names)
        # In this order; how many corrections there are is a guess.
        assert all(name in coming for name in dict.fromkeys(name for name, _ in way.phases))
        assert way.seconds == sum(seconds for _, seconds in way.phases)


def test_a_solve_and_a_sweep_from_the_command_line():
    options = {"data": "digits", "n_train": 300, "loo": True, "precision": "float64"}
    for run in (
        lambda tally: run_solve(SolveSpec(**options), progress=tally),
        lambda tally: run_sweep(SweepSpec(**options, labels=(0.0, 0.5), seeds=1), progress=tally),
    ):
        tally = Tally()
        run(tally)
        # The search for a bandwidth ends where nothing is gained any more.
        assert [name for name, *_ in tally.wrong() if name != "bandwidth"] == []
        assert all(told[""] <= totals[""] for name, totals, told in tally.phases if name == "bandwidth")
        assert {"bandwidth", "factor", "leave-one-out"} <= set(tally.names)


def test_a_search_that_begins_far_too_wide_does_not_pass_its_end():
    Y = one_hot((X[:60, 0] > 0).astype(int), 2)
    near = X[:60] * 1e-3 + np.arange(60)[:, None] * 1e-9  # singular at the median distance: narrower ones are tried
    tally = Tally()
    choice = choose_bandwidth(near, Y, Gaussian(bandwidth=None), score="error", progress=tally)
    [(_, totals, told)] = tally.phases
    assert told[""] == len(choice.candidates) <= totals[""]


def test_what_is_computed_from_a_factor_and_from_blocks():
    tally, K = Tally(), gram(X[:N], KERNEL)
    factor = Cholesky(width=96).factor(K, ridge=1e-3, progress=tally)
    coef = factor.solve(Y, progress=tally).coef
    leave_fold_out(factor, Y, coef, draw_folds(N, 5), progress=tally)
    stability(factor, coef, factor.inverse_diagonal(), largest_diagonal=1.0, progress=tally)
    gram_sums(K, progress=tally)
    assert tally.names[3:] == ["leave-fold-out", "stability", "kernel sums"] and tally.wrong() == []


def test_conjugate_gradients_end_where_they_converge():
    tally, K = Tally(), gram(X[:N], KERNEL)
    ConjugateGradients(rank=60, tolerance=1e-9).factor(K, ridge=1e-2, progress=tally).solve(Y, progress=tally)
    assert tally.names == ["preconditioner", "conjugate gradients"] and tally.wrong() == []


def test_accumulated_features_and_going_on_with_them(tmp_path):
    images = np.random.default_rng(2).integers(0, 256, (40, 12, 12), dtype=np.uint8)
    net = Net.prepare(RandomConv(filters=64, patch=5, pool=4), images)
    for names in (["verify", "features"], ["verify"]):
        tally = Tally()
        accumulate(net, images, images[:9], blocks=1, scratch=tmp_path, progress=tally)
        assert tally.names == names and tally.wrong() == []
