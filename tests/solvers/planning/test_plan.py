"""Plans: what is counted is what is allocated, limits are kept, and the quickest way that fits is taken."""

import dataclasses
import math
import re
import tracemalloc

import numpy as np
import pytest

from kernelfit import backend
from kernelfit.backend import CPU, Cpu
from kernelfit.common.errors import InputError, NotEnoughMemoryError, ScratchError
from kernelfit.grams.matrix import gram
from kernelfit.kernels import Gaussian
from kernelfit.solvers import out_of_core
from kernelfit.solvers.panels import MemoryPanels, panel_width
from kernelfit.solvers.planning import plan as module
from kernelfit.solvers.planning import rates as rates_module
from kernelfit.solvers.planning.plan import PRECISIONS, operations, plan_solve
from kernelfit.solvers.planning.problem import Problem
from kernelfit.solvers.planning.rates import Rates, measure_gemm, measure_rates
from kernelfit.solvers.scratch import bytes_taken

RATES = Rates(float64=1e11, float32=2e11, entry=1e-9, read=1e9, write=5e8)


def plan(n, *, precision="auto", loo=False, **options):
    return plan_solve(Problem(n, 10_000, 784, 10, loo=loo), precision=precision, rates=RATES, **options)


def only(n, precision, storage, **options):
    [way] = plan(n, precision=precision, storage=storage, **options).ways
    return way


@pytest.fixture
def free(monkeypatch):
    """Set the memory that the machine has free."""
    return lambda amount: monkeypatch.setattr(CPU, "free_memory", lambda: int(amount))


# ---- what is counted -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("n", [1, 100, 1152, 5000, 18_432, 60_000])
def test_the_panels_fit_in_what_is_planned(n, precision):
    panels = MemoryPanels(n, panel_width(n), np.float64 if precision == "float64" else np.float32)
    sizes = sum((n - start) * (stop - start) for start, stop in panels.bounds) * panels.dtype.itemsize
    way = only(n, precision, "memory")
    counted = way.memory - way.cached_bytes - module._other_bytes(Problem(n, 10_000, 784, 10), 512, CPU)
    # n / 2 entries above the diagonal of each column of a panel are counted once more where the last panel is narrow.
    assert sizes - 8 <= counted <= sizes + 8 * n * panel_width(n)
    assert n < 18_000 or sizes <= 1.07 * panels.dtype.itemsize * n * n / 2
    assert sizes <= panels.dtype.itemsize * (n * n + n * 1152) / 2


def test_the_full_problem_needs_little_more_than_half_the_matrix():
    assert only(60_000, "float64", "memory").memory <= 1.10 * 4 * 60_000**2
    assert only(60_000, "mixed", "memory", memory=10**10).memory <= 1.20 * 2 * 60_000**2


def test_inner_products_are_kept_where_they_fit_and_pay(free):
    free(1e12)
    kept = only(20_000, "mixed", "memory")
    assert 4 * 20_000**2 / 2 <= kept.cached_bytes <= 1.1 * 4 * 20_000**2 / 2, "float32 holds those of 784 pixels"
    assert "kept" in str(kept)
    short = only(20_000, "mixed", "memory", memory=kept.memory - 1)
    assert short.cached_bytes == 0 and short.memory == kept.memory - kept.cached_bytes and short.seconds > kept.seconds
    assert only(20_000, "float64", "memory").cached_bytes == 0, "only corrections make them again"
    for other in ({"d": 20}, {"d": 0}, {"of_products": False}):
        problem = dataclasses.replace(Problem(20_000, 0, 784, 10), **other)
        [way] = plan_solve(problem, precision="mixed", storage="memory", rates=RATES).ways
        assert way.cached_bytes == 0, other
    [wide] = plan_solve(Problem(20_000, 0, 1025, 10), precision="mixed", storage="memory", rates=RATES).ways
    assert wide.cached_bytes == 2 * kept.cached_bytes


