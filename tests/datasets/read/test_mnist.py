import dataclasses
import gzip

import numpy as np
import pytest

from kernelfit.common.errors import DataError, IntegrityError
from kernelfit.common.files import sha256
from kernelfit.datasets import load, verify
from kernelfit.datasets.fetch import content, registry
from kernelfit.datasets.fetch.registry import File, Form
from kernelfit.datasets.read.mnist import parse_idx

IMAGES = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
IDX = b"\0\0\x08\x03" + b"\0\0\0\x02\0\0\0\x03\0\0\0\x04" + IMAGES.tobytes()


def test_idx_round_trip():
    assert (parse_idx(IDX, "file") == IMAGES).all()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not an idx file"),
        (b"\x01" + IDX[1:], "not an idx file"),
        (IDX[:1] + b"\x01" + IDX[2:], "not an idx file"),
        (IDX[:2] + b"\x0d" + IDX[3:], "type 0xd"),
        (IDX[:3] + b"\0" + IDX[4:], "0 dimensions"),
        (IDX[:3] + b"\xff" + IDX[4:], "255 dimensions"),
        (IDX[:3] + b"\x02" + IDX[4:], "follow"),
        (IDX[:4] + b"\xff" + IDX[5:], "follow"),
        (IDX[:-1], "23 follow"),
        (IDX + b"\0", "25 follow"),
    ],
)
def test_every_header_field_is_checked(data, message):
    with pytest.raises(IntegrityError, match=message):
        parse_idx(data, "file")


def test_plain_and_gzip_are_the_same_content(tmp_path):
    file = File("images", sha256(IDX), len(IDX), gzipped=True)
    for name, data in (("images", IDX), ("images.gz", gzip.compress(IDX)), ("unpacked-by-a-browser.gz", IDX)):
        (tmp_path / name).write_bytes(data)
        assert content.read(tmp_path / name, file) == IDX
        assert content.check(tmp_path / name, file) == sha256(IDX)


def test_a_gzip_bomb_is_given_up_early(tmp_path, monkeypatch):
    file = File("images", sha256(IDX), len(IDX), gzipped=True)
    bomb = tmp_path / "images.gz"
    bomb.write_bytes(gzip.compress(bytes(50_000_000)))
    sizes = []
    monkeypatch.setattr(content, "CHUNK", 1000)
    true_open = content._open

    def counting_open(path, file):
        stream = true_open(path, file)
        read = stream.read
        stream.read = lambda size: sizes.append(size) or read(size)
        return stream

    monkeypatch.setattr(content, "_open", counting_open)
    for reader in (content.read, content.check):
        with pytest.raises(IntegrityError, match="more than"):
            reader(bomb, file)
    assert sum(sizes) <= 2000


@pytest.mark.parametrize(
    "data",
    [gzip.compress(IDX)[:-9], gzip.compress(IDX)[:20] + b"damage", gzip.compress(IDX)[:-8] + bytes(8)],
    ids=["short", "damaged", "wrong sum"],
)
def test_a_damaged_gzip_is_an_integrity_error(tmp_path, data):
    (tmp_path / "images.gz").write_bytes(data)
    with pytest.raises(IntegrityError):
        content.read(tmp_path / "images.gz", File("images", sha256(IDX), len(IDX), gzipped=True))


def test_a_file_of_other_dimensions_is_refused(tmp_path, tiny_mnist, monkeypatch):
    entry, contents = tiny_mnist
    for file, data in zip(entry.files, contents.values(), strict=True):
        (tmp_path / file.name).write_bytes(data)
    # labels where images belong: the hash agrees, the header does not
    swapped = File(entry.files[0].name, entry.files[1].sha256, entry.files[1].size, gzipped=True)
    form = Form("idx", (swapped, *entry.files[1:]))
    monkeypatch.setitem(registry.ENTRIES, "mnist", dataclasses.replace(entry, forms=(form,)))
    (tmp_path / swapped.name).write_bytes(contents[entry.files[1].name])
    with pytest.raises(DataError, match="expected 3 dimensions"):
        load("mnist", data_dir=tmp_path)


@pytest.mark.mnist
def test_the_real_mnist(real_mnist):
    assert [check.ok for check in verify("mnist", data_dir=real_mnist)] == [True] * 4
    data = load("mnist", n_train=1000, n_test=500, data_dir=real_mnist)
    assert data.X_train.shape == (1000, 28, 28) and data.X_test.shape == (500, 28, 28)
    assert data.X_train.dtype == np.uint8
    whole = load("mnist", data_dir=real_mnist)
    assert np.bincount(whole.y_train).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert whole.y_train[:5].tolist() == [5, 0, 4, 1, 9] and whole.y_test[:5].tolist() == [7, 2, 1, 0, 4]
    assert "verified" in whole.provenance
