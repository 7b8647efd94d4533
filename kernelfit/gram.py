"""Gram matrices that make their blocks on demand. Nobody else holds an n x n array."""

import itertools

import numpy as np

from kernelfit import backend
from kernelfit.errors import DataError, InputError
from kernelfit.kernels import Precomputed
from kernelfit.points import points
from kernelfit.progress import Progress

_TILE_ENTRIES = 1 << 22  # 32 MB: what a consumer of tiles gets at a time
_STRIP_ENTRIES = 1 << 20  # what one thread makes at a time: large enough for GEMM, small enough for its cache


class Gram:
    """A matrix K of shape (n, m), symmetric if `symmetric`, known through its blocks."""

    shape = (0, 0)
    symmetric = False

    def block(self, rows, columns, out=None):
        """Return K[rows, columns] as float64; both are (start, stop); written into `out` if given."""
        raise NotImplementedError

    def _bounds(self, rows, columns):
        for (start, stop), size in zip((rows, columns), self.shape, strict=True):
            if not 0 <= start <= stop <= size:
                raise InputError(f"block {rows} x {columns} is not inside a matrix of shape {self.shape}")
        return rows, columns

    def duplicate_of(self, row):
        """Return the first earlier row that is the same point as `row`, or None."""
        return None

    def tiles(self, width=1024):
        """Yield ((i, j), (k, last), K[i:j, k:last]): all of K, or the lower triangle of a symmetric K in tiles.

        Tiles on the diagonal of a symmetric K are square and whole; every other tile lies entirely below it. The tile's
        memory is used again for the next one.
        """
        n, m = self.shape
        width = min(width, m)
        height = max(width, _TILE_ENTRIES // width)
        buffer = np.empty(height * width)
        for k in range(0, m, width):
            last = min(k + width, m)
            cuts = [k, last] if self.symmetric else [0]
            cuts += range(cuts[-1] + height, n, height)
            cuts += [n] if cuts[-1] < n else []
            for i, j in itertools.pairwise(cuts):
                out = buffer[: (j - i) * (last - k)].reshape(j - i, last - k)
                yield (i, j), (k, last), self.block((i, j), (k, last), out=out)

    def product(self, V, *, progress=None, visit=None):
        """Return K V for V of shape (m, r), each entry of K made once; visit(rows, columns, tile) sees every tile.

        A visitor may overwrite the tile: it comes after the product.
        """
        progress = progress or Progress()
        V = np.ascontiguousarray(V, dtype=np.float64)
        if V.ndim != 2 or len(V) != self.shape[1]:
            raise InputError(
                f"a matrix of shape {self.shape} cannot multiply V of shape {V.shape}; expected ({self.shape[1]}, r)"
            )
        out = np.zeros((self.shape[0], V.shape[1]))
        with progress.phase("kernel product", self.shape[0] * self.shape[1]) as advance:
            for (i, j), (k, last), tile in self.tiles():
                backend.gemm(tile, V[k:last], out[i:j], beta=1.0)
                if self.symmetric and i > k:
                    backend.gemm(tile, V[i:j], out[k:last], beta=1.0, transpose_a=True)
                if visit:
                    visit((i, j), (k, last), tile)
                advance(2 * tile.size if self.symmetric and i > k else tile.size)
        return out


class KernelGram(Gram):
    """K[i, j] = kernel(X_i, Z_j), or kernel(X_i, X_j) without Z. Blocks are float64.

    Bit-identical for every block size and number of threads if X holds uint8 pixels and the kernel is a profile.
    """

    def __init__(self, X, kernel, Z=None):
        self.kernel = kernel
        self.left = points(X)
        self.right = self.left if Z is None else points(Z)
        self.symmetric = Z is None
        self.shape = (len(self.left), len(self.right))

    def block(self, rows, columns, out=None):
        (i, j), (k, last) = self._bounds(rows, columns)
        out = np.empty((j - i, last - k)) if out is None else out
        right = self.right.part(k, last)

        def strip(start, stop):
            self.kernel.block(self.left.part(i + start, i + stop), right, out[start:stop])

        backend.parallel_for(strip, j - i, grain=max(1, _STRIP_ENTRIES // max(1, last - k)))
        return out

    def duplicate_of(self, row):
        same = (self.left.values[:row] == self.left.values[row]).all(axis=1)
        return int(np.argmax(same)) if same.any() else None


class MatrixGram(Gram):
    """A matrix that the caller has already."""

    def __init__(self, K, *, symmetric=True):
        self.K = np.asarray(K)
        if self.K.ndim != 2 or self.K.dtype.kind != "f":
            raise DataError(f"a precomputed kernel is a floating-point matrix; got {self.K.dtype} {self.K.shape}")
        self.shape = self.K.shape
        self.symmetric = symmetric
        for start in range(0, len(self.K), 1024):  # in parts, to make no other array of its size
            if not np.isfinite(self.K[start : start + 1024]).all():
                raise DataError(
                    f"the precomputed kernel holds NaN or infinite values in rows {start} to {start + 1023}"
                )
        if symmetric:
            self._check_symmetry()

    def block(self, rows, columns, out=None):
        (i, j), (k, last) = self._bounds(rows, columns)
        values = self.K[i:j, k:last]
        if out is None:
            return values.astype(np.float64)
        out[...] = values
        return out

    def _check_symmetry(self):
        if self.shape[0] != self.shape[1]:
            raise DataError(f"a precomputed training kernel must be square; got {self.shape}")
        for start in range(0, len(self.K), 1024):
            rows, transposed = self.K[start : start + 1024], self.K[:, start : start + 1024].T
            # Rounding of a product of two factors leaves differences of some eps; anything larger is another matrix.
            tolerance = 1e3 * np.finfo(self.K.dtype).eps * np.abs(rows).max(initial=0)
            if np.abs(rows - transposed).max(initial=0) > tolerance:
                raise DataError("the precomputed training kernel is not symmetric")


def gram(X, kernel, Z=None):
    """Return the Gram object of kernel(X, X), or of kernel(X, Z).

    With the kernel Precomputed, X is the matrix itself: K (n, n), or with Z the cross matrix (n, m).
    """
    if isinstance(kernel, Precomputed):
        made = MatrixGram(X, symmetric=Z is None)
        if Z is not None and made.shape[1] != len(Z):
            raise DataError(f"a precomputed test kernel of shape {made.shape} does not fit {len(Z)} training points")
        return made
    made = KernelGram(X, kernel, Z)
    if made.symmetric:
        _check_symmetric_kernel(made)
    return made


def _check_symmetric_kernel(made):
    """Only the lower triangle is ever asked for, so a user's function that is not symmetric would go unnoticed."""
    n = min(64, made.shape[0])
    K = made.block((0, n), (0, n))
    if np.abs(K - K.T).max() > 1e-8 * np.abs(K).max():  # far above the rounding of any order of summation
        raise InputError(f"kernel {made.kernel} is not symmetric: k(x, z) and k(z, x) differ on the first {n} points")
