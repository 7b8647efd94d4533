import dataclasses
import json
import shlex

import numpy as np
import pytest
from kernelfit.experiments.ridge_path import RidgePathSpec, append_rows, run_ridge_path, verdict

from kernelfit.backend import CPU
from kernelfit.cli import main
from kernelfit.common.errors import InputError, SingularMatrixError
from kernelfit.datasets import load
from kernelfit.experiments.solve import SolveSpec, run_solve

OPTIONS = {"n_train": 250, "n_test": 100, "bandwidth": 1.0}
RIDGES = (0.0, 1e-6, 1e-2, 10.0)
WORDS = ["--n-train", "250", "--n-test", "100", "--bandwidth", "1", "--quiet"]


@pytest.fixture(scope="module", autouse=True)
def quick_calibration():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CPU, "probe", 128)
        yield


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def paths(quick_calibration):
    spec = RidgePathSpec(**OPTIONS, ridges=RIDGES, loo=True, labels="0.2")
    return {method: run_ridge_path(spec, method=method) for method in ("eigendecomposition", "refactoring")}


@pytest.fixture
def twins():
    """A file of digits in which two training images are one."""
    X, y = load("digits").X_train[:40], np.arange(40) % 2
    np.savez("twins.npz", X_train=np.concatenate([X, X[:1]]), y_train=np.append(y, 0), X_test=X, y_test=y)
    return "twins.npz"


def test_a_row_is_what_a_solve_with_this_ridge_gives(paths):
    for method, path in paths.items():
        assert path.shared["method"] == method
        for ridge, row in zip(RIDGES, path.rows, strict=True):
            record, _ = run_solve(SolveSpec(**OPTIONS, ridge=ridge, loo=True, labels="0.2"))
            for name in ("train_error", "test_error", "loo_error"):
                assert getattr(row, name) == getattr(record, name), (method, ridge, name)
            for name in ("norm", "norm_pm1"):
                assert getattr(row, name) == pytest.approx(getattr(record, name), rel=1e-9)
            assert row.relative_residual < 1e-12 and row.norm_disagreement < 1e-10
            assert row.test_broken - row.test_corrected == round(100 * (row.test_error - path.rows[0].test_error))


def test_a_larger_ridge_has_a_smaller_norm_and_fits_less(paths):
    for path in paths.values():
        norms, errors = ([getattr(row, name) for row in path.rows] for name in ("norm", "train_error"))
        assert norms == sorted(norms, reverse=True) and norms[-1] < norms[0] / 2
        assert errors[0] == 0 and errors == sorted(errors) and errors[-1] > 0, "a fifth of the labels is random"


def test_the_bandwidth_is_chosen_once_at_the_smallest_ridge():
    options = {"n_train": 150, "n_test": 50}
    path = run_ridge_path(RidgePathSpec(**options, ridges=(10.0, 0.5)))
    record, _ = run_solve(SolveSpec(**options, ridge=0.5))
    assert path.shared["kernel"] == record.kernel
    assert path.shared["bandwidth_choice"] == record.bandwidth_choice


def test_nothing_is_chosen_on_the_test_set(paths):
    rows = paths["refactoring"].rows
    turned = [dataclasses.replace(row, test_error=1 - row.test_error) for row in rows]
    for name in ("chosen_by_loo", "loo_improves"):
        assert verdict(turned)[name] == verdict(rows)[name]
    best = min(rows, key=lambda row: row.loo_error)
    assert verdict(rows)["chosen_by_loo"] == best.ridge


@pytest.mark.parametrize(
    ("loo", "squared", "test", "expected"),
    [
        ([0.2, 0.2, 0.3], [0.5, 0.6, 0.7], [0.1, 0.1, 0.1], (0.0, False, False)),
        ([0.2, 0.2, 0.3], [0.5, 0.4, 0.3], [0.1, 0.2, 0.09], (0.1, False, True)),  # a tie goes to the squared error
        ([0.2, 0.1, 0.1], [0.5, 0.4, 0.4], [0.1, 0.2, 0.3], (0.1, True, False)),  # and then to the smaller ridge
        ([None] * 3, [None] * 3, [0.2, 0.1, 0.3], (None, None, True)),
    ],
)
def test_what_the_rows_say(paths, loo, squared, test, expected):
    some = paths["refactoring"].rows[0]
    rows = [
        dataclasses.replace(some, ridge=ridge, loo_error=a, loo_squared_error=b, test_error=c)
        for ridge, a, b, c in zip((0.0, 0.1, 1.0), loo, squared, test, strict=True)
    ]
    assert tuple(verdict(rows).values()) == expected


