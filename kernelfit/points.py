"""Points prepared for kernels: one matrix for GEMM, with the norms that turn inner products into distances.

uint8 images are held as x - 128 in float32. Every partial sum of up to 1,024 products of such integers is an integer of
at most 2^24 in magnitude, so a float32 GEMM gives it exactly in any order, on any machine; longer rows are summed in
chunks of 1,024 in float64. Inner products, norms and squared distances are then exact integers below 2^53, and Gram
entries have the same bits for every block size and number of threads, at float32 speed.
"""

import dataclasses
import hashlib

import numpy as np

from kernelfit import backend
from kernelfit.errors import InputError
from kernelfit.files import sha256
from kernelfit.inner_products import InnerProducts

_SHIFT = 128
_EXACT_CHUNK = 1024


class Points:
    """Consecutive points of one set, as kernels see them: norms, and inner products with others in blocks.

    Attributes
    ----------
    d : int
        Number of coordinates.
    unshift : float64 array, shape (n,), on the device where blocks are made, as are the other arrays
        a with <x, z> = inner_products(x, z) + a_x + a_z.
    sq_norms : float64 array, shape (n,)
        |x|^2.
    unit : float
        What a product of two coordinates is worth in units of the kernel.
    centre : float64 array, shape (d,), or None
        What was subtracted from the coordinates; norms and inner products are then those of x - centre.
    start : int
        Position of the first of these points in the set that they were cut from.
    origin : object
        The same object for all parts of one set; tells which entries are a point with itself.
    device : device
        Where the arrays live.
    """

    centre = None

    def __len__(self):
        return len(self.sq_norms)

    def part(self, start, stop):
        """Return points start..stop-1, without a copy."""
        raise NotImplementedError

    def subset(self, rows):
        """Return copies of the points at these indices, as a set of their own."""
        raise NotImplementedError

    def inner_products(self, other):
        """Return the tile (len(self), len(other)) of inner products, without the `unshift` of either side.

        It may be a view of what is kept, so it must not be changed.
        """
        raise NotImplementedError

    def kept(self, *, progress=None):
        """Return the same points with all their inner products at hand."""
        return self

    def coordinates(self):
        """Return the points as float64 (n, d); pixels are divided by 255."""
        raise NotImplementedError

    def distances(self):
        """Return the Euclidean distances between all pairs i < j, a flat array on the host, in units of the kernel."""
        raise NotImplementedError

    def twin_of(self, row):
        """Return the first earlier point that is identical to point `row`, or None."""
        return None

    def fingerprint(self):
        """Return a SHA-256 of the points."""
        raise NotImplementedError

    def offset_to(self, other):
        """Return the column of `other` that is point 0 of this part (maybe out of range), or None if unrelated."""
        return self.start - other.start if self.origin is other.origin else None


@dataclasses.dataclass(frozen=True)
class CoordinatePoints(Points):
    """Points held as one matrix for GEMM.

    Attributes
    ----------
    values : array, shape (n, d)
        float32 x - 128 for pixels x in 0..255, or float64 x for other data. For pixels sq_norms is in units of x, and
        `unit` is 1 / 255^2.
    products : InnerProducts or None
        Those of the whole set with itself, where they are kept.
    """

    values: np.ndarray
    unshift: np.ndarray
    sq_norms: np.ndarray
    unit: float
    centre: np.ndarray | None = None
    start: int = 0
    origin: object = dataclasses.field(default_factory=object, compare=False)
    products: InnerProducts | None = dataclasses.field(default=None, compare=False)

    @property
    def d(self):
        return self.values.shape[1]

    @property
    def exact(self):
        """Whether inner products are exact integers."""
        return self.values.dtype == np.float32

    @property
    def product_dtype(self):
        """dtype of inner products."""
        return product_dtype(self.d, pixels=self.exact)

    @property
    def device(self):
        return backend.device_of(self.values)

    def part(self, start, stop):
        rows = slice(start, stop)
        return dataclasses.replace(
            self,
            values=self.values[rows],
            unshift=self.unshift[rows],
            sq_norms=self.sq_norms[rows],
            start=self.start + start,
        )

    def subset(self, rows):
        arrays = {name: getattr(self, name)[rows] for name in ("values", "unshift", "sq_norms")}
        return dataclasses.replace(self, **arrays, start=0, origin=object(), products=None)

    def kept(self, *, progress=None):
        return dataclasses.replace(self, products=InnerProducts.of(self, progress=progress))

    def coordinates(self):
        return (self.values.astype(np.float64) + _SHIFT) / 255 if self.exact else self.values

    def inner_products(self, other, out=None):
        """Return self.values other.values^T: exact integers (float32 or float64) for pixels, float64 otherwise.

        They are written into `out` of product_dtype if it is given.
        """
        if self.d != other.d or not isinstance(other, CoordinatePoints) or self.exact != other.exact:
            kind = getattr(other, "values", self.sq_norms).dtype
            raise InputError(
                f"points of {self.d} coordinates ({self.values.dtype}) meet points of {other.d} ({kind}); training and "
                "test data must have one shape and one kind, pixels or floating point"
            )
        if self.products is not None and self.products is other.products:
            return self.products.tile((self.start, self.start + len(self)), (other.start, other.start + len(other)))
        device = self.device
        out = device.empty((len(self), len(other)), self.product_dtype) if out is None else out
        if self.product_dtype == self.values.dtype:
            device.gemm(self.values, other.values, out, transpose_b=True)
            return out
        tile = device.empty(out.shape, self.values.dtype)
        out[...] = 0.0
        for k in range(0, self.d, _EXACT_CHUNK):
            columns = slice(k, k + _EXACT_CHUNK)
            device.gemm(self.values[:, columns], other.values[:, columns], tile, transpose_b=True)
            out += tile
        return out

    def distances(self):
        from scipy.spatial.distance import pdist  # subtracts before it squares: an offset of the data costs no digits

        return pdist(self.device.host(self.coordinates()))

    def twin_of(self, row):
        same = (self.values[:row] == self.values[row]).all(axis=1)
        return int(same.argmax()) if same.any() else None

    def fingerprint(self):
        return sha256(self.device.host(self.values))


