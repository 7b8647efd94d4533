"""Random convolutional features fitted to training images: whitening, and filters that can be drawn again."""

import copy
import dataclasses
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from kernelfit.common.errors import InputError
from kernelfit.common.rng import generator
from kernelfit.features.convolution import Convolution
from kernelfit.features.patches import normalised
from kernelfit.features.whitening import Covariance

BLOCK = 256  # filters drawn from one stream; a constant of the sequence, so never to be changed
_WHITENING_PATCHES = 100_000
_SHOWN = 24
_FLAT = 1e-4  # a patch of less variance, in units of a grey level, is no filter
_NORM = 55.0  # of an image whose unit is 1


class Net:
    """RandomConv features fitted to training images: all that is needed to make any block of filters again.

    Attributes
    ----------
    blocks, block : int
        Number of blocks of filters, and filters in each.
    convolution : Convolution
    features : int
        Features of an image, over all blocks.
    unit : float
        What inner products of features are multiplied with.
    """

    def __init__(
        self,
        settings: Any,
        seed: int,
        image: tuple[int, int, int],
        mean: npt.NDArray | None,
        whitening: npt.NDArray | None,
        shift: npt.NDArray,
        patch_whitening: npt.NDArray | None,
        sample: npt.NDArray,
    ) -> None:
        self.settings, self.seed, self.image = settings, seed, image
        self._mean, self._whitening = mean, whitening
        self._shift, self._patch_whitening, self._sample = shift, patch_whitening, sample
        self.block = min(BLOCK, settings.filters)
        self.blocks = settings.filters // self.block
        self.convolution = Convolution(
            image,
            settings.patch,
            settings.pool,
            settings.stride,
            settings.bias,
            settings.two_sided,
            settings.constant if settings.normalise == "all" else -1.0,
            self._shift.astype(np.float32),
        )
        self.features = self.blocks * self.block_features
        self.unit = 1.0 / settings.filters

    @property
    def block_features(self) -> int:
        """Features that one block of filters gives."""
        return self.convolution.cells * self.convolution.signs * self.block

    @classmethod
    def prepare(cls, features: Any, X: npt.NDArray, *, seed: int = 0) -> Self:
        """Return the Net for training images X (n, h, w) or (n, h, w, c): whitening fitted, filters not yet drawn."""
        settings, image = features.settings, _image_shape(X)
        d = settings.patch**2 * image[2]
        if settings.patch > min(image[:2]):
            raise InputError(f"patches of {settings.patch} x {settings.patch} do not fit in images of {image[:2]}")
        if d == 1:
            raise InputError(
                f"patches of one number cannot vary, and images of {image} (n_features = {np.prod(image)}) have only "
                "such patches with `patch=1`; give a larger patch"
            )
        mean = whitening = None
        if settings.whitening == "image":
            covariance = Covariance.of(_scaled(X, settings).reshape(len(X), -1))
            mean, whitening = (a.astype(np.float32) for a in (covariance.mean, covariance.whitening(settings.epsilon)))
        net = cls(settings, seed, image, mean, whitening, np.zeros(d), None, X)
        if settings.whitening != "patch":
            return net
        drawn = net._patches(generator(seed, "whitening patches"), _WHITENING_PATCHES).astype(np.float64)
        covariance = Covariance.of(net._standard(drawn))
        shift = covariance.mean if settings.normalise == "all" else np.zeros(d)
        return cls(settings, seed, image, mean, whitening, shift, covariance.whitening(settings.epsilon), X)

    def images(self, X: npt.NDArray) -> npt.NDArray[np.float32]:
        """Return images X ready to be convolved, float32 (n, h, w, c)."""
        if _image_shape(X) != self.image:
            raise InputError(f"images are {_image_shape(X)}; these features were made for {self.image}")
        out = _scaled(X, self.settings)
        if self._whitening is not None:
            flat = out.reshape(len(out), -1)
            for start in range(0, len(flat), 4096):
                part = flat[start : start + 4096] - self._mean
                flat[start : start + 4096] = part @ self._whitening
        return out

    def filters(self, block: int) -> npt.NDArray[np.float32]:
        """Return the filters of a block, float32 (patch * patch * channels, self.block)."""
        s, rng = self.settings, generator(self.seed, "random filters", block)
        if s.draw == "gaussian":
            scale = np.sqrt(np.mean(self._standard(self._patches(generator(self.seed, "filter scale"), 10_000)) ** 2))
            responses = scale * rng.standard_normal((self.block, len(self._shift)))
        else:
            patches = self._standard(self._patches(rng, self.block)) - self._shift
            responses = patches if self._patch_whitening is None else patches @ self._patch_whitening
        if s.unit == "filters":
            responses = responses / np.linalg.norm(responses, axis=1, keepdims=True)
        made = responses if self._patch_whitening is None else responses @ self._patch_whitening
        return np.ascontiguousarray(made.T, dtype=np.float32)

    def shown_filters(self) -> npt.NDArray[np.float32]:
        """Return the first few filters as images, float32 (k, patch, patch, channels)."""
        side = self.settings.patch
        return self.filters(0)[:, :_SHOWN].T.reshape(-1, side, side, self.image[2])

    def without_images(self) -> Self:
        """Return the same Net without its training images: it prepares images, but draws no filters."""
        light = copy.copy(self)
        light._sample = np.empty((0, *self.image))
        return light

    def identity(self) -> dict[str, Any]:
        """Return, JSON-ready, what the features depend on beside the images."""
        return {"features": dataclasses.asdict(self.settings), "seed": self.seed}

    def _standard(self, patches):
        """Return what whitening sees of drawn patches."""
        s = self.settings
        patches = patches if s.normalise == "none" else normalised(patches, s.constant)
        return patches / np.linalg.norm(patches, axis=1, keepdims=True) if s.unit == "patches" else patches

    @property
    def _unit(self):
        """One grey level in prepared images; where a norm, or whitening, takes their scale from them, at most 1."""
        s = self.settings
        unit = min(s.scale / 255, s.image_norm / _NORM) if s.image_norm else s.scale / 255
        return min(unit, 1.0) if s.whitening == "image" else unit

    def _patches(self, rng, count):
        """Return `count` random patches of the training images, float64 (count, d), none of them flat."""
        height, width, _ = self.image
        size, found, have = self.settings.patch, [], 0
        for attempt in range(1000):
            rows = rng.integers(0, len(self._sample), count)
            top = rng.integers(0, height - size + 1, count)
            left = rng.integers(0, width - size + 1, count)
            distinct, at = np.unique(rows, return_inverse=True)
            patches = np.empty((count, len(self._shift)))
            for start in range(0, len(distinct), 4096):  # images are prepared when they are drawn: no copy of all
                images = self.images(self._sample[distinct[start : start + 4096]])
                windows = sliding_window_view(images, (size, size), axis=(1, 2))
                here = np.flatnonzero((at >= start) & (at < start + 4096))
                drawn = windows[at[here] - start, top[here], left[here]]  # (patches, channels, height, width)
                patches[here] = drawn.transpose(0, 2, 3, 1).reshape(len(here), -1)
            patches = patches[patches.var(axis=1) > _FLAT * self._unit**2]
            found.append(patches)
            have += len(patches)
            if have >= count:
                return np.concatenate(found)[:count]
            if not have and attempt == 2:
                break
        raise InputError(
            f"nearly all patches of {size} x {size} pixels are of one colour: no filters can be drawn from these "
            f"images (n_samples = {len(self._sample)})"
        )


