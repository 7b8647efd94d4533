"""Class folders too large for memory: what lies where, without a pixel of it."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kernelfit.common.errors import DataError, InputError
from kernelfit.common.files import encoded, expanded, sha256
from kernelfit.common.rng import generator
from kernelfit.common.validation import check_integer
from kernelfit.datasets.dataset import check_several_classes, stratified
from kernelfit.datasets.read.class_folders import list_class_folders


@dataclasses.dataclass(frozen=True)
class ImageFiles:
    """Image files that are read when they are needed.

    Attributes
    ----------
    root : Path
    names : tuple of str
        Below the root.
    side : int
        The middle square of an image, upright as its EXIF data say and scaled to this many pixels a side, is what the
        file stands for, in RGB.
    """

    root: Path
    names: tuple[str, ...]
    side: int

    def __len__(self) -> int:
        return len(self.names)

    def sha256(self) -> str:
        """Return a hash of names and sizes in bytes, and of `side`: the content of a million files is not read.

        Raises DataError if a file cannot be looked at, e.g. a link that leads nowhere.
        """
        try:
            lines = [f"{name} {(self.root / name).stat().st_size}" for name in self.names]
        except OSError as error:
            raise DataError(f"cannot read {error.filename}: {error.strerror}") from error
        return sha256(encoded("\n".join([str(self.side), *lines])))


@dataclasses.dataclass(frozen=True)
class StreamedDataset:
    """What a Dataset is, with ImageFiles for X_train and X_test."""

    name: str
    X_train: ImageFiles
    y_train: np.ndarray
    X_test: ImageFiles
    y_test: np.ndarray
    classes: Sequence[str]
    provenance: str

    def hashes(self) -> dict[str, str]:
        """As Dataset.hashes, of the images by name and size."""
        return {
            "X_train": self.X_train.sha256(),
            "y_train": sha256(self.y_train),
            "X_test": self.X_test.sha256(),
            "y_test": sha256(self.y_test),
        }


def stream(
    path: str | Path, side: int, *, n_train: int | None = None, n_test: int | None = None, seed: int = 0
) -> StreamedDataset:
    """Return the StreamedDataset of a folder with train/CLASS and test/CLASS full of PNG or JPEG images of any size.

    Rows and subsets are those that kernelfit.datasets.load has for the folder.

    Raises
    ------
    InputError
        `path` is no folder, or a size is out of range.
    DataError
        A split or a class is missing or empty, or a file is not called like an image.
    """
    path = expanded(path)
    if not path.is_dir():
        raise InputError(f"{path} is no folder; only class folders, train/CLASS and test/CLASS, are streamed")
    check_integer("pixels a side", side)
    rows, classes = list_class_folders(path)
    files, labels = [], []
    for split, size in (("train", n_train), ("test", n_test)):
        names = [file.relative_to(path).as_posix() for row, file in rows.items() if row[0] == split]
        y = np.array([classes.index(row[1]) for row in rows if row[0] == split])
        kept = np.arange(len(y))
        if size is not None and size != len(y):
            kept = stratified(y, size, generator(seed, "subset", split), f"n_{split}")
        files.append(ImageFiles(path, tuple(names[row] for row in kept), side))
        labels.append(y[kept])
    name = path.resolve().name
    check_several_classes(name, labels[0], classes)
    what = f"turned upright as EXIF says, the middle square scaled to {side} pixels a side"
    provenance = f"{name}: class folders in {path}, streamed, {what}"
    return StreamedDataset(name, files[0], labels[0], files[1], labels[1], tuple(classes), provenance)