def points(X, *, centre=None, device=backend.CPU):
    """Prepare X, shape (n, ...), as Points: uint8 stands for pixels / 255, floating point is used as it is.

    `centre`, shape (d,), is subtracted from float data; exact integers need none. Points are returned as they are.
    """
    if isinstance(X, Points):
        return X
    return _moved(_prepared(X, centre), device)


def _prepared(X, centre):
    X = np.asarray(X)
    if X.ndim < 2 or 0 in X.shape:
        raise InputError(f"points need an array of shape (n, ...) with something in it; got {X.shape}")
    X = X.reshape(len(X), -1)
    if X.dtype == np.uint8:
        # Products of coordinates are below 2^16, so sums over d < 2^37 coordinates stay exact in int64 and float64.
        sums = X.sum(axis=1, dtype=np.int64)
        values = X.astype(np.float32, order="C")
        values -= _SHIFT
        sq_norms = np.einsum("ij,ij->i", values, values, dtype=np.float64) + _SHIFT * (2 * sums - _SHIFT * X.shape[1])
        # <x, z> = <x - s, z - s> + s (sum x + sum z) - s^2 d, split evenly over x and z
        return CoordinatePoints(values, _SHIFT * sums - _SHIFT**2 * X.shape[1] / 2, sq_norms, 1 / 255**2)
    if X.dtype.kind != "f":
        raise InputError(
            f"points are uint8 pixels or floating-point numbers; got {X.dtype}. Convert with X.astype(float)"
        )
    if centre is not None and X.shape[1:] != centre.shape:
        raise InputError(f"points of {X.shape[1]} coordinates meet points of {len(centre)}; give both one shape")
    values = np.ascontiguousarray(X, dtype=np.float64)
    values = values if centre is None else values - centre
    sq_norms = np.einsum("ij,ij->i", values, values)
    if not np.isfinite(sq_norms).all():
        row = int(np.flatnonzero(~np.isfinite(sq_norms))[0])
        raise InputError(f"point {row} holds NaN or infinite values, or its squared norm overflows")
    return CoordinatePoints(values, np.zeros(len(X)), sq_norms, 1.0, centre)


def _moved(made, device):
    arrays = {name: device.array(getattr(made, name)) for name in ("values", "unshift", "sq_norms")}
    return dataclasses.replace(made, **arrays)


def product_dtype(d, *, pixels):
    """Return the dtype of inner products of points of d coordinates: float32 holds those of 1,024 pixels exactly."""
    return np.dtype(np.float32 if pixels and d <= _EXACT_CHUNK else np.float64)


def first_duplicate(X):
    """Return (i, j), i < j, for the smallest j such that X[j] equals an earlier X[i], or None."""
    seen = {}
    for j, row in enumerate(X):
        i = seen.setdefault(hashlib.blake2b(row.tobytes(), digest_size=16).digest(), j)
        if i != j:
            return i, j
    return None
