import shlex
import threading

import numpy as np
import pytest

pytest.importorskip("torch", reason="PyTorch is not installed: the extra nn")

import torch
from PIL import Image, ImageOps

from kernelfit import cli
from kernelfit.common.errors import DataError, InputError
from kernelfit.corruption import corrupt_labels
from kernelfit.datasets import load
from kernelfit.datasets.read.streamed import stream
from kernelfit.experiments.net import NetSpec, run_net
from kernelfit.experiments.registry import read_records
from kernelfit.nn import draws
from kernelfit.nn.folders import FolderImages
from kernelfit.nn.images import Images

SIDE, CROP = 12, 9


def write(root, size=None):
    """Class folders of colour PNGs: 12 x 12, or each of a size of its own around `size`."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 11), ("test", 4)):
        for k, label in enumerate(("cat", "dog", "emu")):
            folder = root / split / label
            folder.mkdir(parents=True)
            for i in range(count):
                shape = (SIDE, SIDE) if size is None else tuple(size + rng.integers(0, size, 2))
                pixels = rng.integers(0, 120, (*shape, 3), dtype=np.uint8)
                pixels[..., k] += 100  # a colour for each class
                Image.fromarray(pixels).save(folder / f"{i:02d}.png")
    return root


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write(tmp_path_factory.mktemp("pets"))


def test_a_stream_is_the_loaded_dataset(folder):
    loaded, streamed = load(folder), stream(folder, SIDE)
    assert (streamed.classes, len(streamed.X_train), len(streamed.X_test)) == (loaded.classes, 33, 12)
    np.testing.assert_array_equal(streamed.y_train, loaded.y_train)
    np.testing.assert_array_equal(streamed.y_test, loaded.y_test)
    kept, small = load(folder, n_train=10, n_test=6, seed=4), stream(folder, SIDE, n_train=10, n_test=6, seed=4)
    np.testing.assert_array_equal(small.y_train, kept.y_train)
    x = FolderImages(small.X_train, crop=0, whiten=False).batch(torch.arange(10))
    np.testing.assert_array_equal(x, Images(kept.X_train, crop=0, whiten=False).batch(torch.arange(10)))
    assert streamed.hashes() == stream(folder, SIDE).hashes() != stream(folder, SIDE + 1).hashes()


@pytest.mark.parametrize("workers", [1, 5])
@pytest.mark.parametrize("augment", [False, True])
def test_batches_are_those_of_images_in_memory(folder, workers, augment):
    memory = Images(load(folder).X_train, crop=CROP)
    files = FolderImages(stream(folder, SIDE).X_train, crop=CROP, workers=workers)
    assert (len(files), files.input_shape, files.room) == (33, memory.input_shape, memory.room)
    rows = torch.from_numpy(draws.order(0, 2, 33))
    offsets = torch.from_numpy(draws.crop_offsets(0, 2, 33, files.room)) if augment else None
    memory.layout = files.layout = torch.channels_last if augment else torch.contiguous_format
    for ours, theirs in zip(files.batches(rows, 8, offsets), memory.batches(rows, 8, offsets), strict=True):
        assert torch.equal(ours[0], theirs[0])
        # The mean of the same numbers in another layout in memory: some units in the last place.
        torch.testing.assert_close(ours[1], theirs[1], rtol=0, atol=1e-5)
        assert ours[1].is_contiguous(memory_format=files.layout)
    assert list(files.batches(rows[:0], 8)) == [] and files.batch(rows[:0]).shape == (0, 3, CROP, CROP)


def test_no_more_is_read_than_some_batches_ahead(folder, monkeypatch):
    files, read = FolderImages(stream(folder, SIDE).X_train, workers=2), []
    own = files._read
    monkeypatch.setattr(files, "_read", lambda row, place: (read.append(row), own(row, place))[1])
    batches = files.batches(torch.arange(33), 4)
    for k in range(3):
        next(batches)
        assert len(read) <= 4 * (k + 3)
    batches.close()
    assert len(read) <= 20 and not any(t.name.startswith("decode") for t in threading.enumerate())


def test_images_of_any_size_are_scaled_to_the_middle_square(tmp_path):
    write(tmp_path, size=20)
    grey = Image.fromarray(np.full((40, 90), 60, np.uint8))
    grey.save(tmp_path / "train" / "cat" / "00.jpg")
    files = FolderImages(stream(tmp_path, SIDE).X_train, crop=0, whiten=False)
    assert files.input_shape == (3, SIDE, SIDE)
    names = files.files.names
    x = files.batch(torch.arange(len(files)))
    np.testing.assert_allclose(x[names.index("train/cat/00.jpg")] * 255, 60, atol=1)
    row = names.index("train/dog/03.png")
    image = Image.open(tmp_path / names[row])
    edge = min(image.size)
    left, top = (image.width - edge) / 2, (image.height - edge) / 2
    expected = image.crop((int(left), int(top), int(left) + edge, int(top) + edge)).resize((SIDE, SIDE), Image.BILINEAR)
    assert np.abs(x[row].permute(1, 2, 0).numpy() * 255 - np.asarray(expected, float)).mean() < 10
    large = Image.fromarray(np.tile(np.linspace(0, 255, 400).astype(np.uint8), (300, 1)))
    large.convert("RGB").save(tmp_path / "train" / "cat" / "big.jpg", quality=95)
    big = FolderImages(stream(tmp_path, SIDE).X_train, crop=0, whiten=False)
    ramp = big.batch(torch.tensor([big.files.names.index("train/cat/big.jpg")]))[0, 0].mean(0) * 255
    # The middle 300 of 400 columns of a ramp, in 12 columns: their centres.
    np.testing.assert_allclose(ramp, (50 + 25 * (np.arange(12) + 0.5)) * 255 / 399, atol=3)


@pytest.mark.parametrize("orientation", [2, 3, 6, 8])
def test_images_are_turned_as_exif_says(tmp_path, orientation):
    write(tmp_path)
    exif, path = Image.Exif(), tmp_path / "train" / "cat" / "00.png"
    exif[0x0112] = orientation
    Image.open(path).save(path, exif=exif)
    files = FolderImages(stream(tmp_path, SIDE).X_train, crop=0, whiten=False)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(path)))
    np.testing.assert_array_equal(files.batch(torch.tensor([0]))[0].permute(1, 2, 0) * 255, expected)


def test_16_bit_grey_is_not_made_white(tmp_path):
    path = write(tmp_path) / "train" / "cat" / "00.png"
    Image.fromarray(np.full((SIDE, SIDE), 40_000, np.uint16)).save(path)
    with pytest.raises(DataError, match=r"cat/00\.png has mode I;16; convert it"):
        FolderImages(stream(tmp_path, SIDE).X_train, crop=CROP).batch(torch.tensor([0]))


@pytest.mark.parametrize("content", [b"", b"no image", "cut"])
def test_a_broken_image_is_named_when_it_is_met(tmp_path, content):
    path = write(tmp_path) / "train" / "dog" / "05.png"
    path.write_bytes(path.read_bytes()[:200] if content == "cut" else content)
    files = FolderImages(stream(tmp_path, SIDE).X_train, crop=CROP)
    row = files.files.names.index("train/dog/05.png")
    with pytest.raises(DataError, match=r"dog/05\.png cannot be read"):
        files.batch(torch.tensor([row]))
    batches = files.batches(torch.arange(33), 8)
    for _ in range(row // 8):
        next(batches)
    with pytest.raises(DataError, match=r"dog/05\.png cannot be read"):
        next(batches)


def test_the_command_trains_from_files_as_from_memory(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shared = {"data": str(folder), "model": "alexnet(width=0.1)", "labels": "0.4", "batch": 8, "epochs": 2}
    shared |= {"crop": CROP, "augment": True, "seed": 3}
    memory, _ = run_net(NetSpec(**shared))
    spec = NetSpec(**shared, stream=True, resize=SIDE)
    assert cli.main([*shlex.split(spec.command())[1:], "--quiet"]) == 0
    (record,) = read_records("runs")
    assert (
        record.results.training["stream"]
        and record.results.training["resize"] == SIDE
        and "streamed" in record.dataset.provenance
    )
    assert record.results.corruption["labels_changed"] == memory.results.corruption["labels_changed"]
    # Rounding of a mean over each image, grown by ten steps.
    np.testing.assert_allclose(record.results.curve["loss"], memory.results.curve["loss"], rtol=1e-3)
    data = stream(folder, SIDE)
    y, _ = corrupt_labels(data.y_train, 3, 0.4, 3)
    assert record.results.corruption["labels_changed"] == (y != data.y_train).sum()


def test_what_is_refused(folder, tmp_path):
    for path, side, message in ((tmp_path / "absent", SIDE, "no folder"), (folder, 0, "pixels a side = 0")):
        with pytest.raises(InputError, match=message):
            stream(path, side)
    with pytest.raises(InputError, match="left as they are"):
        NetSpec(stream=True, pixels="shuffled")
    with pytest.raises(InputError, match="only streamed"):
        NetSpec(resize=64)
    assert NetSpec(stream=True, crop=224).resize == 256
    with pytest.raises(DataError, match=r"training labels are .*; a classifier needs at least two classes"):
        stream(folder, SIDE, n_train=1)
    with pytest.raises(DataError, match="holds no images train/CLASS"):
        stream(write(tmp_path / "half") / "train", SIDE)
