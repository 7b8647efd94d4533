"""A saved model knows its classes by name, however the data order or spell them."""

import csv
import dataclasses
from pathlib import Path

import numpy as np
import pytest

from kernelfit import KernelInterpolationClassifier
from kernelfit.backend import CPU
from kernelfit.common.errors import DataError
from kernelfit.datasets import load
from kernelfit.experiments.predict import run_predict, write_predictions
from kernelfit.experiments.solve import SolveSpec, run_solve

COMPOSED, APART = "caf\u00e9", "cafe\u0301"  # NFC, NFD


@pytest.fixture(autouse=True)
def small(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(CPU, "probe", 64)


def saved(names, path="mine.npz"):
    """Write images of two classes; names[k] is what class k is called. Return the path."""
    X, y = np.random.default_rng(0).integers(0, 200, (60, 4, 4), np.uint8), np.arange(60) % 2
    X[y == 1] += 40
    labels = np.array(names)[y]
    np.savez(path, X_train=X[:40], y_train=labels[:40], X_test=X[40:], y_test=labels[40:])
    return f"./{path}"


def test_a_model_of_names_in_another_spelling_and_order_predicts(tmp_path):
    """As NFD, which an older model holds as it came, "cafe" with an accent stands before "caff", as NFC behind it."""
    data = saved([APART, "caff"])
    record, model = run_solve(SolveSpec(data=data, bandwidth=1.0))
    assert model.classes == ("caff", COMPOSED)
    old = dataclasses.replace(model, classes=(APART, "caff"), coef=model.coef[:, ::-1])
    for number, each in enumerate((model, old)):
        each.save(f"{number}.npz")
        found, predictions = run_predict(f"{number}.npz", data=data)
        write_predictions(Path(f"{number}.csv"), predictions)
        assert found["test_error"] == record.results.test_error < 0.5
    rows = [list(csv.reader(Path(f"{k}.csv").read_text(encoding="utf-8").splitlines()))[1:] for k in range(2)]
    assert [row[2] for row in rows[0]] == [COMPOSED, "caff"] * 10
    assert [[name.replace(APART, COMPOSED) for name in row] for row in rows[1]] == rows[0]


def test_other_classes_are_refused():
    run_solve(SolveSpec(data=saved(["cat", "dog"]), bandwidth=1.0))[1].save("model.npz")
    with pytest.raises(DataError, match="knows the classes cat, dog, but other has cat, emu"):
        run_predict("model.npz", data=saved(["cat", "emu"], "other.npz"))


def test_an_estimator_with_a_trend_predicts_with_it():
    data = load("digits", n_train=150)
    X, Z = (part.reshape(len(part), -1) for part in (data.X_train, data.X_test))
    model = KernelInterpolationClassifier(bandwidth=0.3, ridge=1.0, trend="constant").fit(X, data.y_train)
    model.save("model.npz")
    _, rows = run_predict("model.npz", data="digits")
    predicted = np.array([int(row[1]) for row in rows])
    np.testing.assert_array_equal(predicted, model.predict(Z))
    function = model.function_(Z).argmax(axis=1)
    assert (predicted != function).any()


def test_examples_have_their_numbers_in_the_whole_split_and_what_is_undecided_no_class():
    data = load("digits")
    run_solve(SolveSpec(n_train=200, bandwidth=1.5))[1].save("model.npz")
    found, rows = run_predict("model.npz", data="digits", n_test=40, seed=3)
    assert [row[2] for row in rows] == [str(data.y_test[row[0]]) for row in rows] and found["warnings"] == []
    assert found["test_error"] == np.mean([row[1] != row[2] for row in rows]) < 0.2
    run_solve(SolveSpec(n_train=200, bandwidth=0.01))[1].save("narrow.npz")  # all values are 0, far from the points
    found, rows = run_predict("narrow.npz", data="digits")
    assert found["test_error"] == np.mean([row[1] != row[2] for row in rows]) == 1.0 and rows[0][1] == ""
    assert "360 test points have several largest scores" in found["warnings"][0]
