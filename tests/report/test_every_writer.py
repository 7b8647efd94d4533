"""What kernelfit writes, kernelfit reads: real runs of every kind, small ones, and the lines of this repository.

The Records of several processes and of the paper's studies are read back where these run:
tests/solvers/mpi/test_mpi.py, tests/experiments/test_section5.py and test_nets_paper.py.
"""

import contextlib
import importlib.util
import json
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from kernelfit.experiments.ridge_path import RidgePathSpec, append_rows, run_ridge_path
from kernelfit.report.forms import FORMS
from kernelfit.report.runs import read_runs
from sklearn.tree import DecisionTreeClassifier

import kernelfit
from kernelfit.backend import CPU
from kernelfit.common.errors import DataNotFoundError
from kernelfit.datasets import load
from kernelfit.experiments import bench, peers
from kernelfit.experiments.bench import BenchSpec, run_bench
from kernelfit.experiments.descent import DescentSpec, run_descent
from kernelfit.experiments.interpolants import InterpolantsSpec, run_interpolants
from kernelfit.experiments.randomize import RandomizeSpec, run_randomize
from kernelfit.experiments.solve import SolveSpec, run_solve
from kernelfit.experiments.sweep import SweepSpec, run_sweep
from kernelfit.randomization import randomization_test
from kernelfit.records.record import append_record
from kernelfit.report.page import report_page
from kernelfit.report.plots import PLOTS

PACKAGE = Path(kernelfit.__file__).parent
SMALL = {"data": "digits", "n_train": 60, "n_test": 20, "bandwidth": 1.0}
WRITERS = {}


def writer(*needs):
    """Register a function that makes real runs into a folder, unless a library that it needs is not installed."""

    def register(function):
        WRITERS[function.__name__] = pytest.param(
            function,
            marks=[
                pytest.mark.skipif(importlib.util.find_spec(each) is None, reason=f"{each} is not installed")
                for each in needs
            ],
        )
        return function

    return register


@writer()
def solves(folder, monkeypatch):
    automatic = {"bandwidth": None, "bandwidth_points": 50}
    ways = ({"precision": "float64", "loo": True}, {"precision": "mixed"}, {"labels": "random", **automatic})
    ways += (
        {"scratch": str(folder / "scratch")},
        {"pixels": "shuffled"},
        {"augment": "flip"},
    )
    for way in ways:
        append_record(folder, run_solve(SolveSpec(**SMALL | way))[0])
    append_record(folder, run_solve(SolveSpec(data="synthetic:3", n_train=9, n_test=1, bandwidth=1.0))[0])
    return {"solves": 7}


@writer("distributed")
def solve_by_dask(folder, monkeypatch):
    from distributed import LocalCluster

    quiet = {"dashboard_address": None, "silence_logs": 60}
    with LocalCluster(n_workers=1, threads_per_worker=1, processes=False, **quiet) as cluster:
        spec = SolveSpec(**SMALL, engine="dask", scheduler=cluster.scheduler_address, ridge=0.01)
        append_record(folder, run_solve(spec)[0])
    return {"solves": 1}


@writer()
def ridge_paths(folder, monkeypatch):
    for loo in (False, True):
        append_rows(folder, run_ridge_path(RidgePathSpec(**SMALL, ridges=(0, 1e-3), loo=loo)))
    return {"ridges": 4}


@writer()
def sweeps(folder, monkeypatch):
    run_sweep(SweepSpec(**SMALL, levels=(0, 1), seeds=2), runs=folder)
    run_sweep(SweepSpec(**SMALL, levels=(0.5,), seeds=1, loo=True, pixel_settings=("true", "random")), runs=folder)
    return {"sets of labels in sweeps": 5}


@writer()
def interpolants(folder, monkeypatch):
    run_interpolants(InterpolantsSpec(**SMALL, others=("pairs", "forced")), runs=folder)
    run_interpolants(InterpolantsSpec(**SMALL | {"bandwidth": 3.0}, others=("perturbed(1e-9)",)), runs=folder)
    return {"interpolants": 7}


