"""A fitted interpolant on disk: an .npz with no pickle in it, enough to predict."""

import dataclasses
import json

import numpy as np

from kernelfit.common.errors import DataError, DataNotFoundError, InputError
from kernelfit.common.files import atomic_write
from kernelfit.features import Features, Pixels, parse_features
from kernelfit.gram.matrix import gram
from kernelfit.kernels import Kernel, Precomputed
from kernelfit.kernels.text import parse_kernel

_FORMAT = "kernelfit.model/2"


@dataclasses.dataclass(frozen=True)
class Model:
    """f(x) = sum_i coef_i k(phi(x_i), phi(x)), one output per class, phi the features.

    Attributes
    ----------
    kernel : Kernel
    X : array, shape (n, ...)
        Training points, as they were after corruption.
    coef : float64 array, shape (n, classes)
    classes : tuple of str
    ridge : float
    pixels : str
        What was done to the pixels of X; other than "true", points to predict need the same.
    features : Features
    seed : int
        Of what the features draw.
    """

    kernel: Kernel
    X: np.ndarray
    coef: np.ndarray
    classes: tuple
    ridge: float = 0.0
    pixels: str = "true"
    features: Features = dataclasses.field(default_factory=Pixels)
    seed: int = 0

    def scores(self, X, *, progress=None):
        """Return f at the points X, shape (m, classes); with a precomputed kernel X is the cross matrix (m, n)."""
        if not isinstance(self.kernel, Precomputed):
            own, X = self.features.points(self.X, X, seed=self.seed, across=True, progress=progress)
        else:
            own = self.X
        return gram(X, self.kernel, own).product(self.coef, progress=progress)

    def save(self, path):
        """Write the model to `path`, whole or not at all."""
        header = {"format": _FORMAT, "kernel": str(self.kernel)}
        header |= {"classes": self.classes, "ridge": self.ridge, "pixels": self.pixels}
        header |= {"features": str(self.features), "seed": self.seed}
        # A precomputed kernel needs no training points to predict, only their number.
        X = np.empty((len(self.coef), 0)) if isinstance(self.kernel, Precomputed) else self.X
        with atomic_write(path) as file:
            np.savez_compressed(file, header=np.array(json.dumps(header)), X=X, coef=self.coef)


def load_model(path, *, kernel=None):
    """Return the Model in a file that Model.save wrote.

    A model with a kernel of the user's own needs that `kernel` again: a data file must not make Python import code.

    Raises
    ------
    DataNotFoundError, DataError
        There is no such file, or it is not a whole model file.
    """
    try:
        with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
            header, X, coef = json.loads(str(file["header"])), file["X"], file["coef"]
            stored, classes, ridge = header["kernel"], tuple(map(str, header["classes"])), float(header["ridge"])
            pixels, features, seed = str(header["pixels"]), header["features"], int(header["seed"])
            known = header["format"] == _FORMAT and isinstance(stored, str)
    except FileNotFoundError as error:
        raise DataNotFoundError(
            f"there is no model file {path}; make one with: kernelfit solve --save {path}"
        ) from error
    except Exception as error:  # a damaged file can make zipfile, zlib, numpy and json fail in any way
        raise DataError(f"{path} is not a model file of kernelfit, or not a whole one: {error}") from error
    if not known:
        raise DataError(f"{path} is not a model file of format {_FORMAT}")
    if coef.dtype != np.float64 or coef.ndim != 2 or X.ndim < 2 or not np.isfinite(coef).all():
        raise DataError(f"{path}: coefficients {coef.dtype} {coef.shape} and points {X.shape} are not those of a model")
    if coef.shape != (len(X), len(classes)):
        raise DataError(f"{path}: coefficients {coef.shape} do not fit {len(X)} points and {len(classes)} classes")
    try:
        features = parse_features(features)
    except InputError as error:
        raise DataError(f"{path}: the header of the model is damaged: {error}") from error
    return Model(_stored_kernel(path, stored, kernel), X, coef, classes, ridge, pixels, features, seed)


def _stored_kernel(path, stored, given):
    if given is not None and str(given) != stored:
        raise InputError(f"{path} was fitted with the kernel {stored}, not with {given}")
    if given is None and "custom" in stored:
        raise InputError(f"{path} was fitted with the kernel {stored}; name it again, with --kernel")
    try:
        return given or parse_kernel(stored, imports=False)
    except InputError as error:
        raise DataError(f"{path}: the header of the model is damaged: {error}") from error
