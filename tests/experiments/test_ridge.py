import dataclasses

import numpy as np
import pytest

import kernelfit as kf
from kernelfit.backend import CPU
from kernelfit.common.errors import InputError
from kernelfit.datasets import load
from kernelfit.experiments.ridge import RidgeSpec, run_ridge, verdict
from kernelfit.experiments.solve import SolveSpec, run_solve

OPTIONS = {"n_train": 250, "n_test": 100, "bandwidth": 1.0}
RIDGES = (0.0, 1e-6, 1e-2, 10.0)
METHODS = ("eigendecomposition", "refactoring")


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
    spec = RidgeSpec(**OPTIONS, ridges=RIDGES, loo=True, labels="0.2")
    return {method: run_ridge(spec, method=method).results for method in METHODS}


@pytest.mark.parametrize("k", range(len(RIDGES)))
def test_a_row_is_what_a_solve_with_this_ridge_gives(paths, k):
    results = run_solve(SolveSpec(**OPTIONS, ridge=RIDGES[k], loo=True, labels="0.2"))[0].results
    for method, path in paths.items():
        row = path.rows[k]
        assert path.method == method and row.ridge == RIDGES[k]
        for name in ("train_error", "test_error", "loo_error"):
            assert getattr(row, name) == getattr(results, name), (method, name)
        for name in ("norm", "norm_pm1"):
            assert getattr(row, name) == pytest.approx(getattr(results, name), rel=1e-9)
        assert row.relative_residual < 1e-12 and row.norm_disagreement < 1e-10
        assert row.test_broken - row.test_corrected == round(100 * (row.test_error - path.rows[0].test_error))


def test_options_from_python_have_the_names_of_the_command():
    of_command, of_field = (
        kf.run("ridge", data="digits", n_train=60, **{name: (0.1, 1.0)}) for name in ("ridge", "ridges")
    )
    assert of_command.id == of_field.id and [row.ridge for row in of_command.results.rows] == [0.1, 1.0]


def test_a_larger_ridge_has_a_smaller_norm_and_fits_less(paths):
    for path in paths.values():
        norms, errors = ([getattr(row, name) for row in path.rows] for name in ("norm", "train_error"))
        assert norms == sorted(norms, reverse=True) and norms[-1] < norms[0] / 2
        assert errors[0] == 0 and errors == sorted(errors) and errors[-1] > 0, "a fifth of the labels is random"


def test_the_bandwidth_is_chosen_once_at_the_smallest_ridge():
    options = {"n_train": 150, "n_test": 50}
    path = run_ridge(RidgeSpec(**options, ridges=(10.0, 0.5))).results
    results = run_solve(SolveSpec(**options, ridge=0.5))[0].results
    assert [row.ridge for row in path.rows] == [0.5, 10.0]
    assert (path.kernel, path.bandwidth_choice) == (results.kernel, results.bandwidth_choice)


@pytest.mark.parametrize(
    ("loo", "squared", "test", "expected"),
    [
        ([0.2, 0.2, 0.3], [0.5, 0.6, 0.7], [0.1, 0.1, 0.1], (0.0, False, False)),
        ([0.2, 0.2, 0.3], [0.5, 0.4, 0.3], [0.1, 0.2, 0.09], (0.1, False, True)),  # a tie goes to the squared error
        ([0.2, 0.1, 0.1], [0.5, 0.4, 0.4], [0.1, 0.2, 0.3], (0.1, True, False)),  # and then to the smaller ridge
        ([0.2, 0.1, 0.1], [0.5, 0.4, 0.4], [0.3, 0.2, 0.1], (0.1, True, True)),  # whatever the test errors are
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


def test_equal_images_are_two_points_where_every_ridge_is_positive():
    data = load("digits", n_train=40, n_test=20)
    X, y = np.concatenate([data.X_train, data.X_train[:1]]), np.append(data.y_train, data.y_train[0])
    np.savez("twins.npz", X_train=X, y_train=y, X_test=data.X_test, y_test=data.y_test)
    spec = RidgeSpec(data="twins.npz", bandwidth=1.0, ridges=(1e-6, 1e-3))
    for method in METHODS:
        assert [row.train_error for row in run_ridge(spec, method=method).results.rows] == [0, 0]


def test_mixed_precision_is_kept_where_it_was_asked_for_and_panels_go_to_a_disk(monkeypatch, tmp_path):
    monkeypatch.setattr("kernelfit.solvers.ridges.EIGEN_COST", 0.0)
    options = {"n_train": 60, "n_test": 20, "bandwidth": 1.0, "ridges": (1e-3, 1.0)}
    assert run_ridge(RidgeSpec(**options, precision="float64")).results.method == "eigendecomposition"
    mixed = run_ridge(RidgeSpec(**options, precision="mixed")).results
    assert mixed.method == "refactoring" and "float32" in mixed.rows[0].way
    path = run_ridge(RidgeSpec(**options, scratch=tmp_path / "scratch"))
    assert [row.train_error for row in path.results.rows] == [0, 0]


@pytest.mark.parametrize(
    "wrong", [{"ridges": ()}, {"ridges": (0.5,)}, {"ridges": (0, -1)}, {"ridges": (0, 1), "precision": "half"}], ids=str
)
def test_what_is_no_path(wrong):
    with pytest.raises(InputError):
        RidgeSpec(**wrong)


def test_the_command_of_a_path_names_what_started_its_processes(monkeypatch):
    monkeypatch.setattr("kernelfit.solvers.auto.Auto.launcher", "mpiexec -n 2 ")
    spec = RidgeSpec(ridges=(1e-3, 1.0), bandwidth=2.0, n_train=50, n_test=20)
    assert run_ridge(spec).command == "mpiexec -n 2 " + spec.command()
