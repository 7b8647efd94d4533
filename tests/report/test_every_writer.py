"""What kernelfit writes, the report shows: real runs of every kind, small ones, and the lines of this repository.

Those of several processes and of the paper's studies are read back where these run: tests/solvers/mpi and
tests/experiments.
"""

import importlib.util
import io
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from kernelfit.backend import CPU
from kernelfit.datasets import load
from kernelfit.experiments import peers
from kernelfit.experiments.bench import BenchSpec, run_bench
from kernelfit.experiments.randomize import RandomizeSpec, run_randomize
from kernelfit.experiments.registry import kinds, read_records, run
from kernelfit.report.page import report_page
from kernelfit.report.plots import PLOTS
from kernelfit.report.render.terminal import renderable
from kernelfit.report.views import VIEWS
from tests.report import folders
from tests.support.contenders import measure_here

SMALL = {"n_train": 60, "n_test": 20, "bandwidth": 1.0}
RUNS = {
    "solve": [
        {"precision": "float64", "loo": True},
        {"precision": "mixed"},
        {"labels": "random", "bandwidth": "auto", "bandwidth_points": 50},
        {"pixels": "shuffled"},
        {"augment": "flip"},
        {"data": "synthetic:3", "n_train": 9, "n_test": 1},
    ],
    "ridge": [{"ridges": (0.0, 1e-3)}, {"ridges": (0.0, 1e-3), "loo": True}],
    "sweep": [
        {"labels": (0.0, 1.0), "seeds": 2},
        {"labels": (0.5,), "seeds": 1, "loo": True, "pixels": ("true", "random")},
    ],
    "interpolants": [{"others": ("pairs", "forced")}, {"others": ("perturbed(1e-9)",), "bandwidth": 3.0}],
    "measures": [{}],
    "likelihood": [{"labels": (0.0, 1.0), "seeds": 2}, {"ridge": 0.1, "labels": (0.0, 0.5)}],
    "label_issues": [{"labels": "0.2"}, {"ridge": 0.1, "bandwidth": 1.0}],
    "descent": [
        {"bandwidth": "auto", "seeds": 2},
        {"bandwidth": "auto", "features": "relu", "grid": (70,), "seeds": 1},
    ],
}


@pytest.fixture(scope="module")
def own_data(tmp_path_factory):
    """The path of an .npz file: what a script has, as against a command line."""
    data, path = load("digits", n_train=100, n_test=30), tmp_path_factory.mktemp("data") / "own.npz"
    np.savez(path, **{name: getattr(data, name) for name in ("X_train", "y_train", "X_test", "y_test")})
    return str(path)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(CPU, "probe", 64)  # rates do not matter here


def check(folder, kind, count):
    """Read, show and draw what a kind of run has written into a folder."""
    records = read_records(folder)
    assert records.unread == [] and len(records.of(kind)) == len(records) == count
    view = importlib.import_module(f"kernelfit.report.views.{kind}")
    page = report_page(records)
    assert "could not be read" not in page and ">nan" not in page and view in VIEWS
    for plot in PLOTS.values():
        for shown in plot.find(records):
            Console(file=io.StringIO()).print(renderable(plot.table(shown)))
            assert plot.figure(shown)
    return records, view


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", RUNS)
def test_what_an_experiment_writes_is_shown(kind, tmp_path, own_data):
    for options in RUNS[kind]:
        run(kind, runs=tmp_path, **{"data": own_data} | SMALL | options)
    records, view = check(tmp_path, kind, len(RUNS[kind]))
    for record in records:
        assert view.table(record).rows and view.findings(records)


def test_what_a_benchmark_writes_is_shown(tmp_path, monkeypatch):
    measure_here(monkeypatch)
    ours = peers.CONTENDERS["kernelfit float64"]
    chosen = {"absent": peers.Contender(None, 1.0, "no_such_module"), "kernelfit float64": ours}
    monkeypatch.setattr(peers, "CONTENDERS", chosen | {"scipy": peers.CONTENDERS["scipy"]})
    list(run_bench(BenchSpec(data="digits", sizes=(50, 60), bandwidth=1.0), runs=tmp_path))
    records, view = check(tmp_path, "bench", 6)
    assert "the quickest of the others" in view.findings(records)[0].sentence
    assert sum("not run" in row.cells[-1] for row in view.table(view.runs(records)[0]).rows) == 2


def test_what_a_randomization_test_writes_is_shown(tmp_path):
    tree = "sklearn.tree.DecisionTreeClassifier"
    result = run_randomize(RandomizeSpec(estimator=tree, seeds=1, n_train=60, n_test=20), runs=tmp_path)
    records, view = check(tmp_path, "randomize", 3)
    shown = view.results(records)
    assert [view.table(each).rows for each in shown] == [view.table(result).rows] and view.findings(records)


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="torch is not installed")
def test_what_nets_write_is_shown(tmp_path, own_data):
    from kernelfit.experiments.net import NetSpec, run_net, run_nets

    small = {"data": own_data, "n_train": 40, "n_test": 20, "model": "mlp(hidden=[8])", "curve_every": 2}
    run_net(NetSpec(**small, epochs=2, test_every=0), runs=tmp_path)
    run_net(NetSpec(**small, epochs=3, lr=1e30, labels="random", seed=2**70), runs=tmp_path)  # diverges
    synthetic = small | {"data": "synthetic:3", "epochs": 1}
    list(run_nets([NetSpec(**synthetic, labels=labels) for labels in ("true", "random")], runs=tmp_path))
    records, view = check(tmp_path, "net", 4)
    for record in records:
        assert view.table(record).rows and view.figure(record).panels
    beside = {"data": own_data, "n_train": 40, "n_test": 20, "bandwidth": 1.0, "nets": str(tmp_path)}
    run("hardness", runs=tmp_path / "beside", **beside)
    found, view = check(tmp_path / "beside", "hardness", 1)
    for record in found:
        assert len(view.table(record).rows) == 1 and view.figure(record).panels
        assert len(view.findings(found)) == (record.results.nets[0].learnt_for_good is not None)


def test_every_kind_that_is_written_has_a_view():
    assert set(kinds()) == {*RUNS, "bench", "hardness", "randomize", "net", "section5"}
    assert {view.__name__.rpartition(".")[2] for view in VIEWS} > set(kinds())
    assert {record.kind for record in folders.records(folders.everything())} == set(kinds())


def test_every_result_of_this_repository_is_shown():
    results = Path(__file__).parents[2] / "benchmarks" / "results"
    records = read_records(results)
    page = report_page(records)
    assert records.unread == [] and all(
        view.section(records).title in page for view in VIEWS if view.section(records).parts
    )
