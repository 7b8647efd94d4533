import dataclasses
import functools
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from kernelfit.cli import main
from kernelfit.common.errors import InputError, MissingLibraryError
from kernelfit.datasets import load
from kernelfit.datasets.labels import one_hot
from kernelfit.experiments import bench, peers
from kernelfit.experiments.bench import BenchSpec, run_bench
from kernelfit.experiments.registry import read_records
from kernelfit.grams.matrix import gram
from kernelfit.kernels import Gaussian
from kernelfit.report.views.bench import table
from kernelfit.solvers.auto import solve
from kernelfit.solvers.scaling import relative_residuals
from tests.support.contenders import measure_here

ON_A_CPU = [name for name in peers.CONTENDERS if name != "cuml"]


@pytest.fixture
def problem(tmp_path):
    """Digits as a contender gets them: its Task, but for its name, and the Dataset."""
    data = load("digits", n_train=200)
    peers.save(tmp_path, data.X_train, one_hot(data.y_train, 10), data.X_test)
    options = {"folder": str(tmp_path), "bandwidth": 1.0, "started": time.time()}
    return functools.partial(peers.Task, **options), data


@pytest.mark.parametrize("contender", ON_A_CPU)
@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")  # gpytorch's
def test_every_contender_solves_the_same_problem(contender, problem):
    task, data = problem
    if not peers.CONTENDERS[contender].installed:
        pytest.skip(f"{peers.CONTENDERS[contender].module} is not installed")
    result = peers.measure(task(contender))
    K = gram(data.X_train, Gaussian(1.0))
    coef = solve(K, one_hot(data.y_train, 10)).coef
    scores = np.load(Path(task(contender).folder) / "scores.npy")
    # A ridge of 1e-12 changes little, gpytorch's noise of 1e-8 more.
    assert np.abs(scores - gram(data.X_test, K.kernel, K.points).product(coef)).max() < 1e-6
    found = Path(task(contender).folder) / "coef.npy"
    assert found.exists() or contender == "gpytorch"
    if found.exists():
        # scikit-learn's ridge of 1e-12 leaves 1e-12 |coef| / |Y|; mixed precision stops at 1e-10.
        assert relative_residuals(one_hot(data.y_train, 10), K.product(np.load(found))).max() < 1e-10
    assert result["process_seconds"] > result["seconds"] > 0 and result["peak_bytes"] > 1e7 and result["blas"]


@pytest.mark.parametrize("contender", ["numpy", "scikit-learn", "torch"])
def test_peers_wait_for_no_part_of_kernelfit(contender, problem):
    if not peers.CONTENDERS[contender].installed:
        pytest.skip(f"{peers.CONTENDERS[contender].module} is not installed")
    program = (
        "import json, sys\nfrom kernelfit.experiments import peers\n"
        "task = peers.Task(**json.loads(sys.argv[1]))\n"
        "fit, predict, found = peers.CONTENDERS[task.contender].make(task, *peers.load(task))\nfit()\npredict()\n"
        "print(sorted(name for name in sys.modules if name.startswith('kernelfit.')))"
    )
    arguments = json.dumps(dataclasses.asdict(problem[0](contender)))
    done = subprocess.run([sys.executable, "-c", program, arguments], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['kernelfit.experiments', 'kernelfit.experiments.peers']"


def test_a_run_is_kept_and_shown(tmp_path, capsys, monkeypatch):
    measure_here(monkeypatch)
    options = ["--data", "digits", "--n", "100", "200", "--bandwidth", "1", "--contender", "numpy", "--runs"]
    figure = tmp_path / "bench.svg"
    assert main(["bench", *options, str(tmp_path), "-o", str(figure)]) == 0
    printed = capsys.readouterr()
    assert "numpy" in printed.out and "power" in printed.out and figure.stat().st_size > 1000
    records = read_records(tmp_path).of("bench")
    assert [(each.results.contender, each.results.n) for each in records] == [("numpy", 100), ("numpy", 200)]
    assert all(each.results.gemm_rate == 1e10 and each.results.peak_bytes == each.peak_bytes for each in records)
    assert records[0].id != records[1].id and records[0].command == records[1].command


def test_what_cannot_run_is_named_and_the_others_run(monkeypatch):
    absent = peers.Contender(None, 1.0, "no_such_module")
    large = peers.Contender(None, 1e9)
    monkeypatch.setattr(peers, "CONTENDERS", {"absent": absent, "large": large, "numpy": peers.CONTENDERS["numpy"]})
    monkeypatch.setattr(bench, "measure_gemm", lambda n: 1e10)
    rows = list(run_bench(BenchSpec(data="digits", sizes=(100,), bandwidth=1.0)))
    skipped = [row.results.skipped for row in rows if row.results.skipped]
    assert any("not installed" in reason for reason in skipped)
    assert any("needs about" in reason for reason in skipped)
    assert len(rows) - len(skipped) == 1
    assert "absent" in str(table(rows))


def test_a_contender_that_fails_says_why(monkeypatch):
    monkeypatch.setattr(bench, "measure_gemm", lambda n: 1e10)
    [row] = run_bench(BenchSpec(data="digits", sizes=(100,), bandwidth=1e9, contenders=("scipy",)))
    assert "positive definite" in row.results.skipped
    for wrong in ({"data": "no-such-data"}, {"data": "digits", "sizes": (100, 10_000)}):
        with pytest.raises(InputError, match=r"no-such-data|10000"):
            next(run_bench(BenchSpec(**wrong, contenders=("numpy",))))


def test_a_contender_that_crashes_is_named_with_its_signal(tmp_path, monkeypatch):
    monkeypatch.setattr(bench, "measure_gemm", lambda n: 1e10)
    crashing = tmp_path / "python"
    crashing.write_text("#!/bin/sh\nkill -SEGV $$\n")
    crashing.chmod(0o755)
    monkeypatch.setattr(bench.sys, "executable", str(crashing))
    [row] = run_bench(BenchSpec(data="digits", sizes=(100,), contenders=("numpy",)))
    assert row.results.skipped == "killed by SIGSEGV"


@pytest.mark.parametrize("wrong", [{"contenders": ("scipi",)}, {"sizes": ()}, {"sizes": (1,)}, {"bandwidth": 0}])
def test_options_are_checked(wrong):
    with pytest.raises(InputError):
        BenchSpec(**wrong)


def test_a_contender_that_was_named_must_be_installed(monkeypatch):
    monkeypatch.setattr(peers.Contender, "installed", property(lambda self: self.module != "cuml"))
    with pytest.raises(MissingLibraryError, match="contender cuml needs cuml: pip install cuml"):
        list(run_bench(BenchSpec(data="digits", sizes=(50,), contenders=("numpy", "cuml"))))
