import numpy as np
import pytest

pytest.importorskip("torch", reason="PyTorch is not installed: the extra nn")

from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_iris, make_blobs
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.metrics import roc_auc_score
from sklearn.tree import DecisionTreeClassifier

from kernelfit.common.errors import InputError
from kernelfit.datasets import load
from kernelfit.experiments.randomize import make_estimator
from kernelfit.nn import NetClassifier
from kernelfit.randomization import randomization_test

DIGITS = load("digits").subset(200, 100)
NET = NetClassifier("mlp(hidden=[64])", lr=0.05, lr_decay=1.0, epochs=200, batch=32)


def test_fit_and_predict():
    names = np.array([f"class {k}" for k in range(10)])
    net = clone(NET).fit(DIGITS.X_train, names[DIGITS.y_train])
    assert net.score(DIGITS.X_train, names[DIGITS.y_train]) == 1.0 and net.history_.stopped_by == "accuracy"
    assert net.score(DIGITS.X_test, names[DIGITS.y_test]) > 0.8
    assert list(net.classes_) == sorted(names)
    assert net.decision_function(DIGITS.X_test).shape == (100, 10)
    with pytest.raises(NotFittedError):
        clone(NET).predict(DIGITS.X_test)


def test_two_classes_are_scored_as_scikit_learn_expects():
    X, y = DIGITS.X_train, DIGITS.y_train > 4
    net = clone(NET).fit(X, y)
    scores = net.decision_function(X)
    assert scores.shape == (200,) and np.array_equal(net.predict(X), scores > 0)
    assert roc_auc_score(y, scores) == 1.0
    flat = X.reshape(200, -1) / 255
    assert CalibratedClassifierCV(clone(NET), cv=3).fit(flat, y).predict_proba(flat).shape == (200, 2)


def test_the_seed_decides_and_images_may_come_as_rows():
    images, rows = DIGITS.X_train, DIGITS.X_train.reshape(200, 64) / 255
    conv = NetClassifier("alexnet(width=0.1)", epochs=2, random_state=3)
    scores = conv.fit(images, DIGITS.y_train).decision_function(images)
    flat = clone(conv).set_params(image_shape=(8, 8)).fit(rows, DIGITS.y_train)
    # x / 255 in float32 or rounded from float64: a few units in the last place, grown by two epochs.
    np.testing.assert_allclose(flat.decision_function(rows), scores, atol=1e-3)
    other = clone(conv).set_params(random_state=4).fit(images, DIGITS.y_train)
    assert np.abs(other.decision_function(images) - scores).max() > 0.01


def test_the_randomization_test_takes_it():
    result = randomization_test(
        NET, DIGITS.X_train, DIGITS.y_train, X_test=DIGITS.X_test, y_test=DIGITS.y_test, levels=(0, 1), seeds=(0, 1)
    )
    assert result.fits_random_labels
    true, random = result.summary
    assert true.test_error[0] < 0.25 and random.test_error[0] > 0.7
    by_path = make_estimator("kernelfit.nn.NetClassifier", ["epochs=3", "model=mlp3x512"])
    assert (by_path.epochs, by_path.model) == (3, "mlp3x512")


def best_threshold_on_one_feature():
    X, y = load_iris(return_X_y=True)
    return X[:, 2:3], y, DecisionTreeClassifier(max_leaf_nodes=3).fit(X[:, 2:3], y).score(X[:, 2:3], y)


@pytest.mark.parametrize("scale", [1, 1e6])
def test_a_table_is_fitted_however_few_its_columns_and_whatever_their_units(scale):
    """Whitened as an image is, a row of one feature is 0, and one of two has a single bit."""
    X, y, reachable = best_threshold_on_one_feature()
    net = NetClassifier("mlp(hidden=[64])", epochs=60, batch=32, lr=0.05, target=reachable).fit(scale * (X + 5), y)
    assert net.score(scale * (X + 5), y) >= reachable - 0.03  # a net's thresholds are not the very best
    assert net.predict(scale * (X[:1] + 5)) == net.predict(scale * (X + 5))[:1]  # not standardised by itself
    X, y = make_blobs(100, centers=3, n_features=2, random_state=1)
    net = clone(net).set_params(target=1.0).fit(X * [scale, 1], y)
    assert net.score(X * [scale, 1], y) == 1.0


