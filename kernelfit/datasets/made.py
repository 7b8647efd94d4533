"""Data that need no file: the embedded digits, and synthetic classes of any size."""

import contextlib
import gzip
import importlib.util
from pathlib import Path

import numpy as np

from kernelfit.common.rng import generator
from kernelfit.common.validation import check_integer
from kernelfit.datasets.dataset import Dataset, require_memory

CLASSES = 10
SEPARATION = 4.0
SPREAD = 48.0
_DIGITS = "datasets", "data", "digits.csv.gz"  # in the folder of scikit-learn
_BLOCK = 1 << 22  # values made at a time: 16 MiB of float32


def digits() -> Dataset:
    """Return scikit-learn's 1,797 digits of 8 x 8, grey levels 0..16 times 15 as uint8; the last 360 are the test."""
    table = _digits_of_sklearn()
    X, y = (15 * table[:, :-1].reshape(-1, 8, 8)).astype(np.uint8), table[:, -1].astype(int)
    provenance = (
        "digits: load_digits of scikit-learn in its own order, grey levels 0..16 times 15; the first 1437 are the "
        "training split, the last 360 the test split"
    )
    return Dataset("digits", X[:1437], y[:1437], X[1437:], y[1437:], tuple("0123456789"), provenance)


def _digits_of_sklearn():
    """Return (1797, 65): grey levels and the class. From its file, as scikit-learn takes a second to load."""
    package = importlib.util.find_spec("sklearn")
    for folder in package.submodule_search_locations or () if package else ():
        with contextlib.suppress(FileNotFoundError), gzip.open(Path(folder, *_DIGITS), "rt") as lines:
            return np.array([line.split(",") for line in lines], np.uint8)
    from sklearn.datasets import load_digits  # a scikit-learn that keeps it elsewhere

    return np.column_stack(load_digits(return_X_y=True))


def synthetic(n_train: int = 2000, n_test: int = 1000, dimension: int = 784, seed: int = 0) -> Dataset:
    """Return uint8 vectors of ten overlapping Gaussian classes, deterministic in (seed, n, dimension).

    x = clip(round(127.5 + 48 (s m_c + sqrt(d) e) / sqrt(d + s^2)), 0, 255)   with   m_c, e ~ N(0, I_d),  s = 4,

    where the prototype m_c is drawn once per class and e once per example. The standard deviation is 48 for any d,
    and the distance of two prototypes is about sqrt(2) s noise widths, so their overlap hardly depends on d.
    In a few dimensions the rounding makes some rows equal, and their Gram matrix singular.
    Labels come in random order, ten rows holding each class once. Rows follow one endless stream per split: the
    first n of a larger draw are the draw of n.

    Raises
    ------
    InputError
        If a size is not a positive integer.
    NotEnoughMemoryError
        If they are more than this machine has memory for.
    DataError
        If n_train = 1, which leaves a single class.
    """
    for option, value in (("n_train", n_train), ("n_test", n_test), ("dimension", dimension)):
        check_integer(f"synthetic data: {option}", value)
    n = n_train + n_test
    require_memory(n * (dimension + 8) + 4 * CLASSES * dimension, f"{n:,} examples in {dimension:,} dimensions")
    prototypes = generator(seed, "synthetic prototypes").standard_normal((CLASSES, dimension), np.float32)
    prototypes *= np.float32(SPREAD * SEPARATION / np.sqrt(dimension + SEPARATION**2))
    prototypes += np.float32(127.5)
    splits = []
    for split, n in enumerate((n_train, n_test)):
        y = _classes(n, generator(seed, "synthetic labels", split))
        splits += [_examples(prototypes, y, generator(seed, "synthetic noise", split)), y]
    provenance = f"synthetic: {CLASSES} Gaussian classes in {dimension} dimensions made from seed {seed}"
    X_train, y_train, X_test, y_test = splits
    return Dataset("synthetic", X_train, y_train, X_test, y_test, tuple(map(str, range(CLASSES))), provenance)


def _classes(n, rng):
    rounds = np.tile(np.arange(CLASSES), (-(-n // CLASSES), 1))
    return rng.permuted(rounds, axis=1).ravel()[:n]


def _examples(prototypes, y, rng):
    d = prototypes.shape[1]
    noise = np.float32(SPREAD * np.sqrt(d / (d + SEPARATION**2)))
    X = np.empty((len(y), d), np.uint8)
    rows = max(1, _BLOCK // d)
    for start in range(0, len(y), rows):
        labels = y[start : start + rows]
        block = rng.standard_normal((len(labels), d), np.float32)
        block *= noise
        block += prototypes[labels]
        X[start : start + rows] = np.clip(np.rint(block, out=block), 0, 255, out=block)
    return X
