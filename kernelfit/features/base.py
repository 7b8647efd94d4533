"""What features are: frozen objects that turn images into points for a kernel."""

import dataclasses
from os import PathLike
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from kernelfit import backend
from kernelfit.common.progress import Progress
from kernelfit.features.streaming import ImageFunction, as_channels, stream
from kernelfit.grams.base import Points


class Features:
    """Base of all features. str(features) is the text that parse_features reads.

    Attributes
    ----------
    has_coordinates : bool
        Whether an image has features whatever the others are, so that points are arrays, which other processes can be
        given and which have values at further points. Else points are inner products of all images with each other.
    """

    name: ClassVar[str] = ""
    has_coordinates: ClassVar[bool] = True

    def points(
        self,
        X_train: npt.NDArray,
        X_test: npt.NDArray,
        *,
        seed: int = 0,
        across: bool = False,
        device: backend.Device = backend.CPU,
        scratch: str | PathLike | None = None,
        memory: int | None = None,
        progress: Progress | None = None,
    ) -> tuple[npt.NDArray | Points, npt.NDArray | Points]:
        """Return (training points, test points) for grams.matrix.gram: arrays (n, d), or Points on the device.

        Parameters
        ----------
        X_train, X_test : array, shape (n, h, w) or (n, h, w, channels)
            uint8 pixels, or floating point. Only training images may decide how features are made.
        seed : int
            Of whatever is drawn.
        across : bool
            Only kernel values of training points with test points will be asked for, as predictions do.
        scratch : path, optional
            Folder in which long work keeps its progress, and goes on with what is there.
        memory : int, optional
            Use at most this many bytes.
        """
        raise NotImplementedError

    def bytes_kept(self, X_train: npt.NDArray, X_test: npt.NDArray, device: backend.Device = backend.CPU) -> int:
        """Return the bytes of the device that the points take, beyond what a plan counts for points of this kind."""
        return 0

    def doubts(self, X_train: npt.NDArray) -> list[str]:
        """Return what a reader of the numbers must know of features that these images decide."""
        return []

    def _plain_numbers(self):
        """Make plain numbers of those of NumPy, which print in another way and are no JSON."""
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            object.__setattr__(self, field.name, value.item() if isinstance(value, np.generic) else value)

    def __str__(self) -> str:
        options = ((field.name, getattr(self, field.name), field.default) for field in dataclasses.fields(self))  # type: ignore[arg-type]
        changed = ", ".join(f"{name}={value!r}" for name, value, default in options if value != default)
        return f"{self.name}({changed})" if changed else self.name


@dataclasses.dataclass(frozen=True)
class Pixels(Features):
    """The images as they are: uint8 pixels stand for pixels / 255."""

    name = "pixels"

    def points(self, X_train: npt.NDArray, X_test: npt.NDArray, **options: Any) -> tuple[npt.NDArray, npt.NDArray]:
        return X_train, X_test


class ImageMap(Features):
    """Features of one image that do not depend on any other."""

    def prepared(self, shape: tuple[int, ...], dtype: type[np.floating]) -> tuple[ImageFunction, int, int]:
        """Return what `stream` takes for images of one shape (h, w): the function, its width, and the images at a time.

        Raises InputError where these features do not fit such images.
        """
        raise NotImplementedError

    def transform(
        self, X: npt.ArrayLike, *, dtype: type[np.floating] = np.float32, progress: Progress | None = None
    ) -> npt.NDArray:
        """Return features (n, d) of images X (n, h, w) or (n, h, w, channels); uint8 stands for pixels / 255.

        They are computed and returned in `dtype`; images are taken in batches of bounded memory.

        Raises
        ------
        InputError
            X are no images, or too small for these features.
        """
        X = as_channels(X)
        function, width, size = self.prepared(X.shape[2:], dtype)
        return stream(X, width, size, function, dtype=dtype, name=self.name, progress=progress)

    def points(
        self, X_train: npt.NDArray, X_test: npt.NDArray, *, progress: Progress | None = None, **options: Any
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        return self.transform(X_train, progress=progress), self.transform(X_test, progress=progress)
