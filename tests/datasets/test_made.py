import numpy as np
import pytest

from kernelfit.common.errors import DataError, InputError, NotEnoughMemoryError
from kernelfit.datasets import load
from kernelfit.datasets import made as module


@pytest.mark.parametrize("folder", ["data", "elsewhere"])
def test_digits_are_those_of_scikit_learn_wherever_it_keeps_them(folder, monkeypatch):
    from sklearn.datasets import load_digits

    monkeypatch.setattr(module, "_DIGITS", ("datasets", folder, "digits.csv.gz"))
    data, bunch = load("digits"), load_digits()
    assert data.X_train.shape == (1437, 8, 8) and data.X_test.shape == (360, 8, 8)
    assert data.X_train.dtype == np.uint8
    assert (np.concatenate([data.X_train, data.X_test]) == 15 * bunch.images).all()
    assert (np.concatenate([data.y_train, data.y_test]) == bunch.target).all()


def test_synthetic_is_deterministic_and_every_choice_matters():
    data = load("synthetic:20", n_train=50, n_test=30, seed=1)
    assert data.X_train.shape == (50, 20) and data.X_test.shape == (30, 20) and data.X_train.dtype == np.uint8
    assert data.hashes() == load("synthetic:20", n_train=50, n_test=30, seed=1).hashes()
    other = load("synthetic:20", n_train=50, n_test=30, seed=2)
    assert all(data.hashes()[key] != other.hashes()[key] for key in data.hashes())
    assert not (data.X_train[:30] == data.X_test).all(axis=1).any()


def test_defaults():
    data = load("synthetic")
    assert data.X_train.shape == (2000, 784) and data.X_test.shape == (1000, 784)


@pytest.mark.parametrize("block", [1, 100, 1 << 22])
def test_a_small_draw_is_the_start_of_a_large_one(monkeypatch, block):
    large = module.synthetic(500, 90, 7)
    monkeypatch.setattr(module, "_BLOCK", block)
    small = module.synthetic(123, 45, 7)
    for key in ("X_train", "y_train", "X_test", "y_test"):
        assert (getattr(small, key) == getattr(large, key)[: len(getattr(small, key))]).all()


def test_ten_rows_hold_each_class_once():
    y = module.synthetic(100, 10, 3).y_train.reshape(-1, 10)
    assert (np.sort(y, axis=1) == np.arange(10)).all()
    assert len(np.unique(y, axis=0)) > 1


@pytest.mark.parametrize("dimension", [5, 784])
def test_moments_follow_the_formula(dimension):
    data = module.synthetic(5000, 10, dimension)
    d, s = dimension, module.SEPARATION
    X = data.X_train.astype(float)
    within = np.mean([X[data.y_train == c].var(axis=0) for c in range(10)])
    # d e^2 / (d + s^2), plus 1/12 from rounding; clipping at 2.66 sigma takes a few percent off in low dimensions
    assert within == pytest.approx(module.SPREAD**2 * d / (d + s**2) + 1 / 12, rel=0.06 if d > 100 else 0.2)


@pytest.mark.parametrize("dimension", [50, 784])
def test_classes_overlap_but_can_be_learnt(dimension):
    data = module.synthetic(2000, 1000, dimension)
    centres = np.array([data.X_train[data.y_train == c].mean(axis=0) for c in range(10)])
    distances = ((data.X_test[:, None].astype(np.float32) - centres) ** 2).sum(axis=2)
    error = np.mean(distances.argmin(axis=1) != data.y_test)
    assert 0 < error < 0.2


@pytest.mark.parametrize(
    "name", ["synthetic:", "synthetic:0", "synthetic:-3", "synthetic:x", "synthetic:1.5", "synthetic:²"]
)
def test_a_wrong_dimension_is_refused(name):
    with pytest.raises(InputError, match="dimension D"):
        load(name)


def test_wrong_sizes_are_refused():
    for sizes in ({"n_train": 0}, {"n_test": 0}, {"n_train": -5}):
        with pytest.raises(InputError, match="an integer of at least 1"):
            load("synthetic", **sizes)
    with pytest.raises(DataError, match="at least two classes"):
        load("synthetic:3", n_train=1)


@pytest.mark.parametrize("sizes", [{"dimension": 10**14}, {"n_train": 10**15}, {"dimension": 10**22}], ids=str)
def test_more_than_there_is_memory_for(sizes):
    with pytest.raises(NotEnoughMemoryError, match="this machine has less"):
        module.synthetic(**sizes)
