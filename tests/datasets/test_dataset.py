import numpy as np
import pytest

from kernelfit.common.errors import DataError, InputError
from kernelfit.datasets import Dataset


def make(**changes):
    parts = {
        "name": "made",
        "X_train": np.zeros((6, 2, 2), np.uint8),
        "y_train": np.array([0, 1, 2, 0, 1, 2]),
        "X_test": np.zeros((3, 2, 2), np.uint8),
        "y_test": np.array([0, 1, 2]),
        "classes": ("a", "b", "c"),
        "provenance": "",
    }
    return Dataset(**(parts | changes))


def test_arrays_are_read_only_and_labels_int64():
    data = make(y_train=np.array([0, 1, 2, 0, 1, 2], np.uint8))
    assert data.y_train.dtype == np.int64
    for array in (data.X_train, data.y_train, data.X_test, data.y_test):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"X_train": np.zeros((0, 2, 2), np.uint8)}, "train split is empty"),
        ({"X_test": np.zeros((0, 2, 2), np.uint8)}, "test split is empty"),
        ({"X_train": np.uint8(3)}, r"shape \(\)"),
        ({"X_train": np.zeros(6, np.uint8)}, "shape"),
        ({"X_train": np.zeros((6, 0), np.uint8)}, "nothing in it"),
        ({"X_train": np.zeros((6, 2, 2), bool)}, "dtype bool"),
        ({"X_train": np.zeros((6, 2, 2), np.float32)}, "one shape and dtype"),
        ({"X_train": np.zeros((6, 2, 3), np.uint8)}, "one shape and dtype"),
        ({"X_train": np.full((6, 2, 2), np.nan)}, "NaN or infinite values, first in row 0"),
        ({"X_test": np.array([[1.0, 2.0], [1.0, np.inf], [1.0, 2.0]])}, "first in row 1"),
        ({"y_train": np.zeros(6, int)}, "at least two classes"),
        ({"y_train": np.array([0, 1, 3, 0, 1, 2])}, "run from 0 to 3"),
        ({"y_test": np.array([-1, 1, 2])}, "run from -1 to 2"),
        ({"y_test": np.array([0, 1])}, "3 examples"),
        ({"y_test": np.array([0.0, 1.0, 2.0])}, "must be integers"),
        ({"y_test": np.array([True, False, True])}, "must be integers"),
    ],
)
def test_unusable_data_are_refused(changes, message):
    with pytest.raises(DataError, match=message):
        make(**changes)


def imbalanced():
    y = np.repeat([0, 1, 2], [70, 20, 10])
    rows = np.arange(100, dtype=np.float64).reshape(-1, 1)
    return make(X_train=rows, y_train=y, X_test=rows, y_test=y)


@pytest.mark.parametrize("size", [1, 7, 10, 33, 99, 100])
def test_subset_takes_each_class_in_proportion(size):
    data = imbalanced()
    part = data.subset(n_test=size)
    counts = np.bincount(part.y_test, minlength=3)
    assert counts.sum() == size
    assert (np.abs(counts - size * np.array([0.7, 0.2, 0.1])) < 1).all()
    rows = part.X_test[:, 0].astype(int)
    assert len(set(rows)) == size and (np.diff(rows) > 0).all()
    assert (data.y_test[rows] == part.y_test).all()
    assert part.X_train.shape == data.X_train.shape


def test_subset_depends_on_seed_alone_and_splits_differ():
    data = imbalanced()
    part = data.subset(20, 20, seed=5)
    assert part.hashes() == data.subset(20, 20, seed=5).hashes()
    assert part.hashes()["X_train"] == data.subset(20, 90, seed=5).hashes()["X_train"]
    assert part.hashes()["X_train"] != data.subset(20, 20, seed=6).hashes()["X_train"]
    again = part.subset(10, seed=1)
    for made in (data, part, again):
        assert np.array_equal(data.X_train[made.rows_train], made.X_train), "rows of the whole split"
        assert np.array_equal(data.y_test[made.rows_test], made.y_test)
    assert part.hashes()["X_train"] != part.hashes()["X_test"]


@pytest.mark.parametrize("size", [0, -1, 101])
def test_impossible_subset_is_refused(size):
    with pytest.raises(InputError, match="from 1 to 100"):
        imbalanced().subset(n_train=size)


def test_numbers_of_either_byte_order_are_the_same_data():
    X, y = np.random.default_rng(0).standard_normal((6, 3)), np.array([0, 1, 0, 1, 0, 1])
    big = Dataset("own", X.astype(">f8"), y.astype(">i4"), X, y, ("a", "b"), "own")
    assert big.X_train.dtype == big.X_test.dtype == np.float64
    assert np.array_equal(big.X_train, X) and np.array_equal(big.y_train, y)
