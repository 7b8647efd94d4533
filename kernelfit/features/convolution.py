"""Convolve, rectify, average: images and filters -> features, as matrix products of patches.

On a CPU every thread takes images of its own: it lays out the patches of some rows, multiplies them with all filters,
and adds the rectified responses to the pooled sums while they are still in its cache. On a GPU whole batches of images
go through the same steps as array operations.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from kernelfit import backend
from kernelfit.common.errors import InputError
from kernelfit.features.patches import image_patches, normalised, patch_pass
from kernelfit.features.pooling import Windows, passes, rectified_cells

_RESPONSES = 2**20  # at a time and thread: 4 MB, which stays in a cache
_BATCH_BYTES = 2**30  # of responses at a time on a GPU


@dataclasses.dataclass(frozen=True)
class Convolution:
    """How the responses of filters become features.

    z(p) = <w, nu(p) - shift> for every patch p of an image and every filter w, with nu the identity or the
    normalisation of kernelfit.features.patches. Features are the means of max(z - bias, 0) and, if two-sided, of
    max(-z - bias, 0) over windows of `pool` x `pool` positions, `stride` apart.

    Attributes
    ----------
    image : (int, int, int)
        Height, width and channels.
    patch, pool, stride : int
    bias : float
    two_sided : bool
    constant : float
        Of the normalisation; negative for none.
    shift : float32 array, shape (patch * patch * channels,)
    """

    image: tuple[int, int, int]
    patch: int
    pool: int
    stride: int
    bias: float
    two_sided: bool
    constant: float
    shift: np.ndarray

    def __post_init__(self) -> None:
        if not 1 <= self.patch <= min(self.image[:2]):
            raise InputError(f"patches of {self.patch} x {self.patch} do not fit in images of {self.image[:2]}")
        self.windows  # noqa: B018 (raises where they do not fit)

    @property
    def windows(self) -> tuple[Windows, ...]:
        """Windows along the height and along the width."""
        return tuple(Windows.along(side - self.patch + 1, self.pool, self.stride) for side in self.image[:2])

    @property
    def signs(self) -> int:
        """2 for a two-sided rectifier, else 1."""
        return 1 + self.two_sided

    @property
    def cells(self) -> int:
        """Pooled cells of an image."""
        vertical, horizontal = self.windows
        return len(vertical.spans) * len(horizontal.spans)

    def features(
        self,
        X: npt.NDArray,
        filters: npt.NDArray,
        out: npt.NDArray,
        *,
        device: backend.Device,
        progress: Callable[[int], Any] | None = None,
    ) -> None:
        """Write the features of images X into out.

        Parameters
        ----------
        X : float32 array, shape (m, height, width, channels), on the device
        filters : float32 array, shape (patch * patch * channels, f), on the device
        out : float32 array, shape (blocks, m, cells * signs * width), on the device
            Filters are taken in f / width blocks of `width`; within a block features run over cells, signs, filters.
        progress : callable, optional
            Gets the number of images done.
        """
        if X.shape[1:] != self.image:
            raise InputError(f"images are {X.shape[1:]}; these features were made for {self.image}")
        made = self._on_cpu if device.name == "cpu" else self._on_gpu
        made(X, filters, out, device, progress or (lambda images: None))

    def _on_cpu(self, X, filters, out, device, progress):
        vertical, horizontal = self.windows
        width, f = horizontal.size, filters.shape[1]
        rows = max(1, min(vertical.size, _RESPONSES // (width * f)))
        edges = [np.array(windows.edges) for windows in self.windows]
        spans = [np.array(windows.spans) for windows in self.windows]
        add, combine = passes(self.two_sided)
        bias, scale, constant = np.float32(self.bias), np.float32(1 / self.pool**2), np.float32(self.constant)

        def run(span):
            patches = np.empty((rows * width, len(self.shift)), np.float32)
            Z = np.empty((rows * width, f), np.float32)
            sums = np.empty((len(edges[0]) - 1, len(edges[1]) - 1, self.signs, f), np.float32)
            cells = np.empty((self.cells, self.signs, f), np.float32)
            for i in range(*span):
                sums[...] = 0
                for first in range(0, vertical.size, rows):
                    count = min(rows, vertical.size - first) * width
                    patch_pass(X[i, first:], self.patch, width, constant, self.shift, patches[:count])
                    device.gemm(patches[:count], filters, Z[:count])
                    add(Z[:count], first, *edges, bias, sums)
                combine(sums, *spans, scale, cells)
                _scatter(cells[None], out[:, i : i + 1])

        step = 256
        for start in range(0, len(X), step):
            stop = min(start + step, len(X))
            device.map(run, [(k, min(k + step // 8, stop)) for k in range(start, stop, step // 8)])
            progress(stop - start)

    def _on_gpu(self, X, filters, out, device, progress):
        vertical, horizontal = self.windows
        xp, f = device.xp, filters.shape[1]
        height, width = vertical.size, horizontal.size
        batch = max(1, _BATCH_BYTES // (4 * height * width * max(f, len(self.shift))))
        shift = device.array(self.shift)
        for start in range(0, len(X), batch):
            part = X[start : start + batch, : height + self.patch - 1, : width + self.patch - 1]
            patches = image_patches(part, self.patch, xp)
            patches = normalised(patches, self.constant, xp) if self.constant >= 0 else patches
            patches = xp.ascontiguousarray(patches - shift, dtype=np.float32).reshape(-1, len(self.shift))
            Z = device.empty((len(patches), f), np.float32)
            device.gemm(patches, filters, Z)
            Z = Z.reshape(len(part), height, width, f)
            cells = rectified_cells(Z, vertical, horizontal, self.pool, self.bias, self.two_sided, xp)
            _scatter(cells, out[:, start : start + len(part)])
            device.synchronize()
            progress(len(part))


def _scatter(cells, out):
    """Write (m, cells, signs, f) into (blocks, m, cells * signs * f / blocks)."""
    m, count, signs, f = cells.shape
    width = f // len(out)
    blocks = cells.reshape(m, count, signs, len(out), width).transpose(3, 0, 1, 2, 4)
    out.reshape(len(out), m, count, signs, width)[...] = blocks
