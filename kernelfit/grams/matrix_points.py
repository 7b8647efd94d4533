"""Points of a precomputed kernel: all that is known of them is their rows of a matrix that the caller has made."""

import dataclasses
import hashlib
from collections.abc import Sequence
from typing import NoReturn, Self

import numpy as np
import numpy.typing as npt

from kernelfit import backend
from kernelfit.common.errors import DataError, InputError
from kernelfit.grams.base import Points

_ROWS = 256  # of a matrix that are looked at together, so that no other array of its size is made
_NO_COORDINATES = "a precomputed kernel has neither coordinates nor inner products of points; give a kernel on points"


@dataclasses.dataclass(frozen=True, eq=False)
class MatrixPoints(Points):
    """Points i of a training matrix, k(x_i, x_j) = K[i, j], or of a cross matrix, k(z_i, x_j) = K[i, j].

    Attributes
    ----------
    K : float64 or float32 array, shape (n, n) or (m, n), or None
        The caller's, maybe mapped from a file; never copied whole.
    index : range or int array
        Rows of K that are these points.
    beside : MatrixPoints or None
        The points x_j of the columns of a cross matrix; None for training points, whose columns are they themselves.
    mirrored : bool
        Whether K and its transpose differ by rounding. The lower triangle is then K, for the factor and every product.
    """

    d = 0
    unit = 1.0
    products = None

    K: npt.NDArray | None
    index: range | npt.NDArray[np.intp]
    beside: Points | None = None
    mirrored: bool = False
    start: int = 0
    origin: object = dataclasses.field(default_factory=object)
    device: backend.Device = backend.CPU

    @classmethod
    def of_number(cls, n: int, device: backend.Device = backend.CPU) -> Self:
        """Return n training points without their matrix, as a saved model has them.

        They are good for the right side only: gram(K_cross, Precomputed(), MatrixPoints.of_number(n)).
        """
        return cls(None, range(n), device=device)

    def __len__(self) -> int:
        return len(self.index)

    def part(self, start: int, stop: int) -> Self:
        return dataclasses.replace(self, index=self.index[start:stop], start=self.start + start)

    def subset(self, rows: Sequence[int] | npt.NDArray) -> Self:
        return dataclasses.replace(self, index=np.asarray(self.index)[rows], start=0, origin=object())

    def as_columns(self) -> Self:
        return dataclasses.replace(self, K=None)

    def copy_entries(self, other: Points, out: npt.NDArray) -> None:
        columns = self._columns(other)
        tile = self._cut(self.index, columns)
        if self.mirrored and len(self) and len(columns) and np.min(self.index) < np.max(columns):
            above = np.asarray(self.index)[:, None] < np.asarray(columns)
            tile = np.where(above, self._cut(columns, self.index).T, tile)
        out[...] = self.device.array(tile)

    def inner_products(self, other: Points) -> NoReturn:
        raise InputError(_NO_COORDINATES)

    def coordinates(self) -> NoReturn:
        raise InputError(_NO_COORDINATES)

    def distances(self, metric: str = "euclidean") -> NoReturn:
        raise InputError(_NO_COORDINATES)

    @property
    def sq_norms(self) -> npt.NDArray[np.float64]:  # type: ignore[override]
        raise InputError(_NO_COORDINATES)

    unshift = sq_norms

    def twin_of(self, row: int) -> int | None:
        if self.K is None or self.beside is not None:  # rows of a cross matrix do not tell whether points are equal
            return None
        own = self._row(row)
        # k(x, z) = k(x, x) is seen before the matrix is read again.
        likely = np.flatnonzero(own[:row] == own[row])
        return next((int(i) for i in likely if np.array_equal(self._row(i), own)), None)

    def fingerprint(self) -> str:
        found = hashlib.sha256(repr((str(getattr(self.K, "dtype", None)), len(self))).encode())
        if self.K is not None:
            columns = self.index if self.beside is None else range(self.K.shape[1])
            for start in range(0, len(self), _ROWS):
                found.update(np.ascontiguousarray(self._cut(self.index[start : start + _ROWS], columns)).data)
        return found.hexdigest()

    def _columns(self, other):
        """Return the columns of K that are other points."""
        if self.K is None:
            raise InputError(
                "of the points of a precomputed kernel only the number is known here; kernel values among them need "
                "the training matrix K (n, n)"
            )
        if self.beside is None:
            if isinstance(other, MatrixPoints) and other.beside is None and other.K is self.K:
                return other.index
        elif (start := other.offset_to(self.beside)) is not None and 0 <= start <= self.K.shape[1] - len(other):
            return range(start, start + len(other))
        raise InputError(
            "points of two precomputed matrices meet; give a cross matrix (m, n) whose columns are the training points"
        )

    def _cut(self, rows, columns):
        if isinstance(rows, range) and isinstance(columns, range):
            return self.K[rows.start : rows.stop, columns.start : columns.stop]
        return self.K[np.ix_(rows, columns)]

    def _row(self, i):
        """Return k(x_i, x_j) for all j."""
        out = self.device.empty((1, len(self)))
        self.part(i, i + 1).copy_entries(self, out)
        return self.device.host(out)[0]


