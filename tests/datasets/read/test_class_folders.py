import errno
import io
import os
import shutil
import struct
import tarfile
import unicodedata
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from kernelfit.common.errors import DataError, IntegrityError
from kernelfit.datasets import load
from kernelfit.datasets.read.streamed import stream


def image(seed, mode="L", size=(5, 4)):
    rng = np.random.default_rng(seed)
    shape = (size[1], size[0]) + (3,) * (mode != "L")
    return Image.fromarray(rng.integers(0, 256, shape, np.uint8)).convert(mode)


@pytest.fixture
def folder(tmp_path):
    """train/{cat,dog}/{0,1,2}.png and test/{cat,dog}/0.png, grey, 5 wide and 4 high."""
    root = tmp_path / "pets"
    for split, n in (("train", 3), ("test", 1)):
        for c, label in enumerate(("cat", "dog")):
            (root / split / label).mkdir(parents=True)
            for i in range(n):
                image(100 * n + 10 * c + i).save(root / split / label / f"{i}.png")
    return root


def zipped(root, path, top=""):
    with zipfile.ZipFile(path, "w") as archive:
        for file in root.rglob("*"):
            archive.write(file, top + file.relative_to(root).as_posix())
    return path


def tarred(root, path, top="."):
    with tarfile.open(path, "w:gz" if path.suffix in (".gz", ".tgz") else "w") as archive:
        archive.add(root, top)
    return path


def test_order_shape_and_names(folder):
    data = load(folder)
    assert data.name == "pets" and data.classes == ("cat", "dog")
    assert data.X_train.shape == (6, 4, 5) and data.X_train.dtype == np.uint8
    assert data.y_train.tolist() == [0, 0, 0, 1, 1, 1] and data.y_test.tolist() == [0, 1]
    for row, file in enumerate(sorted(folder.glob("train/*/*"))):
        assert (data.X_train[row] == np.asarray(Image.open(io.BytesIO(file.read_bytes())))).all()


@pytest.mark.parametrize(
    ("pack", "name", "top"),
    [
        (zipped, "pets.zip", ""),
        (zipped, "pets.zip", "my pets/"),
        (tarred, "pets.tar", "."),
        (tarred, "pets.tar.gz", "pets"),
        (tarred, "pets.tgz", "."),
    ],
)
def test_an_archive_is_the_folder(folder, tmp_path, pack, name, top):
    (folder / ".DS_Store").write_bytes(b"x")
    (folder / "train" / "cat" / "._0.png").write_bytes(b"x")
    (folder / "README.txt").write_bytes(b"x")
    expected = load(folder)
    before = sorted(tmp_path.iterdir())
    path = pack(folder, tmp_path / name, top)
    data = load(path)
    assert data.hashes() == expected.hashes()
    assert (data.name, data.classes) == (expected.name, expected.classes)
    assert sorted(tmp_path.iterdir()) == sorted([*before, path])


def test_macos_leftovers_in_a_zip_are_ignored(folder, tmp_path):
    path = zipped(folder, tmp_path / "pets.zip", "pets/")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("__MACOSX/pets/train/cat/._0.png", b"x")
    assert load(path).hashes() == load(folder).hashes()


def test_linked_class_folders_are_followed(folder, tmp_path):
    expected = load(folder).hashes()
    shutil.move(folder / "train" / "cat", tmp_path / "elsewhere")
    (folder / "train" / "cat").symlink_to(tmp_path / "elsewhere")
    assert load(folder).hashes() == expected


@pytest.mark.parametrize("suffix", ["jpg", "jpeg", "JPG"])
def test_colour_jpeg(folder, suffix):
    for file in sorted(folder.rglob("*.png")):
        file.unlink()
        image(int(file.stem), "RGB").save(file.with_suffix(f".{suffix}"), "JPEG")
    assert load(folder).X_train.shape == (6, 4, 5, 3)


@pytest.mark.parametrize(
    ("mode", "advice"),
    [("RGB", "make them alike"), ("P", "palette"), ("1", "8-bit grey"), ("RGBA", "flatten"), ("LA", "flatten")],
)
def test_an_image_of_another_mode_is_named(folder, mode, advice):
    image(0, "RGB").convert(mode).save(folder / "test" / "dog" / "0.png")
    with pytest.raises(DataError, match=rf"test/dog/0\.png.*{advice}"):
        load(folder)


def test_16_bit_grey_is_not_cut_to_8(folder):
    Image.fromarray(np.zeros((4, 5), np.uint16)).save(folder / "train" / "cat" / "0.png")
    with pytest.raises(DataError, match=r"train/cat/0\.png has mode I;16"):
        load(folder)


def test_an_image_of_another_size_is_named(folder):
    image(0, size=(5, 5)).save(folder / "train" / "dog" / "1.png")
    with pytest.raises(DataError, match=r"train/dog/1\.png has shape \(5, 5\)"):
        load(folder)


