"""What a Record keeps to be looked at: histograms, and a few small pictures of examples and filters."""

import base64
import io
from typing import Annotated, NotRequired, TypedDict

import numpy as np
from msgspec import Meta

from kernelfit.analysis.leaving_out import margins, memorisation
from kernelfit.records.forms import Count, Number

EXAMPLES = 12  # pictures of each kind
_BINS = 40
_SMALLEST_RANGE = 0.1  # of a histogram, in scores; the margins of an interpolant's training examples are all equal
_LARGEST = 1000  # bytes of a picture
_SIDE = 32  # pixels; a larger picture is made smaller
_CELL = 33  # pixels of a filter on a sheet; the rim of a larger one is cut off

Png = Annotated[str, Meta(pattern=r"^[A-Za-z0-9+/]{1,20000}={0,2}$")]


class Histogram(TypedDict):
    """Counts of values in bins of equal width between two ends."""

    low: Number
    high: Number
    counts: Annotated[list[Count], Meta(min_length=1, max_length=200)]


class Example(TypedDict):
    """A picture of an example, and what its label is, was predicted to be, and truly is."""

    index: Count
    label: str
    predicted: str
    png: Png
    true: NotRequired[str]


class Pictures(TypedDict):
    """Examples that are wrong, examples that are memorised, and a sheet of filters."""

    misclassified: NotRequired[list[Example]]
    memorised: NotRequired[list[Example]]
    filters: NotRequired[Png | None]


def histogram(values, bins=_BINS):
    """Return {"low", "high", "counts"} of values (n,) in bins of equal width; what is not finite is left out.

    >>> histogram([0.0, 0.1, 0.9, 1.0], bins=2)
    {'low': 0.0, 'high': 1.0, 'counts': [2, 2]}
    """
    values = np.asarray(values, dtype=np.float64)
    values = values[np.isfinite(values)]
    if not len(values):
        return {"low": 0.0, "high": 1.0, "counts": [0] * bins}
    low, high = float(values.min()), float(values.max())
    if high - low < _SMALLEST_RANGE:
        low, high = (low + high - _SMALLEST_RANGE) / 2, (low + high + _SMALLEST_RANGE) / 2
    counts, _ = np.histogram(values, bins, (low, high))
    return {"low": low, "high": high, "counts": counts.tolist()}


def is_one_value(histogram):
    """Whether the values of a histogram are equal, or nearly, as the margins of interpolated labels are."""
    return histogram["high"] - histogram["low"] < 1.01 * _SMALLEST_RANGE


def histograms(y, fitted, scores, y_test, left_out=None):
    """Return the histograms of a solve: margins on training and test examples; with leave-one-out, these and residuals.

    Parameters
    ----------
    fitted, left_out : array, shape (n, classes)
        Scores of the training examples, whose labels are y (n,), and the same without each; None: not known.
    scores : array, shape (m, classes)
        Of the test examples, whose labels are y_test (m,).

    Returns
    -------
    dict
        train_margins, test_margins; loo_margins, and loo_residuals: 1 minus the score of the own class.
    """
    found = {"train_margins": histogram(margins(fitted, y)), "test_margins": histogram(margins(scores, y_test))}
    if left_out is not None:
        found["loo_margins"] = histogram(margins(left_out, y))
        found["loo_residuals"] = histogram(1 - left_out[np.arange(len(y)), y])
    return found


def misclassified(X, y, names, scores, classes, count=EXAMPLES):
    """Return up to `count` examples (index, label, predicted, png) of images X that are wrong, the worst first.

    `index` is the entry of `names` (n,).
    """
    if not _are_images(X):
        return []
    behind = margins(scores, y)
    wrong = np.flatnonzero(behind < 0)
    worst = wrong[np.argsort(behind[wrong], kind="stable")][:count]
    return [_example(X[i], names[i], classes[y[i]], classes[np.argmax(scores[i])]) for i in worst]


def memorised(X, y, true, names, fitted, left_out, classes, count=EXAMPLES):
    """Return up to `count` examples (index, label, true, predicted, png) of training images that are memorised.

    These are right, and wrong if they are left out (leaving_out.memorisation); the first are those whose margin changes
    most. `index` is the entry of `names` (n,), `label` what was fitted, `predicted` what the model says that was fitted
    without the example.
    """
    if not _are_images(X):
        return []
    found = memorisation(fitted, left_out, y)
    indices = np.flatnonzero(found.scores == 1)
    most = indices[np.argsort(-found.soft[indices], kind="stable")][:count]
    return [
        _example(X[i], names[i], classes[y[i]], classes[np.argmax(left_out[i])]) | {"true": classes[true[i]]}
        for i in most
    ]


def examples(X, indices, rows, labels, predicted, true):
    """Return the examples (index, label, predicted, true, png) of some rows of images X; none of other points.

    Parameters
    ----------
    X, labels, true : array, shape (n, ...)
    indices : int array, shape (n,)
        What each row is called.
    rows, predicted : array, shape (m,)
    """
    if not _are_images(X):
        return []
    return [
        _example(X[i], indices[i], labels[i], said) | {"true": true[i]} for i, said in zip(rows, predicted, strict=True)
    ]


def picture(image):
    """Return a uint8 image (h, w), (h, w, 1) or (h, w, 3) as a PNG of at most 1,000 bytes, in base64.

    Where it takes more, it gets fewer colours, and then half the size.
    """
    from PIL import Image

    image = Image.fromarray(np.ascontiguousarray(image[..., 0] if image.shape[2:] == (1,) else image))
    if max(image.size) > _SIDE:
        image.thumbnail((_SIDE, _SIDE))
    made = _png(image)
    colours = 32
    while len(made) > _LARGEST:
        made = _png(image.quantize(colours))
        if colours > 8:
            colours //= 2
        else:
            image = image.reduce(2)
    return base64.b64encode(made).decode()


def sheet(filters, columns=8):
    """Return filters (h, w) or (h, w, 3) as one PNG in base64, each on a scale of its own, grey where it is 0."""
    from PIL import Image

    filters = [_cut(np.asarray(each, dtype=np.float64)) for each in filters]
    filters = [each[..., 0] if each.shape[2:] == (1,) else each for each in filters]
    side = max(max(each.shape[:2]) for each in filters)
    rows = -(-len(filters) // columns)
    colour = filters[0].shape[2:]
    drawn = np.full((rows * (side + 1) - 1, columns * (side + 1) - 1, *colour), 128, np.uint8)
    for k, each in enumerate(filters):
        top = k // columns * (side + 1) + (side - each.shape[0]) // 2
        left = k % columns * (side + 1) + (side - each.shape[1]) // 2
        scaled = 127.5 + 127.5 * each / (np.abs(each).max() or 1.0)
        drawn[top : top + each.shape[0], left : left + each.shape[1]] = np.round(scaled).astype(np.uint8)
    return base64.b64encode(_png(Image.fromarray(drawn))).decode()


def _example(image, index, label, predicted):
    return {"index": int(index), "label": label, "predicted": predicted, "png": picture(image)}


def _are_images(X):
    return X.dtype == np.uint8 and (X.ndim == 3 or (X.ndim == 4 and X.shape[3] in (1, 3)))


def _png(image):
    content = io.BytesIO()
    image.save(content, "PNG", optimize=True)
    return content.getvalue()


def _cut(image):
    top, left = (max(0, (n - _CELL) // 2) for n in image.shape[:2])
    return image[top : top + _CELL, left : left + _CELL]
