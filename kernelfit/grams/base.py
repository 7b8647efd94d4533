"""What points are to a kernel: the protocol of everything that a Gram matrix can be made of."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from kernelfit import backend
from kernelfit.common.errors import InputError, UnsupportedError
from kernelfit.common.progress import Progress


class Points:
    """Consecutive points of one set, as kernels see them: norms, and inner products with others in blocks.

    Points are cut as the rows of an array are: points[2:5] without a copy, points[[7, 3]] as a set of its own.

    Attributes
    ----------
    has_coordinates : bool
        Whether distances can also be made from the points themselves, and coordinates() gives them.
    d : int
        Number of coordinates, or of the features behind inner products; 0 where neither is known.
    exact : bool
        Whether norms and inner products are exact integers.
    product_dtype : dtype
        Of inner products: float64, or float32 where that holds them exactly.
    values : array, shape (n, d), where has_coordinates
        The points as they are held.
    unshift : float64 array, shape (n,), on the device where blocks are made, as are the other arrays
        a with <x, z> = inner_products(x, z) + a_x + a_z: pixels are held shifted, x - 128, and this undoes it.
    sq_norms : float64 array, shape (n,)
        Of the points as they are held, so that |x - z|^2 = sq_norms_x + sq_norms_z - 2 inner_products(x, z).
    centre : float64 array, shape (d,), or None
        What was subtracted from points that are no pixels, for kernels of distances alone.
    unit : float
        What a product of two coordinates is worth in units of the kernel.
    products : InnerProducts or None
        Inner products of the whole set, where they are kept.
    start : int
        Position of the first of these points in the set that they were cut from.
    origin : object
        The same object for all parts of one set; tells which entries are a point with itself.
    device : device
        Where the arrays live, and blocks are made.
    """

    has_coordinates: bool = False
    d: int
    values: npt.NDArray
    unshift: npt.NDArray[np.float64]
    sq_norms: npt.NDArray[np.float64]
    centre: npt.NDArray[np.float64] | None = None
    unit: float
    products: Any
    start: int
    origin: object
    device: backend.Device

    def __len__(self) -> int:
        return len(self.sq_norms)

    def __getitem__(self, rows: slice | Sequence[int] | npt.NDArray) -> Self:
        """Return part(start, stop) for a slice without a step, subset(rows) for indices."""
        if isinstance(rows, slice) and rows.step in (None, 1):
            start, stop, _ = rows.indices(len(self))
            return self.part(start, max(start, stop))
        indices = np.arange(len(self))[rows]
        if indices.ndim != 1:  # also where iter() or np.asarray() asks for one point after another
            raise TypeError(f"points are cut by a slice or a list of indices, as in X[2:5] and X[[7, 3]]; got {rows!r}")
        return self.subset(indices)

    @property
    def exact(self) -> bool:
        return False

    @property
    def product_dtype(self) -> np.dtype:
        return np.dtype(np.float64)

    @property
    def original_sq_norms(self) -> npt.NDArray[np.float64]:
        """|x|^2, of points without a centre."""
        return self.sq_norms + 2 * self.unshift

    @property
    def largest(self) -> float:
        """No less than any of sq_norms."""
        return float(self.sq_norms.max())

    def part(self, start: int, stop: int) -> Self:
        """Return points start..stop-1, without a copy."""
        raise NotImplementedError

    def subset(self, rows: Sequence[int] | npt.NDArray) -> Self:
        """Return copies of the points at these indices, as a set of their own."""
        raise NotImplementedError

    def joined(self, other: "Points") -> Self:
        """Return these points and others after them, as a set of their own; the others were prepared beside these.

        Raises UnsupportedError where the points are known by their inner products alone, as those of a given matrix.
        """
        raise UnsupportedError(
            "further points cannot be added to points that are known by their inner products alone, as those of a "
            "precomputed kernel are; fit again with the whole matrix"
        )

    def inner_products(self, other: "Points") -> npt.NDArray:
        """Return the tile (len(self), len(other)) of inner products, without the `unshift` of either side.

        It may be a view of what is kept, so it must not be changed.
        """
        raise NotImplementedError

    def copy_entries(self, other: "Points", out: npt.NDArray) -> None:
        """Write the entries of a matrix that was given, rows of these points and columns of others, into `out`."""
        raise InputError(
            "a precomputed kernel meets points that are no rows of its matrix; give the matrix itself, alone or times "
            "numbers, and a kernel of points on the points"
        )

    def cached(self, *, progress: Progress | None = None) -> Self:
        """Return the same points with all their inner products at hand."""
        return self

    def as_columns(self) -> Self:
        """Return what gram(Z, kernel, points) needs of these points, without what only they among each other need."""
        return self

    def coordinates(self) -> npt.NDArray[np.float64]:
        """Return the points as float64 (n, d); pixels are divided by 255."""
        raise NotImplementedError

    def scaled(self, weights: npt.NDArray[np.float64]) -> Self:
        """Return the points with each coordinate times its weight, an array (d,) on the device; not exact."""
        raise InputError("points of inner products alone have no coordinates that could be scaled")

    def distances(self, metric: str = "euclidean") -> npt.NDArray[np.float64]:
        """Return the distances between all pairs, (n, n) on the host, in units of the kernel."""
        raise NotImplementedError

    def twin_of(self, row: int) -> int | None:
        """Return the first earlier point that is identical to point `row`, or None."""
        return None

    def fingerprint(self) -> str:
        """Return a SHA-256 of the points."""
        raise NotImplementedError

    def offset_to(self, other: "Points") -> int | None:
        """Return the column of `other` that is point 0 of this part (maybe out of range), or None if unrelated."""
        return self.start - other.start if self.origin is other.origin else None
