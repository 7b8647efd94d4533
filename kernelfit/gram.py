"""Gram matrices that make their blocks on demand. Nobody else holds an n x n array."""

import numpy as np

from kernelfit import backend
from kernelfit.errors import DataError, InputError
from kernelfit.kernels import Precomputed
from kernelfit.points import Points, points
from kernelfit.progress import Progress

_TILE = 1024  # rows and columns that one thread makes at a time: large enough for GEMM, small enough for its cache


class Gram:
    """A matrix K of shape (n, m), known through its blocks.

    Attributes
    ----------
    shape : (int, int)
    symmetric : bool
    points : object of length m
        The points of the columns: gram(Z, kernel, K.points) is the matrix of new points Z against them.
    """

    shape = (0, 0)
    symmetric = False
    points = ()

    def block(self, rows, columns, out=None):
        """Return K[rows, columns] as float64; both are (start, stop); written into `out` if given."""
        raise NotImplementedError

    def duplicate_of(self, row):
        """Return the first earlier row that is the same point as `row`, or None."""
        return None

    def product(self, V, *, progress=None):
        """Return K V for V of shape (m, r); each entry of K is made once."""
        return self._product(V, progress)[0]

    def product_and_norm(self, V, *, progress=None):
        """Return (K V, |K|_1), the latter the largest absolute column sum of a symmetric K, in one pass."""
        KV, sums = self._product(V, progress)
        return KV, float(sums.max())

    def _product(self, V, progress):
        """Return K V and, of a symmetric K, the absolute row sums."""
        n, m = self.shape
        V = np.ascontiguousarray(V, dtype=np.float64)
        if V.ndim != 2 or len(V) != m:
            raise InputError(f"K of shape {self.shape} cannot multiply V of shape {V.shape}; expected ({m}, r)")
        out = np.zeros((n, V.shape[1] + 1))  # the last column: absolute row sums
        total = n * (n + _TILE) / 2 if self.symmetric else n * m
        with (progress or Progress()).phase("kernel product", total) as advance:
            for k in range(0, m, _TILE):
                last = min(k + _TILE, m)
                # Of a symmetric K only the lower triangle is made: the diagonal tile, and what lies below it.
                blocks = [(i, min(i + _TILE, n)) for i in range(k if self.symmetric else 0, n, _TILE)]
                shares = backend.parallel_map(lambda rows, columns=(k, last): self._share(rows, columns, V), blocks)
                for (i, j), (own, mirrored) in zip(blocks, shares, strict=True):
                    out[i:j] += own
                    if self.symmetric and i > k:
                        out[k:last] += mirrored
                advance((n - blocks[0][0]) * (last - k))
        return out[:, :-1], out[:, -1]

    def _share(self, rows, columns, V):
        """Return what one tile adds to its own rows of _product, and what its transpose adds to the rows `columns`."""
        (i, j), (k, last) = rows, columns
        tile = self.block(rows, columns)
        own, mirrored = np.empty((j - i, V.shape[1] + 1)), np.empty((last - k, V.shape[1] + 1))
        backend.gemm(tile, V[k:last], own[:, :-1])
        if self.symmetric and i > k:
            backend.gemm(tile, V[i:j], mirrored[:, :-1], transpose_a=True)
        own[:, -1], mirrored[:, -1] = 0.0, 0.0
        if self.symmetric:
            np.abs(tile, out=tile)
            own[:, -1], mirrored[:, -1] = tile.sum(axis=1), tile.sum(axis=0)
        return own, mirrored

    def _bounds(self, rows, columns):
        for (start, stop), size in zip((rows, columns), self.shape, strict=True):
            if not 0 <= start <= stop <= size:
                raise InputError(f"block {rows} x {columns} is not inside a matrix of shape {self.shape}")
        return rows, columns


class KernelGram(Gram):
    """K[i, j] = kernel(X_i, Z_j), or kernel(X_i, X_j) without Z. Blocks are float64.

    Bit-identical for every block size and number of threads if X holds uint8 pixels and the kernel is a profile.
    """

    def __init__(self, X, kernel, Z=None):
        X, Z = (part if part is None or isinstance(part, Points) else np.asarray(part) for part in (X, Z))
        self.kernel = kernel
        self.points = _prepared(X if Z is None else Z, kernel)
        self.left = self.points if Z is None else points(X, centre=self.points.centre)
        self.symmetric = Z is None
        self.shape = (len(self.left), len(self.points))

    def block(self, rows, columns, out=None):
        (i, j), (k, last) = self._bounds(rows, columns)
        out = np.empty((j - i, last - k)) if out is None else out
        right = self.points.part(k, last)
        height = max(1, _TILE * _TILE // max(1, last - k))

        def strip(start):
            stop = min(start + height, j)
            self.kernel.block(self.left.part(start, stop), right, out[start - i : stop - i])

        backend.parallel_map(strip, range(i, j, height))
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
        self.points = self.K.T
        self.symmetric = symmetric
        for start in range(0, len(self.K), _TILE):  # in parts, to make no other array of its size
            if not np.isfinite(self.K[start : start + _TILE]).all():
                raise DataError(f"the precomputed kernel holds NaN or infinite values in rows from {start} on")
        if symmetric:
            self._check_symmetry()

    def block(self, rows, columns, out=None):
        (i, j), (k, last) = self._bounds(rows, columns)
        out = np.empty((j - i, last - k)) if out is None else out
        out[...] = self.K[i:j, k:last]
        return out

    def _check_symmetry(self):
        if self.shape[0] != self.shape[1]:
            raise DataError(f"a precomputed training kernel must be square; got {self.shape}")
        for start in range(0, len(self.K), _TILE):
            rows, transposed = self.K[start : start + _TILE], self.K[:, start : start + _TILE].T
            # Rounding of a product of two factors leaves differences of some eps; anything larger is another matrix.
            tolerance = 1e3 * np.finfo(self.K.dtype).eps * np.abs(rows).max(initial=0)
            if np.abs(rows - transposed).max(initial=0) > tolerance:
                raise DataError("the precomputed training kernel is not symmetric")


def gram(X, kernel, Z=None):
    """Return the Gram object of kernel(X, X), or of kernel(X, Z); X and Z are arrays (n, ...), or Points.

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


def _prepared(X, kernel):
    """Points, about their mean if the kernel allows it: |x|^2 + |z|^2 - 2 <x, z> loses the digits of an offset."""
    if not isinstance(X, Points) and kernel.translation_invariant and X.dtype != np.uint8:
        centre = X.reshape(len(X), -1).mean(axis=0, dtype=np.float64)
        return points(X, centre=centre if np.isfinite(centre).all() else None)  # points() says which point is not
    return points(X)


def _check_symmetric_kernel(made):
    """Only the lower triangle is ever asked for, so a user's function that is not symmetric would go unnoticed."""
    n = min(64, made.shape[0])
    K = made.block((0, n), (0, n))
    if (
        np.isfinite(K).all() and np.abs(K - K.T).max() > 1e-8 * np.abs(K).max()
    ):  # far above the rounding of any order of summation
        raise InputError(f"kernel {made.kernel} is not symmetric: k(x, z) and k(z, x) differ on the first {n} points")
