import numpy as np
import pytest

from kernelfit import datasets
from kernelfit.common.errors import InputError
from kernelfit.experiments.randomize import RandomizeSpec, make_estimator, run_randomize
from kernelfit.randomization import randomization_test

TREE = "sklearn.tree.DecisionTreeClassifier"


@pytest.fixture
def user_module(tmp_path, monkeypatch):
    (tmp_path / "my_models_.py").write_text(
        "from sklearn.tree import DecisionTreeClassifier\n"
        "def stump(**options): return DecisionTreeClassifier(max_depth=1, **options)\n"
        "number = 3\n"
    )
    (tmp_path / "my_broken_.py").write_text("1 / 0\n")
    monkeypatch.chdir(tmp_path)


def test_it_is_the_test_of_flat_images(tmp_path):
    spec = RandomizeSpec(estimator=TREE, labels=(0.0, 1.0), seeds=2, n_train=200, n_test=100)
    result = run_randomize(spec, runs=tmp_path)
    data = datasets.load("digits", n_train=200, n_test=100)
    X, X_test = ((part.reshape(len(part), 64) / 255).astype(np.float32) for part in (data.X_train, data.X_test))
    direct = randomization_test(
        make_estimator(TREE), X, data.y_train, X_test=X_test, y_test=data.y_test, levels=(0, 1), seeds=(0, 1)
    )
    assert [record.id for record in result.records] == [record.id for record in direct.records]
    assert [record.results.test_error for record in result.records] == [
        record.results.test_error for record in direct.records
    ]
    assert result.fits_random_labels and result.records[0].dataset.name == "digits"
    assert len((tmp_path / "records.jsonl").read_text().splitlines()) == 4
    assert run_randomize(spec, runs=tmp_path).resumed == 4


def test_vectors_are_used_as_they_are(tmp_path):
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((40, 3)), np.arange(40) % 2
    np.savez(tmp_path / "mine.npz", X_train=X, y_train=y, X_test=X, y_test=y)
    result = run_randomize(RandomizeSpec(estimator=TREE, data=str(tmp_path / "mine.npz"), seeds=1))
    assert result.records[0].results.test_error == 0 and (tmp_path / "mine.npz").exists()


def test_parameters_are_literals_or_text():
    options = (
        "max_depth=3",
        "criterion=entropy",
        "class_weight={0: 2.0, 1: 1}",
        "random_state=None",
        "splitter='best'",
    )
    made = make_estimator(TREE, options)
    assert (made.max_depth, made.criterion, made.class_weight) == (3, "entropy", {0: 2.0, 1: 1})
    assert made.random_state is None and made.splitter == "best"


def test_a_users_own_function_may_make_it(user_module):
    for path in ("my_models_.stump", "my_models_:stump"):
        assert make_estimator(path, ["criterion=gini"]).max_depth == 1


@pytest.mark.parametrize(
    ("path", "options", "message"),
    [
        ("DecisionTreeClassifier", (), "no import path"),
        ("sklearn.tree.", (), "no import path"),
        ("sklearn.tree.DecisionTreeClasifier", (), "did you mean 'DecisionTreeClassifier'"),
        ("sklearn.three.DecisionTreeClassifier", (), "could not be imported"),
        ("my_broken_.Anything", (), "ZeroDivisionError"),
        ("my_models_.number", (), "number is a int, not a function or class"),
        (TREE, ("max_depth",), "name=value"),
        (TREE, ("3=max_depth",), "name=value"),
        (TREE, ("depth=3",), "unexpected keyword argument 'depth'"),
        ("sklearn.preprocessing.StandardScaler", (), "no fit and predict"),
    ],
)
def test_what_cannot_be_made(user_module, path, options, message):
    with pytest.raises(InputError, match=message):
        make_estimator(path, options)


def test_options_are_checked_before_data_are_loaded(monkeypatch):
    monkeypatch.setattr(datasets, "load", lambda *_, **__: pytest.fail("loaded"))
    for wrong in ({"labels": (0.0, 2.0)}, {"seeds": 0}, {"jobs": 0}, {"jobs": -2}, {"estimator": "nowhere.Model"}):
        with pytest.raises(InputError):
            run_randomize(RandomizeSpec(**wrong))


def test_a_net_is_told_that_rows_are_images():
    """It whitens images, and would standardise the columns of a table."""
    pytest.importorskip("torch", reason="PyTorch is not installed: the extra nn")
    asked = {"estimator": "kernelfit.nn.NetClassifier", "n_train": 40, "n_test": 20, "seeds": 1, "labels": (1.0,)}
    result = run_randomize(RandomizeSpec(**asked, param=("epochs=1", "model=mlp(hidden=[8])")))
    assert "image_shape=(8, 8)" in result.records[0].results.estimator
    result = run_randomize(RandomizeSpec(**asked | {"data": "synthetic:5"}, param=("epochs=1",)))
    assert "image_shape" not in result.records[0].results.estimator
