import json
import shlex

import numpy as np
import pytest
from kernelfit.report.descent import descent_table, plot_descent

from kernelfit import datasets
from kernelfit.cli import main
from kernelfit.common.errors import InputError
from kernelfit.experiments.descent import DescentSpec, run_descent
from kernelfit.theory.double_descent import double_descent
from kernelfit.theory.random_features import ReluFeatures

OPTIONS = ["--n-train", "60", "--n-test", "50", "--grid", "20", "60", "240", "--seeds", "2", "--quiet"]


def test_the_curves_are_those_of_the_arrays():
    data = datasets.load("digits", n_train=60, n_test=50)
    arrays = (data.X_train, data.y_train, data.X_test, data.y_test)
    expected = double_descent(*arrays, n_classes=10, features=ReluFeatures(), grid=[20, 60], seeds=[0, 1])
    curves = run_descent(DescentSpec(features="relu", grid=(20, 60), seeds=2, n_train=60, n_test=50)).curves
    assert curves.test_error == expected.test_error and curves.norm == expected.norm


def test_the_command_leaves_a_line_that_repeats_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["descent", *OPTIONS, "--plot", "figure.svg"]) == 0
    assert "0.333" in capsys.readouterr().out and "<svg" in (tmp_path / "figure.svg").read_text()
    assert main(["descent", *OPTIONS, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    lines = [json.loads(line) for line in (tmp_path / "runs" / "descent.jsonl").read_text().splitlines()]
    assert lines[1] == printed and lines[0]["norm"] == lines[1]["norm"]
    assert main([*shlex.split(printed["command"])[1:], "--json", "--quiet"]) == 0
    assert json.loads(capsys.readouterr().out)["test_error"] == printed["test_error"]


def test_error_and_norm_peak_where_the_features_just_suffice():
    curves = run_descent(DescentSpec(grid=(25, 100, 800), seeds=2, n_train=100, n_test=200)).curves
    error, norm = np.array(curves.mean("test_error")), np.array(curves.mean("norm"))
    assert curves.peak() == 100 and error.argmax() == 1 and norm.argmax() == 1
    assert curves.mean("train_error")[2] == 0


def test_the_same_result_draws_the_same_bytes(tmp_path):
    result = run_descent(DescentSpec(grid=(10, 40), seeds=1, n_train=40, n_test=30))
    files = [plot_descent(result, tmp_path / name) for name in ("a.svg", "b.svg")]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert descent_table(result).row_count == 2


@pytest.mark.parametrize(
    "wrong", [{"features": "fourrier"}, {"features": "relu", "bandwidth": 1.0}, {"seeds": 0}, {"label_noise": 2.0}]
)
def test_what_cannot_be_meant_is_refused(wrong):
    with pytest.raises(InputError):
        DescentSpec(**wrong)
