import dataclasses

import numpy as np
import pytest

from kernelfit import datasets
from kernelfit.common.errors import InputError
from kernelfit.corruption import corrupt_labels
from kernelfit.datasets.labels import one_hot
from kernelfit.experiments.solve import SolveSpec, run_solve
from kernelfit.experiments.sweep import SweepSpec, run_sweep
from kernelfit.grams.matrix import gram
from kernelfit.kernels import Gaussian

OPTIONS = {"n_train": 250, "n_test": 100, "bandwidth": 1.0}
SPEC = SweepSpec(**OPTIONS, labels=(0.0, 0.5, 1.0), seeds=2, pixels=("true", "shuffled"), loo=True)


@pytest.fixture(scope="module")
def swept():
    return run_sweep(SPEC)


def of(swept, pixels="true"):
    return [row for row in swept.results.rows if row.pixels == pixels]


@pytest.mark.parametrize("level", [0.0, 0.5])
def test_a_row_is_what_a_solve_of_these_labels_gives(swept, level):
    row = next(row for row in of(swept) if (row.level, row.seed) == (level, 0))
    results = run_solve(SolveSpec(**OPTIONS, labels=str(level), loo=True))[0].results
    assert row.labels_changed == results.corruption["labels_changed"]
    for name in ("train_error", "test_error", "loo_error"):
        assert getattr(row, name) == getattr(results, name)
    # One factor, the same right-hand sides in another order of summation.
    for name in ("norm", "norm_pm1", "log_marginal_likelihood"):
        assert getattr(row, name) == pytest.approx(getattr(results, name), rel=1e-9)


@pytest.mark.parametrize("level", [0.5, 1.0])
def test_a_row_of_another_seed_is_what_its_arrays_give(swept, level):
    """A solve draws its subset of the examples by its seed too, so the subset is taken by hand."""
    row = next(row for row in of(swept) if (row.level, row.seed) == (level, 1))
    data = datasets.load("digits", n_train=250, n_test=100, seed=0)
    y = corrupt_labels(data.y_train, 10, level, seed=1)[0]
    dense, Y = gram(data.X_train, Gaussian(1.0)).block((0, 250), (0, 250)), one_hot(y, 10)
    coef = np.linalg.solve(dense, Y)
    left_out = np.argmax(Y - coef / np.linalg.inv(dense).diagonal()[:, None], axis=1)
    changed = y != data.y_train
    assert row.labels_changed == changed.sum()
    assert row.norm == pytest.approx(np.sqrt(np.sum(coef * Y)), rel=1e-9)
    assert row.loo_error == np.mean(left_out != y)
    assert row.clean_loo_error == np.mean((left_out != y)[~changed])
    assert row.changed_loo_error == np.mean((left_out != y)[changed])
    assert row.recovered == pytest.approx(np.mean((left_out == data.y_train)[changed]))


def test_labels_that_nothing_replaces_are_solved_once(swept):
    assert [row.level for row in of(swept)] == [0.0, 0.5, 0.5, 1.0, 1.0]
    first = of(swept)[0]
    assert (first.labels_changed, first.changed_train_error, first.recovered) == (0, None, None)


def test_shuffled_pixels_change_nothing_that_distances_see(swept):
    true, shuffled = ([dataclasses.replace(row, pixels="") for row in of(swept, each)] for each in SPEC.pixels)
    assert true == shuffled, "exact distances: the same bits"
    assert set(swept.results.kernels.values()) == {"gaussian(bandwidth=1.0)"} and swept.warnings == []


def test_the_interpolant_fits_everything_and_pays_with_its_norm(swept):
    rows = of(swept)
    assert all(row.train_error == 0 and row.train_margins["negative"] == 0 for row in rows)
    norms = [np.mean([row.norm for row in rows if row.level == level]) for level in SPEC.labels]
    assert norms == sorted(norms) and norms[2] > 2 * norms[0]


def test_mixed_precision_sweeps_too(swept):
    mixed = run_sweep(dataclasses.replace(SPEC, pixels="true", loo=False, precision="mixed"))
    for row, reference in zip(mixed.results.rows, of(swept), strict=True):
        assert (row.level, row.seed) == (reference.level, reference.seed)
        # The residual is at most 1e-10 of the targets, and the norm is of second order in it.
        assert row.norm == pytest.approx(reference.norm, rel=1e-8) and row.test_error == reference.test_error


@pytest.mark.parametrize(
    "wrong", [{"labels": ()}, {"labels": (1.5,)}, {"seeds": 0}, {"pixels": ()}, {"precision": "half"}], ids=str
)
def test_what_cannot_be_swept_is_refused(wrong):
    with pytest.raises(InputError):
        SweepSpec(**wrong)
