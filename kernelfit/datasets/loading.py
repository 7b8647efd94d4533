"""Load a dataset by name or path."""

import os
from pathlib import Path

import numpy as np

from kernelfit.common.errors import DataNotFoundError, InputError
from kernelfit.common.files import expanded
from kernelfit.common.progress import Progress
from kernelfit.datasets.dataset import Dataset
from kernelfit.datasets.fetch import store
from kernelfit.datasets.fetch.registry import ENTRIES, find_entry

_FEWEST_PIXELS = 64  # fewer columns of small whole numbers are counts and codes as often as pixels
_LOOKED_AT = 1000  # examples


def load(
    data: str | os.PathLike,
    *,
    n_train: int | None = None,
    n_test: int | None = None,
    seed: int = 0,
    data_dir: str | Path | None = None,
    progress: Progress | None = None,
) -> Dataset:
    """Return the Dataset that a name or a path stands for.

    Parameters
    ----------
    data : str or path
        digits, mnist, cifar10, synthetic, synthetic:D (dimension D), or the path of an .npz file, of a folder with
        train/CLASS and test/CLASS, or of a .zip, .tar, .tar.gz or .tgz of such a folder. A name wins over a path:
        write ./mnist for a folder of that name.
    n_train, n_test : int, optional
        Draw a stratified subset of this size by `seed`; None keeps all. For synthetic data the number of examples
        that are made, 2000 and 1000 unless given.
    seed : int
        Seed of the subsets, and of synthetic data.
    data_dir : path, optional
        Folder to look in first, and to download to.
    progress : Progress, optional

    Raises
    ------
    InputError
        If the name is unknown, the folder `data_dir` does not exist, or a size is out of range.
    DataNotFoundError
        If the path does not exist, or files are missing and cannot be downloaded.
    IntegrityError
        If a file is not what it should be: wrong hash, truncated, a hostile archive.
    DataError
        If the content cannot be used: wrong dtype or shape, NaN, one class, an empty split.
    NotEnoughMemoryError
        If a user's own data do not fit in memory.
    """
    if not isinstance(data, (str, os.PathLike)):
        raise InputError(f"data is {data!r}; it must be the name of a dataset or a path")
    if not str(data).strip():
        raise InputError("data is an empty text; give the name of a dataset or a path, or . for this folder")
    progress = progress or Progress()
    name, colon, dimension = str(data).partition(":")
    if name == "synthetic" and not isinstance(data, Path):
        return _synthetic(data, dimension if colon else "784", n_train, n_test, seed)
    dataset = _by_name(ENTRIES[data], data_dir, progress) if data in ENTRIES else _by_path(data, progress)
    if _looks_like_grey_levels(dataset.X_train):
        progress.note(
            f"{dataset.name}: floating-point numbers are used as they are, and these are whole numbers from 0 to 255. "
            "If they are grey levels, store them with astype(numpy.uint8): those stand for values / 255"
        )
    return dataset.subset(n_train, n_test, seed)


def _by_name(entry, data_dir, progress):
    if not entry.forms:
        from kernelfit.datasets.made import digits

        return digits()
    folder, form = store.obtain(entry, data_dir, progress)
    progress.note(f"reading {entry.name} from {folder}")
    if form.kind == "idx":
        from kernelfit.datasets.read.mnist import read_mnist as read
    else:
        from kernelfit.datasets.read.cifar import read_cifar as read
    return read(folder, form, entry)


def _looks_like_grey_levels(X):
    """Whether an array of floating-point numbers has the values, and is as wide, as images that nobody divided."""
    if X.dtype == np.uint8 or X[0].size < _FEWEST_PIXELS:
        return False
    some = X[:_LOOKED_AT]
    return bool(some.min() >= 0 and 1 < some.max() <= 255 and (some == np.floor(some)).all())


def _by_path(data, progress):
    from kernelfit.datasets.read.class_folders import ARCHIVES, read_class_folders
    from kernelfit.datasets.read.npz import read_npz

    path = expanded(data)
    name = path.name.lower()
    if not os.path.exists(path):  # of names that are too long too
        if isinstance(data, Path) or "/" in data or name.endswith((".npz", *ARCHIVES)):
            raise DataNotFoundError(f"{path} does not exist; a path must lead to an .npz file, a folder, .zip or .tar")
        find_entry(data)  # neither a path nor a name: raises
    if name.endswith(".npz"):
        return read_npz(path)
    if path.is_dir() or name.endswith(ARCHIVES):
        return read_class_folders(path, progress)
    raise InputError(f"cannot tell what {path} is: its name must end in .npz, {', '.join(ARCHIVES)}, or be a folder")


def _synthetic(data, dimension, n_train, n_test, seed):
    from kernelfit.datasets.made import synthetic

    if not (dimension.isascii() and dimension.isdigit() and int(dimension)):
        raise InputError(f"{data!r} names no dataset: write synthetic:D with a dimension D of at least 1")
    sizes = {key: value for key, value in (("n_train", n_train), ("n_test", n_test)) if value is not None}
    return synthetic(**sizes, dimension=int(dimension), seed=seed)
