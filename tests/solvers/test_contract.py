"""One contract for every solver: storage by device by precision. What is promised is in tests/support/contract.py."""

import copy
import dataclasses
import importlib
import os
import pickle

import numpy as np
import pytest

from kernelfit import backend
from kernelfit.backend.cuda import Cuda
from kernelfit.common.errors import InputError, ScratchError
from kernelfit.solvers import auto, out_of_core
from kernelfit.solvers.auto import Auto
from kernelfit.solvers.band import Banded
from kernelfit.solvers.cholesky import Cholesky
from kernelfit.solvers.conjugate_gradients import ConjugateGradients
from kernelfit.solvers.eigen import Eigen
from kernelfit.solvers.mpi.solver import Mpi
from kernelfit.solvers.planning.rates import Rates
from kernelfit.solvers.scratch import unfinished
from tests.support import fake_cuda
from tests.support.contract import CHECKS, Case, made, right, targets

WIDTH = 32  # columns of a panel: five panels, the last of them narrow
TOLERANCE = 1e-12  # of conjugate gradients, so that coefficients have as many digits as others
RATES = Rates(float64=1e11, float32=2e11, entry=1e-9, read=1e9, write=1e9, upload=1e10)


def cholesky(precision, storage, device="cpu", **options):
    def make(folder):
        where = backend.device("cuda") if device == "cuda" else device
        return Cholesky(
            precision=precision,
            storage=storage,
            device=where,
            width=WIDTH,
            scratch=folder if storage == "disk" else None,
            **options,
        )

    kept = "".join(f"-{option}" for option in options)
    return Case(f"cholesky-{device}-{storage}{kept}", make, precision=precision, on_disk=storage == "disk")


def planned(precision, storage="auto", device="cpu", **others):
    def make(folder):
        return Auto(precision=precision, storage=storage, device=device, scratch=folder if storage == "disk" else None)

    solved = precision if precision != "auto" else "float64"
    return Case(f"auto-{precision}-{storage}-{device}", make, precision=solved, on_disk=storage == "disk", **others)


def dask(folder):
    return importlib.import_module("kernelfit.solvers.dask.solver").Dask(workers=2, rank=20, tolerance=TOLERANCE)


CASES = [
    *(cholesky(precision, storage) for precision in ("float64", "mixed") for storage in ("memory", "disk")),
    cholesky("mixed", "memory", cached=True),
    *(cholesky("mixed", "memory", device, halves=True) for device in ("cpu", "cuda")),
    *(
        cholesky(precision, storage, "cuda")
        for precision in ("float64", "mixed")
        for storage in ("memory", "host", "disk")
    ),
    *(planned(precision, device=device) for precision in ("auto", "float64", "mixed") for device in ("cpu", "cuda")),
    *(planned(precision, "disk") for precision in ("float64", "mixed")),
    Case("eigen", lambda folder: Eigen()),
    Case("band", lambda folder: Banded()),
    *(
        Case(
            f"cg-rank-{rank}",
            lambda folder, rank=rank: ConjugateGradients(rank=rank, tolerance=TOLERANCE),
            tolerance=TOLERANCE,
            has_factor=False,
        )
        for rank in (0, 20)
    ),
]
DASK = Case("dask", dask, tolerance=TOLERANCE, has_factor=False)


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    """Small problems take as many tiles and pieces as large ones do, and no time to measure."""
    for name, value in {"tile": 64, "panel": 24, "probe": 64, "fixed_bytes": 10_000}.items():
        monkeypatch.setattr(Cuda, name, value)
    monkeypatch.setattr(out_of_core, "PIECE", 600)
    monkeypatch.setattr(os, "fsync", lambda number: None)  # nothing here outlives the machine
    monkeypatch.setattr(auto, "_rates", lambda device, scratch, probe: RATES)


@pytest.fixture(autouse=True)
def card():
    """The stand-in in the place of CuPy."""
    with fake_cuda.installed() as card:
        yield card


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_contract(case, check, tmp_path):
    check(case, tmp_path)


@pytest.mark.heavy
# A client's own memory, of its connection, comes and goes beside that of a factor.
@pytest.mark.parametrize(
    "check", [check for check in CHECKS if "memory" not in check.__name__], ids=lambda check: check.__name__
)
def test_contract_over_dask(check, tmp_path):
    pytest.importorskip("distributed", reason="needs the extra dask: pip install 'kernelfit[dask]'")
    with dask(tmp_path).opened() as solver:
        check(dataclasses.replace(DASK, make=lambda folder: solver), tmp_path)


