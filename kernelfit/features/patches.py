"""All patches of an image as rows of a matrix, so that a convolution is one matrix product."""

from typing import Any

import numpy as np
import numpy.typing as npt

from kernelfit.backend.native import native

_ONE, _TINY = np.float32(1), np.finfo(np.float32).tiny


def image_patches(X: npt.NDArray, size: int, xp: Any = np) -> npt.NDArray:
    """Return the patches of images X (m, h, w, c): (m, h - size + 1, w - size + 1, size * size * c), copied.

    Coordinates of a patch run over rows, columns and channels, as in X[i, y : y + size, x : x + size].ravel().
    """
    height, width = X.shape[1] - size + 1, X.shape[2] - size + 1
    shifted = [X[:, y : y + height, x : x + width] for y in range(size) for x in range(size)]
    return xp.stack(shifted, axis=3).reshape(len(X), height, width, size * size * X.shape[3])


def normalised(patches: npt.NDArray, constant: float, xp: Any = np) -> npt.NDArray:
    """Return (p - mean(p)) / sqrt(var(p) + constant) for patches p along the last axis, var the mean square."""
    centred = patches - patches.mean(axis=-1, keepdims=True)
    variance = (centred * centred).mean(axis=-1, keepdims=True)
    # A patch of one colour has no direction; it stays 0 even with a constant of 0.
    return centred / xp.sqrt(xp.maximum(variance + constant, _TINY))


@native()
def patch_pass(
    image: npt.NDArray[np.float32],
    size: int,
    width: int,
    constant: np.float32,
    shift: npt.NDArray[np.float32],
    out: npt.NDArray[np.float32],
) -> None:
    """Write patches of one image into out, float32, on one thread.

    image (h, w, c); out (rows * width, size * size * c) gets the patches whose corners lie in the first `rows` rows and
    `width` columns, normalised where constant >= 0, less `shift`.
    """
    span = size * image.shape[2]
    d = size * span
    for at in range(out.shape[0]):
        y, x = at // width, at % width
        row = out[at]
        for i in range(size):
            line = image[y + i]
            for j in range(size):
                for k in range(image.shape[2]):
                    row[i * span + j * image.shape[2] + k] = line[x + j, k]
        if constant >= 0:
            mean = np.float32(0)
            for t in range(d):
                mean += row[t]
            mean *= _ONE / np.float32(d)
            variance = np.float32(0)
            for t in range(d):
                row[t] -= mean
                variance += row[t] * row[t]
            scale = _ONE / np.sqrt(max(variance * (_ONE / np.float32(d)) + constant, _TINY))
            for t in range(d):
                row[t] *= scale
        for t in range(d):
            row[t] -= shift[t]
