import functools
import gc

import numpy as np
import pytest

from kernelfit.backend import cuda as cuda_module
from kernelfit.backend.cuda import Cuda, open_cuda
from kernelfit.experiments.solve import SolveSpec, run_solve
from kernelfit.solvers import auto as auto_module
from kernelfit.solvers import out_of_core
from kernelfit.solvers.planning import forecast as forecast_module
from tests.support import fake_cuda
from tests.support.gpu import RATES, SETTINGS, opened


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch):
    """Small problems then take as many tiles, panels and pieces as large ones do."""
    monkeypatch.setattr(cuda_module, "open_cuda", functools.partial(open_cuda, tile=64, panel=24))
    monkeypatch.setattr(Cuda, "probe", 64)
    monkeypatch.setattr(Cuda, "fixed_bytes", 10_000)
    monkeypatch.setattr(out_of_core, "PIECE", 600)


@pytest.fixture
def card():
    """The stand-in in the place of CuPy."""
    if fake_cuda.CARD.used:  # an error that an earlier test caught holds the frames, and so arrays, it came through
        gc.collect()
    with fake_cuda.installed() as card:
        yield card


@pytest.fixture(params=SETTINGS)
def device(request):
    """A GPU as a device."""
    return opened(request, request.param)


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (150, 6, 6), dtype=np.uint8)


@pytest.fixture
def planned(monkeypatch):
    """Plans with rates that are not measured, and no forecast from submatrices that are larger than the problem."""
    monkeypatch.setattr(auto_module, "_rates", lambda device, scratch, probe: RATES)
    for name in ("_LEAST", "_MOST"):
        monkeypatch.setattr(forecast_module, name, 200)


@pytest.fixture(scope="session")
def solved():
    """Record and model of the main job on the CPU."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(auto_module, "_rates", lambda device, scratch, probe: RATES)
        return run_solve(SolveSpec(bandwidth=1.0, loo=True, n_train=500, device="cpu"))
