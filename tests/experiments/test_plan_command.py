"""kernelfit plan: sizes from a dataset or by hand, another machine, and a calibration that is made once."""

import json

import numpy as np
import pytest

from kernelfit import backend, cli
from kernelfit.common.errors import InputError
from kernelfit.experiments import plan as module
from kernelfit.experiments.plan import PlanSpec, run_plan
from kernelfit.solvers.planning.rates import Rates


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """Keep calibrations in a folder of the test, and count them."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    measured = []
    made = Rates(float64=1e11, float32=2e11, entry=1e-9)
    monkeypatch.setattr(module, "measure_rates", lambda *arguments: measured.append(arguments) or made)
    return measured


def plan_of(**options):
    return run_plan(PlanSpec(**options))


def planned(capsys, *arguments):
    assert cli.main(["plan", "--json", *arguments]) == 0
    return json.loads(capsys.readouterr().out)


def test_one_calibration_for_each_machine_and_folder(tmp_path, cache, monkeypatch):
    for _ in range(2):
        plan_of(n=1000)
    assert len(cache) == 1
    plan_of(n=1000, scratch=tmp_path)
    plan_of(n=2000, scratch=tmp_path)
    assert len(cache) == 2
    monkeypatch.setattr("kernelfit.backend.machine.num_threads", lambda: 99)
    first = plan_of(n=1000)
    assert len(cache) == 3, "with other threads"
    assert plan_of(n=1000, calibrate=True).rates == first.rates and len(cache) == 4
    assert plan_of(n=1000).rates == first.rates and len(cache) == 4
    assert [path.name for path in (tmp_path / "cache" / "kernelfit").iterdir()] == ["rates.json"]


@pytest.mark.parametrize("content", ["", "{", "[]", "7", "null", '"text"', "{}", "\udcff"])
def test_a_damaged_calibration_is_made_again(tmp_path, cache, content):
    place = tmp_path / "cache" / "kernelfit" / "rates.json"
    place.parent.mkdir(parents=True)
    place.write_text(content, errors="surrogateescape")
    assert plan_of(n=1000).chosen and plan_of(n=1000).chosen
    assert len(cache) == 1


@pytest.mark.parametrize(
    "entry", [None, 5, [], {}, {"float64": 1.0}, {"nonsense": 1}, {"float64": 0, "float32": 0, "entry": 0}, "text"]
)
def test_a_damaged_entry_is_made_again(tmp_path, cache, entry):
    plan_of(n=1000)
    place = tmp_path / "cache" / "kernelfit" / "rates.json"
    [key] = json.loads(place.read_text())
    place.write_text(json.dumps({key: entry, "another": {"float64": 1.0}}))
    assert plan_of(n=1000).rates.float64 == 1e11 and len(cache) == 2
    assert set(json.loads(place.read_text())) == {key, "another"}, "and what others measured is kept"


def test_a_cache_that_cannot_be_written_costs_time_only(tmp_path, cache):
    (tmp_path / "cache").write_text("a file")
    assert plan_of(n=1000).chosen and plan_of(n=1000).chosen
    assert len(cache) == 2


def test_sizes_of_a_dataset(tmp_path):
    made = plan_of(data="digits")
    assert (made.problem.n, made.problem.n_test, made.problem.d, made.problem.outputs) == (1437, 360, 64, 10)
    assert plan_of(data="digits", n=500).problem.n == 500
    X = np.random.default_rng(0).standard_normal((30, 3))
    np.savez(tmp_path / "mine.npz", X_train=X, y_train=np.arange(30) % 2, X_test=X[:7], y_test=np.arange(7) % 2)
    problem = plan_of(data=str(tmp_path / "mine.npz")).problem
    assert (problem.n, problem.n_test, problem.d, problem.outputs, problem.dtype) == (30, 7, 3, 2, np.float64)


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"n": 0},
        {"n": -5},
        {"n": 10, "d": -1},
        {"n": 10, "n_test": -1},
        {"n": 10, "outputs": 0},
        {"n": 10, "tflops": (0.0, 1.0)},
        {"n": 10, "tflops": (1.0, -1.0)},
        {"n": 10, "tflops": (float("nan"), 1.0)},
        {"n": 10, "tflops": (67.0, 400.0), "device": "cuda"},
        {"n": 10, "device": "abacus"},
        {"n": 10, "loo": True, "precision": "mixed"},
        {"n": 10, "tflops": (1.0,)},
        {"n": 10**9},
        {"data": "digits", "d": 784},
        {"n": 10, "machines": 2, "cores": 2, "network": "1Gbit"},
        {"n": 10, "machines": 2, "cores": 2, "network": "1Gbit", "memory": 10**9, "loo": True},
    ],
)
def test_what_cannot_be_planned(wrong):
    with pytest.raises(InputError):
        plan_of(**wrong)


def test_a_gpu_that_is_not_here(cache, monkeypatch):
    monkeypatch.setattr(backend, "free_memory", lambda: 10**12)
    made = plan_of(n=120_000, device="cuda", tflops=(60.0, 400.0), memory=80 * 10**9)
    assert not cache and made.chosen and made.chosen.device == "cuda"
    by_storage = {(way.storage, way.precision): way for way in made.ways}
    assert set(by_storage) == {(s, p) for s in ("memory", "host") for p in ("float64", "mixed")}
    assert by_storage["host", "float64"].host >= 4 * 120_000**2
    assert plan_of(n=120_000, device="cuda", tflops=(60.0, 400.0), memory=10**9).chosen is None


def test_memory_stands_for_another_amount_than_is_free(cache):
    assert plan_of(n=10**6, memory=10**13).chosen.storage == "memory"
    assert plan_of(n=10_000, memory=10**8).chosen is None
    assert plan_of(n=10_000, memory=0).largest_n == 0


def test_the_command(capsys, tmp_path):
    found = planned(capsys, "--n", "20000", "--memory", "2GB", "--scratch", str(tmp_path))
    assert set(found) == {"n", "free", "largest_n", "ways"} and found["n"] == 20_000
    assert found["free"]["memory"] == 2 * 10**9
    assert sum(way["chosen"] for way in found["ways"]) == 1 and len(found["ways"]) == 4
    assert all(set(way) >= {"precision", "storage", "memory", "disk", "seconds", "missing"} for way in found["ways"])
    assert planned(capsys, "--data", "digits", "--loo")["ways"][0]["precision"] == "float64"
    small = planned(capsys, "--n", "60000", "--memory", "1GB")
    assert not any(way["chosen"] for way in small["ways"]) and 0 < small["largest_n"] < 60_000
    assert list(tmp_path.iterdir()) == [tmp_path / "cache"], "nothing is solved"


@pytest.mark.parametrize("memory", ["1MB", "1GB", "30GB"])
def test_the_table(capsys, tmp_path, memory, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert cli.main(["plan", "--n", "60000", "--memory", memory, "--scratch", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "n = 60,000" in out and "TFLOP" in out and "…" not in out
    assert ("chosen" in out) == (memory == "30GB" or "too little memory" not in out or memory == "1GB")
    assert ("About n" in out) == ("chosen" not in out and memory != "1MB")
