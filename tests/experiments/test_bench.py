import pytest

from kernelfit.cli import main
from kernelfit.common.errors import InputError
from kernelfit.experiments import bench, peers
from kernelfit.experiments.bench import BenchSpec, run_bench
from kernelfit.experiments.registry import read_records
from kernelfit.report.views.bench import table
from tests.support.contenders import measure_here

ON_A_CPU = [name for name in peers.CONTENDERS if name != "cuml"]


@pytest.mark.parametrize("contender", ON_A_CPU)
def test_every_contender_solves_the_same_problem(contender):
    if not peers.CONTENDERS[contender].installed:
        pytest.skip(f"{peers.CONTENDERS[contender].module} is not installed")
    result = peers.measure(peers.Task(contender, "digits", 200, 1.0))
    reference = peers.measure(peers.Task("numpy", "digits", 200, 1.0))
    assert result["test_error"] == pytest.approx(reference["test_error"], abs=1.5 / 360)  # a tie at most
    if result["relative_residual"] is not None:
        # scikit-learn's ridge of 1e-12 leaves 1e-12 |coef| / |Y|; mixed precision stops at 1e-10.
        assert result["relative_residual"] < 1e-10
    assert result["seconds"] > 0 and result["peak_bytes"] >= result["loaded_bytes"] > 1e7


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
    rows = list(run_bench(BenchSpec(data="digits", sizes=(10_000_000, 100), bandwidth=1.0)))
    skipped = [row.results.skipped for row in rows if row.results.skipped]
    assert any("not installed" in reason for reason in skipped)
    assert any("needs about" in reason for reason in skipped)
    assert len(rows) - len(skipped) == 1
    assert "absent" in str(table(rows))


def test_a_contender_that_fails_says_why(monkeypatch):
    monkeypatch.setattr(bench, "measure_gemm", lambda n: 1e10)
    identity = peers.measure(peers.Task("kernelfit mixed", "digits", 100, 1e-3))
    assert identity["seconds"] > 0, "the identity is a matrix too"
    [row] = run_bench(BenchSpec(data="no-such-data", sizes=(100,), contenders=("numpy",)))
    assert "no-such-data" in row.results.skipped


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
