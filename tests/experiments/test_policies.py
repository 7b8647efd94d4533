"""One policy for duplicates and for bandwidths, in every command that solves."""

import numpy as np
import pytest

from kernelfit.common.errors import InputError, SingularMatrixError
from kernelfit.datasets import load
from kernelfit.experiments.interpolants import InterpolantsSpec, run_interpolants
from kernelfit.experiments.measures import MeasuresSpec, run_measures
from kernelfit.experiments.ridge import RidgeSpec, run_ridge
from kernelfit.experiments.solve import SolveSpec, run_solve
from kernelfit.experiments.sweep import SweepSpec, run_sweep

N = 60


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def arrays():
    digits = load("digits", n_train=N, n_test=30)
    return {name: getattr(digits, name) for name in ("X_train", "y_train", "X_test", "y_test")}


def save(name, arrays, **changes):
    np.savez(name, **arrays | changes)
    return name


def norms(data, ridge=0.0):
    """The norm of every command, for true labels where there are others too."""
    options = {"data": data, "bandwidth": 1.0}
    found = {"solve": run_solve(SolveSpec(**options, ridge=ridge, loo=True))[0].results.norm}
    found["sweep"] = run_sweep(SweepSpec(**options, ridge=ridge, labels=(0,), seeds=1)).results.rows[0].norm
    found["path"] = run_ridge(RidgeSpec(**options, ridges=(ridge, 9.0))).results.rows[0].norm
    rows = {row.name: row.true for row in run_measures(MeasuresSpec(**options, ridge=ridge)).results.table.measures}
    return found | {"measures": rows["norm"]}


def test_equal_images_with_one_label_are_merged_and_counted(arrays):
    once = save("once.npz", arrays)
    rows = np.r_[:N, 5, 5, 9]
    twice = save("twice.npz", arrays, X_train=arrays["X_train"][rows], y_train=arrays["y_train"][rows])
    expected = norms(once)
    for name, norm in norms(twice).items():
        np.testing.assert_allclose(norm, expected[name], rtol=1e-12, err_msg=name)
    record, function = run_solve(SolveSpec(data=twice, bandwidth=1.0, loo=True))
    results = record.results
    assert record.dataset.n_train == N + 3 and results.augmentation == {"what": "none", "rows": N, "left_out": 3}
    assert len(function.coef) == N and results.train_error == 0
    minimum = run_interpolants(InterpolantsSpec(data=twice, bandwidth=1.0, others=("pairs",))).results.rows[0]
    np.testing.assert_allclose(minimum.norm, expected["solve"], rtol=1e-12)
    with_ridge, alone = norms(twice, ridge=0.1), norms(once, ridge=0.1)
    assert all(abs(norm / alone[name] - 1) > 1e-4 for name, norm in with_ridge.items()), "they weigh more"


def test_copies_that_a_ridge_keeps_or_a_path_leaves_out_are_told(arrays):
    rows = np.r_[:N, 5, 5, 9]
    twice = save("twice.npz", arrays, X_train=arrays["X_train"][rows], y_train=arrays["y_train"][rows])
    options, leaks = {"data": twice, "bandwidth": 1.0}, "3 training images equal an earlier one; leave-one-out leaves"
    told = run_solve(SolveSpec(**options, ridge=0.1, loo=True))[0].warnings
    assert sum(leaks in each for each in told) == 1
    chosen = run_solve(SolveSpec(data=twice, ridge=0.1))[0].warnings
    assert any(leaks in each for each in chosen), "the bandwidth is chosen by leave-one-out"
    for quiet in (SolveSpec(**options, ridge=0.1), SolveSpec(**options, loo=True)):
        assert not any(leaks in each for each in run_solve(quiet)[0].warnings)
    merged = f"with its label, and are left out: numbers are of the other {N}"
    assert merged in " ".join(run_solve(SolveSpec(**options))[0].warnings)
    assert merged in " ".join(run_measures(MeasuresSpec(**options)).warnings)
    paths = [run_ridge(RidgeSpec(**options, ridges=ridges)).warnings for ridges in ((0, 1), (0.1, 1))]
    for said in (merged, "with a ridge equal images would weigh more"):
        assert [said in " ".join(found) for found in paths] == [True, False]
    assert any(leaks in each for each in paths[1])


def test_equal_images_with_different_labels_are_an_error_that_names_both(arrays):
    X, y = arrays["X_train"][np.r_[:N, 5]], np.append(arrays["y_train"], (arrays["y_train"][5] + 1) % 10)
    wrong = save("wrong.npz", arrays, X_train=X, y_train=y)
    for run in (
        lambda: run_solve(SolveSpec(data=wrong)),
        lambda: run_sweep(SweepSpec(data=wrong)),
        lambda: run_ridge(RidgeSpec(data=wrong, ridges=(0, 1))),
        lambda: run_measures(MeasuresSpec(data=wrong)),
    ):
        with pytest.raises(SingularMatrixError, match=f"5 and {N} are identical") as caught:
            run()
        assert caught.value.duplicate == 5 and f"'{y[5]}' and '{y[-1]}'" in str(caught.value)
    assert run_solve(SolveSpec(data=wrong, ridge=1e-6))[0].results.ridge == 1e-6


def test_labels_that_a_sweep_makes_differ_are_an_error_too(arrays):
    twice = save("twice.npz", arrays, X_train=arrays["X_train"][np.r_[:N, 5]], y_train=arrays["y_train"][np.r_[:N, 5]])
    with pytest.raises(SingularMatrixError, match=f"5 and {N} are identical"):
        run_sweep(SweepSpec(data=twice, bandwidth=1.0, labels=(1.0,), seeds=3))


def test_a_bandwidth_chosen_on_a_part_is_checked_on_all():
    """Forty of 700 points on a line like a bandwidth with which all 700 are singular."""
    rng = np.random.default_rng(0)
    X, X_test = rng.uniform(0, 3, (700, 1)), rng.uniform(0, 3, (50, 1))
    label = lambda X: (np.sin(9 * X[:, 0]) > 0).astype(int)  # noqa: E731
    np.savez("line.npz", X_train=X, y_train=label(X), X_test=X_test, y_test=label(X_test))
    options = {"data": "line.npz", "bandwidth_points": 40}
    chosen = run_solve(SolveSpec(**options))[0].results
    used = float(chosen.kernel.removeprefix("gaussian(bandwidth=").removesuffix(")"))
    assert used < chosen.bandwidth_choice["bandwidth"] and chosen.relative_residual < 1e-8
    with pytest.raises(SingularMatrixError):
        run_solve(SolveSpec(data="line.npz", bandwidth=chosen.bandwidth_choice["bandwidth"]))
    for run in (
        lambda: run_sweep(SweepSpec(**options, labels=(0,), seeds=1)).results.kernels["true"],
        lambda: run_ridge(RidgeSpec(**options, ridges=(0, 1e-3)), method="refactoring").results.kernel,
    ):
        assert run() == chosen.kernel


def test_points_to_choose_on_are_refused_where_nothing_is_chosen():
    for fixed in ({"bandwidth": 1.0}, {"kernel": "linear", "ridge": 1.0}, {"kernel": "gaussian(bandwidth=2.0)"}):
        with pytest.raises(InputError, match=r"`bandwidth_points` = 40 .* none to choose"):
            run_solve(SolveSpec(bandwidth_points=40, **fixed))
