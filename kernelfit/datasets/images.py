"""Decode PNG and JPEG files into one uint8 array."""

import io
import os
import warnings
from pathlib import Path

import numpy as np

from kernelfit.errors import DataError, NotEnoughMemoryError

_CURES = {
    "P": "it has a palette: convert it to RGB or grey",
    "1": "it has 1 bit per pixel: convert it to 8-bit grey",
    "LA": "it is transparent: flatten it onto a background, as grey",
    "RGBA": "it is transparent: flatten it onto a background, as RGB",
}


def read_images(sources, advance):
    """Return the images as an array (n, h, w) or (n, h, w, 3) of uint8.

    `sources` lists (name for messages, path or content); `advance(1)` is called for each. Nothing is converted: all
    must have the size and mode, grey or RGB, of the first. That is checked before a pixel is decoded.

    Raises
    ------
    DataError
        If an image is damaged or not like that; names it.
    NotEnoughMemoryError
        If all of them together exceed the memory of the machine.
    """
    from PIL import Image

    X, bombs = None, (Image.DecompressionBombError, Image.DecompressionBombWarning)
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        for row, (name, source) in enumerate(sources):
            try:
                file = source if isinstance(source, Path) else io.BytesIO(source)
                with Image.open(file, formats=("PNG", "JPEG")) as image:
                    shape = _shape(name, image)
                    if X is None:
                        X, first = _allocate(len(sources), shape), name
                    if shape != X.shape[1:]:
                        raise DataError(f"{name} has shape {shape}, but {first} has {X.shape[1:]}; make them alike")
                    X[row] = np.asarray(image)
            except DataError:
                raise
            except (OSError, SyntaxError, ValueError, *bombs) as error:
                raise DataError(f"{name} cannot be read as a PNG or JPEG image: {error}") from error
            advance(1)
    return X


def _shape(name, image):
    if image.mode not in ("L", "RGB"):
        cure = _CURES.get(image.mode, "convert it to RGB or grey with 8 bits")
        raise DataError(f"{name} has mode {image.mode}, but only grey (L) and RGB are read; {cure}")
    return (image.height, image.width) + (3,) * (image.mode == "RGB")


def _allocate(n, shape):
    size = n * int(np.prod(shape))
    if size > os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"):
        raise NotEnoughMemoryError(f"{n:,} images of shape {shape} take {size / 2**30:.1f} GiB; this machine has less")
    return np.empty((n, *shape), np.uint8)
