"""What a dataset is: two splits of images or vectors with labels, checked once, frozen."""

import dataclasses
import os
import unicodedata
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from kernelfit.common.errors import DataError, NotEnoughMemoryError
from kernelfit.common.files import sha256
from kernelfit.common.rng import generator
from kernelfit.common.validation import check_integer


def require_memory(size: int, what: str) -> None:
    """Raise NotEnoughMemoryError where so many bytes are more than this machine has."""
    if size > os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"):
        raise NotEnoughMemoryError(f"{what} take {size / 2**30:.1f} GiB; this machine has less")


def check_several_classes(name: str, y: npt.NDArray, classes: Sequence[str]) -> None:
    """Raise DataError where all training labels are one class."""
    if len(np.unique(y)) < 2:
        raise DataError(
            f"{name}: all {len(y)} training labels are {classes[y[0]]!r}; a classifier needs at least two classes"
        )


@dataclasses.dataclass(frozen=True)
class Dataset:
    """Training and test examples with class labels.

    Attributes
    ----------
    name : str
        What the data is called in tables and Records.
    X_train, X_test : array, shape (n, ...)
        uint8 images (n, h, w) or (n, h, w, c) that stand for pixels / 255, or float arrays used as they are.
        Read-only views of what was given, without a copy: it should not change either.
    y_train, y_test : int64 array, shape (n,)
        Indices into `classes`. Read-only.
    classes : tuple of str
        Names of the classes in label order, in Unicode's form NFC.
    provenance : str
        Where the data came from, in one sentence.
    rows_train, rows_test : int64 array, shape (n,)
        Which examples of the whole splits these are: all, unless `subset` drew them.
    """

    name: str
    X_train: np.ndarray
    y_train: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray
    classes: Sequence[str]
    provenance: str
    rows_train: npt.NDArray[np.int64] = dataclasses.field(init=False, repr=False)
    rows_test: npt.NDArray[np.int64] = dataclasses.field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", tuple(composed(str(c)) for c in self.classes))
        for split in ("train", "test"):
            X, y = _checked(self.name, split, getattr(self, f"X_{split}"), getattr(self, f"y_{split}"))
            if y.min() < 0 or y.max() >= len(self.classes):
                raise DataError(
                    f"{self.name}: labels of the {split} split run from {y.min()} to {y.max()}, but there are "
                    f"{len(self.classes)} classes; labels must be indices 0..{len(self.classes) - 1}"
                )
            object.__setattr__(self, f"X_{split}", _frozen(X))
            object.__setattr__(self, f"y_{split}", _frozen(y))
            object.__setattr__(self, f"rows_{split}", _frozen(np.arange(len(y))))
        if self.X_train.shape[1:] != self.X_test.shape[1:] or self.X_train.dtype != self.X_test.dtype:
            raise DataError(
                f"{self.name}: training examples are {self.X_train.dtype} {self.X_train.shape[1:]}, test examples "
                f"{self.X_test.dtype} {self.X_test.shape[1:]}; both splits must have one shape and dtype"
            )
        check_several_classes(self.name, self.y_train, self.classes)

    def subset(self, n_train: int | None = None, n_test: int | None = None, seed: int = 0) -> Self:
        """Return a Dataset with `n_train` and `n_test` examples drawn per class in proportion (stratified).

        The draw depends on `seed`, the labels and the sizes alone. None keeps the whole split.
        """
        parts: dict[str, Any] = {}
        drawn: dict[str, npt.NDArray] = {}
        for split, size in (("train", n_train), ("test", n_test)):
            X, y = getattr(self, f"X_{split}"), getattr(self, f"y_{split}")
            rows: slice | npt.NDArray = slice(None)
            if size is not None and size != len(y):
                rows = stratified(y, size, generator(seed, "subset", split), f"n_{split}")
            parts |= {f"X_{split}": X[rows], f"y_{split}": y[rows]}
            drawn[f"rows_{split}"] = getattr(self, f"rows_{split}")[rows]
        made = dataclasses.replace(self, **parts)
        for name, rows in drawn.items():
            object.__setattr__(made, name, _frozen(rows))
        return made

    def hashes(self) -> dict[str, str]:
        """SHA-256 of the bytes of each array, as a dict by array name."""
        arrays = {key: getattr(self, key) for key in ("X_train", "y_train", "X_test", "y_test")}
        return {key: sha256(np.ascontiguousarray(value)) for key, value in arrays.items()}


def composed(text: str) -> str:
    """Return a text in Unicode's form NFC: "é" is one character, not an "e" and an accent.

    Two spellings of a name look the same and are different strings; macOS tends to make the other one, NFD.
    """
    return unicodedata.normalize("NFC", text)


def channels_first(X: npt.NDArray) -> bool:
    """Whether an array (n, a, b, c) looks like (n, channels, height, width), as PyTorch has images.

    No picture has more than four channels, red, green, blue and transparency.
    """
    return X.ndim == 4 and X.shape[1] in (1, 3, 4) and X.shape[3] > 4


def channels_explained(name: str, X: npt.NDArray) -> str:
    """Return what to say of such an array called `name`."""
    _, a, b, c = X.shape
    return (
        f"{name} has shape {X.shape}, which looks like {a} channel{'s' * (a > 1)} first; images are (n, height, width, "
        f"channels): take {name}.transpose(0, 2, 3, 1). If it does hold {c} channels of {a} x {b} pixels, give them as "
        f"vectors: {name}.reshape(len({name}), -1)"
    )


def _checked(name, split, X, y):
    X, y = np.asarray(X), np.asarray(y)
    X = X.astype(X.dtype.newbyteorder("="), copy=False)
    if X.ndim not in (2, 3, 4):
        raise DataError(f"{name}: X_{split} has shape {X.shape}; expected (n, d), (n, h, w) or (n, h, w, channels)")
    if channels_first(X):
        raise DataError(f"{name}: {channels_explained(f'X_{split}', X)}")
    if len(X) == 0:
        raise DataError(f"{name}: the {split} split is empty")
    if X.dtype != np.uint8 and X.dtype not in (np.float32, np.float64):
        raise DataError(f"{name}: X_{split} has dtype {X.dtype}; images must be uint8, other data float32 or float64")
    if 0 in X.shape:
        raise DataError(f"{name}: X_{split} has shape {X.shape}, with nothing in it")
    if X.dtype != np.uint8 and not np.isfinite(X).all():
        row = int(np.flatnonzero(~np.isfinite(X.reshape(len(X), -1)).all(axis=1))[0])
        raise DataError(f"{name}: X_{split} has NaN or infinite values, first in row {row}; remove or fill them")
    if y.ndim != 1 or len(y) != len(X):
        raise DataError(f"{name}: y_{split} has shape {y.shape} for {len(X)} examples; expected ({len(X)},)")
    if y.dtype.kind not in "iu":
        raise DataError(f"{name}: y_{split} has dtype {y.dtype}; labels must be integers")
    return X, y.astype(np.int64)


def _frozen(array):
    view = array.view()
    view.flags.writeable = False
    return view


def stratified(y: npt.NDArray, size: int, rng: np.random.Generator, option: str) -> npt.NDArray[np.intp]:
    """Return rows of a stratified sample, in order: each class has its share, remainders go by largest fraction."""
    check_integer(option, size, 1, len(y))
    counts = np.bincount(y)
    share = counts * (size / len(y))
    take = np.floor(share).astype(int)
    take[np.argsort(take - share, kind="stable")[: size - take.sum()]] += 1
    rows = [rng.permutation(np.flatnonzero(y == label))[:k] for label, k in enumerate(take) if k]
    return np.sort(np.concatenate(rows))
