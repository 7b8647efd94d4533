"""The function that a fit returns, f = sum_i coef_i k(x_i, .): it predicts, has a norm, and can be saved and loaded."""

import dataclasses
import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kernelfit.common.errors import DataError, DataNotFoundError, InputError
from kernelfit.common.files import atomic_write
from kernelfit.common.progress import Progress
from kernelfit.features.base import Features, Pixels
from kernelfit.grams.base import Points
from kernelfit.grams.matrix import gram
from kernelfit.grams.matrix_points import MatrixPoints
from kernelfit.kernels import Kernel
from kernelfit.kernels.text import parse_kernel
from kernelfit.solvers.scaling import column_norms, column_roots, exponents_of, in_units

_FORMAT = "kernelfit.model/2"
_PROBED = 8  # training points, at which a function of the user's own is known again
_NONE: Mapping[str, Any] = {}


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class KernelExpansion:
    """f(x) = sum_i coef_i k(phi(x_i), phi(x)), one output for each column of coef, phi the features.

    Attributes
    ----------
    kernel : Kernel
    points : array, shape (n, ...), or Points
        x_i, as they were after corruption.
    coef : float64 array, shape (n, r)
    classes : tuple of str
        Names of the outputs, where they are classes.
    ridge : float
        With which it was fitted.
    pixels : str
        What was done to the pixels of the points; other than "true", points to predict need the same.
    features : Features
    seed : int
        Of what the features draw.

    Examples
    --------
    >>> import numpy as np
    >>> from kernelfit.kernels import Gaussian
    >>> f = KernelExpansion(Gaussian(bandwidth=1.0), np.array([[0.0], [3.0]]), np.array([[1.0], [2.0]]))
    >>> f(np.array([[0.0]])).round(4), round(f.norm, 4)
    (array([[1.0222]]), 2.246)
    """

    kernel: Kernel
    points: npt.NDArray | Points
    coef: npt.NDArray[np.float64]
    classes: tuple[str, ...] = ()
    ridge: float = 0.0
    pixels: str = "true"
    features: Features = dataclasses.field(default_factory=Pixels)
    seed: int = 0

    def __repr__(self):
        n, r = self.coef.shape
        return f"KernelExpansion({self.kernel}, n={n}, r={r})"

    def __call__(self, X: npt.ArrayLike | Points, *, progress: Progress | None = None) -> npt.NDArray[np.float64]:
        """Return f at the points X, shape (m, r); with a precomputed kernel X is the cross matrix (m, n)."""
        own: Any = self.points
        new: Any = X
        if _sides(own) and _sides(new) and _sides(own) != _sides(new):
            raise InputError(f"images are {_sides(new)}; the function was fitted to {_sides(own)}")
        if not isinstance(self.features, Pixels):
            own, new = self.features.points(own, new, seed=self.seed, across=True, progress=progress)
        return gram(new, self.kernel, own).product(self.coef, progress=progress)

    @functools.cached_property
    def norm_per_output(self) -> npt.NDArray[np.float64]:
        """|f_c| = sqrt(coef_c^T K coef_c) for each output, shape (r,): one pass over K. NaN where it is rounding."""
        own: Any = self.points
        if not isinstance(self.features, Pixels):
            own, _ = self.features.points(own, own[:1], seed=self.seed)
        exponents = exponents_of(self.coef)
        coef = in_units(self.coef, -exponents)
        squares = np.einsum("ij,ij->j", coef, gram(own, self.kernel).product(coef))
        return column_roots(squares, 2 * exponents)

    @property
    def norm(self) -> float:
        """The RKHS norm of all outputs together, sqrt(tr coef^T K coef)."""
        return float(column_norms(self.norm_per_output[:, None])[0])

    def save(self, path: str | Path) -> None:
        """Write the function to `path`, whole or not at all."""
        write_model(path, self)


def write_model(path: str | Path, function: KernelExpansion, header: Mapping[str, Any] = _NONE, **arrays: Any) -> None:
    """Write a function to `path`, whole or not at all, and what belongs to it: more of the header, more arrays."""
    own: dict[str, Any] = {"format": _FORMAT, "kernel": str(function.kernel), "ridge": function.ridge}
    own |= {"classes": function.classes or [str(k) for k in range(function.coef.shape[1])]}
    own |= {"pixels": function.pixels, "features": str(function.features), "seed": function.seed}
    # A precomputed kernel needs no training points to predict, only their number.
    coef = np.asarray(function.coef, dtype=np.float64)
    X = np.empty((len(coef), 0)) if function.kernel.of_matrix else _as_array(function.points)
    if function.kernel.is_own and not function.kernel.of_matrix and isinstance(function.features, Pixels):
        arrays["probe"] = _probe(function.kernel, X)
    with atomic_write(path) as file:
        np.savez_compressed(file, header=np.array(json.dumps(own | dict(header))), X=X, coef=coef, **arrays)


