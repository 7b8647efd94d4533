"""Images on the device: loaded once, as uint8 where they are, then cut, whitened and cast a batch at a time."""

import math

import numpy as np
import torch

from kernelfit.common.errors import InputError
from kernelfit.datasets.dataset import channels_explained, channels_first
from kernelfit.nn.columns import Columns
from kernelfit.nn.cutting import cutting_pass

CROP = 28


class Images:
    """A split of a dataset as a net sees it.

    Parameters
    ----------
    X : array, shape (n, h, w), (n, h, w, channels) or (n, d)
        uint8 pixels, which stand for pixels / 255, or floating-point numbers, used as they are in float32.
    crop : int
        Images larger than this are cut to crop x crop: from the middle, or where `batch` is told to. 0 cuts nothing.
    whiten : bool
        Whether each image becomes (x - mean) / max(std, 1 / sqrt(d)), over all d numbers left after the crop. The
        columns of a table (n, d), which measure different things, are standardised instead.
    columns : Columns, optional
        By which they are: those of the training examples. Of X itself unless given.
    device : torch.device or str

    Attributes
    ----------
    channels_last : bool
        Layout of the batches, False at first: faster for convolutions, slower where images are flattened.
    input_shape : tuple
        Of one input: (channels, height, width) or (d,).
    room : tuple of int
        Rows and columns that a crop has to spare.
    columns : Columns or None

    Raises
    ------
    InputError
        X is neither images nor a table, is no uint8 or floating-point array, has its channels first, or holds numbers
        that are NaN, infinite or too large for float32.
    """

    def __init__(self, X, *, crop=CROP, whiten=True, columns=None, device="cpu"):
        check_crop(crop)
        X = np.asarray(X)
        if X.ndim not in (2, 3, 4) or (X.dtype != np.uint8 and X.dtype.kind != "f"):
            raise InputError(
                f"a net takes images (n, h, w) or (n, h, w, channels), or vectors (n, d), of uint8 or floating-point "
                f"numbers; got {X.dtype} {X.shape}"
            )
        if channels_first(X):
            raise InputError(channels_explained("X", X))
        self.columns = None
        if whiten and X.ndim == 2 and X.size:
            _check_finite(X)
            self.columns = columns or Columns.of(X)
            X = self.columns.standardised(X)
        elif X.dtype != np.uint8:
            with np.errstate(over="ignore"):
                X = X.astype(np.float32, copy=False)
        _check_finite(X)
        X = np.ascontiguousarray(X)
        pixels = torch.from_numpy(X if X.flags.writeable else X.copy()).to(device)
        self.whiten, self.device = whiten and X.ndim > 2, pixels.device
        self.room, self.channels_last = (0, 0), False
        if X.ndim > 2:
            pixels = (pixels[..., None] if X.ndim == 3 else pixels).permute(0, 3, 1, 2)
            self.size = tuple(min(side, crop or side) for side in pixels.shape[2:])
            self.room = tuple(side - kept for side, kept in zip(pixels.shape[2:], self.size, strict=True))
        self.pixels = pixels

    def __len__(self):
        return len(self.pixels)

    @property
    def input_shape(self):
        return tuple(self.pixels.shape[1:2]) + (self.size if self.pixels.ndim == 4 else ())

    @property
    def layout(self):
        """The memory format of the batches."""
        return torch.channels_last if self.channels_last and self.pixels.ndim == 4 else torch.contiguous_format

    def batches(self, rows, size, offsets=None):
        """Yield (some of the rows, their inputs) in order, `size` rows at a time.

        `rows` and `offsets` are tensors on the device; offsets[i] is where the crop of image i begins, for all images
        of the split.
        """
        for part in rows.split(size):
            yield part, self.batch(part, None if offsets is None else offsets[part])

    def batch(self, rows, offsets=None):
        """Return the inputs of some rows as float32 (len(rows), *input_shape), cut at the offsets (len(rows), 2)."""
        if self.pixels.device.type == "cpu" and self.pixels.dtype == torch.uint8:
            return self._cut(rows, offsets)
        if self.pixels.ndim == 2:
            x = self.pixels[rows]
        elif offsets is None:
            (top, left), (h, w) = (spare // 2 for spare in self.room), self.size
            x = self.pixels[:, :, top : top + h, left : left + w][rows]
        else:
            windows = self.pixels.unfold(2, self.size[0], 1).unfold(3, self.size[1], 1)  # (n, c, rows, columns, h, w)
            x = windows[rows, :, offsets[:, 0], offsets[:, 1]]
        x = x.to(torch.float32, memory_format=self.layout)
        if self.pixels.dtype == torch.uint8:
            x = x.div_(255)
        return whiten(x) if self.whiten else x

    def _cut(self, rows, offsets):
        """Do the same in one compiled pass."""
        x = torch.empty((len(rows), *self.input_shape), dtype=torch.float32)
        if self.pixels.ndim == 2:
            pixels, out = self.pixels[:, None], x[:, None, :, None]
        else:
            x = x.contiguous(memory_format=self.layout)
            pixels, out = self.pixels.permute(0, 2, 3, 1).flatten(2), x.permute(0, 2, 3, 1)
        if offsets is None:
            offsets = torch.tensor([spare // 2 for spare in self.room]).expand(len(rows), 2)
        cutting_pass()(pixels.numpy(), rows.numpy(), offsets.numpy(), self.whiten, out.numpy())
        return x


def _check_finite(X):
    if X.dtype.kind == "f" and not np.isfinite(X).all():
        row = int(np.flatnonzero(~np.isfinite(X.reshape(len(X), -1)).all(axis=1))[0])
        raise InputError(
            f"X has numbers that are NaN, infinite or too large for float32, first in row {row}; a net can say nothing "
            "of them. Remove or fill them"
        )


def check_crop(crop):
    """Refuse what is no number of pixels."""
    if not (isinstance(crop, int) and crop >= 0):
        raise InputError(f"crop = {crop!r}; it must be a number of pixels, or 0 to cut nothing")


def whiten(x):
    """Return (x - mean) / max(std, 1 / sqrt(d)) of each example, d numbers each, with the population's deviation."""
    axes, d = tuple(range(1, x.ndim)), math.prod(x.shape[1:])
    x = x - x.mean(axes, keepdim=True)
    variance = (x * x).mean(axes, keepdim=True)  # in two passes, as exact as torch.var and ten times as quick
    return x.div_(variance.sqrt_().clamp_min_(d**-0.5))
