"""What can be missing, and memory that runs out."""

import dataclasses
import sys

import numpy as np
import pytest

from kernelfit import backend
from kernelfit.backend.cuda import Cuda
from kernelfit.common.errors import InputError, KernelfitError, MissingLibraryError, NotEnoughMemoryError
from kernelfit.datasets import load
from kernelfit.experiments.solve import SolveSpec, run_solve
from kernelfit.grams.matrix import gram
from kernelfit.kernels import Gaussian
from kernelfit.solvers.planning import rates as rates_module
from kernelfit.solvers.planning.plan import plan_solve
from kernelfit.solvers.planning.problem import Problem
from tests.support import fake_cuda
from tests.support.gpu import RATES


def test_no_cupy(monkeypatch):
    backend.select._cuda.cache_clear()
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(MissingLibraryError, match=r"needs CuPy.*pip install 'kernelfit\[gpu12\]'"):
        backend.device("cuda")
    assert backend.device("auto") is backend.CPU


def test_cupy_without_a_gpu(card):
    """Real CuPy raises cupy_backends.cuda.api.runtime.CUDARuntimeError then, a RuntimeError."""
    card.present = False
    with pytest.raises(InputError, match=r"finds no GPU that it can use .cudaErrorInsufficientDriver"):
        backend.device("cuda")
    assert backend.device("auto") is backend.CPU
    card.present = True
    assert backend.device("auto").name == "cuda" and backend.device("cpu") is backend.CPU
    assert backend.device("auto") is backend.device("cuda"), "a GPU that works is opened once"


def test_cupy_without_cudas_libraries(card, monkeypatch):
    monkeypatch.setattr(fake_cuda.cupy.cuda.device, "get_cublas_handle", _raise(ImportError("libcublas.so.12")))
    with pytest.raises(InputError, match="libcublas"):
        backend.device("cuda")


def _raise(error):
    def function(*_):
        raise error

    return function


def test_free_memory_is_that_of_the_card_within_the_limit_of_the_pool(card):
    device = backend.device("cuda")
    assert device.free_memory() == fake_cuda.TOTAL_MEMORY
    held = device.empty(1000)
    assert device.free_memory() == fake_cuda.TOTAL_MEMORY - 8192  # 8,000 bytes in units of 512
    card.limit = 100_000
    assert device.free_memory() == 100_000 - 8192 and held.size


@pytest.mark.parametrize(("share", "precision"), [(1.6, "float64"), (0.75, "mixed")])
def test_a_small_card_changes_the_plan_and_not_the_answer(card, planned, solved, share, precision):
    """`share` is the limit of the card in units of half the matrix in float64."""
    on_cpu, _ = solved
    n = on_cpu.dataset.n_train
    card.limit = int(share * 4 * n * n) + Cuda.fixed_bytes + (4 * 64 + 96 * 10) * (n + 360)
    results = run_solve(SolveSpec(bandwidth=1.0, n_train=n, device="cuda"))[0].results
    assert (results.solver["storage"], results.precision) == ("memory", precision)
    assert card.peak <= card.limit
    np.testing.assert_allclose(results.norm, on_cpu.results.norm, rtol=1e-12)
    assert results.test_error == on_cpu.results.test_error


@pytest.mark.parametrize(
    ("gigabytes", "precision", "storage"),
    [(17, "float64", "memory"), (13, "float64", "host"), (9, "mixed", "memory"), (5, "mixed", "host")],
)
def test_mnist_is_planned_for_the_card_at_hand(card, monkeypatch, gigabytes, precision, storage):
    """Half the matrix is 14.4 GB in float64 and 7.2 GB in float32."""
    monkeypatch.undo()  # the true sizes of tiles
    monkeypatch.setattr(backend, "free_memory", lambda: int(64e9))
    card.limit = int(gigabytes * 1e9)
    problem, device = Problem(60_000, 10_000, 784, 10), backend.device("cuda")
    way = plan_solve(problem, device=device, precision=precision, rates=RATES).require()
    assert way.storage == storage and way.memory <= card.limit


def test_a_card_too_small_for_everything_is_refused_before_it_is_asked(card, planned):
    card.limit = 200_000
    with pytest.raises(NotEnoughMemoryError, match="streamed from host memory needs"):
        run_solve(SolveSpec(bandwidth=1.0, device="cuda"))


@pytest.mark.parametrize("count", [3, 10, 40, 160])
def test_memory_that_runs_out_in_the_middle_is_an_error_with_a_way_out(card, planned, count):
    card.fail_after = count
    with pytest.raises(NotEnoughMemoryError, match=r"Out of memory allocating.*less `memory`") as caught:
        run_solve(SolveSpec(bandwidth=1.0, n_train=300, device="cuda"))
    assert isinstance(caught.value, KernelfitError | MemoryError)
    card.fail_after = None
    del caught
    record, _ = run_solve(SolveSpec(bandwidth=1.0, n_train=300, device="cuda"))
    assert record.results.train_error == 0


def test_host_memory_that_cannot_be_locked_is_an_error_with_a_way_out(card, planned):
    device = backend.device("cuda")
    K = gram(load("digits").X_train[:300], Gaussian(1.0), device=device)
    problem = Problem(300, 0, 64, 1)
    way = plan_solve(problem, device=device, storage="host", rates=RATES).require()
    card.pinned_limit = 1000
    with pytest.raises(NotEnoughMemoryError, match="page-locked host memory"):
        way.solver().factor(K)


@pytest.mark.parametrize("precision", ["float64", "mixed"])
def test_page_locked_memory_is_what_was_planned(card, planned, precision):
    device = backend.device("cuda")
    K = gram(load("digits").X_train[:1000], Gaussian(1.0), device=device)
    way = plan_solve(Problem(1000, 0, 64, 1), device=device, precision=precision, storage="host", rates=RATES).require()
    with way.solver().factor(K, ridge=1e-3) as factor:
        assert abs(card.locked / way.host - 1) < 0.02, "CuPy's pool would take 16,777,216 bytes in place of 8,388,609"
        factor.solve(np.ones((1000, 1)))
        assert abs(card.locked / way.host - 1) < 0.02
    del factor
    assert card.locked == 0


@pytest.mark.parametrize("kind", ["pixels", "floats"])
def test_the_diagonal_waits_for_the_card_few_times(card, kind):
    """Once for the copy, and where distances may have lost their digits once for every tile."""
    X = load("digits").X_train[:1000]
    K = gram(X if kind == "pixels" else X.reshape(1000, -1) / 255, Gaussian(1.0), device=backend.device("cuda"))
    before = card.synchronised
    assert K.diagonal().tolist() == [1.0] * 1000
    assert card.synchronised - before <= (1 if kind == "pixels" else 1 + -(-1000 // 64))


def test_rates_are_measured_on_the_card(device, monkeypatch):
    upload = rates_module._measure_upload
    monkeypatch.setattr(rates_module, "_measure_upload", lambda device: upload(device, count=1000))
    rates = rates_module.measure_rates(device)
    assert all(value > 0 for value in dataclasses.asdict(rates).values()) and np.isfinite(rates.upload)
