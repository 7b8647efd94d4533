"""Images on the device: loaded once, as uint8 where they are, then cut, whitened and cast a batch at a time.

Beside them the columns of tables, each less its mean, over its deviation, both of the training examples.
"""

import dataclasses
import math

import numpy as np
import torch

from kernelfit.backend.native import native
from kernelfit.common.errors import InputError
from kernelfit.common.validation import check_integer
from kernelfit.datasets.dataset import channels_explained, channels_first

CROP = 28
_NUMBERS = 2**22  # of a table that are made in float64 at a time: 32 MB


@dataclasses.dataclass(frozen=True)
class Columns:
    """What standardises the columns of a table: x becomes (x / largest - mean) / deviation.

    The division by the largest absolute value comes first, so that no square overflows or vanishes.

    Attributes
    ----------
    largest, mean, deviation : float64 array, shape (d,)
        Of x, and of x / largest; the deviation of a constant column is 1, which leaves 0 of it.
    """

    largest: np.ndarray
    mean: np.ndarray
    deviation: np.ndarray

    @classmethod
    def of(cls, X):
        """Return the Columns of a table X (n, d)."""
        n, d = X.shape
        largest, mean, deviation = np.ones((3, d))
        for part in _parts(d, n):
            x = X[:, part].astype(np.float64)
            most = np.abs(x).max(axis=0)
            varies = x.min(axis=0) < x.max(axis=0)
            largest[part] = np.where(most > 0, most, 1.0)
            x /= largest[part]
            mean[part] = np.where(varies, x.mean(axis=0), x[0])
            deviation[part] = np.where(varies, x.std(axis=0), 1.0)
        return cls(largest / _unit(X), mean, deviation)

    def standardised(self, X):
        """Return the columns of a table X (m, d) standardised, float32; made in float64, as little may be left."""
        out, largest = np.empty(X.shape, np.float32), self.largest * _unit(X)
        for part in _parts(*X.shape):
            with np.errstate(over="ignore"):  # the caller looks for what float32 cannot hold
                out[part] = (X[part] / largest - self.mean) / self.deviation
        return out


def _unit(X):
    """Return what 1 is in an array: uint8 stands for X / 255."""
    return 255.0 if X.dtype == np.uint8 else 1.0


def _parts(count, size):
    """Yield slices of 0 .. count, each of so many things of `size` numbers as are made at a time."""
    step = max(1, _NUMBERS // size)
    return (slice(start, start + step) for start in range(0, count, step))


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
    layout : torch.memory_format
        Of the batches, contiguous at first; channels_last is faster for convolutions, slower where images are
        flattened.
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

    layout = torch.contiguous_format

    def __init__(self, X, *, crop=CROP, whiten=True, columns=None, device="cpu"):
        check_crop(crop)
        X = np.asarray(X)
        if X.ndim not in (2, 3, 4) or (X.dtype != np.uint8 and X.dtype.kind != "f"):
            raise InputError(
                f"a net takes images (n, h, w) or (n, h, w, channels), or vectors (n, d), of uint8 or floating-point "
                f"numbers; got {X.dtype} {X.shape}"
            )
        if 0 in X.shape[1:]:
            raise InputError(f"X has shape {X.shape}: there is nothing in an example")
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
        self.whiten, self.device, self.size, self.room = whiten and X.ndim > 2, pixels.device, (), (0, 0)
        if X.ndim > 2:
            pixels = (pixels[..., None] if X.ndim == 3 else pixels).permute(0, 3, 1, 2)
            self.size = tuple(min(side, crop or side) for side in pixels.shape[2:])
            self.room = tuple(side - kept for side, kept in zip(pixels.shape[2:], self.size, strict=True))
        self.pixels, self.input_shape = pixels, (pixels.shape[1], *self.size)

    def __len__(self):
        return len(self.pixels)

    def batches(self, rows, size, offsets=None):
        """Yield (some of the rows, their inputs) in order, `size` rows at a time.

        `rows` and `offsets` are tensors on the device; offsets[i] is where the crop of image i begins, for all images
        of the split.
        """
        for part in rows.split(size):
            yield part, self.batch(part, None if offsets is None else offsets[part])

    def batch(self, rows, offsets=None):
        """Return the inputs of some rows as float32 (len(rows), *input_shape), cut at the offsets (len(rows), 2)."""
        if self.device.type == "cpu" and self.pixels.dtype == torch.uint8:
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
        values = np.empty(256, np.float32)
        _cutting_pass(pixels.numpy(), rows.numpy(), offsets.numpy(), self.whiten, values, out.numpy())
        return x


@native()
def _cutting_pass(pixels, rows, corners, whiten, values, out):
    """Cut and whiten images on one thread: a third of PyTorch's time for ten.

    pixels (n, height, width * c) are uint8; image rows[k] is cut where corners[k] says, to the size of out (m, h, w, c)
    float32 in any layout, and divided by 255. Whitened, it is (x - mean) / max(std, 1 / sqrt(d)) over its d = h w c
    numbers; mean and variance come from exact sums of integers. `values` is memory for 256 float32.
    """
    m, h, w, c = out.shape
    d, span = h * w * c, w * c
    for v in range(256):
        values[v] = v / 255
    for k in range(m):
        image, top, begin = pixels[rows[k]], corners[k, 0], corners[k, 1] * c
        if whiten:
            total, squares = np.int64(0), np.int64(0)
            for i in range(h):
                line = image[top + i, begin : begin + span]
                for t in range(span):
                    v = np.int64(line[t])
                    total += v
                    squares += v * v
            deviation = np.sqrt(float(d * squares - total * total)) / d / 255
            scale = 1 / max(deviation, d**-0.5)
            for v in range(256):
                values[v] = (v - total / d) / 255 * scale
        for i in range(h):
            line = image[top + i, begin : begin + span]
            for channel in range(c):
                for j in range(w):
                    out[k, i, j, channel] = values[line[j * c + channel]]


def _check_finite(X):
    if X.dtype.kind == "f" and not np.isfinite(X).all():
        row = int(np.flatnonzero(~np.isfinite(X.reshape(len(X), -1)).all(axis=1))[0])
        raise InputError(
            f"X has numbers that are NaN, infinite or too large for float32, first in row {row}; a net can say nothing "
            "of them. Remove or fill them"
        )


def check_crop(crop):
    """Refuse what is no number of pixels."""
    try:
        check_integer("crop", crop, 0)
    except InputError as error:
        raise InputError(f"crop = {crop!r}; it must be a number of pixels, or 0 to cut nothing") from error


def whiten(x):
    """Return (x - mean) / max(std, 1 / sqrt(d)) of each example, d numbers each, with the population's deviation."""
    axes, d = tuple(range(1, x.ndim)), math.prod(x.shape[1:])
    x = x - x.mean(axes, keepdim=True)
    variance = (x * x).mean(axes, keepdim=True)  # in two passes, as exact as torch.var and ten times as quick
    return x.div_(variance.sqrt_().clamp_min_(d**-0.5))
