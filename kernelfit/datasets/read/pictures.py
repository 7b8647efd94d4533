"""A grid of example images, one class per row, as a PNG."""

from pathlib import Path

import numpy as np

from kernelfit.common.errors import InputError
from kernelfit.common.files import atomic_write
from kernelfit.datasets.dataset import Dataset

_CELL = 48  # small images are enlarged to about this many pixels
_GAP = 2
_TEXT = 14


def picture_grid(dataset: Dataset, path: str | Path, *, rows: int = 10, columns: int = 10) -> Path:
    """Write the first `columns` training images of each of the first `rows` classes as a PNG; return its path.

    Every row starts with the name of its class.

    Raises
    ------
    InputError
        If the data are not uint8 images (n, h, w), (n, h, w, 1) or (n, h, w, 3), a count is not positive, or `path`
        does not end in .png.
    """
    path = Path(path)
    X, y = _images(dataset), dataset.y_train
    if path.suffix.lower() != ".png":
        raise InputError(f"the picture is a PNG file, but the path is {str(path)!r}; end it in .png")
    if rows < 1 or columns < 1:
        raise InputError(f"a grid of {rows} rows and {columns} columns has no room for a picture")
    labels = range(min(rows, len(dataset.classes)))
    picture = _grid([X[np.flatnonzero(y == label)[:columns]] for label in labels], X.shape[1:], columns)
    _write(_with_names(picture, [dataset.classes[label] for label in labels]), path)
    return path


def _images(dataset):
    X = dataset.X_train
    if X.dtype != np.uint8 or X.ndim < 3 or (X.ndim == 4 and X.shape[3] not in (1, 3)):
        raise InputError(
            f"{dataset.name} holds {X.dtype} examples of shape {X.shape[1:]}, not uint8 images (h, w) or (h, w, 3); "
            "there is no picture to show"
        )
    return X[..., 0] if X.ndim == 4 and X.shape[3] == 1 else X


def _grid(groups, shape, columns):
    """One array with a row of enlarged images per group, on white."""
    scale = max(1, _CELL // max(shape[:2]))
    height, width = (scale * n + _GAP for n in shape[:2])
    picture = np.full((height * len(groups), width * columns, *shape[2:]), 255, np.uint8)
    for i, group in enumerate(groups):
        for j, image in enumerate(group):
            big = image.repeat(scale, axis=0).repeat(scale, axis=1)
            picture[i * height : (i + 1) * height - _GAP, j * width : (j + 1) * width - _GAP] = big
    return picture


def _with_names(picture, names):
    """A Pillow image of the grid with the class names at the left."""
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(_TEXT)
    # the font in Pillow has no other letters
    names = [name[:24].encode("ascii", "replace").decode() for name in names]
    grid = Image.fromarray(picture)
    margin = 8 + int(max(font.getlength(name) for name in names))
    image = Image.new(grid.mode, (margin + grid.width, max(grid.height, _TEXT + 4)), "white")
    image.paste(grid, (margin, 0))
    draw, row = ImageDraw.Draw(image), grid.height / len(names)
    for i, name in enumerate(names):
        draw.text((4, (i + 0.5) * row), name, fill="black", font=font, anchor="lm")
    return image


def _write(image, path):
    with atomic_write(path) as file:
        image.save(file, "PNG")
