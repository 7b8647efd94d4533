"""Images in batches, on all threads: what features of single images share."""

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from kernelfit import backend
from kernelfit.common.arrays import host_array
from kernelfit.common.errors import InputError
from kernelfit.common.progress import Progress

ImageFunction = Callable[[npt.NDArray], npt.NDArray]  # images (h, w, m), the images last, to features (width, m)


def as_channels(X: npt.ArrayLike) -> npt.NDArray:
    """Return images (n, h, w) or (n, h, w, channels) as a view (n, channels, h, w)."""
    X = np.asarray(host_array(X))
    if X.ndim not in (3, 4) or 0 in X.shape:
        raise InputError(
            f"image features need images of shape (n, h, w) or (n, h, w, channels); got {X.shape}. Reshape rows of "
            "pixels first, e.g. X.reshape(-1, 28, 28)"
        )
    if X.dtype != np.uint8 and X.dtype.kind != "f":
        raise InputError(f"images are uint8 pixels or floating-point numbers; got {X.dtype}. Try X.astype(float)")
    return X[:, None] if X.ndim == 3 else np.moveaxis(X, 3, 1)


def stream(
    X: npt.NDArray,
    width: int,
    size: int,
    function: ImageFunction,
    *,
    dtype: type[np.floating] = np.float32,
    name: str = "features",
    progress: Progress | None = None,
) -> npt.NDArray:
    """Return (n, channels x width) features, computed from `size` images at a time on all threads.

    Parameters
    ----------
    X : array (n, channels, h, w)
        From `as_channels`; uint8 stands for pixels / 255.
    width : int
        Features of one channel.
    function : callable
        Turns images (h, w, m) of `dtype`, the images last, into an array of `width` entries by m.
    """
    n, channels, h, w = X.shape
    out = np.empty((n, channels, width), dtype)
    scale = dtype(1 / 255) if X.dtype == np.uint8 else None
    count = max(1, size // channels)

    def batch(start):
        part = X[start : start + count]
        images = np.empty((h, w, len(part), channels), dtype)
        with np.errstate(over="ignore", invalid="ignore"):  # reported just below
            images[...] = part.transpose(2, 3, 0, 1)
            if scale is not None:
                images *= scale
            made = function(images.reshape(h, w, -1)).reshape(width, len(part), channels)
        if not np.isfinite(made).all():
            raise InputError(
                f"images hold NaN or infinite values, or some whose squares are beyond {np.dtype(dtype)}; scale them "
                "to about 1"
            )
        out[start : start + count] = made.transpose(1, 2, 0)

    device, starts = backend.CPU, range(0, n, count)
    together = 16 * backend.num_threads()  # batches between two reports of progress
    with (progress or Progress()).phase(name, n) as advance:
        for first in range(0, len(starts), together):
            part = starts[first : first + together]
            device.map(batch, part)
            advance(min(n, part[-1] + count) - part[0])
    return out.reshape(n, math.prod(out.shape[1:]))
