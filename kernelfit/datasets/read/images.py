"""Decode PNG and JPEG files into one uint8 array."""

import io
import struct
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kernelfit.common.errors import DataError
from kernelfit.datasets.dataset import require_memory

_ORIENTATION = 0x0112  # the number of this entry in EXIF data
_TURNS = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}  # what is to be done: members of PIL.Image.Transpose
_CURES = {
    "P": "it has a palette: convert it to RGB or grey",
    "1": "it has 1 bit per pixel: convert it to 8-bit grey",
    "LA": "it is transparent: flatten it onto a background, as grey",
    "RGBA": "it is transparent: flatten it onto a background, as RGB",
}


def read_images(
    sources: Sequence[tuple[str, Path | bytes]], advance: Callable[[int], Any]
) -> tuple[npt.NDArray[np.uint8], int]:
    """Return (the images as an array (n, h, w) or (n, h, w, 3) of uint8, how many of them were turned).

    `sources` lists (name for messages, path or content); `advance(1)` is called for each. Images are turned upright as
    their EXIF data say. Nothing else is converted: all must have the size and mode, grey or RGB, of the first.

    Raises
    ------
    DataError
        If an image is damaged or not like that; names it.
    NotEnoughMemoryError
        If all of them together exceed the memory of the machine.
    """
    from PIL import Image

    X: Any = None
    turned, bombs = 0, (Image.DecompressionBombError, Image.DecompressionBombWarning)
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        for row, (name, source) in enumerate(sources):
            try:
                file = source if isinstance(source, Path) else io.BytesIO(source)
                with Image.open(file, formats=("PNG", "JPEG")) as image:
                    _check_mode(name, image)
                    pixels = upright(image)
                    turned += pixels is not image
                    pixels = np.asarray(pixels)
                    if X is None:
                        require_memory(len(sources) * pixels.size, f"{len(sources):,} images of shape {pixels.shape}")
                        X, first = np.empty((len(sources), *pixels.shape), np.uint8), name
                    if pixels.shape != X.shape[1:]:
                        raise DataError(
                            f"{name} has shape {pixels.shape}, but {first} has {X.shape[1:]}; make them alike"
                        )
                    X[row] = pixels
            except DataError:
                raise
            except (OSError, SyntaxError, ValueError, *bombs) as error:
                raise DataError(f"{name} cannot be read as a PNG or JPEG image: {error}") from error
            advance(1)
    return X, turned


def upright(image: Any) -> Any:
    """Return a Pillow image turned as its EXIF data say the camera was held; itself if there is nothing to turn.

    As PIL.ImageOps.exif_transpose, which fails on EXIF data that are damaged elsewhere.
    """
    image.load()  # what is damaged in the pixels is no matter of EXIF data
    try:
        orientation = image.getexif().get(_ORIENTATION)
    except (SyntaxError, ValueError, KeyError, TypeError, OSError, struct.error):
        return image  # data that nobody can read turn nothing
    return image.transpose(_TURNS[orientation]) if orientation in _TURNS else image


def _check_mode(name, image):
    if image.mode not in ("L", "RGB"):
        cure = _CURES.get(image.mode, "convert it to RGB or grey with 8 bits")
        raise DataError(f"{name} has mode {image.mode}, but only grey (L) and RGB are read; {cure}")
    if "transparency" in image.info:
        raise DataError(f"{name} has a transparent colour; flatten it onto a background, as {image.mode}")
    if any("16" in str(tile[3]) for tile in image.tile):
        raise DataError(f"{name} has 16 bits for each colour, of which 8 would be lost; convert it to 8 bits")
