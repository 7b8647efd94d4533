"""A file of a user's own, as numpy.savez writes it."""

import tokenize
import zipfile
import zlib
from pathlib import Path

import numpy as np

from kernelfit.common.errors import DataError, IntegrityError, KernelfitError, NotEnoughMemoryError
from kernelfit.datasets.dataset import Dataset, composed
from kernelfit.datasets.read import archives

_DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    KeyError,
    TypeError,
    ValueError,
    RuntimeError,
    OverflowError,
    SyntaxError,
    tokenize.TokenError,
)

KEYS = ("X_train", "y_train", "X_test", "y_test")


def read_npz(path: str | Path) -> Dataset:
    """Return the Dataset in a file of numpy.savez with X_train, y_train, X_test, y_test and, if wanted, classes.

    X is uint8 images or vectors, or float32 or float64. y is integers or texts; the classes are the sorted values of
    y_train, unless `classes` names them: then integers are indices into it and texts are looked up in it. Texts are
    compared in Unicode's form NFC.

    Raises
    ------
    DataError
        If keys are missing or unknown, or an array has another dtype, shape or labels.
    IntegrityError
        If the file is damaged, truncated or of another kind.
    NotEnoughMemoryError
        If an array does not fit in memory.
    """
    path = Path(path)
    arrays = _load(path)
    classes = arrays.pop("classes", None)
    missing = [key for key in KEYS if key not in arrays]
    unknown = sorted(set(arrays) - set(KEYS))
    if missing or unknown:
        raise DataError(
            f"{path} must hold {', '.join(KEYS)} and optionally classes"
            + (f"; missing: {', '.join(missing)}" if missing else "")
            + (f"; unknown: {', '.join(unknown)}" if unknown else "")
        )
    for key in ("X_train", "X_test"):
        _check_values(path, key, arrays[key])
    names, y_train, y_test = _labels(path, arrays["y_train"], arrays["y_test"], classes)
    return Dataset(path.stem, arrays["X_train"], y_train, arrays["X_test"], y_test, names, f"{path.stem}: {path}")


def _load(path):
    try:
        archives.check_zip(path, path)
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
    except KernelfitError:
        raise
    except MemoryError as error:
        raise NotEnoughMemoryError(f"an array in {path} does not fit in memory: {error}") from error
    except _DAMAGED as error:
        if "allow_pickle" in str(error):
            raise DataError(
                f"{path} holds an object array, which could run code when read; store numbers or fixed-width texts "
                "(labels: y.astype(str))"
            ) from error
        raise IntegrityError(f"{path} is damaged, truncated or no .npz (write it with numpy.savez): {error}") from error
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
    for key, array in arrays.items():
        if not isinstance(array, np.ndarray):  # numpy returns the bytes of a member that is no .npy
            raise IntegrityError(f"{path}: {key} is not an array; write the file with numpy.savez")
    return arrays


def _check_values(path, key, X):
    if X.dtype.kind in "iu" and X.dtype != np.uint8:
        span = f", values {X.min()} to {X.max()}" if X.size else ""
        raise DataError(
            f"{path}: {key} has dtype {X.dtype}{span}; convert grey levels 0..255 with {key}.astype(numpy.uint8), "
            f"other numbers with {key}.astype(numpy.float64)"
        )


def _labels(path, y_train, y_test, classes):
    """Class names and both splits as indices into them."""
    for key, y in (("y_train", y_train), ("y_test", y_test)):
        if y.dtype.kind not in "iuUS":
            raise DataError(
                f"{path}: {key} has dtype {y.dtype}; class labels are needed, integers or texts "
                f"(whole numbers stored as float: {key}.astype(int))"
            )
        if y.ndim != 1 or len(y) == 0:
            raise DataError(f"{path}: {key} has shape {y.shape}; expected one label per example, (n,)")
    if (y_train.dtype.kind in "US") != (y_test.dtype.kind in "US"):
        raise DataError(
            f"{path}: y_train is {y_train.dtype} and y_test {y_test.dtype}; both need the same kind of label"
        )
    y_train, y_test = _as_text(path, y_train), _as_text(path, y_test)
    if classes is None:
        values = np.unique(y_train)
        return [str(value) for value in values], _index(path, y_train, values), _index(path, y_test, values)
    classes = _as_text(path, classes)
    if classes.ndim != 1 or classes.dtype.kind not in "Uiu" or len(np.unique(classes)) != len(classes):
        raise DataError(f"{path}: classes must be a list of distinct names, got {classes.dtype} {classes.shape}")
    if y_train.dtype.kind == "U":
        classes = classes.astype(str)
        return classes, _index(path, y_train, classes), _index(path, y_test, classes)
    return classes, y_train, y_test  # indices; Dataset checks their range


def _index(path, y, values):
    """Position of each label in `values`."""
    order = np.argsort(values)
    place = np.searchsorted(values, y, sorter=order).clip(max=len(values) - 1)
    index = order[place]
    wrong = values[index] != y
    if wrong.any():
        raise DataError(
            f"{path}: label {y[wrong][0]!s} is not one of the classes {', '.join(map(str, values[:20]))}; a class "
            "without training examples must be listed in `classes`"
        )
    return index


def _as_text(path, labels):
    """Return labels that are bytes or texts as texts in Unicode's form NFC."""
    if labels.dtype.kind == "S":
        try:
            labels = np.char.decode(labels, "utf-8")
        except UnicodeDecodeError as error:
            raise DataError(f"{path}: a label is not UTF-8 text: {error}") from error
    if labels.dtype.kind != "U":
        return labels
    names, places = np.unique(labels, return_inverse=True)
    return np.array([composed(str(name)) for name in names])[places].reshape(labels.shape)
