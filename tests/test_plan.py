import numpy as np
import pytest

from kernelfit import backend
from kernelfit.errors import NotEnoughMemoryError
from kernelfit.solvers import plan as module
from kernelfit.solvers.cholesky import panel_width
from kernelfit.solvers.plan import bytes_needed, plan_solve


@pytest.mark.parametrize("n", [1, 100, 1152, 5000, 18_432, 60_000])
def test_the_panels_fit_in_what_is_planned(n):
    width = panel_width(n)
    panels = 8 * sum((n - start) * min(width, n - start) for start in range(0, n, width))
    planned = bytes_needed(n, 0, 0, 0) - bytes_needed(1, 0, 0, 0)
    assert panels - 64 <= planned <= panels + 8 * n * width
    assert n < 3000 or panels <= 1.07 * 4 * n * n


def test_the_full_problem_needs_little_more_than_half_the_matrix():
    assert bytes_needed(60_000, 10_000, 784, 10) <= 1.10 * 4 * 60_000**2


def test_too_little_memory_is_refused_before_allocating(monkeypatch):
    monkeypatch.setattr(backend, "free_memory", lambda: int(2e9))
    plan = plan_solve(60_000, 10_000, 784, 10)
    assert not plan.fits
    with pytest.raises(NotEnoughMemoryError, match="would fit: try --n-train") as caught:
        plan.require()
    assert isinstance(caught.value, MemoryError)
    fitting = int(str(caught.value).rpartition(" ")[0].rpartition("--n-train ")[2].split(",")[0])
    assert 10_000 < fitting < 25_000
    assert plan_solve(fitting, 10_000, 784, 10).fits
    plan_solve(fitting, 10_000, 784, 10).require()


def test_estimates_scale_with_the_work(monkeypatch):
    monkeypatch.setattr(module, "measure_gemm", lambda n: 1e11)
    small, large = (plan_solve(n, 0, 784, 10) for n in (20_000, 40_000))
    assert large.operations == 8 * small.operations
    assert 7 < large.seconds / small.seconds < 8.5
    assert plan_solve(20_000, 0, 784, 10, loo=True).operations == 2 * small.operations
    assert "TFLOP" in str(small) and "GB" in str(small)


def test_measured_rate_is_that_of_a_machine():
    assert 1e8 < module.measure_gemm(n=256) < 1e15
    assert np.isfinite(module.measure_gemm(n=64, repeats=1))
