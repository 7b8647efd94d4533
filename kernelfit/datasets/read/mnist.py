"""The idx format and the four files of MNIST."""

import math
from pathlib import Path

import numpy as np
import numpy.typing as npt

from kernelfit.common.errors import DataError, IntegrityError
from kernelfit.datasets.dataset import Dataset
from kernelfit.datasets.fetch import content, search
from kernelfit.datasets.fetch.registry import Entry, Form


def parse_idx(data: bytes, name: str) -> npt.NDArray[np.uint8]:
    """Return the uint8 array in `data`, the bytes of an idx file.

    The header is 0, 0, 8 (unsigned bytes), the number of dimensions, then each dimension as big-endian uint32.

    Raises
    ------
    IntegrityError
        If a header field is not that, or the file is not exactly as long as the header says.
    """
    if len(data) < 4 or data[:2] != b"\0\0":
        raise IntegrityError(f"{name} is not an idx file: it starts with {data[:4]!r}, expected two zero bytes")
    if data[2] != 8:
        raise IntegrityError(f"{name}: idx type {data[2]:#x}; expected 0x8, unsigned bytes")
    start = 4 + 4 * data[3]
    if data[3] == 0 or len(data) < start:
        raise IntegrityError(f"{name}: the idx header announces {data[3]} dimensions in a file of {len(data)} bytes")
    shape = tuple(int(n) for n in np.frombuffer(data, ">u4", count=data[3], offset=4))
    if len(data) - start != math.prod(shape):
        raise IntegrityError(
            f"{name}: the idx header says shape {shape}, {math.prod(shape):,} bytes, but {len(data) - start:,} follow"
        )
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


def read_mnist(folder: Path, form: Form, entry: Entry) -> Dataset:
    """Return the Dataset in the idx files `form.files`: training images and labels, test images and labels.

    Raises
    ------
    IntegrityError
        If a file has not the content of the registry, or is no idx file.
    DataError
        If images are not (n, h, w) or labels not (n,).
    """
    arrays = []
    for file, ndim in zip(form.files, (3, 1, 3, 1), strict=True):
        array = parse_idx(content.read(search.present(file, folder), file), file.name)
        if array.ndim != ndim:
            raise DataError(f"{file.name} has shape {array.shape}; expected {ndim} dimensions")
        arrays.append(array)
    provenance = f"{entry.name}: idx files in {folder}, each verified by the SHA-256 of its content"
    X_train, y_train, X_test, y_test = arrays
    return Dataset(entry.name, X_train, y_train, X_test, y_test, tuple("0123456789"), provenance)
