"""Random convolutional features as arrays, where they are few enough to hold."""

import dataclasses
from collections.abc import Iterator
from typing import Self

import numpy as np
import numpy.typing as npt

from kernelfit import backend
from kernelfit.common.errors import NotEnoughMemoryError
from kernelfit.common.quantities import format_bytes
from kernelfit.features.accumulated import features_of, prepared_images
from kernelfit.features.random_net import Net
from kernelfit.features.rescaling import Moments, rescale

_ROWS = 1024  # images at a time


@dataclasses.dataclass(frozen=True, eq=False)
class ExplicitFeatures:
    """The features phi of a Net, phi(x) . phi(z) = unit times the inner product that `accumulate` adds up.

    Attributes
    ----------
    net : Net
        Without its training images.
    filters : list of float32 array, shape (patch * patch * channels, net.block)
    moments : list of (means, scales), or None
        Of each block over the training images, where features are standardised.
    """

    net: Net
    filters: list[npt.NDArray[np.float32]]
    moments: list[Moments] | None

    @classmethod
    def of(cls, net: Net, X: npt.NDArray) -> Self:
        """Return the features of a Net that was prepared for training images X.

        Raises NotEnoughMemoryError where a block of them is to be standardised, and does not fit.
        """
        made = cls(net.without_images(), [net.filters(block) for block in range(net.blocks)], None)
        if not net.settings.standardise:
            return made
        require_memory(len(X), net.block_features)
        moments: list[Moments] = []
        for block in range(net.blocks):
            features = np.empty((1, len(X), net.block_features), np.float32)
            for start, images in made._prepared(X):
                features_of(net, images, made.filters[block], features[:, start : start + _ROWS], backend.CPU)
            found = rescale(features, len(X), net.settings.root, True, device=backend.CPU)
            moments += [found] if found else []
        return dataclasses.replace(made, moments=moments)

    def __call__(self, X: npt.NDArray) -> npt.NDArray[np.float32]:
        """Return the features of images X (n, h, w) or (n, h, w, c), float32 (n, net.features), block by block.

        Raises NotEnoughMemoryError where these do not fit.
        """
        net, settings, width = self.net, self.net.settings, self.net.block_features
        require_memory(len(X), net.features)
        out, root_of_unit = np.empty((len(X), net.features), np.float32), np.float32(net.unit**0.5)
        for start, images in self._prepared(X):
            part = np.empty((1, len(images[0]), width), np.float32)
            for block in range(net.blocks):
                features_of(net, images, self.filters[block], part, backend.CPU)
                known = self.moments[block] if self.moments else None
                rescale(part, 0, settings.root, settings.standardise, device=backend.CPU, moments=known)
                np.multiply(part[0], root_of_unit, out=out[start : start + _ROWS, block * width : (block + 1) * width])
        return out

    def _prepared(self, X) -> Iterator[tuple[int, list[npt.NDArray]]]:
        for start in range(0, len(X), _ROWS):
            yield start, prepared_images(self.net, [X[start : start + _ROWS]], backend.CPU)


def require_memory(n: int, width: int) -> None:
    """Raise NotEnoughMemoryError unless an array (n, width) of float32 features fits in the memory that is free."""
    needed, free = 4 * n * width, backend.CPU.free_memory()
    if needed > free:
        raise NotEnoughMemoryError(
            f"{width:,} features of {n:,} images take {format_bytes(needed)}; {format_bytes(free)} are free. Transform "
            "fewer images at a time, ask for fewer features, or let kernelfit.run('solve', features=...) accumulate "
            "their inner products, for which random convolutional features need not be held"
        )