@pytest.mark.parametrize("storage", ["memory", "disk"])
@pytest.mark.parametrize(("precision", "loo"), [("float64", False), ("float64", True), ("mixed", False)])
def test_what_a_solve_allocates_is_what_was_planned(tmp_path, monkeypatch, precision, storage, loo):
    """All allocations, against the count without its fixed part; tiles are too small to matter."""
    n, device = 1500, Cpu(tile=64)
    monkeypatch.setattr(out_of_core, "PIECE", 2**16)
    X = np.random.default_rng(0).integers(0, 256, (n, 20, 20), dtype=np.uint8)
    Y = np.random.default_rng(1).standard_normal((n, 10))
    problem = Problem(n, 0, 400, 10, loo=loo)
    [way] = plan_solve(problem, device=device, precision=precision, storage=storage, rates=RATES, scratch=tmp_path).ways
    if storage == "disk":
        way = dataclasses.replace(way, width=120)  # as for a larger matrix, else the buffers are the whole of it
        counted = module._other_bytes(problem, 512, device) + sum(out_of_core.buffer_sizes(n, 120)) * (
            8 if precision == "float64" else 4
        )
    else:
        counted = way.memory
    few = gram(X[:200], Gaussian(2.0), device=device)
    with dataclasses.replace(way, storage="memory").solver().factor(few) as factor:
        factor.solve(Y[:200])  # compiles, imports
    del factor
    peaks, allowed = [], counted - device.fixed_bytes + 2e6
    # The least of up to six: Python's table of all attribute names may grow by megabytes in one of them, and threads
    # that happen to be at work at once hold more small pieces than they do one after the other.
    while not peaks or (min(peaks) > allowed and len(peaks) < 6):
        tracemalloc.start()
        try:
            with way.solver(scratch=tmp_path).factor(gram(X, Gaussian(2.0), device=device)) as factor:
                factor.solve(Y)
                if loo:
                    factor.inverse_diagonal()
                peaks.append(tracemalloc.get_traced_memory()[1])
                taken, panels = bytes_taken(tmp_path), len(factor.L.panels.bounds)
        finally:
            tracemalloc.stop()
        del factor
    if storage == "disk":
        # One last block of the file system for each panel, and what n (n + width) / 2 leaves over for the last one.
        planned = only_disk(problem, precision, tmp_path)
        assert taken <= planned * 1.1 + 4096 * panels
    assert min(peaks) <= allowed, "2 MB for everything that is small"


def only_disk(problem, precision, folder):
    [way] = plan_solve(problem, precision=precision, storage="disk", rates=RATES, scratch=folder, width=120).ways
    return way.disk


# ---- limits ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loo", [False, True])
@pytest.mark.parametrize("scratch", [False, True])
@pytest.mark.parametrize("amount", [3e8, 1e9, 2.5e9, 1e10])
def test_no_way_that_fits_needs_more_than_there_is(tmp_path, free, amount, scratch, loo):
    free(amount)
    for n in (500, 10_000, 25_000, 60_000, 10**6):
        made = plan(n, loo=loo, scratch=tmp_path if scratch else None)
        for way in made.ways:
            fits = way.memory <= amount and way.disk <= made.free["disk"]
            assert fits == (not way.missing)
        fitting = [way for way in made.ways if not way.missing]
        assert made.chosen is (min(fitting, key=lambda way: way.seconds) if fitting else None)


@pytest.mark.parametrize("amount", [3e8, 1e10])
@pytest.mark.parametrize("options", [{}, {"loo": True}, {"storage": "disk"}])
def test_the_largest_n_really_fits_and_hardly_more_does(tmp_path, free, amount, options):
    free(amount)
    options = options | {"scratch": tmp_path}
    largest = plan(400_000, **options).largest_n
    assert largest > 1000 and plan(largest, **options).chosen
    assert plan(int(1.02 * largest) + 100, **options).chosen is None
    assert plan(largest, **options).largest_n == largest


def test_too_little_memory_is_refused_with_a_size_that_would_do(free):
    free(2e9)
    made = plan(60_000)
    assert made.chosen is None
    with pytest.raises(NotEnoughMemoryError, match=r"would: try `n_train=.*`scratch`") as caught:
        made.require()
    assert isinstance(caught.value, MemoryError)
    fitting = int(re.search(r"`n_train=(\d+)`", str(caught.value))[1])
    assert 10_000 < fitting < 35_000
    assert plan(fitting).require().memory <= 2e9


@pytest.mark.parametrize("n", [1, 50, 100, 149, 5000])
def test_no_size_is_promised_where_none_fits(free, n):
    free(1000)
    made = plan(n)
    assert made.largest_n == 0
    with pytest.raises(NotEnoughMemoryError) as caught:
        made.require()
    assert "n_train" not in str(caught.value) and "ree memory" in str(caught.value)


def test_memory_is_a_limit_and_never_more_than_is_free(free):
    free(5e9)
    assert plan(10_000, memory=10**12).free["memory"] == 5e9
    assert plan(10_000, memory=10**9).free["memory"] == 10**9
    assert plan(30_000, memory=10**9).chosen is None and plan(30_000).chosen


