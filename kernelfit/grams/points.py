"""Points prepared for kernels: one matrix for GEMM, with the norms that turn inner products into distances.

uint8 images are held as x - 128. On a CPU that is in float32: every partial sum of up to 1,024 products of such
integers is an integer of at most 2^24 in magnitude, so a float32 GEMM gives it exactly in any order, on any machine. A
GPU multiplies them as int8 and sums in int32. Longer rows are summed in chunks in float64. Inner products, norms and
squared distances are then exact integers below 2^53, and Gram entries have the same bits for every block size and
number of threads.

Other numbers are held in float64; for kernels of distances less an offset of each coordinate, see `_exact_offset`.
"""

import dataclasses
from collections.abc import Sequence
from typing import Self

import numpy as np
import numpy.typing as npt

from kernelfit import backend
from kernelfit.common.errors import InputError
from kernelfit.common.files import sha256
from kernelfit.common.progress import Progress
from kernelfit.grams.base import Points
from kernelfit.grams.inner_products import InnerProducts
from kernelfit.kernels.distances import DistanceKernel
from kernelfit.kernels.formula import difference_pass
from kernelfit.kernels.norms import SMALLEST_SQ_NORM

_SHIFT = 128
# A metric's distance of the sum of powers of differences, its integers, and the power.
_OF_SUMS = {"euclidean": (lambda xp, squared: xp.sqrt(squared), (), 2), "cityblock": (lambda xp, total: total, (), 1)}
_SUMS = {np.dtype(np.float32): np.dtype(np.float32), np.dtype(np.int8): np.dtype(np.int32)}  # of products of pixels