# Over MPI, `contract` of tests/support/mpi_runs runs the checks; tests/solvers/mpi starts it.


# ---- what an error leaves behind -------------------------------------------------------------------------------------

ON_DISK = [case for case in CASES if case.on_disk]


@pytest.mark.parametrize("case", ON_DISK, ids=str)
def test_a_run_that_is_stopped_is_gone_on_with(case, tmp_path):
    solver, K, A = made(case, tmp_path)
    with pytest.raises(KeyboardInterrupt), solver.factor(K) as factor:
        expected = factor.solve(targets())
        raise KeyboardInterrupt
    assert unfinished(tmp_path)
    with pytest.raises(ScratchError, match="resume"):
        solver.factor(K)
    with dataclasses.replace(solver, resume=True).factor(K) as factor:
        solution = factor.solve(targets())
    right(case, solution, A, targets())
    assert np.array_equal(solution.coef, expected.coef)
    assert solution.report["resumed_panels"] >= 1 and not list(tmp_path.iterdir())


@pytest.mark.parametrize("case", ON_DISK, ids=str)
def test_an_error_that_would_come_again_leaves_nothing(case, tmp_path):
    solver, K, _ = made(case, tmp_path)
    with pytest.raises(InputError), solver.factor(K) as factor:
        factor.solve(targets()[1:])
    assert not list(tmp_path.iterdir())


# ---- solvers as objects ----------------------------------------------------------------------------------------------

SOLVERS = [
    lambda: Cholesky(),
    lambda: Cholesky(precision="mixed", storage="disk", scratch="somewhere", width=5),
    lambda: Auto(),
    lambda: Auto(precision="float64", memory=10**9, loo=True),
    lambda: Eigen(),
    lambda: ConjugateGradients(),
    lambda: ConjugateGradients(rank=5, scratch="somewhere", resume=True),
    lambda: Mpi(),
    lambda: Mpi(precision="mixed", grid="2x2"),
]
if importlib.util.find_spec("distributed"):
    SOLVERS += [lambda: dask(None)]


@pytest.mark.parametrize("make", SOLVERS, ids=lambda make: repr(make()))
def test_a_solver_is_a_value(make):
    """scikit-learn clones and compares what estimators are made of, and sends it to other processes."""
    solver = make()
    for other in (make(), copy.copy(solver), copy.deepcopy(solver), pickle.loads(pickle.dumps(solver))):
        assert other == solver and hash(other) == hash(solver) and repr(other) == repr(solver)
    assert len({repr(each()) for each in SOLVERS} | {repr(solver)}) == len(SOLVERS)
    assert sum(each() == solver for each in SOLVERS) == 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        solver.device = "cuda"


@pytest.mark.parametrize("make", SOLVERS[:7], ids=lambda make: repr(make()))
def test_a_solver_that_needs_nothing_is_open(make):
    solver = make()
    with solver.opened() as opened:
        assert opened == solver and opened.is_root and opened.launcher == ""


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (Cholesky, {"precision": "float32"}, "float32.*known are float64, mixed"),
        (Cholesky, {"storage": "tape"}, "tape.*known are memory, host, disk"),
        (Auto, {"precision": "double"}, "double.*known are auto"),
        (Auto, {"resume": True}, "scratch"),
        (Auto, {"precision": "mixed", "loo": True}, "leave-one-out"),
        (Mpi, {"precision": "double"}, "double.*known are auto"),
        (Mpi, {"precision": "mixed", "loo": True}, "leave-one-out"),
    ],
)
def test_settings_that_cannot_be_are_refused_at_once(make, options, message):
    with pytest.raises(InputError, match=message):
        make(**options)


def test_a_disk_needs_a_folder():
    _, K, _ = made(CASES[0], None)
    with pytest.raises(InputError, match="give `scratch`"):
        Cholesky(storage="disk").factor(K)


def test_processes_that_nobody_entered_are_asked_for():
    _, K, _ = made(CASES[0], None)
    with pytest.raises(InputError, match=r"Mpi\(\).opened\(\)"):
        Mpi().factor(K)