def test_what_is_no_number_is_an_error_and_not_class_0():
    X = DIGITS.X_train.reshape(200, 64) / 255
    net = NetClassifier("mlp(hidden=[8])", epochs=1).fit(X, DIGITS.y_train)
    X[7, 3] = np.nan
    for ask in (lambda: net.predict(X), lambda: clone(net).fit(X, DIGITS.y_train)):
        with pytest.raises(InputError, match="NaN, infinite or too large for float32, first in row 7"):
            ask()
    with pytest.raises(InputError, match=r"X has shape \(200, 63\); the net was fitted to \('m', 64\)"):
        net.predict(X[:, 1:])


def test_what_it_refuses():
    with pytest.raises(InputError, match="one class"):
        clone(NET).fit(DIGITS.X_train, np.zeros(200, int))
    with pytest.raises(InputError, match="200"):
        clone(NET).fit(DIGITS.X_train, DIGITS.y_train[:5])
    with pytest.raises(InputError, match="image_shape"):
        clone(NET).set_params(image_shape=(3, 3)).fit(DIGITS.X_train.reshape(200, 64), DIGITS.y_train)
    with pytest.raises(InputError, match="epochs"):
        clone(NET).set_params(epochs=0).fit(DIGITS.X_train, DIGITS.y_train)


TABLE = (DIGITS.X_train.reshape(200, -1) // 16 * 15).astype(np.uint8)


def test_a_table_of_uint8_stands_for_itself_over_255():
    net = clone(NET).fit(TABLE, DIGITS.y_train)
    np.testing.assert_allclose(net.decision_function(TABLE / 255), net.decision_function(TABLE), atol=1e-3)
    assert net.score(TABLE, DIGITS.y_train) == net.score(TABLE / 255, DIGITS.y_train) == 1.0


def test_a_net_that_diverged_says_so_and_predicts_nothing():
    net = clone(NET).set_params(lr=1e20)
    with pytest.warns(ConvergenceWarning, match=r"smaller lr than 1e.20"):
        net.fit(TABLE, DIGITS.y_train)
    for predict in (net.predict, net.decision_function):
        with pytest.raises(InputError, match="diverged"):
            predict(TABLE)


def test_columns_have_names_and_an_order():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(TABLE.astype(float), columns=[f"c{k}" for k in range(64)])
    net = clone(NET).set_params(epochs=2).fit(frame, DIGITS.y_train)
    assert net.n_features_in_ == 64 and list(net.feature_names_in_) == list(frame.columns)
    with pytest.raises(ValueError, match="feature names"):
        net.predict(frame[frame.columns[::-1]])


@pytest.mark.parametrize(
    ("changes", "X", "message"),
    [
        ({}, TABLE[:0], "no examples"),
        ({}, TABLE[:, :0], "nothing in an example"),
        ({}, np.ma.masked_equal(TABLE, TABLE[0, 10]), "masked"),
        ({}, [[1.0], [1.0, 2.0]], "no array"),
        ({"dropout": "x"}, TABLE, "dropout"),
        ({"dropout": None}, TABLE, "dropout"),
        ({"image_shape": (8.0, 8.0)}, TABLE, "image_shape"),
        ({"image_shape": (-8, -8)}, TABLE, "image_shape"),
        ({"image_shape": "ab"}, TABLE, "image_shape"),
        ({"crop": -1}, TABLE, "crop"),
    ],
)
def test_what_cannot_be_fitted_says_so(changes, X, message):
    with pytest.raises(InputError, match=message):
        clone(NET).set_params(**changes).fit(X, DIGITS.y_train[: len(X)])
    clone(NET).set_params(epochs=1, crop=np.int64(28)).fit(TABLE, DIGITS.y_train)


def test_whole_numbers_are_numbers_in_a_table_and_refused_in_images():
    y = DIGITS.y_train
    net = clone(NET).set_params(epochs=2)
    expected = net.fit(TABLE.astype(float), y).decision_function(TABLE.astype(float))
    for kind in (np.int64, np.uint16):
        assert np.array_equal(net.fit(TABLE.astype(kind), y).decision_function(TABLE.astype(kind)), expected)
    with pytest.raises(InputError, match="uint8"):
        clone(NET).fit(TABLE.reshape(-1, 8, 8).astype(int), y)
