"""Features as scikit-learn transformers: images in, rows of features out. What they compute is defined elsewhere."""

import dataclasses
import inspect
import math
import numbers
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from kernelfit.common.arrays import host_array
from kernelfit.common.errors import InputError
from kernelfit.features import gabor, randomconv, scattering, wavelet
from kernelfit.features.base import Features
from kernelfit.features.explicit import ExplicitFeatures, require_memory
from kernelfit.features.random_net import Net
from kernelfit.features.streaming import as_channels

_SHARED = """
image_shape : tuple of int, optional
    (h, w) or (h, w, channels) of images that come as rows (n, h * w * channels); one entry may be -1, as in
    numpy.reshape. Not needed where X is (n, h, w) or (n, h, w, channels).

Attributes
----------
image_shape_ : tuple of int
n_features_in_ : int
    Numbers that an image has.

Notes
-----
Takes uint8 pixels, which stand for x / 255, or numbers as they are. Features are float32, the same numbers that
the option `features` of `kernelfit solve` has. All parameters are keywords, and are checked by fit.

Raises
------
InputError
    A parameter is outside what is accepted, or images do not fit the features or each other.
NotEnoughMemoryError
    The features of all images together do not fit in memory.
"""


class _Transformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """fit and transform for images; parameters, their defaults and their docstring are those of a definition."""

    _definition: ClassVar[type[Features]]
    _fields: ClassVar[tuple[str, ...]]

    def __init_subclass__(cls, *, definition: type[Features], options: dict[str, Any] | None = None) -> None:
        super().__init_subclass__()
        fields = {field.name: field.default for field in dataclasses.fields(definition)}  # type: ignore[arg-type]
        cls._definition, cls._fields = definition, tuple(fields)
        own = [(name, Any, value) for name, value in (fields | {"image_shape": None} | (options or {})).items()]
        made: Any = dataclasses.make_dataclass(cls.__name__, own, kw_only=True)
        cls.__init__ = made.__init__  # type: ignore[method-assign]
        cls.__doc__ = inspect.cleandoc(definition.__doc__ or "") + _SHARED + "\n" + inspect.cleandoc(cls.__doc__ or "")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags

    def fit(self, X: npt.ArrayLike, y: object = None) -> Self:
        """Fit to images X (n, h, w), (n, h, w, channels) or rows; y is not used. Returns self."""
        rows, shape = self._rows(X, reset=True)
        self.image_shape_, self._pixels = self._shape_of(rows, shape), rows.dtype == np.uint8
        features = self._definition(**{name: getattr(self, name) for name in self._fields})
        self._n_features_out = self._fit(features, rows.reshape(-1, *self.image_shape_))
        return self

    def transform(self, X: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """Return the features of images X, float32 (n, features)."""
        check_is_fitted(self)
        rows, shape = self._rows(X, reset=False)
        if shape not in (None, self.image_shape_):
            raise InputError(f"images are {shape}; this transformer was fitted to {self.image_shape_}")
        if (rows.dtype == np.uint8) != self._pixels:
            kinds = "numbers used as they are", "uint8 pixels, which stand for x / 255"
            raise InputError(
                f"images are {rows.dtype}; this transformer was fitted to {kinds[self._pixels]}: give one kind"
            )
        require_memory(len(rows), self._n_features_out)
        return self._transform(rows.reshape(-1, *self.image_shape_))

    def _fit(self, features: Any, X: npt.NDArray) -> int:
        """Keep what features of further images need, and return their number."""
        images = as_channels(X)
        _, width, _ = features.prepared(images.shape[2:], np.float32)
        self.features_ = features
        return width * images.shape[1]

    def _transform(self, X: npt.NDArray) -> npt.NDArray[np.float32]:
        return self.features_.transform(X)

    def _rows(self, X, *, reset):
        """Return (X as checked rows, the shape of an image, or None if X came as rows)."""
        X = np.asarray(X) if isinstance(X, list | tuple) else host_array(X)
        shape = np.shape(X)[1:] if getattr(X, "ndim", 2) > 2 else None
        if shape is not None:
            X = np.asarray(X).reshape(len(X), math.prod(shape))
        return validate_data(self, X, dtype=[np.float64, np.float32, np.uint8], reset=reset), shape

    def _shape_of(self, rows, shape):
        """Return the shape of the images that fit was given; raises InputError where that is not known."""
        d, asked = rows.shape[1], self.image_shape
        if shape is None and asked is None:
            raise InputError(
                f"X has rows of n_features = {d} numbers; say what images they are, e.g. `image_shape=(28, 28)`, or "
                "give images (n, h, w) or (n, h, w, channels)"
            )
        try:
            found = shape if asked is None else np.empty(d, bool).reshape(asked).shape
        except (TypeError, ValueError):
            found = ()
        if len(found) not in (2, 3) or found != (shape or found):
            given = f"rows of n_features = {d} numbers" if shape is None else f"images of shape {shape}"
            raise InputError(
                f"image_shape = {asked!r} does not fit {given}; give (h, w) or (h, w, channels) of one image"
            )
        return tuple(found)


class Gabor(_Transformer, definition=gabor.Gabor):
    """
    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.pipeline import make_pipeline
    >>> from kernelfit.estimators import KernelInterpolationClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> features = Gabor(wavelengths=(2.0, 4.0), step=2, image_shape=(8, 8))
    >>> features.fit_transform(X[:5] / 16).shape
    (5, 272)
    >>> model = make_pipeline(features, KernelInterpolationClassifier(bandwidth=5.0))
    >>> model.fit(X[:500] / 16, y[:500]).score(X[500:1000] / 16, y[500:1000]) > 0.9
    True
    """


class Scattering(_Transformer, definition=scattering.Scattering):
    """
    Examples
    --------
    >>> images = np.random.default_rng(0).random((4, 28, 28))
    >>> Scattering(orientations=4, second_orientations=4).fit_transform(images).shape
    (4, 893)
    """


class Wavelet(_Transformer, definition=wavelet.Wavelet):
    """
    Examples
    --------
    With an orthonormal wavelet it is a rotation:

    >>> images = np.random.default_rng(0).random((4, 8, 8))
    >>> features = Wavelet(wavelet="haar").fit_transform(images)
    >>> bool(np.allclose(np.linalg.norm(features, axis=1), np.linalg.norm(images, axis=(1, 2))))
    True
    """


class RandomConv(_Transformer, definition=randomconv.RandomConv, options={"random_state": 0}):
    """
    Further parameters
    ------------------
    random_state : int, RandomState or None
        A number is the seed of `kernelfit solve`, and gives the same filters.

    Notes on size
    -------------
    `kernelfit solve` accumulates inner products, and takes any number of features; a transformer has to hold them. The
    inner product of two rows is the kernel that is accumulated. Fitted, it keeps the filters, not the images.

    Examples
    --------
    >>> images = np.random.default_rng(0).random((20, 12, 12))
    >>> features = RandomConv(filters=8, patch=3, pool=5, stride=5).fit(images)
    >>> features.transform(images).shape  # 2 x 2 cells of 8 filters with two signs
    (20, 64)
    """

    def _fit(self, features: Any, X: npt.NDArray) -> int:
        state = self.random_state
        try:
            seed = state if isinstance(state, numbers.Integral) else check_random_state(state).randint(2**31)
        except ValueError as error:
            raise InputError(f"random_state = {state!r}; give an integer, a RandomState, or None") from error
        net = Net.prepare(features, X, seed=int(seed))
        self.features_ = ExplicitFeatures.of(net, X)
        return net.features

    def _transform(self, X: npt.NDArray) -> npt.NDArray[np.float32]:
        return self.features_(X)
