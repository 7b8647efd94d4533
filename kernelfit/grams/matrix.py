"""Gram matrices that make their blocks on demand. Nobody else holds an n x n array."""

import json
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from kernelfit import backend
from kernelfit.common.arrays import host_array
from kernelfit.common.errors import InputError
from kernelfit.common.files import sha256
from kernelfit.common.progress import Progress
from kernelfit.common.spans import Span, spans
from kernelfit.grams.base import Points
from kernelfit.grams.matrix_points import MatrixPoints, matrix_points
from kernelfit.grams.points import points
from kernelfit.kernels import Kernel
from kernelfit.kernels.text import as_kernel

_CORNER = 8  # rows and columns


class Gram:
    """The matrix K[i, j] = kernel(X_i, Z_j), shape (n, m), known through its blocks; without Z, kernel(X_i, X_j).

    Bit-identical for every block size and number of threads if X holds uint8 pixels and the kernel is a formula with
    one bandwidth.
    `gram` makes one of arrays that are still to be checked.

    Attributes
    ----------
    kernel : Kernel
    left, points : Points
        Of the rows, and of the columns: gram(Z, kernel, K.points) is the matrix of new points Z against them.
    shape : (int, int)
    symmetric : bool
        Whether rows and columns are the same points.
    of_points : bool
        Whether the entries are those of the kernel, so that other processes can make them from the points alone.
    device : device
        Where blocks are made.
    """

    kernel: Kernel
    left: Points
    points: Points
    shape: tuple[int, int]
    symmetric: bool
    device: backend.Device
    of_points = True

    def __init__(
        self,
        X: npt.ArrayLike | Points,
        kernel: Kernel,
        Z: npt.ArrayLike | Points | None = None,
        *,
        device: backend.Device = backend.CPU,
    ) -> None:
        self.kernel, self.symmetric = kernel, Z is None
        self.points = _columns(X if Z is None else Z, kernel, self.symmetric, device)
        if self.points.centre is not None and not kernel.translation_invariant:
            raise InputError(f"these points were shifted for a kernel of distances, and kernel {kernel} is none")
        self.device = self.points.device
        prepared = matrix_points if kernel.of_matrix else points
        self.left = self.points if Z is None else prepared(X, beside=self.points, device=self.device)
        self.shape = (len(self.left), len(self.points))

    def __repr__(self) -> str:
        return f"Gram({self.kernel}, shape={self.shape}, device={self.device.name!r})"

    def block(self, rows: Span, columns: Span, out: npt.NDArray | None = None) -> npt.NDArray:
        """Return K[rows, columns], both (start, stop), as float64; or written into `out`, float64 or float32."""
        (i, j), (k, last) = self._bounds(rows, columns)
        out = self.device.empty((j - i, last - k)) if out is None else out
        right = self.points.part(k, last)
        height = max(1, self.device.tile**2 // max(1, last - k))

        def strip(start):
            stop = min(start + height, j)
            self.kernel.block(self.left.part(start, stop), right, out[start - i : stop - i])

        self.device.map(strip, range(i, j, height))
        return out

    def is_of(self, K_test: "Gram") -> bool:
        """Return whether K_test is of the same kernel, other points against those of this symmetric matrix."""
        own, others = self.points, K_test.points
        same = others.origin is own.origin and (others.start, len(others)) == (own.start, len(own))
        return same and K_test.kernel == self.kernel

    def duplicate_of(self, row: int) -> int | None:
        """Return the first earlier row that is the same point as `row`, or None."""
        return self.left.twin_of(row)

    def subset(self, rows: Sequence[int] | npt.NDArray) -> "Gram":
        """Return the symmetric matrix K[rows, rows] of a symmetric K, for distinct indices."""
        return Gram(self.points.subset(rows), self.kernel)

    def columns(self, rows: Sequence[int] | npt.NDArray) -> npt.NDArray:
        """Return K[:, rows] of a symmetric K, shape (n, len(rows)), for distinct indices."""
        K = Gram(self.points, self.kernel, self.points.subset(rows))
        return K.block((0, K.shape[0]), (0, K.shape[1]))

    def cached(self, *, progress: Progress | None = None) -> "Gram":
        """Return the same matrix with whatever makes its blocks cheap kept in memory: of a kernel, inner products."""
        if not (self.symmetric and self.kernel.of_products):
            return self
        return Gram(self.points.cached(progress=progress), self.kernel)

    def fingerprint(self) -> str:
        """Return a SHA-256 of what the entries depend on: the same text only for the same matrix."""
        columns = self.points.fingerprint()
        sides = [columns if self.symmetric else self.left.fingerprint(), columns]
        known = [str(self.kernel), *sides, self.shape]
        if self.kernel.is_own:  # many functions have one name
            rows, below = ((0, min(side, _CORNER)) for side in self.shape)
            corner = self.device.host(self.block(rows, below))
            known.append(corner.astype(np.float32).tolist())
        return sha256(json.dumps(known).encode())

    def product(self, V: npt.NDArray, *, progress: Progress | None = None) -> npt.NDArray[np.float64]:
        """Return K V for V of shape (m, r), where V lives; each entry of K is made once."""
        return self._product(V, progress, with_sums=False)[0]

    def product_and_norm(
        self, V: npt.NDArray, *, progress: Progress | None = None
    ) -> tuple[npt.NDArray[np.float64], float]:
        """Return (K V, |K|_1), the latter the largest absolute column sum of a symmetric K, in one pass."""
        KV, sums = self._product(V, progress, with_sums=True)
        return KV, float(sums.max())

    def _product(self, V, progress, with_sums):
        """Return K V and, if asked for, the absolute row sums of a symmetric K."""
        n, m = self.shape
        if V.ndim != 2 or len(V) != m:
            raise InputError(f"K of shape {self.shape} cannot multiply V of shape {V.shape}; expected ({m}, r)")
        device, tile = self.device, self.device.tile
        xp = device.xp
        right = xp.ascontiguousarray(device.array(V), dtype=np.float64)
        out, sums = xp.zeros((n, V.shape[1])), xp.zeros(n)
        # Of a symmetric K only the lower triangle is made: the diagonal tile, and what lies below it.
        strips = [(columns, columns[0] if self.symmetric else 0) for columns in spans(0, m, tile)]
        entries = [(n - first) * (columns[1] - columns[0]) for columns, first in strips]
        with (progress or Progress()).phase("kernel product", sum(entries)) as advance:
            for (columns, first), made in zip(strips, entries, strict=True):
                tiles = [(rows, columns) for rows in spans(first, n, tile)]
                self.add_product(tiles, right, out, sums if with_sums else None)
                device.synchronize()
                advance(made)
        return (device.host(out) if isinstance(V, np.ndarray) else out), sums

    def add_product(
        self, tiles: Sequence[tuple[Span, Span]], V: npt.NDArray, out: npt.NDArray, sums: npt.NDArray | None = None
    ) -> None:
        """Add to `out` what some tiles of K give of K V, each made once, and its transpose too if K is symmetric.

        Parameters
        ----------
        tiles : list of (rows, columns)
            Spans (start, stop); of a symmetric K, of the lower triangle. What each adds is held until all are made.
        V, out : float64 arrays, shapes (m, r) and (n, r), on the device
        sums : float64 array, shape (n,), optional
            Gets the absolute row sums.
        """
        shares = self.device.map(lambda tile: self._share(tile[0], tile[1], V, sums is not None), tiles)
        for ((i, j), columns), (own, mirrored, own_sums, mirrored_sums) in zip(tiles, shares, strict=True):
            out[i:j] += own
            if mirrored is not None:
                out[slice(*columns)] += mirrored
            if sums is not None:
                sums[i:j] += own_sums
                if mirrored is not None:
                    sums[slice(*columns)] += mirrored_sums

    def diagonal(self) -> npt.NDArray[np.float64]:
        """Return the diagonal of a symmetric K, shape (n,), on the host."""
        device, n = self.device, self.shape[0]
        found = device.empty(n)
        for i, j in spans(0, n, 256 if device.name == "cpu" else device.tile):
            found[i:j] = self.block((i, j), (i, j)).diagonal()
        return device.host(found)  # one copy, as every copy waits for the device

    def _share(self, rows, columns, V, with_sums):
        """Return what one tile adds to its own rows of K V, what its transpose adds to the rows `columns`, the sums."""
        (i, j), (k, last) = rows, columns
        device = self.device
        tile = self.block(rows, columns)
        own, mirrored = device.empty((j - i, V.shape[1])), None
        device.gemm(tile, V[k:last], own)
        if self.symmetric and i > k:
            mirrored = device.empty((last - k, V.shape[1]))
            device.gemm(tile, V[i:j], mirrored, transpose_a=True)
        if not with_sums:
            return own, mirrored, 0.0, 0.0
        device.xp.abs(tile, out=tile)
        return own, mirrored, tile.sum(axis=1), tile.sum(axis=0)

    def _bounds(self, rows, columns):
        for (start, stop), size in zip((rows, columns), self.shape, strict=True):
            if not 0 <= start <= stop <= size:
                raise InputError(f"block {rows} x {columns} is not inside a matrix of shape {self.shape}")
        return rows, columns


def gram(
    X: npt.ArrayLike | Points,
    kernel: Kernel | str | Callable,
    Z: npt.ArrayLike | Points | None = None,
    *,
    device: backend.Device | str = backend.CPU,
) -> Gram:
    """Return the Gram matrix of kernel(X, X), or of kernel(X, Z).

    Parameters
    ----------
    X, Z : array, shape (n, ...) and (m, ...), or Points
        uint8 pixels, which stand for x / 255, or other numbers and bools as they are, in float64; arrays of other
        libraries (torch, CuPy, all that speak DLPack) are brought to this machine. With the kernel Precomputed, X is
        the matrix itself: (n, n), or (n, m) with Z, the points of the training matrix, `gram(K, kernel).points`. Of
        these only the number is used, so that any array of length m will do, or MatrixPoints.of_number(m).
    kernel : Kernel, its text, or a function of two matrices (a, d), (b, d) that returns (a, b)
    device : device, or its name
        Where blocks are made, unless Z are Points: then where these are.

    Raises
    ------
    InputError
        A sparse array, no point, numbers that are no points; a kernel that is not symmetric.
    DataError
        A precomputed matrix that is not finite, not symmetric, or of another shape than the points.

    Examples
    --------
    >>> import numpy as np
    >>> from kernelfit.kernels import Gaussian
    >>> K = gram(np.array([[0.0], [1.0], [3.0]]), Gaussian(bandwidth=1.0))
    >>> K.shape, K.symmetric
    ((3, 3), True)
    >>> K.block((0, 2), (0, 3)).round(3)
    array([[1.   , 0.607, 0.011],
           [0.607, 1.   , 0.135]])
    """
    X, Z = as_points(X), None if Z is None else as_points(Z)
    made = Gram(X, as_kernel(kernel), Z, device=backend.device(device))
    if made.symmetric:
        _check_symmetric_kernel(made)
    return made


def _columns(X, kernel, symmetric, device):
    """Return the Points of the columns."""
    if not kernel.of_matrix:
        return points(X, shifted=kernel.translation_invariant, device=device)
    if symmetric or isinstance(X, Points):
        return matrix_points(X, device=device)
    return MatrixPoints.of_number(len(X), device)


def as_points(X: npt.ArrayLike | Points) -> npt.NDArray | Points:
    """Return points, or a precomputed matrix, as an array that is to be checked further; Points as they are."""
    if isinstance(X, Points):
        return X
    if hasattr(X, "toarray"):
        raise InputError(f"got a sparse {type(X).__name__}; points are dense arrays: give X.toarray()")
    X = host_array(X)
    try:
        array = np.asarray(X)
    except ValueError as error:
        raise InputError(f"points are no array: {error}") from error
    if array.shape[:1] == (0,):
        raise InputError(f"got points of shape {array.shape}; a Gram matrix needs at least one")
    return array


def _check_symmetric_kernel(made):
    """Only the lower triangle is ever asked for, so a user's function that is not symmetric would go unnoticed."""
    n = min(64, made.shape[0])
    K = made.device.host(made.block((0, n), (0, n)))
    # 1e-8 is far above the rounding of any order of summation.
    if np.isfinite(K).all() and np.abs(K - K.T).max() > 1e-8 * np.abs(K).max():
        raise InputError(f"kernel {made.kernel} is not symmetric: k(x, z) and k(z, x) differ on the first {n} points")