@pytest.mark.parametrize(
    "change", [lambda d: d[:50], lambda d: b"", lambda d: d[:45] + b"!" + d[46:], lambda d: b"GIF89a"]
)
def test_a_corrupt_image_is_named(folder, change):
    path = folder / "train" / "cat" / "2.png"
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(DataError, match=r"train/cat/2\.png cannot be read"):
        load(folder)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [10_000, 30_000])
def test_a_picture_bomb_is_refused(folder, side):
    """A small file whose header promises a giant image: Pillow warns of the first and raises on the second."""
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b""))
    data = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )
    (folder / "train" / "cat" / "0.png").write_bytes(data)
    with pytest.raises(DataError, match=r"train/cat/0\.png cannot be read.*bomb"):
        load(folder)


@pytest.mark.parametrize(
    ("gone", "message"),
    [
        (["train"], "no images train/"),
        (["test"], "no images test/"),
        (["train/dog"], r"test class\(es\) dog"),
        (["train/dog", "test/dog"], "at least two classes"),
    ],
)
def test_missing_parts_are_named(folder, tmp_path, gone, message):
    for name in gone:
        shutil.rmtree(folder / name)
    for path in (folder, zipped(folder, tmp_path / "pets.zip")):
        with pytest.raises(DataError, match=message):
            load(path)


@pytest.mark.parametrize("name", ["train/cat/notes.txt", "train/0.png", "train/cat/deep/0.png", "test/dog/0.gif"])
def test_a_file_that_does_not_belong_is_named(folder, tmp_path, name):
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(b"x")
    with pytest.raises(DataError, match="move or remove"):
        load(folder)
    with pytest.raises(DataError, match=name):
        load(zipped(folder, tmp_path / "pets.zip"))


def test_a_hostile_archive_is_refused_whole(folder, tmp_path):
    path = zipped(folder, tmp_path / "pets.zip")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("train/cat/../../../evil.png", b"x")
    with pytest.raises(IntegrityError, match=r"evil\.png"):
        load(path)
    assert not list(tmp_path.glob("**/evil.png"))


def test_two_datasets_in_one_archive_are_refused(folder, tmp_path):
    path = zipped(folder, tmp_path / "pets.zip", "one/")
    with zipfile.ZipFile(path, "a") as archive:
        archive.write(folder / "train" / "cat" / "0.png", "two/train/cat/0.png")
    with pytest.raises(DataError, match="one, two"):
        load(path)


def unicode_form(folder, form, *splits):
    for split in splits:
        (folder / split / "cat").rename(folder / split / unicodedata.normalize(form, "chaté"))
    return folder


def test_a_name_in_two_spellings_of_unicode_is_one_class(folder, tmp_path):
    unicode_form(unicode_form(folder, "NFD", "train"), "NFC", "test")
    for path in (folder, zipped(folder, tmp_path / "pets.zip"), tarred(folder, tmp_path / "pets.tar")):
        data = load(path)
        assert data.classes == ("chat\u00e9", "dog")
        assert data.y_train.tolist() == [0, 0, 0, 1, 1, 1] and data.y_test.tolist() == [0, 1]
    streamed = stream(folder, 4)
    assert streamed.classes == data.classes and streamed.y_test.tolist() == [0, 1]
    assert all((folder / name).exists() for name in streamed.X_train.names)  # files keep their own spelling
    assert streamed.hashes()


def test_the_order_is_that_of_the_composed_names(folder):
    """As NFD an e with an accent stands before z, as NFC behind it."""
    for split in ("train", "test"):
        (folder / split / "cat").rename(folder / split / "e\u0301")
        (folder / split / "dog").rename(folder / split / "z")
    data = load(folder)
    assert data.classes == ("z", "\u00e9") and data.y_train.tolist() == [0, 0, 0, 1, 1, 1]
    assert (data.X_train[0] == np.asarray(Image.open(folder / "train" / "z" / "0.png"))).all()


def test_two_folders_of_one_name_in_a_split_are_refused(folder, tmp_path):
    unicode_form(folder, "NFD", "train", "test")
    other = folder / "train" / "chat\u00e9"
    other.mkdir()
    for _ in range(2):  # an empty one, and one with an image
        for path in (folder, zipped(folder, tmp_path / "pets.zip")):
            with pytest.raises(DataError, match="two folders each are called train/chat\u00e9"):
                load(path)
        image(1).save(other / "x.png")


def test_a_class_folder_without_images_is_named(folder, tmp_path):
    for split in ("train", "test"):
        (folder / split / "emu").mkdir()
    (folder / "train" / "emu" / ".hidden.png").write_bytes(b"x")
    for path in (folder, zipped(folder, tmp_path / "pets.zip"), tarred(folder, tmp_path / "pets.tgz")):
        with pytest.raises(DataError, match=r"no images in the class folder\(s\) emu"):
            load(path)
    with pytest.raises(DataError, match="emu"):
        stream(folder, 4)
    shutil.rmtree(folder / "train" / "emu")
    with pytest.raises(DataError, match="emu"):
        load(folder)
    image(3).save(folder / "test" / "emu" / "0.png")
    with pytest.raises(DataError, match=r"no training images for the test class\(es\) emu"):
        load(folder)


