import numpy as np
import pytest

from kernelfit import datasets
from kernelfit.common.errors import InputError
from kernelfit.experiments.descent import DescentSpec, run_descent
from kernelfit.theory.double_descent import double_descent
from kernelfit.theory.random_features import ReluFeatures


def test_the_curves_are_those_of_the_arrays():
    data = datasets.load("digits", n_train=60, n_test=50)
    arrays = (data.X_train, data.y_train, data.X_test, data.y_test)
    expected = double_descent(*arrays, n_classes=10, features=ReluFeatures(), grid=[20, 60], seeds=[0, 1])
    curves = run_descent(DescentSpec(features="relu", grid=(20, 60), seeds=2, n_train=60, n_test=50)).results
    assert curves.test_error == expected.test_error and curves.norm == expected.norm


def test_error_and_norm_peak_where_the_features_just_suffice():
    curves = run_descent(DescentSpec(grid=(25, 100, 800), seeds=2, n_train=100, n_test=200)).results
    error, norm = np.array(curves.mean("test_error")), np.array(curves.mean("norm"))
    assert curves.peak() == 100 and error.argmax() == 1 and norm.argmax() == 1
    assert curves.mean("train_error")[2] == 0


@pytest.mark.parametrize(
    "wrong", [{"features": "fourrier"}, {"features": "relu", "bandwidth": 1.0}, {"seeds": 0}, {"labels": 2.0}], ids=str
)
def test_what_cannot_be_meant_is_refused(wrong):
    with pytest.raises(InputError):
        DescentSpec(**wrong)


@pytest.mark.parametrize(("there", "taken"), [(1200, 1000), (40, 40)])
def test_a_thousand_examples_or_all_where_there_are_fewer(tmp_path, there, taken):
    X, y = np.random.default_rng(0).standard_normal((there, 3)), np.arange(there) % 2
    np.savez(tmp_path / "own.npz", X_train=X, y_train=y, X_test=X[:20], y_test=y[:20])
    spec = DescentSpec(data=str(tmp_path / "own.npz"), grid=(4,), seeds=1)
    assert run_descent(spec).results.n_train == taken
