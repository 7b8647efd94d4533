import numpy as np
import pytest

from kernelfit import backend
from kernelfit.common.errors import InputError, NotEnoughMemoryError
from kernelfit.experiments.interpolants import InterpolantsSpec, run_interpolants
from kernelfit.experiments.solve import SolveSpec, run_solve

OPTIONS = {"n_train": 200, "n_test": 100, "bandwidth": 1.0}


@pytest.fixture(scope="module")
def compared():
    return run_interpolants(InterpolantsSpec(**OPTIONS)).results


@pytest.mark.parametrize(("index", "labels"), [(0, "true"), (1, "random")])
def test_the_minimum_norms_are_those_of_a_solve(compared, index, labels):
    results = run_solve(SolveSpec(**OPTIONS, labels=labels))[0].results
    row = compared.rows[index]
    assert (row.name, row.labels, row.centres) == ("minimum", labels, 200)
    assert (row.train_error, row.test_error) == (results.train_error, results.test_error)
    # One factor, other right-hand sides beside these.
    assert row.norm == pytest.approx(results.norm, rel=1e-12)
    assert row.norm_pm1 == pytest.approx(results.norm_pm1, rel=1e-12)
    assert row.condition == pytest.approx(results.condition_estimate, rel=1e-6)


def test_every_other_interpolant_fits_and_has_a_larger_norm(compared):
    least, random, *others = compared.rows
    assert [row.name for row in others] == list(InterpolantsSpec().others)
    assert random.ratio == random.norm / least.norm > 1.5
    for row in others:
        assert row.train_error == 0 and row.relative_residual < 1e-8 and not row.failed
        assert row.norm > 1.2 * least.norm and row.ratio == row.norm / least.norm
        assert row.norm_pm1 > least.norm_pm1
        # <f - f_0, f_0> = least^T (f(X) - Y), where |least| is below 100 and the rest the rounding of the solve.
        assert row.defect < 1e-10
    assert [row.centres for row in others] == [200, 200, 200, 400, 200, 300]


def test_each_interpolant_belongs_to_its_seed_whatever_is_made_beside_it(compared):
    again = run_interpolants(InterpolantsSpec(**OPTIONS, others="pairs")).results.rows
    assert [row.name for row in again] == ["minimum", "minimum", "pairs"] and again[2] == compared.rows[4]


def test_forced_labels_are_wrong_by_chance(compared):
    [forced] = [row for row in compared.rows if row.name == "forced"]
    # 90 of 100 on average, 5 standard deviations of a binomial.
    assert abs(forced.test_error - 0.9) < 0.15


def test_what_cannot_be_solved_is_a_row_that_says_why():
    others = ("pairs", "gaussian", "forced", "pairs x 2")
    record = run_interpolants(InterpolantsSpec(**OPTIONS | {"bandwidth": 0.05}, others=others))
    rows = {row.name: row for row in record.results.rows}
    for name in ("pairs", "gaussian", "pairs x 2"):
        assert rows[name].norm is None and "singular" in rows[name].failed
    assert rows["forced"].norm > rows["minimum"].norm and not rows["forced"].failed


def test_test_points_among_the_training_points_are_told(tmp_path):
    from kernelfit import datasets

    data = datasets.load("digits", n_train=50)
    X_test = np.concatenate([data.X_test[:5], data.X_train[:1]])
    arrays = {"X_train": data.X_train, "y_train": data.y_train, "X_test": X_test, "y_test": np.arange(6)}
    np.savez(tmp_path / "twin.npz", **arrays)
    spec = InterpolantsSpec(data=str(tmp_path / "twin.npz"), bandwidth=1.0, others=("forced",))
    assert "0 and 55 are identical" in run_interpolants(spec).results.rows[-1].failed


def test_a_precomputed_kernel_is_refused(tmp_path):
    K, cross = np.eye(6), np.zeros((3, 6))
    y = np.arange(6) % 2
    np.savez(tmp_path / "K.npz", X_train=K, y_train=y, X_test=cross, y_test=y[:3])
    with pytest.raises(InputError, match="precomputed"):
        run_interpolants(InterpolantsSpec(data=str(tmp_path / "K.npz"), kernel="precomputed"))


def test_memory_is_checked_before_anything_is_solved(monkeypatch):
    monkeypatch.setattr("kernelfit.experiments.interpolants.solved", lambda *_, **__: pytest.fail("solved"))
    # The solve itself, n = 200, needs 200 MB and the points; two copies of 200 x 4,000 and the rest need 75 MB more.
    limit = backend.CPU.fixed_bytes + 20_000_000
    with pytest.raises(NotEnoughMemoryError, match=r"pairs x 20: .* `others`"):
        run_interpolants(InterpolantsSpec(**OPTIONS, memory=limit, others=("pairs", "pairs x 20")))


@pytest.mark.mnist
def test_1000_of_mnist(mnist):
    """Section 5: the norms of other interpolants are significantly larger."""
    spec = InterpolantsSpec(data="mnist", bandwidth=5.0, n_train=1000, n_test=300, others=("pairs", "forced"))
    least, _, pairs, forced = run_interpolants(spec).results.rows
    assert least.test_error < 0.15 and pairs.test_error > 0.5
    # 90 % on average, 5 standard deviations of a binomial of 300.
    assert abs(forced.test_error - 0.9) < 0.09
    assert pairs.ratio > 10 and forced.ratio > 1.5


def test_features_are_what_the_expansions_are_of():
    """In the space of Gabor features centres are points of that space; of accumulated features there are none."""
    options = {"n_train": 120, "n_test": 60, "others": ("perturbed(0.3)", "forced")}
    rows = run_interpolants(InterpolantsSpec(features="gabor(step=2)", **options)).results.rows
    assert all(row.ratio > 1 and row.defect < 1e-8 for row in rows if row.name in options["others"])
    with pytest.raises(InputError, match="randomconv"):
        run_interpolants(InterpolantsSpec(features="randomconv(filters=16, patch=3, pool=3)", **options))
