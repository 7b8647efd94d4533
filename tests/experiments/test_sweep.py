import dataclasses
import json
import shlex

import numpy as np
import pytest
from kernelfit.report.sweep import plot_sweep, sweep_table

from kernelfit.cli import main
from kernelfit.common.errors import InputError
from kernelfit.experiments.solve import SolveSpec, run_solve
from kernelfit.experiments.sweep import SweepSpec, run_sweep

OPTIONS = {"n_train": 250, "n_test": 100, "bandwidth": 1.0}


@pytest.fixture(scope="module")
def swept():
    spec = SweepSpec(**OPTIONS, levels=(0.0, 0.5, 1.0), seeds=2, pixel_settings=("true", "shuffled"), loo=True)
    return run_sweep(spec)


@pytest.mark.parametrize(("level", "seed"), [(0.0, 0), (0.5, 0), (0.5, 1), (1.0, 1)])
def test_a_row_is_what_a_solve_of_these_labels_gives(swept, level, seed):
    """A solve draws its subset of the examples by its seed too, so the subset is taken by hand for the other seeds."""
    [row] = [row for row in swept.rows if (row.pixels, row.level, row.seed) == ("true", level, seed)]
    if seed:
        return _compare_with_arrays(row, level, seed)
    record, _ = run_solve(SolveSpec(**OPTIONS, labels=str(level), loo=True))
    assert row.labels_changed == record.corruption["labels_changed"]
    for name in ("train_error", "test_error", "loo_error"):
        assert getattr(row, name) == getattr(record, name)
    # One factor, the same right-hand sides in another order of summation.
    for name in ("norm", "norm_pm1"):
        assert getattr(row, name) == pytest.approx(getattr(record, name), rel=1e-9)


def _compare_with_arrays(row, level, seed):
    from kernelfit import datasets
    from kernelfit.corruption import corrupt_labels
    from kernelfit.datasets.labels import one_hot
    from kernelfit.grams.matrix import gram
    from kernelfit.kernels import Gaussian

    data = datasets.load("digits", n_train=250, n_test=100, seed=0)
    y = corrupt_labels(data.y_train, 10, level, seed=seed)[0]
    K = gram(data.X_train, Gaussian(1.0))
    dense, Y = K.block((0, 250), (0, 250)), one_hot(y, 10)
    coef = np.linalg.solve(dense, Y)
    inverse = np.linalg.inv(dense).diagonal()
    left_out = np.argmax(Y - coef / inverse[:, None], axis=1)
    changed = y != data.y_train
    assert row.labels_changed == changed.sum()
    assert row.norm == pytest.approx(np.sqrt(np.sum(coef * Y)), rel=1e-9)
    assert row.loo_error == np.mean(left_out != y)
    assert row.clean_loo_error == np.mean((left_out != y)[~changed])
    assert row.changed_loo_error == np.mean((left_out != y)[changed])
    assert row.recovered == pytest.approx(np.mean((left_out == data.y_train)[changed]))


def test_labels_that_nothing_replaces_are_solved_once(swept):
    levels = [row.level for row in swept.rows if row.pixels == "true"]
    assert levels == [0.0, 0.5, 0.5, 1.0, 1.0]
    [first] = [row for row in swept.rows if row.pixels == "true" and row.level == 0]
    assert (first.labels_changed, first.changed_train_error, first.recovered) == (0, None, None)


def test_shuffled_pixels_change_nothing_that_distances_see(swept):
    true, shuffled = (
        [dataclasses.replace(row, pixels="") for row in swept.rows if row.pixels == pixels]
        for pixels in ("true", "shuffled")
    )
    assert true == shuffled, "exact distances: the same bits"


def test_the_interpolant_fits_everything_and_pays_with_its_norm(swept):
    rows = [row for row in swept.rows if row.pixels == "true"]
    assert all(row.train_error == 0 for row in rows)
    norms = [np.mean([row.norm for row in rows if row.level == level]) for level in (0.0, 0.5, 1.0)]
    assert norms == sorted(norms) and norms[2] > 2 * norms[0]
    assert all(row.train_margins["negative"] == 0 for row in rows)


def test_mixed_precision_sweeps_too(swept):
    spec = SweepSpec(**OPTIONS, levels=(0.0, 0.5, 1.0), seeds=2, precision="mixed")
    mixed = run_sweep(spec)
    for row, reference in zip(mixed.rows, swept.rows, strict=False):
        assert (row.level, row.seed) == (reference.level, reference.seed)
        # The residual is at most 1e-10 of the targets, and the norm is of second order in it.
        assert row.norm == pytest.approx(reference.norm, rel=1e-8)
        assert row.test_error == reference.test_error


def test_rows_are_kept_and_shown(swept, tmp_path):
    again = run_sweep(SweepSpec(**OPTIONS, levels=(0.0, 1.0), seeds=1), runs=tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "sweep.jsonl").read_text().splitlines()]
    assert [line["level"] for line in lines] == [0.0, 1.0]
    assert lines[1]["norm"] == again.rows[1].norm and lines[0]["schema"] == "kernelfit.sweep/1"
    assert sweep_table(swept).row_count == 6 and swept.shared["warnings"] == lines[0]["warnings"] == []
    paths = [plot_sweep(swept, tmp_path / name) for name in ("a.svg", "b.svg")]
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_the_command_repeats_the_sweep(tmp_path, capsys):
    spec = SweepSpec(**OPTIONS, levels=(0.0, 0.5), seeds=2, pixel_settings=("true", "shuffled"))
    words = shlex.split(spec.command())
    assert main([*words[1:], "--json", "--quiet", "--runs", str(tmp_path)]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["command"] == spec.command()
    assert printed["rows"] == [dataclasses.asdict(row) for row in run_sweep(spec).rows]


@pytest.mark.parametrize(
    "wrong", [{"levels": ()}, {"levels": (1.5,)}, {"seeds": 0}, {"pixel_settings": ()}, {"precision": "half"}]
)
def test_what_cannot_be_swept_is_refused(wrong):
    with pytest.raises(InputError):
        SweepSpec(**wrong)


def test_a_range_of_levels_on_the_command_line(tmp_path, capsys):
    options = ["--n-train", "100", "--n-test", "50", "--bandwidth", "1", "--seeds", "1", "--runs", str(tmp_path)]
    assert main(["sweep", "--levels", "0:1:0.5", "--json", "--quiet", *options]) == 0
    assert [row["level"] for row in json.loads(capsys.readouterr().out)["rows"]] == [0.0, 0.5, 1.0]
    assert main(["sweep", "--levels", "0:1", "--quiet", *options]) == 2
    assert main(["sweep", "--plot", "a.gif", "--quiet", *options]) == 2
