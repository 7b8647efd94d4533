"""The example scripts show what their docstrings say."""

import ast
import runpy
from pathlib import Path

import numpy as np
import pytest

import kernelfit

FOLDER = Path(kernelfit.__file__).parent / "examples"
SCRIPTS = sorted(path for path in FOLDER.glob("*.py") if path.name != "__init__.py")


def ran(name):
    """Run a script as `python -m` does; return its variables by name."""
    return runpy.run_module(f"kernelfit.examples.{name}", run_name="__main__")


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_is_short_explains_itself_and_is_in_the_list(path):
    text = path.read_text(encoding="utf-8")
    assert 10 <= len(text.splitlines()) <= 30
    assert len(ast.get_docstring(ast.parse(text)).splitlines()) >= 3
    assert f"\n* `{path.stem}`: " in (FOLDER / "__init__.py").read_text(encoding="utf-8")


def test_fit_and_norm(capsys):
    shown = ran("fit_and_norm")
    assert shown["train_error"] == 0 and shown["test_error"] < 0.06
    # Rounding in coef is at most of the order of eps times the condition of K; the factor 10 is for the estimate of it.
    rtol = 10 * np.finfo(float).eps * shown["found"].report.condition_estimate
    np.testing.assert_allclose([shown["by_matrix"], shown["by_labels"]], shown["norm"], rtol=rtol)
    assert rtol < 1e-9
    assert f"{shown['norm']:.6f}" in capsys.readouterr().out


def test_random_labels():
    shown = ran("random_labels")
    assert shown["train_error"] == {"true": 0, "random": 0}
    assert shown["test_error"]["true"] < 0.06 and 0.8 < shown["test_error"]["random"] < 1
    assert shown["norm"]["random"] > 3 * shown["norm"]["true"]


def test_leave_one_out():
    shown = ran("leave_one_out")
    loo, test = shown["loo_error"], shown["test_error"]
    # Of 360 images about 3 are wrong: two standard deviations of such a count are 1 % of the images.
    assert abs(loo["random order"] - test["random order"]) < 0.01
    assert test["order of the file"] > 2 * loo["order of the file"]


def test_sweep():
    rows = {(row.level, row.seed): row for row in ran("sweep")["rows"]}
    assert set(rows) == {(0, 0), (0.5, 0), (0.5, 1), (1, 0), (1, 1)}  # at level 0 a seed changes nothing
    assert all(row.train_error == 0 for row in rows.values())
    true = rows[0, 0]
    for half, random in ((rows[0.5, seed], rows[1, seed]) for seed in (0, 1)):
        assert true.norm < half.norm < random.norm
        assert true.test_error < half.test_error < 0.6 < 0.8 < random.test_error


def test_own_kernel():
    shown = ran("own_kernel")
    assert list(shown["models"]) == ["rational quadratic"] and list(shown["refused"]) == ["hyperbolic tangent"]
    assert shown["models"]["rational quadratic"].score(shown["X"], shown["data"].y_train) == 1
    K = np.tanh(shown["X"][:200] / 255 @ shown["X"][:200].T / 255 / 4 - 1)
    assert np.linalg.eigvalsh(K)[0] < -0.01  # it was no kernel: the refusal is right


def test_grid_search():
    shown = ran("grid_search")
    assert shown["search"].best_params_["ridge"] < 1 and 0 <= shown["gain"] < 0.01
    best = shown["scores"][shown["bandwidths"].index(shown["search"].best_params_["bandwidth"])]
    assert best[-1] < best[0]  # a large ridge costs


def test_randomization():
    grown, stopped = ran("randomization")["results"].values()
    assert grown.fits_random_labels and not stopped.fits_random_labels
    assert grown.summary[0].test_error[0] < stopped.summary[0].test_error[0]


def test_net():
    pytest.importorskip("torch", reason="nets need PyTorch: pip install '.[nn]'")
    shown = ran("net")
    assert shown["train_error"] == {"true": 0, "random": 0}
    assert shown["test_error"]["true"] < 0.2 < 0.8 < shown["test_error"]["random"]
    assert shown["epochs"]["random"] > 2 * shown["epochs"]["true"]
