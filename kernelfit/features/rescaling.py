"""Pooled features made more alike before they are compared: a power of each, and each of mean 0 and variance 1."""

import numpy as np
import numpy.typing as npt

from kernelfit import backend

_COLUMNS = 1024  # that one thread takes at a time

Moments = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]


def rescale(
    features: npt.NDArray[np.float32],
    n: int,
    root: float,
    standardise: bool,
    *,
    device: backend.Device,
    moments: Moments | None = None,
) -> Moments | None:
    """Raise features (blocks, images, width), float32, none negative, to the power `root`, and standardise them.

    f becomes (f^root - mean) / sqrt(variance), with the mean and the variance of each feature over the first n images,
    those of training, summed in float64; a feature that is the same in all of them becomes 0 everywhere. Returns the
    means and what the differences were multiplied with, both (blocks, width), if features are standardised: given as
    `moments`, they make of further images what they would have become beside these.
    """
    if root == 1 and not standardise:
        return None
    blocks, images, width = features.shape

    def run(job):
        block, start = job
        columns = features[block, :, start : start + _COLUMNS]
        parts = [columns[row : row + device.tile] for row in range(0, images, device.tile)]
        if root != 1:
            for part in parts:
                _power(part, root, device.xp)
        if not standardise:
            return None
        known = None if moments is None else tuple(each[block, start : start + _COLUMNS] for each in moments)
        return _standardise(parts, n, device.xp, known)

    found = device.map(run, [(block, start) for block in range(blocks) for start in range(0, width, _COLUMNS)])
    if not standardise:
        return None
    means, scales = (device.xp.concatenate(each).reshape(blocks, width) for each in zip(*found, strict=True))
    return means, scales


def _power(part, root, xp):
    if root == 0.5:
        xp.sqrt(part, out=part)  # quicker than a power
    else:
        part **= np.float32(root)


def _standardise(parts, n, xp, known):
    """Standardise consecutive rows, by the moments that are known, or those of the first n; return the moments."""
    if known is not None:
        for part in parts:
            part -= known[0]
            part *= known[1]
        return known
    size = len(parts[0])
    training = [part[: n - k * size] for k, part in enumerate(parts) if k * size < n]
    mean = sum(part.sum(axis=0, dtype=np.float64) for part in training) / n
    single = mean.astype(np.float32)
    for part in parts:
        part -= single
    variance = sum((part * part).sum(axis=0, dtype=np.float64) for part in training) / n
    varies = variance > (1e-6 * mean) ** 2  # what rounding leaves of a feature that is constant is no variance
    scale = xp.where(varies, 1 / xp.sqrt(xp.where(varies, variance, 1.0)), 0.0).astype(np.float32)
    for part in parts:
        part *= scale
    return single, scale