@writer()
def descents(folder, monkeypatch):
    run_descent(DescentSpec(data=SMALL["data"], n_train=40, n_test=10, seeds=2), runs=folder)
    run_descent(DescentSpec(data="digits", n_train=40, n_test=10, grid=(70,), features="relu", seeds=1), runs=folder)
    return {"double descents": 2}


@writer()
def randomization(folder, monkeypatch):
    tree = "sklearn.tree.DecisionTreeClassifier"
    run_randomize(RandomizeSpec(estimator=tree, seeds=1, n_train=60, n_test=20, runs=str(folder)))
    data = load("digits", n_train=60)
    flat = data.X_train.reshape(60, -1)
    for X in (flat, flat[::-1]):  # two sets of data without a name
        randomization_test(
            DecisionTreeClassifier(), X, data.y_train, levels=(1,), seeds=(2**31,), records=folder / "fits.jsonl"
        )
    return {"fits of estimators": 5}


@writer()
def benchmarks(folder, monkeypatch):
    def here(command, **_):
        task = peers.Task(**json.loads(command[-1]))
        return subprocess.CompletedProcess(command, 0, json.dumps(peers.measure(task)), "")

    monkeypatch.setattr(bench.subprocess, "run", here)
    monkeypatch.setattr(bench, "measure_gemm", lambda n: 1e10)
    absent = peers.Contender(None, 1.0, "no_such_module")
    monkeypatch.setattr(peers, "CONTENDERS", {"absent": absent, "scipy": peers.CONTENDERS["scipy"]})
    list(run_bench(BenchSpec(data="digits", sizes=(50, 60), bandwidth=1.0), runs=folder))
    return {"benchmark runs": 4}


@writer("torch")
def nets(folder, monkeypatch):
    from kernelfit.experiments.nets import NetSpec, run_net, run_nets

    small = {"data": SMALL["data"], "n_train": 40, "n_test": 20, "model": "mlp(hidden=[8])", "curve_every": 2}
    run_net(NetSpec(**small, epochs=2, test_every=0), runs=folder)
    run_net(NetSpec(**small, epochs=3, lr=1e30, labels="random", seed=2**70), runs=folder)  # diverges
    synthetic = small | {"data": "synthetic:3", "epochs": 1}
    list(run_nets([NetSpec(**synthetic, labels=labels) for labels in ("true", "random")], runs=folder))
    return {"trained nets": 4}


@pytest.fixture(scope="module")
def own_data(tmp_path_factory):
    """The path, as an object, of an .npz file: what a script has, as against a command line."""
    data, path = load("digits", n_train=100, n_test=30), tmp_path_factory.mktemp("data") / "own.npz"
    np.savez(path, **{name: getattr(data, name) for name in ("X_train", "y_train", "X_test", "y_test")})
    return path


@pytest.fixture(autouse=True)
def quick(monkeypatch, own_data):
    monkeypatch.setattr(CPU, "probe", 64)  # rates do not matter here
    monkeypatch.setitem(SMALL, "data", own_data)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_what_is_written_is_read_and_shown(write, tmp_path, monkeypatch):
    expected = write(tmp_path, monkeypatch)
    runs = read_runs(tmp_path)
    assert runs.unread == []
    assert runs.lines == expected
    page = report_page(runs)
    assert "could not be read" not in page and ">nan" not in page
    for plot in PLOTS.values():
        for shown in plot.find(runs):
            with contextlib.suppress(DataNotFoundError):  # nets of a single level of corruption
                plot.table(shown)


def test_the_report_knows_every_schema_that_is_written():
    written = {
        name
        for path in PACKAGE.rglob("*.py")
        for name in re.findall(r'^SCHEMA = "(.*)"$', path.read_text(encoding="utf-8"), re.M)
    }
    assert written - {"kernelfit.checkpoint/1"} == set(FORMS)  # a checkpoint is of a training that has not ended


def test_no_result_of_this_repository_is_skipped():
    results = PACKAGE.parent / "benchmarks" / "results"
    if not results.is_dir():
        pytest.skip("no checkout")
    assert read_runs(results).unread == []