def test_duplicates_are_merged_where_zero_is_in_the_path(twins):
    options = {"data": twins, "bandwidth": 1.0}
    merged = run_ridge_path(RidgePathSpec(**options, ridges=(0, 1e-3)))
    with np.load(twins) as file:
        once = {name: array[:40] for name, array in file.items()}
    np.savez("once.npz", **once)
    alone = run_ridge_path(RidgePathSpec(**options | {"data": "once.npz"}, ridges=(0, 1e-3)))
    assert [row.norm for row in merged.rows] == [row.norm for row in alone.rows]
    for method in ("eigendecomposition", "refactoring"):
        path = run_ridge_path(RidgePathSpec(**options, ridges=(1e-6, 1e-3)), method=method)
        assert [row.train_error for row in path.rows] == [0, 0]
    np.savez(twins, **once | {"X_train": once["X_train"][np.r_[:39, 0]]})
    with pytest.raises(SingularMatrixError, match="0 and 39 are identical"):
        run_ridge_path(RidgePathSpec(**options, ridges=(0, 1e-3)))


def test_mixed_precision_is_kept_where_it_was_asked_for(monkeypatch):
    monkeypatch.setattr("kernelfit.solvers.ridges.EIGEN_COST", 0.0)
    options = {"n_train": 60, "n_test": 20, "bandwidth": 1.0, "ridges": (1e-3, 1.0)}
    double = run_ridge_path(RidgePathSpec(**options, precision="float64"))
    assert double.shared["method"] == "eigendecomposition"
    mixed = run_ridge_path(RidgePathSpec(**options, precision="mixed"))
    assert mixed.shared["method"] == "refactoring" and "float32" in mixed.rows[0].way


def test_panels_on_disk(tmp_path):
    options = {"n_train": 100, "n_test": 50, "bandwidth": 1.0, "ridges": (0.0, 1e-3)}
    path = run_ridge_path(RidgePathSpec(**options, scratch=str(tmp_path / "scratch")))
    assert [row.train_error for row in path.rows] == [0, 0]


def test_rows_are_kept_as_strict_json(paths, tmp_path):
    path = dataclasses.replace(paths["eigendecomposition"])
    path.rows[0] = dataclasses.replace(path.rows[0], norm_disagreement=float("inf"))
    lines = append_rows(tmp_path / "new", path).read_text().splitlines()
    read = [json.loads(line, parse_constant=pytest.fail) for line in lines]
    assert [line["ridge"] for line in read] == list(RIDGES)
    assert read[0]["norm_disagreement"] is None and read[0]["schema"] == "kernelfit.ridge/1"
    assert read[0]["eigenvalues"][0] > 0 and json.loads(path.to_json())["rows"][0]["norm_disagreement"] is None


def test_the_command_repeats_the_path(capsys, tmp_path):
    spec = RidgePathSpec(**OPTIONS, ridges=(1e-2, 1e-6), loo=True, labels="0.2")
    assert main([*shlex.split(spec.command())[1:], "--json", "--quiet", "--plot", "path.svg"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["command"] == spec.command()
    for row, again in zip(printed["rows"], run_ridge_path(spec, method=printed["method"]).rows, strict=True):
        assert row == dataclasses.asdict(again)
    assert len((tmp_path / "runs" / "ridge.jsonl").read_text().splitlines()) == 2
    assert not (tmp_path / "runs" / "records.jsonl").exists()
    assert (tmp_path / "path.svg").read_text().count("leave-one-out error") == 1


def test_one_ridge_is_a_solve(capsys, tmp_path):
    assert main(["solve", "--ridge", "1e-3", "--json", *WORDS]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["schema"] == "kernelfit.record/1" and printed["ridge"] == 1e-3
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["records.jsonl"]


def test_the_table_on_a_terminal(capsys, monkeypatch):
    monkeypatch.setattr("kernelfit.solvers.ridges.EIGEN_COST", 1e9)
    assert main(["solve", "--ridge", "0", "1e-3", *WORDS]) == 0
    out = capsys.readouterr().out
    assert "leave-one-out was not asked for (--loo)" in out and "2 ridges by refactoring" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--ridge", "0", "-1"], "ridge = -1.0"),
        (["--ridge", "0", "nan"], "ridge = nan"),
        (["--ridge", "0", "0.0"], "twice"),
        (["--ridge"], "ridge"),
        (["--ridge", "0", "x"], "ridge"),
        (["--ridge", "0", "1", "--save", "model.npz"], "give one --ridge"),
        (["--ridge", "0", "1", "--scratch", "s", "--resume"], "give one --ridge"),
        (["--ridge", "0", "1", "--plot", "a.gif"], ".svg"),
        (["--plot", "a.svg"], "several values of --ridge"),
    ],
)
def test_what_is_refused_writes_nothing(capsys, tmp_path, words, message):
    assert main(["solve", *words, *WORDS]) == 2
    captured = capsys.readouterr()
    assert message in captured.out + captured.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("wrong", [{"ridges": ()}, {"ridges": (0.5,)}, {"ridges": (0, 1), "precision": "half"}])
def test_what_is_no_path(wrong):
    with pytest.raises(InputError):
        RidgePathSpec(**wrong)


def test_the_command_of_a_path_names_what_started_its_processes(monkeypatch):
    monkeypatch.setattr("kernelfit.solvers.auto.Auto.launcher", "mpiexec -n 2 ")
    spec = RidgePathSpec(ridges=(1e-3, 1.0), bandwidth=2.0, n_train=50, n_test=20)
    assert run_ridge_path(spec).shared["command"] == "mpiexec -n 2 " + spec.command()
