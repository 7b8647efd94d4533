import dataclasses
import io
import os
import pickle
import tarfile

import numpy as np
import pytest

from kernelfit.common.errors import IntegrityError
from kernelfit.common.files import sha256
from kernelfit.datasets import load, verify
from kernelfit.datasets.fetch import registry
from kernelfit.datasets.fetch.registry import File, Form
from kernelfit.datasets.read.cifar import parse_binary, parse_python
from kernelfit.datasets.read.unpickle import restricted_loads

BATCH = 4
NAMES = (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch")


def batches():
    """Six batches of (images (4, 32, 32, 3), labels)."""
    rng = np.random.default_rng(0)
    return {n: (rng.integers(0, 256, (BATCH, 32, 32, 3), np.uint8), rng.permutation(10)[:BATCH]) for n in NAMES}


def planes(images):
    return images.transpose(0, 3, 1, 2).reshape(len(images), -1)


def binary(images, labels):
    return b"".join(bytes([label]) + row.tobytes() for label, row in zip(labels, planes(images), strict=True))


def python2(rows, labels):
    """The opcodes that Python 2 and the NumPy of 2009 wrote: protocol 2, byte strings, numpy.core."""

    def text(data):
        return b"U" + bytes([len(data)]) + data if len(data) < 256 else b"T" + len(data).to_bytes(4, "little") + data

    def number(value):
        return b"K" + bytes([value]) if value < 256 else b"M" + value.to_bytes(2, "little")

    shape = b"(" + b"".join(map(number, rows.shape)) + b"t"
    dtype = b"cnumpy\ndtype\n(" + text(b"u1") + number(0) + number(1) + b"tR"
    dtype += b"(" + number(3) + text(b"|") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xff" + number(0) + b"tb"
    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(" + number(0) + b"t" + text(b"b") + b"tR"
    array += b"(" + number(1) + shape + dtype + b"\x89" + text(rows.tobytes()) + b"tb"
    items = text(b"batch_label") + text(b"batch 1 of 5") + text(b"data") + array
    items += text(b"labels") + b"](" + b"".join(map(number, labels)) + b"e"
    return b"\x80\x02}(" + items + b"u."


def python3(protocol):
    return lambda images, labels: pickle.dumps({b"data": planes(images), b"labels": labels.tolist()}, protocol=protocol)


FORMATS = {
    "binary": ("cifar-10-batches-bin", ".bin", binary),
    "python": ("cifar-10-batches-py", "", lambda images, labels: python2(planes(images), labels.tolist())),
}


def write(folder, kind, packed, monkeypatch):
    """Lay out six tiny batches in `folder` and register them as cifar10."""
    top, suffix, encode = FORMATS[kind]
    files = {f"{top}/{name}{suffix}": encode(*batch) for name, batch in batches().items()}
    real = registry.ENTRIES["cifar10"]
    forms = [dataclasses.replace(form, files=tuple(resized(file) for file in form.files)) for form in real.forms]
    if packed:
        name = f"cifar-10-{kind}.tar.gz"
        write_tar(folder / name, files)
        data = (folder / name).read_bytes()
        forms[0 if kind == "binary" else 2] = Form(f"cifar {kind} tar", (File(name, sha256(data), len(data)),))
    else:
        for name, data in files.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(data)
    monkeypatch.setitem(registry.ENTRIES, "cifar10", dataclasses.replace(real, forms=tuple(forms), batch=BATCH))


def resized(file):
    return dataclasses.replace(file, size=BATCH * 3073) if file.name.endswith(".bin") else file


def write_tar(path, files):
    with tarfile.open(path, "w:gz") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("packed", [False, True])
def test_all_four_forms_give_the_same_data(tmp_path, monkeypatch, kind, packed):
    write(tmp_path, kind, packed, monkeypatch)
    data = load("cifar10", data_dir=tmp_path)
    expected = list(batches().values())
    assert (data.X_train == np.concatenate([images for images, _ in expected[:5]])).all()
    assert (data.y_train == np.concatenate([labels for _, labels in expected[:5]])).all()
    assert (data.X_test == expected[5][0]).all() and (data.y_test == expected[5][1]).all()
    assert data.X_train.dtype == np.uint8 and data.X_train.flags.c_contiguous
    assert data.classes[3] == "cat"
    assert ("SHA-256 of the tarball" if packed else "no hash") in data.provenance
    assert all(check.ok for check in verify("cifar10", data_dir=tmp_path))


def test_the_binary_form_is_preferred(tmp_path, monkeypatch):
    write(tmp_path, "python", False, monkeypatch)
    write(tmp_path, "binary", False, monkeypatch)
    assert "cifar binary" in load("cifar10", data_dir=tmp_path).provenance


def test_a_tarball_with_another_hash_is_refused(tmp_path, monkeypatch):
    write(tmp_path, "binary", True, monkeypatch)
    path = tmp_path / "cifar-10-binary.tar.gz"
    data = bytearray(path.read_bytes())
    data[4] ^= 1  # the time stamp of the gzip header: even a harmless byte
    path.write_bytes(data)
    with pytest.raises(IntegrityError, match="SHA-256"):
        load("cifar10", data_dir=tmp_path)


@pytest.mark.parametrize("change", [lambda d: d[:-1], lambda d: d + b"\0", lambda d: b"\x0a" + d[1:]])
def test_a_damaged_binary_batch_is_refused(change):
    data = binary(*batches()["test_batch"])
    parse_binary(data, "batch", BATCH)
    with pytest.raises(IntegrityError, match="batch"):
        parse_binary(change(data), "batch", BATCH)


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_pickles_of_python_3_are_read(protocol):
    images, labels = batches()["test_batch"]
    found = parse_python(python3(protocol)(images, labels), "batch", BATCH)
    assert (found[0] == images).all() and (found[1] == labels).all()


ROWS = np.zeros((BATCH, 3072), np.uint8)


@pytest.mark.parametrize(
    "content",
    [
        [],
        {},
        {b"data": ROWS},
        {b"data": ROWS[:, :-1], b"labels": [0] * BATCH},
        {b"data": ROWS[:-1], b"labels": [0] * BATCH},
        {b"data": ROWS.astype(np.int16), b"labels": [0] * BATCH},
        {b"data": np.asfortranarray(ROWS), b"labels": [0] * BATCH},
        {b"data": ROWS.astype(object), b"labels": [0] * BATCH},
        {b"data": ROWS, b"labels": [0] * (BATCH - 1)},
        {b"data": ROWS, b"labels": [0, 1, 2, 10]},
        {b"data": ROWS, b"labels": [0, 1, 2, 256]},
        {b"data": ROWS, b"labels": [0, 1, 2, -1]},
        {b"data": ROWS, b"labels": [0, 1, 2, 3.0]},
        {b"data": ROWS, b"labels": [0, 1, 2, True]},
    ],
)
def test_a_pickle_of_other_things_is_refused(content):
    with pytest.raises(IntegrityError, match="batch"):
        parse_python(pickle.dumps(content, protocol=2), "batch", BATCH)


class Attack:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [0, 2, 5])
@pytest.mark.parametrize(
    "attack", [Attack(os.mkdir, "pwned"), Attack(eval, "open('pwned', 'w')"), Attack(np.load, "x"), np.float64(1)]
)
def test_a_pickle_cannot_run_code(tmp_path, monkeypatch, attack, protocol):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(IntegrityError, match="refused"):
        restricted_loads(pickle.dumps({"data": attack}, protocol=protocol), "batch")
    assert list(tmp_path.iterdir()) == []


def test_an_array_that_lies_about_its_size_is_refused():
    data = python2(ROWS, [0] * BATCH)
    lie = data.replace(b"(K\x04M\x00\x0ct", b"(K\x05M\x00\x0ct", 1)
    assert lie != data
    with pytest.raises(IntegrityError, match="its size is not"):
        parse_python(lie, "batch", BATCH)


@pytest.mark.parametrize("data", [b"", b"\x80\x02", b"not a pickle", python2(ROWS, [0] * BATCH)[:-100]])
def test_a_damaged_pickle_is_an_integrity_error(data):
    with pytest.raises(IntegrityError, match="damaged"):
        restricted_loads(data, "batch")


def test_an_oversized_python_batch_is_not_read(tmp_path, monkeypatch):
    write(tmp_path, "python", False, monkeypatch)
    with open(tmp_path / "cifar-10-batches-py" / "data_batch_2", "ab") as file:
        file.truncate(10_000_000)
    with pytest.raises(IntegrityError, match="far more"):
        load("cifar10", data_dir=tmp_path)


def test_a_small_pickle_cannot_take_much_memory_or_time():
    with pytest.raises(IntegrityError, match="numbers an object 134,217,728"):
        restricted_loads(b"\x80\x02}r" + (2**27).to_bytes(4, "little") + b".", "small")
    shared = []
    for _ in range(60):  # 2^60 paths, if each were followed
        shared = [shared, shared]
    assert len(restricted_loads(pickle.dumps(shared, 2), "shared")) == 2
