import numpy as np
import pytest
from sklearn.datasets import load_digits

from kernelfit.datasets import load
from kernelfit.datasets.pixels import pixels_in_doubt

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    "X",
    [
        (load_digits().data * 15.9375).astype(np.uint8),
        (load_digits().data[:3] * 15.9375).astype(np.uint8),
        load("digits").X_train.reshape(-1, 64) if load("digits").X_train.dtype == np.uint8 else np.zeros((2, 64)),
        255 * RNG.integers(0, 2, (40, 25), dtype=np.uint8),  # binary images
        RNG.integers(0, 256, (30, 3072), dtype=np.uint8),
        np.zeros((5, 784), np.uint8),
        RNG.integers(0, 9, (5, 2, 2), dtype=np.uint8),  # has the axes of an image
        RNG.integers(0, 9, (5, 3)),  # no uint8
        RNG.uniform(0, 9, (5, 3)),
    ],
    ids=lambda X: f"{X.dtype}{X.shape}",
)
def test_images_and_other_numbers_are_not_in_doubt(X):
    assert pixels_in_doubt(X) is None


def test_borders_that_are_always_black_do_not_count():
    X = np.zeros((50, 784), np.uint8)
    X[:, 300:400] = RNG.integers(0, 256, (50, 100))
    assert pixels_in_doubt(X) is None


@pytest.mark.parametrize(
    "X",
    [
        RNG.integers(0, 256, (50, 4), dtype=np.uint8),
        RNG.integers(0, 2, (50, 64), dtype=np.uint8),
        RNG.integers(18, 100, (50, 20), dtype=np.uint8),
        load_digits().data.astype(np.uint8),  # 0 to 16
    ],
    ids=["few", "flags", "ages", "sixteenths"],
)
def test_tables_are(X):
    assert "divided by 255" in pixels_in_doubt(X)


def test_one_large_column_makes_no_image_of_a_table():
    X = RNG.integers(0, 60, (50, 20), dtype=np.uint8)
    X[:, 3] = RNG.integers(0, 256, 50)
    assert pixels_in_doubt(X)