def test_a_class_without_test_images_is_fine(folder):
    shutil.rmtree(folder / "test" / "dog")
    (folder / "test" / "dog").mkdir()
    assert load(folder).y_test.tolist() == [0]


def test_a_class_in_another_case_is_answered_with_its_name(folder):
    (folder / "test" / "cat").rename(folder / "test" / "Cat")
    with pytest.raises(DataError, match=r"Cat \(did you mean 'cat'"):
        load(folder)


def test_a_zip_made_on_windows_is_the_folder(folder, tmp_path):
    expected = load(folder)
    (folder / "train" / "cat" / "Thumbs.db").write_bytes(b"x")
    (folder / "train" / "desktop.ini").write_bytes(b"x")
    path = tmp_path / "pets.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in folder.rglob("*"):
            name = "my pets\\" + str(file.relative_to(folder)).replace("/", "\\")
            archive.writestr(zipfile.ZipInfo(name + "\\" * file.is_dir()), b"" if file.is_dir() else file.read_bytes())
    data = load(path)
    assert data.hashes() == expected.hashes() == load(folder).hashes() and data.classes == expected.classes


@pytest.mark.parametrize("orientation", range(9))
def test_images_are_turned_as_exif_says(folder, orientation):
    """0 is no orientation."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    for k, file in enumerate(sorted(folder.rglob("*.png"))):
        file.unlink()
        image(k, "RGB").save(file.with_suffix(".jpg" if k % 2 else ".png"), exif=exif)
    expected = [np.asarray(ImageOps.exif_transpose(Image.open(file))) for file in sorted(folder.glob("train/*/*"))]
    data = load(folder)
    assert (data.X_train == np.array(expected)).all()
    assert data.X_train.shape == ((6, 5, 4, 3) if orientation >= 5 else (6, 4, 5, 3))
    assert ("8 images turned upright" in data.provenance) == (orientation >= 2)


def test_an_image_turned_to_another_shape_is_named(folder):
    exif = Image.Exif()
    exif[0x0112] = 6
    image(0).save(folder / "test" / "dog" / "0.png", exif=exif)
    with pytest.raises(DataError, match=r"test/dog/0\.png has shape \(5, 4\)"):
        load(folder)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("exif", [b"", b"Exif\0\0", b"Exif\0\0II*\0", b"Exif\0\0nonsense, long enough to be read"])
def test_damaged_exif_data_turn_nothing(folder, exif):
    expected, path = load(folder), folder / "train" / "cat" / "0.png"
    Image.open(path).save(path, exif=exif)
    assert load(folder).hashes() == expected.hashes()


def test_16_bit_colours_and_a_transparent_colour_are_not_lost_in_silence(folder):
    file = folder / "train" / "cat" / "0.png"
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", 5, 4, 16, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(bytes(4 * 31))),
        (b"IEND", b""),
    )
    file.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + b"".join(struct.pack(">I", len(b)) + kind + b + struct.pack(">I", zlib.crc32(kind + b)) for kind, b in chunks)
    )
    with pytest.raises(DataError, match=r"cat/0\.png has 16 bits for each colour"):
        load(folder)
    image(0).save(file, transparency=3)
    with pytest.raises(DataError, match=r"cat/0\.png has a transparent colour"):
        load(folder)


def test_links_that_lead_nowhere_are_named(folder):
    link = folder / "train" / "cat" / "9.png"
    link.symlink_to(link)
    with pytest.raises(DataError, match=r"cat/9\.png cannot be read"):
        load(folder)
    with pytest.raises(DataError, match=r"cannot read .*cat/9\.png"):
        stream(folder, 4).hashes()
    link.unlink()
    (folder / "train" / "cat" / "up").symlink_to(folder)
    with pytest.raises(DataError, match="train/cat/up is not of the form"):
        load(folder)


def test_names_that_are_no_utf8_are_names(folder):
    for split in ("train", "test"):
        (folder / split / "cat").rename(folder / split / "caf\udce9")
    assert load(folder).classes == ("caf\udce9", "dog")
    assert stream(folder, 4).hashes()


@pytest.mark.parametrize("closed", ["train", "train/dog", "test/dog"])
def test_a_folder_that_cannot_be_read_is_named(folder, closed, monkeypatch):
    real = Path.iterdir

    def refused(self):
        if self == folder / closed:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))
        return real(self)

    monkeypatch.setattr(Path, "iterdir", refused)  # a superuser may read any
    for read in (load, lambda path: stream(path, 4)):
        with pytest.raises(DataError, match=f"{closed} cannot be read: Permission denied"):
            read(folder)