def matrix_points(
    K: npt.ArrayLike | Points, *, beside: Points | None = None, device: backend.Device = backend.CPU
) -> Points:
    """Prepare a precomputed matrix as Points: K (n, n), or a cross matrix (m, n) beside n training points.

    K is kept as it is, float64 or float32, on the host. Points are returned as they are.

    Raises
    ------
    DataError
        K is no finite floating-point matrix; is not symmetric but for the rounding of its dtype; or has not a column
        for each training point.
    """
    if isinstance(K, Points):
        return K
    K = np.asarray(K)
    if K.ndim != 2 or K.dtype.kind not in "fiub":
        raise DataError(f"a precomputed kernel is a matrix of numbers; got {K.dtype} {K.shape}")
    K = K if K.dtype in (np.float64, np.float32) else K.astype(np.float64)
    for start in range(0, len(K), _ROWS):
        if not np.isfinite(K[start : start + _ROWS]).all():
            raise DataError(f"the precomputed kernel holds NaN or infinite values in rows from {start} on")
    if beside is None:
        return MatrixPoints(K, range(len(K)), mirrored=_differs_from_transpose(K), device=device)
    if K.shape[1] != len(beside):
        raise DataError(f"a precomputed test kernel of shape {K.shape} does not fit {len(beside)} training points")
    return MatrixPoints(K, range(len(K)), beside.as_columns(), device=device)


def _differs_from_transpose(K):
    """Return whether K and its transpose differ, by the rounding of its dtype, or of float32 if its entries are.

    Raises DataError where they differ by more.
    """
    if K.shape[0] != K.shape[1]:
        raise DataError(f"a precomputed training kernel must be square; got {K.shape}")
    precision, differs = K.dtype, False
    for start in range(0, len(K), _ROWS):
        rows, transposed = K[start : start + _ROWS], K[:, start : start + _ROWS].T
        largest, difference = np.abs(rows).max(initial=0), np.abs(rows - transposed).max(initial=0)
        differs |= bool(difference > 0)
        # Rounding of a product of two factors leaves differences of some eps; anything larger is another matrix.
        if difference > 1e3 * np.finfo(precision).eps * largest and _made_in_float32(K):
            precision = np.dtype(np.float32)
        if difference > 1e3 * np.finfo(precision).eps * largest:
            raise DataError(
                f"the precomputed training kernel is not symmetric: K and its transpose differ by {difference:.1e} in "
                f"rows {start} to {start + len(rows) - 1}, whose largest entry is {largest:.1e}; rounding of "
                f"{precision} leaves less. Give (K + K.T) / 2 if the difference means nothing"
            )
    return differs


def _made_in_float32(K):
    """Whether every entry is a float32 number: such a K was rounded to float32 before it was cast to float64."""
    with np.errstate(over="ignore"):
        return all(
            (K[start : start + _ROWS] == K[start : start + _ROWS].astype(np.float32)).all()
            for start in range(0, len(K), _ROWS)
        )
