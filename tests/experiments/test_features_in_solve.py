"""Features and augmentation through the whole of a solve."""

import numpy as np
import pytest

from kernelfit.common.errors import InputError, NotEnoughMemoryError
from kernelfit.experiments.predict import run_predict
from kernelfit.experiments.solve import SolveSpec, run_solve
from kernelfit.experiments.sweep import SweepSpec, run_sweep

CONV = "randomconv(filters=64, patch=3, pool=3, stride=3)"
SMALL = {"n_train": 150, "n_test": 60}


def test_features_kernel_and_dimension_are_in_the_record_and_in_the_command():
    record, _ = run_solve(SolveSpec(features=CONV, kernel="linear + 0.1 * gaussian", loo=True, **SMALL))
    results = record.results
    assert results.features == CONV and results.d == 64 * 2 * 4
    assert results.train_error == 0 and results.relative_residual < 1e-9
    assert results.test_error < 0.3 and record.seconds["features"] > 0
    assert "--features" in record.command and CONV in record.command


def test_products_kept_on_disk_give_the_same_record(tmp_path):
    spec = SolveSpec(features=CONV, ridge=1e-3, scratch=str(tmp_path), precision="float64", **SMALL)
    first, again = (run_solve(spec)[0].results for _ in range(2))
    assert (first.norm, first.test_error) == (again.norm, again.test_error)
    assert len(list(tmp_path.glob("kernelfit-products-*"))) == 1


def test_a_saved_model_predicts_what_the_record_says(tmp_path):
    record, model = run_solve(SolveSpec(features=CONV, seed=2, **SMALL))
    model.save(tmp_path / "model.npz")
    done, _ = run_predict(tmp_path / "model.npz", data="digits", n_test=60, seed=2)
    assert done["test_error"] == record.results.test_error


def test_a_sweep_on_features():
    spec = SweepSpec(features=CONV, labels=(0.0, 1.0), seeds=1, **SMALL)
    rows = run_sweep(spec).results.rows
    assert rows[0].norm < rows[1].norm and rows[0].test_error < rows[1].test_error


def test_memory_is_planned_for_products_and_factor_before_anything_is_made():
    with pytest.raises(NotEnoughMemoryError):
        run_solve(SolveSpec(features=CONV, memory=200_400_000, **SMALL))


def test_vectors_and_precomputed_kernels_have_no_such_features(tmp_path):
    with pytest.raises(InputError, match="convolution needs images"):
        run_solve(SolveSpec(data="synthetic:20", features=CONV, **SMALL))
    K = np.eye(4)
    np.savez(tmp_path / "k.npz", X_train=K, y_train=[0, 1, 0, 1], X_test=K[:2], y_test=[0, 1])
    with pytest.raises(InputError, match="leave out `features`"):
        run_solve(SolveSpec(data=str(tmp_path / "k.npz"), kernel="precomputed", features=CONV))


@pytest.mark.parametrize("features", ["pixels", CONV])
def test_augmentation_adds_rows_that_are_fitted_too(features):
    spec = SolveSpec(features=features, augment="flip + shift(1)", labels="0.2", **SMALL)
    record, model = run_solve(spec)
    results = record.results
    rows = results.augmentation["rows"]
    assert record.dataset.n_train == 150 and rows + results.augmentation["left_out"] == 150 * 10
    assert len(model.points) == len(model.coef) == rows and results.train_error == 0
    plain = run_solve(SolveSpec(features=features, labels="0.2", **SMALL))[0].results
    assert plain.augmentation == {"what": "none", "rows": 150, "left_out": 0}
    if features == "pixels":
        # The bandwidth is chosen on the originals alone: the same search, the same choice.
        assert results.kernel == plain.kernel
        assert plain.norm < results.norm  # more is interpolated


def test_leave_one_out_refuses_copies():
    with pytest.raises(InputError, match="copies"):
        SolveSpec(augment="flip", loo=True)


def test_whitening_by_fewer_images_than_it_takes_is_told():
    found = {}
    for preset in ("image", "patch"):
        features = f"randomconv(filters=16, patch=3, pool=3, stride=3, preset={preset!r})"
        record, _ = run_solve(SolveSpec(data="digits", n_train=100, n_test=50, bandwidth=5.0, features=features))
        found[preset] = [warning for warning in record.warnings if "too few to tell it" in warning]
    assert len(found["image"]) == 1 and not found["patch"]