@dataclasses.dataclass(frozen=True)
class CoordinatePoints(Points):
    """Points held as one matrix for GEMM.

    Attributes
    ----------
    values : array, shape (n, d)
        x - 128 for pixels x in 0..255, of the type of the device's `pixel`, or float64 x - centre for other data. For
        pixels sq_norms is in units of x, and `unit` is 1 / 255^2.
    centre : float64 array, shape (d,), or None
        On the host.
    bound : float, optional
        `largest`, where looking for it would wait for a device.
    """

    has_coordinates = True

    values: npt.NDArray
    unshift: npt.NDArray[np.float64]
    sq_norms: npt.NDArray[np.float64]
    unit: float
    centre: npt.NDArray[np.float64] | None = None
    start: int = 0
    bound: float | None = None
    origin: object = dataclasses.field(default_factory=object, compare=False)
    products: InnerProducts | None = dataclasses.field(default=None, compare=False)
    device: backend.Device = dataclasses.field(default=backend.CPU, compare=False)

    @property
    def d(self) -> int:  # type: ignore[override]
        return self.values.shape[1]

    @property
    def exact(self) -> bool:
        return self.values.dtype != np.float64

    @property
    def largest(self) -> float:
        return super().largest if self.bound is None else self.bound

    @property
    def product_dtype(self) -> np.dtype:
        return product_dtype(self.d, pixels=self.exact, device=self.device)

    def part(self, start: int, stop: int) -> Self:
        rows = slice(start, stop)
        return dataclasses.replace(
            self,
            values=self.values[rows],
            unshift=self.unshift[rows],
            sq_norms=self.sq_norms[rows],
            start=self.start + start,
        )

    def subset(self, rows: Sequence[int] | npt.NDArray) -> Self:
        arrays = {name: getattr(self, name)[rows] for name in ("values", "unshift", "sq_norms")}
        return dataclasses.replace(self, **arrays, start=0, origin=object(), products=None)

    def joined(self, other: Points) -> Self:
        self.require_same_kind(other)
        xp = self.device.xp
        arrays = {
            name: xp.concatenate([getattr(self, name), getattr(other, name)])
            for name in ("values", "unshift", "sq_norms")
        }
        bound = None if self.bound is None else max(self.bound, other.largest)
        return dataclasses.replace(self, **arrays, start=0, origin=object(), products=None, bound=bound)

    def cached(self, *, progress: Progress | None = None) -> Self:
        return dataclasses.replace(self, products=InnerProducts.of(self, progress=progress))

    def as_columns(self) -> Self:
        return dataclasses.replace(self, products=None)

    def coordinates(self) -> npt.NDArray[np.float64]:
        if self.exact:
            return (self.values.astype(np.float64) + _SHIFT) / 255
        return self.values if self.centre is None else self.values + self.device.array(self.centre)

    def inner_products(self, other: Points, out: npt.NDArray | None = None) -> npt.NDArray:
        """Return self.values other.values^T: exact integers (float32, int32 or float64) for pixels, float64 otherwise.

        They are written into `out` of product_dtype if it is given.
        """
        self.require_same_kind(other)
        if self.products is not None and self.products is other.products:
            return self.products.tile((self.start, self.start + len(self)), (other.start, other.start + len(other)))
        device = self.device
        out = device.empty((len(self), len(other)), self.product_dtype) if out is None else out
        if not self.exact:
            device.gemm(self.values, other.values, out, transpose_b=True)
            return out
        if self.d <= device.longest:
            device.multiply_pixels(self.values, other.values, out)
            return out
        tile = device.empty(out.shape, _SUMS[device.pixel])
        out[...] = 0.0
        for k in range(0, self.d, device.longest):
            columns = slice(k, k + device.longest)
            device.multiply_pixels(self.values[:, columns], other.values[:, columns], tile)
            out += tile
        return out

    def require_same_kind(self, other: Points) -> None:
        """Raise InputError unless these and other points can be compared."""
        if not other.has_coordinates or (self.d, self.exact) != (other.d, other.exact):
            raise InputError(
                f"{_told(self)} meet {_told(other)}; training and test data must have one shape and one kind, pixels "
                "or floating point"
            )
        if self.centre is not other.centre:
            raise InputError("points that were shifted by different offsets meet; prepare one set beside the other")

    def scaled(self, weights: npt.NDArray[np.float64]) -> Self:
        with np.errstate(over="ignore"):
            values = self.values * weights
            sq_norms = (values * values).sum(axis=1)
        if not self.device.xp.isfinite(sq_norms).all():
            raise InputError("points, each coordinate divided by its own bandwidth, have a squared norm that overflows")
        unshift = self.device.xp.zeros(len(self))
        return dataclasses.replace(self, values=values, sq_norms=sq_norms, unshift=unshift, products=None, bound=None)

    def distances(self, metric: str = "euclidean") -> npt.NDArray[np.float64]:
        if metric not in _OF_SUMS:
            raise InputError(f"metric {metric!r}; known are {', '.join(_OF_SUMS)}")
        X = self.device.host(self.coordinates() if self.exact else self.values)
        norms, out = np.zeros(len(X)), np.full((len(X), len(X)), np.nan)
        # From differences: an offset of the data costs no digits.
        entry = (DistanceKernel.from_differences, *_OF_SUMS[metric])
        difference_pass(backend.CPU, entry)(X, X, None, norms, norms, 1.0, (), out)
        return out

    def twin_of(self, row: int) -> int | None:
        same = (self.values[:row] == self.values[row]).all(axis=1)
        return int(same.argmax()) if same.any() else None

    def fingerprint(self) -> str:
        host = self.device.host(self.values)
        values = sha256(host.astype(np.float32) if self.exact else host)  # the same on every device
        return values if self.centre is None else sha256(f"{values} {sha256(self.centre)}".encode())


def points(
    X: npt.ArrayLike | Points,
    *,
    beside: Points | None = None,
    shifted: bool = False,
    device: backend.Device = backend.CPU,
) -> Points:
    """Prepare X, shape (n, ...), as Points: uint8 stands for pixels / 255, other numbers are used as they are.

    Points are returned as they are.

    Parameters
    ----------
    beside : Points, optional
        Those that X will meet: X is shifted as they are.
    shifted : bool
        Whether float data may be held less an offset, which costs distances no digit. Inner products, norms and angles
        of what stands beside such a set may lose all of theirs, so it is for kernels that need none.
    """
    if isinstance(X, Points):
        return X
    X = np.asarray(X)
    if X.ndim < 2 or 0 in X.shape:
        raise InputError(f"points need an array (n, ...) with at least one point and one coordinate; got {X.shape}")
    X = X.reshape(len(X), -1)
    if X.dtype == np.uint8:
        return _pixels(X, device)
    return _moved(_prepared(X, beside, shifted), device)