def _image_shape(X):
    if X.ndim not in (3, 4):
        raise InputError(f"convolution needs images (n, height, width) or (n, height, width, channels); got {X.shape}")
    return (*X.shape[1:3], X.shape[3] if X.ndim == 4 else 1)


def _scaled(X, settings):
    """Return images as float32 (n, h, w, c), pixels in 0..scale, then each about its mean and of its norm if asked."""
    unit = settings.scale / 255 if X.dtype == np.uint8 else settings.scale
    out = np.empty((len(X), *_image_shape(X)), np.float32)
    # Of floating-point numbers the mean may be large, and leaves of float32 nothing.
    wide = np.float32 if X.dtype == np.uint8 else np.float64
    for start in range(0, len(X), 4096):
        flat = np.multiply(X[start : start + 4096], unit, dtype=wide).reshape(-1, out[0].size)
        if settings.image_norm:
            flat -= flat.mean(axis=1, keepdims=True)
            largest = np.abs(flat).max(axis=1, keepdims=True)
            flat /= np.where(largest > 0, largest, 1)  # one colour has no norm, and stays 0
            norms = np.linalg.norm(flat, axis=1, keepdims=True)
            flat *= wide(settings.image_norm) / np.where(norms > 0, norms, 1)
        with np.errstate(over="ignore"):
            out[start : start + 4096] = flat.reshape(-1, *out.shape[1:])
    if not np.isfinite(out).all():
        raise InputError("images hold NaN or infinite values, or some beyond float32; scale them to about 1")
    return out
