"""Features that are too many to hold: their inner products, accumulated block after block.

A block of features of all images is made, its inner products are added tile by tile, and it is forgotten. Products of
at most a few thousand features are summed in float32 by GEMM, and these sums in float64.
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kernelfit import backend
from kernelfit.common.errors import NotEnoughMemoryError
from kernelfit.common.files import sha256
from kernelfit.common.progress import Progress
from kernelfit.common.quantities import format_bytes
from kernelfit.features.accumulated_points import AccumulatedPoints
from kernelfit.features.checkpoint import Checkpoint
from kernelfit.features.random_net import Net
from kernelfit.features.rescaling import rescale
from kernelfit.grams.inner_products import InnerProducts

_BLOCKS = 8  # of filters made at a time, where memory allows: few, wide matrix products
_SAVE_EVERY = 600.0  # seconds


def accumulate(
    net: Net,
    X_train: npt.NDArray,
    X_test: npt.NDArray,
    *,
    across: bool = False,
    device: backend.Device = backend.CPU,
    scratch: str | Path | None = None,
    memory: int | None = None,
    blocks: int | None = None,
    progress: Progress | None = None,
) -> tuple[AccumulatedPoints, AccumulatedPoints]:
    """Return (training points, test points) of the features of a net, as AccumulatedPoints.

    Parameters
    ----------
    net : Net
        See kernelfit.features.random_net.
    X_train, X_test : array, shape (n, height, width) or (n, height, width, channels)
    across : bool
        Make only the inner products of training images with test images.
    scratch : path, optional
        Folder that keeps the inner products: what is there of the same net and images is gone on with, to the same
        bits, after a kill at any moment.
    memory : int, optional
        Use at most this many bytes.
    blocks : int, optional
        Blocks of filters made at a time, on which the last bits may depend; unless given, those of an unfinished run
        in `scratch`, or as many as memory allows, up to 8.

    Raises
    ------
    NotEnoughMemoryError, ScratchError, NotEnoughDiskError
    """
    progress = progress or Progress()
    n, total = len(X_train), len(X_train) + len(X_test)
    identity = _identity(net, X_train, X_test, across, device)
    choices = [blocks] if blocks else [_BLOCKS >> k for k in range(_BLOCKS.bit_length())]
    begun = [count for count in choices if Checkpoint.exists(scratch, identity | {"blocks": count})]
    blocks = _fitting_blocks(begun[:1] or choices, net, n, total, device, memory, across)
    products = InnerProducts(n, total, device=device, across=across)
    arrays = [*products.panels, products.sq_norms]
    with Checkpoint.open(scratch, identity | {"blocks": blocks}, device, progress=progress) as kept:
        done = kept.load(arrays)  # blocks that each array holds; they differ after a kill while saving
        if min(done) < net.blocks:
            _add_blocks(net, (X_train, X_test), products, done, blocks, kept, progress)
            kept.save(arrays, done)
    products.complete()
    train, test = (AccumulatedPoints(products, *span, net.unit, net.features) for span in ((0, n), (n, total)))
    return train, test


def _add_blocks(net, sets, products, done, blocks, kept, progress):
    """Add all blocks that are missing; done[p] counts those that array p holds."""
    device, total = products.device, products.total
    images = prepared_images(net, sets, device)
    buffer = device.empty((blocks, total, net.block_features), np.float32)
    arrays, saved = [*products.panels, products.sq_norms], time.monotonic()
    work, finished = ({"images": total * k, "entries": products.entries * k} for k in (net.blocks, min(done)))
    with progress.phase("features", work, done=finished) as advance:
        while (start := min(done)) < net.blocks:
            stop = min(start + blocks, net.blocks)
            count, features = stop - start, buffer[: stop - start]
            filters = device.array(np.hstack([net.filters(block) for block in range(start, stop)]))
            features_of(net, images, filters, features, device, lambda m, k=count: advance(k * m, kind="images"))
            rescale(features, products.n, net.settings.root, net.settings.standardise, device=device)
            skip = [min(held - start, count) for held in done]  # blocks that an array has from before a kill
            products.add(features, skip[:-1], lambda entries, k=count: advance(k * entries, kind="entries"))
            products.add_norms(features[skip[-1] :])
            done[:] = [max(held, stop) for held in done]
            if time.monotonic() - saved > _SAVE_EVERY and stop < net.blocks:
                kept.save(arrays, done)
                saved = time.monotonic()


def features_of(
    net: Net,
    images: Sequence[npt.NDArray],
    filters: npt.NDArray,
    out: npt.NDArray,
    device: backend.Device,
    advance: Callable[[int], Any] | None = None,
) -> None:
    """Write features of `prepared_images` into out, as Convolution.features does; of two sets, the mean of both."""
    if len(images) == 1:
        net.convolution.features(images[0], filters, out, device=device, progress=advance)
        return
    step = 1024
    mirrored = device.empty((len(out), step, out.shape[2]), np.float32)
    for start in range(0, out.shape[1], step):
        part = out[:, start : start + step]
        m = part.shape[1]
        net.convolution.features(images[0][start : start + m], filters, part, device=device)
        net.convolution.features(images[1][start : start + m], filters, mirrored[:, :m], device=device)
        part += mirrored[:, :m]
        part *= np.float32(0.5)
        if advance:
            advance(m)


def prepared_images(net: Net, sets: Sequence[npt.NDArray], device: backend.Device) -> list[npt.NDArray]:
    """Return all images of some sets, ready to be convolved, on the device; and mirrored, if the features are of both.

    Returns a list of one or two arrays (images, height, width, channels).
    """
    mirrors = (False, True) if net.settings.flip else (False,)
    return [
        device.array(np.concatenate([net.images(X[:, :, ::-1] if mirror else X) for X in sets])) for mirror in mirrors
    ]


def _identity(net, X_train, X_test, across, device):
    environment = backend.describe()
    images = [sha256(np.ascontiguousarray(X)) for X in (X_train, X_test)]
    return net.identity() | {
        "images": images,
        "n": len(X_train),
        "total": len(X_train) + len(X_test),
        "across": across,
        # What rounding depends on.
        "arithmetic": [device.name, device.tile, *environment["blas"], environment["threads"]],
    }


def bytes_needed(
    net: Net, n: int, total: int, device: backend.Device = backend.CPU, blocks: int = _BLOCKS, across: bool = False
) -> tuple[int, int]:
    """Return (bytes that stay: the inner products, bytes that are needed beside them while they are accumulated)."""
    copies = 2 if net.settings.flip else 1
    images = 4 * total * int(np.prod(net.image)) * (copies + 1)  # one more while they are prepared
    features = 4 * net.block_features * min(blocks, net.blocks) * (total + 1024 * (copies - 1))
    return InnerProducts.bytes_needed(n, total, device, across=across), images + features + device.fixed_bytes


def _fitting_blocks(choices, net, n, total, device, memory, across):
    """Return the first of the choices that fits in memory; raises NotEnoughMemoryError if not even the last does."""
    free = min(device.free_memory(), memory or device.free_memory())
    for blocks in choices:
        stays, beside = bytes_needed(net, n, total, device, blocks, across)
        if stays + beside <= free:
            return blocks
    raise NotEnoughMemoryError(
        f"the inner products of {n:,} training and {total - n:,} test images take {format_bytes(stays)}, and {blocks} "
        f"blocks of their features {format_bytes(beside)} more; {format_bytes(free)} are free. Use fewer images "
        "(`n_train`, `n_test`), or a machine with more memory"
    )
