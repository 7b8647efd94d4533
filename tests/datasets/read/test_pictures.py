import numpy as np
import pytest
from PIL import Image

from kernelfit.common.errors import InputError
from kernelfit.datasets import Dataset, load, picture_grid


def made(shape, dtype=np.uint8, classes=("a", "b")):
    X = np.random.default_rng(0).integers(0, 256, (6, *shape)).astype(dtype)
    y = np.arange(6) % len(classes)
    return Dataset("made", X, y, X, y, classes, "")


def cells(path, data, rows, columns):
    """Undo the grid: the enlarged images at the right of the class names."""
    with Image.open(path) as image:
        assert image.format == "PNG"
        pixels = np.asarray(image)
    h, w = data.X_train.shape[1:3]
    scale = max(1, 48 // max(h, w))
    grid = pixels[: rows * (h * scale + 2), -columns * (w * scale + 2) :]
    return grid.reshape(rows, h * scale + 2, columns, w * scale + 2, -1)[:, : h * scale : scale, :, : w * scale : scale]


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 1), (4, 5, 3), (60, 50)])
def test_every_row_shows_its_class(tmp_path, shape):
    data = made(shape)
    path = picture_grid(data, tmp_path / "new" / "grid.png", rows=2, columns=3)
    found = cells(path, data, 2, 3)
    for label in (0, 1):
        for column, image in enumerate(data.X_train[data.y_train == label]):
            assert (found[label, :, column] == image.reshape(*shape[:2], -1)).all()


def test_digits_have_names_at_the_left(tmp_path):
    path = picture_grid(load("digits"), tmp_path / "grid.png")
    with Image.open(path) as image:
        left = np.asarray(image)[:, :12]
    height = len(left) // 10
    assert all((left[i * height : (i + 1) * height] < 128).any() for i in range(10))


def test_a_class_with_few_images_leaves_its_row_white(tmp_path):
    data = made((4, 4))
    found = cells(picture_grid(data, tmp_path / "grid.png", rows=9, columns=5), data, 2, 5)
    assert (found[:, :, 3:] == 255).all()


def test_a_long_or_foreign_name_does_no_harm(tmp_path):
    picture_grid(made((4, 4), classes=("狐", "x" * 500)), tmp_path / "grid.png")


@pytest.mark.parametrize(
    ("data", "name", "sizes"),
    [
        (made((12,)), "grid.png", {}),
        (made((4, 4), np.float64), "grid.png", {}),
        (made((4, 4, 2)), "grid.png", {}),
        (made((4, 4)), "grid.jpg", {}),
        (made((4, 4)), "grid.png", {"rows": 0}),
        (made((4, 4)), "grid.png", {"columns": 0}),
    ],
)
def test_what_is_no_picture_is_refused(tmp_path, data, name, sizes):
    with pytest.raises(InputError):
        picture_grid(data, tmp_path / name, **sizes)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_the_old_picture(tmp_path, monkeypatch):
    path = picture_grid(made((4, 4)), tmp_path / "grid.png")
    before = path.read_bytes()

    def fail(self, file, *args, **kwargs):
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        picture_grid(made((4, 5)), path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]
