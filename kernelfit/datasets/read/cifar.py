"""CIFAR-10: binary and pickled batches, extracted or in their tarballs."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from kernelfit.common.errors import IntegrityError
from kernelfit.datasets.dataset import Dataset
from kernelfit.datasets.fetch import content, search
from kernelfit.datasets.fetch.registry import Entry, Form
from kernelfit.datasets.read import archives
from kernelfit.datasets.read.unpickle import restricted_loads

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_BATCHES = (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch")
_PIXELS = 3 * 32 * 32


def read_cifar(folder: Path, form: Form, entry: Entry) -> Dataset:
    """Return the Dataset in a folder with one of the four forms of CIFAR-10, `entry.batch` examples per file.

    Raises
    ------
    IntegrityError
        If the tarball has another hash or lacks a batch, a batch another size, a label is not 0..9, or a pickle
        asks for anything but arrays and plain containers.
    """
    python = "python" in form.kind
    batches = _tarball(folder, form, python) if form.kind.endswith("tar") else _extracted(folder, form, entry.batch)
    parse = parse_python if python else parse_binary
    parts = [parse(data, name, entry.batch) for name, data in batches.items()]
    X, y = (np.concatenate(arrays) for arrays in zip(*parts[:-1], strict=True))
    verified = (
        "verified by the SHA-256 of the tarball"
        if form.kind.endswith("tar")
        else "sizes and label ranges checked, no hash of extracted files is published"
    )
    provenance = f"{entry.name}: {form.kind} in {folder}, {verified}"
    return Dataset(entry.name, X, y, *parts[-1], classes=CLASSES, provenance=provenance)


def parse_binary(data: bytes, name: str, batch: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Return images (batch, 32, 32, 3) and labels of a binary batch: per example one label byte, then the R, G and
    B planes."""
    if len(data) != batch * (1 + _PIXELS):
        raise IntegrityError(f"{name} holds {len(data):,} bytes; expected {batch * (1 + _PIXELS):,}")
    rows = np.frombuffer(data, np.uint8).reshape(batch, 1 + _PIXELS)
    return _images(rows[:, 1:]), _labels(rows[:, 0], name)


def parse_python(data: bytes, name: str, batch: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Return images (batch, 32, 32, 3) and labels of a pickled batch: a dict with b"data" and b"labels"."""
    found = restricted_loads(data, name)
    content = {_text(key): value for key, value in found.items()} if isinstance(found, dict) else {}
    rows, labels = content.get("data"), content.get("labels")
    if not isinstance(rows, np.ndarray) or rows.shape != (batch, _PIXELS):
        raise IntegrityError(f"{name} holds no uint8 array 'data' of shape {(batch, _PIXELS)}")
    if not isinstance(labels, list) or len(labels) != batch or not all(type(label) is int for label in labels):
        raise IntegrityError(f"{name} holds no list 'labels' of {batch} integers")
    if not all(0 <= label < len(CLASSES) for label in labels):  # before a cast could wrap around
        raise IntegrityError(f"{name}: labels run from {min(labels)} to {max(labels)}; expected 0 to 9")
    return _images(rows), np.array(labels, np.uint8)


def _tarball(folder, form, python):
    """{member: bytes} of the six batches, read by their exact names from the verified tarball."""
    (file,) = form.files
    path = search.present(file, folder)
    content.check(path, file)
    names = [f"cifar-10-batches-py/{b}" if python else f"cifar-10-batches-bin/{b}.bin" for b in _BATCHES]
    members = archives.read_members(path, set(names).__contains__)
    missing = [name for name in names if name not in members]
    if missing:
        raise IntegrityError(f"{path} lacks {', '.join(missing)}")
    return {name: members[name] for name in names}


def _extracted(folder, form, batch):
    batches = {}
    for file in form.files:
        path = search.present(file, folder)
        # a pickled batch also holds file names: 3103 bytes per example in the original
        if path.stat().st_size > 8192 + 4 * _PIXELS * batch:
            raise IntegrityError(f"{path} holds {path.stat().st_size:,} bytes, far more than {batch} examples need")
        batches[str(path)] = content.read(path, file)
    return batches


def _images(rows):
    return np.ascontiguousarray(rows.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))


def _labels(labels, name):
    if labels.max() >= len(CLASSES):
        raise IntegrityError(f"{name}: labels run from {labels.min()} to {labels.max()}; expected 0 to 9")
    return labels


def _text(key):
    return key.decode("latin-1") if isinstance(key, bytes) else key
