"""Label and pixel corruption of the randomization test (Zhang et al., section 2.1), shared by kernels and nets.

Labels: each training label is replaced, with probability p, by a class drawn uniformly over ALL classes, so about
p (1 - 1/k) of them change. Test labels are never touched. For one seed the draws do not depend on p: a label
replaced at p is replaced by the same class at every larger p. Pixels: "shuffled" applies ONE permutation of the
pixel positions to every image of both splits; "random" draws one for each image; the channels of a pixel move
together; "gaussian" replaces both splits by noise with the mean and variance of the training pixels.
"""

import dataclasses
import hashlib
import math

import numpy as np
import numpy.typing as npt

from kernelfit.common.errors import InputError
from kernelfit.common.rng import generator
from kernelfit.common.validation import check_integer, check_labels

PIXEL_SETTINGS = ("true", "shuffled", "random", "gaussian")
_BLOCK = 1024  # images at a time: bounds the memory of permutations


@dataclasses.dataclass(frozen=True)
class Corruption:
    """Corrupted training data, and what was done to them.

    Attributes
    ----------
    X_train, X_test : array
        Images; float32 pixels / 255 after "gaussian" on uint8, else of the dtype and shape they had.
    y_train : int64 array, shape (n,)
        Labels to train on.
    replaced : bool array, shape (n,)
        Which labels were drawn anew (one in k of these keeps its class).
    labels : float
        The probability p.
    pixels : str
        One of PIXEL_SETTINGS.
    seed : int
    sha256 : str
        Hash of the bytes, dtypes and shapes of X_train, y_train and X_test.
    """

    X_train: npt.NDArray
    y_train: npt.NDArray[np.int64]
    X_test: npt.NDArray
    replaced: npt.NDArray[np.bool_]
    labels: float
    pixels: str
    seed: int
    sha256: str


def corrupt(
    X_train: npt.NDArray,
    y_train: npt.NDArray,
    X_test: npt.NDArray,
    *,
    n_classes: int,
    labels: float | str = "true",
    pixels: str = "true",
    seed: int = 0,
) -> Corruption:
    """Corrupt labels and pixels; return a Corruption.

    Parameters
    ----------
    X_train, X_test : array, shape (n, h, w), (n, h, w, channels) or (n, d)
        Of vectors (n, d), each coordinate counts as a pixel.
    y_train : int array, shape (n,)
    n_classes : int
    labels : float, "true" or "random"
        Probability of replacement: 0 and 1 under their names in the paper.
    pixels : str
        One of PIXEL_SETTINGS.
    """
    X_train, y_train, X_test = np.asarray(X_train), np.asarray(y_train), np.asarray(X_test)
    if y_train.shape != X_train.shape[:1]:
        raise InputError(f"labels of shape {y_train.shape} were given for training images of shape {X_train.shape}")
    probability = label_probability(labels)
    y, replaced = corrupt_labels(y_train, n_classes, probability, seed)
    X_train, X_test = corrupt_pixels(X_train, X_test, pixels, seed)
    return Corruption(X_train, y, X_test, replaced, probability, pixels, seed, _digest(X_train, y, X_test))


def label_probability(labels: float | str) -> float:
    """Return the probability that "true", "random" or a number from 0 to 1 stands for."""
    named = {"true": 0.0, "random": 1.0}
    try:
        probability = named[labels] if labels in named else float(labels)
    except (TypeError, ValueError):
        probability = float("nan")
    if not 0 <= probability <= 1:
        raise InputError(f"labels = {labels!r}; give true, random, or the probability of replacement from 0 to 1")
    return probability


def corrupt_labels(
    y: npt.ArrayLike, n_classes: int, probability: float, seed: int = 0
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Return (corrupted labels, mask of the labels that were drawn anew); the draws belong to the index, not to y.

    Examples
    --------
    >>> import numpy as np
    >>> labels, replaced = corrupt_labels(np.zeros(1000, int), 10, 0.5, seed=0)
    >>> bool((labels[~replaced] == 0).all()), bool(0.4 < replaced.mean() < 0.6)  # one in ten of these keeps its class
    (True, True)
    """
    y = check_labels(y, np.size(y), check_integer("n_classes", n_classes))
    replaced = generator(seed, "replaced labels").random(len(y)) < probability
    drawn = generator(seed, "drawn labels").integers(0, n_classes, len(y))
    return np.where(replaced, drawn, y).astype(np.int64), replaced


def corrupt_pixels(
    X_train: npt.NDArray, X_test: npt.NDArray, setting: str, seed: int = 0
) -> tuple[npt.NDArray, npt.NDArray]:
    """Return both splits with their pixels as `setting` says, one of PIXEL_SETTINGS."""
    if setting not in PIXEL_SETTINGS:
        raise InputError(f"pixels = {setting!r}; choose one of {', '.join(PIXEL_SETTINGS)}")
    if X_train.shape[1:] != X_test.shape[1:]:
        raise InputError(f"training images are {X_train.shape[1:]}, test images {X_test.shape[1:]}; give one shape")
    if any(X.dtype != np.uint8 and X.dtype.kind != "f" for X in (X_train, X_test)):
        raise InputError(f"pixels are uint8 or floating-point numbers; got {X_train.dtype} and {X_test.dtype}")
    if setting == "true":
        return X_train, X_test
    if setting == "shuffled":
        pixels = int(np.prod(X_train.shape[1:3]))
        order = generator(seed, "shuffled pixels").permutation(pixels)
        return tuple(_as_pixels(X)[:, order].reshape(X.shape) for X in (X_train, X_test))
    if setting == "random":
        return tuple(
            _permute_each(X, generator(seed, "random pixels", split)) for split, X in enumerate((X_train, X_test))
        )
    mean, deviation = _moments(X_train)
    return tuple(
        _noise(X, mean, deviation, generator(seed, "gaussian pixels", split))
        for split, X in enumerate((X_train, X_test))
    )


def _permute_each(X, rng):
    out = np.empty(X.shape, X.dtype)  # in C order whatever X has, so that _as_pixels is a view
    source, target = _as_pixels(X), _as_pixels(out)
    for start in range(0, len(X), _BLOCK):
        part = source[start : start + _BLOCK]
        order = rng.permuted(np.tile(np.arange(part.shape[1]), (len(part), 1)), axis=1)
        target[start : start + _BLOCK] = np.take_along_axis(part, order[..., None], axis=1)
    return out


def _noise(X, mean, deviation, rng):
    dtype = np.dtype(np.float32) if X.dtype == np.uint8 else X.dtype
    drawn = np.float32 if dtype.newbyteorder("=") == np.float32 else np.float64
    out = np.empty(X.shape, dtype)
    for start in range(0, len(X), _BLOCK):
        part = out[start : start + _BLOCK]
        part[...] = mean + deviation * rng.standard_normal(part.shape, dtype=drawn)
    return out


def _moments(X):
    """Mean and standard deviation over all pixels of all images, in units of pixels / 255 for uint8."""
    if X.dtype == np.uint8:
        counts = np.bincount(X.reshape(-1), minlength=256) / X.size
        values = np.arange(256) / 255
        mean = counts @ values
        return mean, np.sqrt(counts @ (values - mean) ** 2)
    return X.mean(dtype=np.float64), X.std(dtype=np.float64)


def _as_pixels(X):
    """View (n, pixels, channels): vectors and grey images have one channel."""
    return X.reshape(len(X), math.prod(X.shape[1:3]), math.prod(X.shape[3:]))


def _digest(*arrays):
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array))
    return digest.hexdigest()