def _pixels(X, device):
    """Return the points of pixels, which go to the device as they are and are prepared there."""
    xp, (n, d) = device.xp, X.shape
    if device.pixel == np.int8:
        values = (xp.ascontiguousarray(device.array(X)) ^ _SHIFT).view(np.int8)  # x - 128 in two's complement
    else:
        values = X.astype(device.pixel, order="C")
        values -= _SHIFT
    sums, sq_norms = device.empty(n), device.empty(n)
    for start in range(0, n, device.tile):
        rows = slice(start, start + device.tile)
        # Products of coordinates are below 2^14, so sums over d < 2^39 coordinates stay exact in float64.
        part = values[rows].astype(np.float64)
        sums[rows] = part.sum(axis=1)
        part *= part
        sq_norms[rows] = part.sum(axis=1)
    # <x, z> = <x - s, z - s> + s (sum (x - s) + sum (z - s)) + s^2 d, split evenly over x and z
    unshift = _SHIFT * sums + _SHIFT**2 * d / 2
    bound = None if device.name == "cpu" else float(sq_norms.max())
    return CoordinatePoints(values, unshift, sq_norms, 1 / 255**2, bound=bound, device=device)


def _prepared(X, beside, shifted):
    if X.dtype.kind not in "fiub":
        raise InputError(f"points are numbers; got {X.dtype}. Convert with X.astype(float)")
    values = np.ascontiguousarray(X, dtype=np.float64)
    sq_norms = _checked_sq_norms(values)
    centre = None if beside is None else beside.centre
    if beside is None and shifted:
        centre = _exact_offset(values)
    if centre is not None:
        if X.shape[1:] != centre.shape:
            raise InputError(
                f"points of {X.shape[1]} coordinates meet points of {len(centre)}; training and test data must have "
                "one shape and one kind"
            )
        values = values - centre
        sq_norms = np.einsum("ij,ij->i", values, values)
    return CoordinatePoints(values, np.zeros(len(X)), sq_norms, 1.0, centre)


def _checked_sq_norms(values):
    """Return the squared norms of float64 points (n, d); raises InputError unless they are finite with all digits."""
    with np.errstate(over="ignore", under="ignore"):
        sq_norms = np.einsum("ij,ij->i", values, values)
    bad = ~(sq_norms <= np.finfo(float).max / 4)  # so that squared distances are numbers
    if bad.any():
        row = int(np.argmax(bad))
        raise InputError(f"point {row} holds NaN or infinite values, or its squared norm overflows")
    if sq_norms.max() < SMALLEST_SQ_NORM and (largest := np.abs(values).max()) > 0:
        raise InputError(
            f"no coordinate is larger than {largest:.1e}: squares of such numbers have lost their digits in float64. "
            "Scale the points, and the bandwidth with them"
        )
    return sq_norms


def _exact_offset(values):
    """Return an offset of each coordinate that costs no digit, float64 (d,), or None where none is worth while.

    |x|^2 + |z|^2 - 2 <x, z> loses the digits of what all points have in common. Where all values of a coordinate have
    one sign, and none is more than twice another, the middle of their range lies within a factor of 2 of each, so that
    x - c is exact (Sterbenz' lemma): differences of shifted points are those of the points, to the last bit. All other
    coordinates are no larger than twice their range.
    """
    low, high = values.min(axis=0), values.max(axis=0)
    away = ((low > 0) & (high <= 2 * low)) | ((high < 0) & (low >= 2 * high))
    return np.where(away, low / 2 + high / 2, 0.0) if away.any() else None


def _moved(made, device):
    if device.name == "cpu":
        return dataclasses.replace(made, device=device)
    arrays = {name: device.array(getattr(made, name)) for name in ("values", "unshift", "sq_norms")}
    return dataclasses.replace(made, **arrays, bound=made.largest, device=device)


def _told(points):
    kind = ("pixels" if points.exact else "floating point") if points.has_coordinates else "of inner products only"
    return f"points of {points.d} coordinates ({kind})"


def product_dtype(d: int, *, pixels: bool, device: backend.Device = backend.CPU) -> np.dtype:
    """Return the dtype of inner products of points of d coordinates: what holds them exactly, or float64."""
    return _SUMS[device.pixel] if pixels and d <= device.longest else np.dtype(np.float64)


def coordinates(X: npt.ArrayLike | Points) -> npt.NDArray[np.float64]:
    """Return points X (n, ...) as float64 (n, d) of NumPy; uint8 pixels are divided by 255."""
    own = points(X)
    return own.device.host(own.coordinates())