def load_model(path: str | Path, *, kernel: Kernel | None = None) -> KernelExpansion:
    """Return the KernelExpansion in a file that its `save` wrote, or the `save` of an estimator.

    A function with a kernel of the user's own needs that `kernel` again: a data file must not make Python import code.

    Raises
    ------
    DataNotFoundError, DataError
        There is no such file, or it is not a whole model file.
    """
    return read_model(path, kernel=kernel)[0]


def read_model(
    path: str | Path, *, kernel: Kernel | None = None
) -> tuple[KernelExpansion, dict[str, Any], dict[str, npt.NDArray]]:
    """Return (the function, the header, all arrays) of a file that `write_model` wrote; raises as `load_model` does."""
    try:
        with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
            header, X, coef = json.loads(str(arrays.pop("header"))), arrays["X"], arrays["coef"]
            text, classes, ridge = header["kernel"], tuple(map(str, header["classes"])), float(header["ridge"])
            pixels, features, seed = str(header["pixels"]), header["features"], int(header["seed"])
            known = header["format"] == _FORMAT and isinstance(text, str)
    except FileNotFoundError as error:
        raise DataNotFoundError(
            f"there is no model file {path}; `save` of a function or an estimator makes one, and so does the command "
            "kernelfit solve with a file to save to"
        ) from error
    except Exception as error:  # a damaged file can make zipfile, zlib, numpy and json fail in any way
        raise DataError(f"{path} is not a model file of kernelfit, or not a whole one: {error}") from error
    if not known:
        raise DataError(f"{path} is not a model file of format {_FORMAT}")
    if coef.dtype != np.float64 or coef.ndim != 2 or X.ndim < 2 or not np.isfinite(coef).all():
        raise DataError(f"{path}: coefficients {coef.dtype} {coef.shape} and points {X.shape} are not those of a model")
    if coef.shape != (len(X), len(classes)):
        raise DataError(f"{path}: coefficients {coef.shape} do not fit {len(X)} points and {len(classes)} classes")
    from kernelfit.features.text import parse_features  # all features: a tenth of a fit to 500 points takes as long

    try:
        features = parse_features(features)
    except InputError as error:
        raise DataError(f"{path}: the header of the model is damaged: {error}") from error
    kernel = _kernel_of(path, text, kernel)
    if (probe := arrays.pop("probe", None)) is not None:
        found = _probe(kernel, X)
        if probe.shape != found.shape or not np.allclose(found, probe, rtol=1e-8, atol=1e-8 * np.abs(probe).max()):
            raise InputError(
                f"{path} was fitted with another function than `kernel`, which has the same name: of its points they "
                "have different values"
            )
    points = MatrixPoints.of_number(len(X)) if kernel.of_matrix else X
    return KernelExpansion(kernel, points, coef, classes, ridge, pixels, features, seed), header, arrays


def _probe(kernel, X):
    """Return k at a few of the points X: what tells functions of one name apart."""
    rows = np.linspace(0, len(X) - 1, min(len(X), _PROBED)).astype(int)
    return gram(X[rows], kernel).block((0, len(rows)), (0, len(rows)))


def _kernel_of(path, text, given):
    if given is not None and str(given) != text:
        raise InputError(f"{path} was fitted with the kernel {text}, not with {given}")
    if given is None and "custom" in text:
        raise InputError(f"{path} was fitted with the kernel {text}; name it again, as `kernel`")
    try:
        return given or parse_kernel(text, imports=False)
    except InputError as error:
        raise DataError(
            f"{path} was fitted with the kernel {text}, and {error}. Name a kernel of your own again, as `kernel`; "
            "if it is none, the file is damaged"
        ) from error


def _sides(X):
    """Return the shape of an image, or None of points that are no images."""
    shape = np.shape(X)[1:] if not isinstance(X, Points) else ()
    return None if len(shape) < 2 else shape if len(shape) > 2 else (*shape, 1)


def _as_array(points):
    """Return points as they came: uint8 pixels, or floating-point numbers."""
    if isinstance(points, np.ndarray):
        return points
    values = points.device.host(points.coordinates())
    return np.rint(values * 255).astype(np.uint8) if points.exact else values