def test_limits_of_the_process_are_kept(monkeypatch):
    """An address-space limit of 1 GB above what is in use, as ulimit -v sets it; a control group has its own tests."""
    import resource

    used = backend.machine._virtual_size()
    monkeypatch.setattr(resource, "getrlimit", lambda which: (used + 10**9, resource.RLIM_INFINITY))
    assert plan(60_000).free["memory"] <= 10**9 + 10**8
    assert plan(60_000).chosen is None and plan(5_000).chosen


def test_a_disk_is_used_where_memory_is_too_small(tmp_path, free):
    free(2e9)
    made = plan(40_000, scratch=tmp_path)
    assert made.chosen.storage == "disk" and made.chosen.memory <= 2e9 and " on disk" in str(made)
    assert plan(5_000, scratch=tmp_path).chosen.storage == "memory", "the same work without the disk"
    assert plan(5_000, scratch=tmp_path, storage="disk").chosen.storage == "disk"


def test_panels_on_disk_are_as_wide_as_memory_allows(tmp_path, free):
    widths = []
    for amount in (6e8, 1e9, 2e9, 4e9):
        free(amount)
        widths.append(only(40_000, "float64", "disk", scratch=tmp_path).width)
    assert widths == sorted(widths) and widths[0] < widths[-1] <= 4000, "at least ten panels: no more than one is lost"


# ---- choice ----------------------------------------------------------------------------------------------------------


def test_mixed_precision_where_it_is_quicker_and_would_work(free):
    free(1e12)
    assert plan(60_000).chosen.precision == "mixed"
    assert plan(60_000, steps=None).chosen.precision == "float64" == plan(60_000, loo=True).chosen.precision
    assert plan(60_000, steps=500).chosen.precision == "float64"
    assert plan(60_000, precision="mixed", steps=None).chosen.precision == "mixed", "it was asked for"
    with pytest.raises(InputError, match="leave-one-out"):
        plan(60_000, precision="mixed", loo=True)


def test_estimates_scale_with_the_work(free):
    free(1e12)
    small, large = (only(n, "float64", "memory") for n in (20_000, 40_000))
    assert 6 < large.seconds / small.seconds < 8.5, "cubic work, and some that is quadratic"
    assert operations(Problem(1000, 0, 1, 1, loo=True)) == 2 * operations(Problem(1000, 0, 1, 1))
    slow = dataclasses.replace(RATES, read=1e6, write=1e6)
    problem = Problem(20_000, 0, 784, 10)
    disk = [plan_solve(problem, storage="disk", scratch=".", rates=rates).ways[0].seconds for rates in (RATES, slow)]
    assert disk[1] > 20_000**2 * 4 / 1e6 > disk[0], "a slow disk is what takes the time"
    assert "TFLOP" in str(plan(20_000)) and "GB" in str(plan(20_000))


@pytest.mark.parametrize("storage", ["memory", "disk"])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_way_says_what_its_solver_does(tmp_path, storage, precision):
    way = only(2000, precision, storage, scratch=tmp_path)
    solver = way.solver(scratch=tmp_path)
    assert str(way) == str(solver) and (solver.precision, solver.storage, solver.width) == (
        precision,
        storage,
        way.width,
    )


# ---- measurements ----------------------------------------------------------------------------------------------------


def test_measured_rates_are_those_of_a_machine(tmp_path, monkeypatch):
    monkeypatch.setattr(CPU, "probe", 128)
    monkeypatch.setattr(
        rates_module, "_measure_disk", lambda folder, measure=rates_module._measure_disk: measure(folder, 2**20)
    )
    rates = measure_rates(CPU, tmp_path / "not" / "there" / "yet")
    assert 1e8 < rates.float64 < 1e15 and 1e8 < rates.float32 < 1e15
    assert 1e5 < rates.read < 1e13 and 1e5 < rates.write < 1e13 and rates.upload == math.inf
    assert list(tmp_path.iterdir()) == []
    assert np.isfinite(measure_gemm(n=64, repeats=1))


def test_a_disk_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(CPU, "probe", 64)
    with pytest.raises(ScratchError, match=r"file cannot be written: .*`scratch`"):
        plan_solve(Problem(100, 0, 4, 2), scratch=tmp_path / "file" / "folder")


def test_a_disk_that_is_nearly_full_is_measured_with_what_it_has(tmp_path, monkeypatch):
    usage = type("Usage", (), {"free": 5_000_000})
    monkeypatch.setattr(rates_module.shutil, "disk_usage", lambda folder: usage)
    written = []
    monkeypatch.setattr(rates_module, "_timed_file", lambda folder, size: written.append(size) or {})
    rates_module._measure_disk(tmp_path)
    assert written == [2_500_000]
