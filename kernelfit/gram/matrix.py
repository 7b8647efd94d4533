"""Gram matrices that make their blocks on demand. Nobody else holds an n x n array."""

import json

import numpy as np

from kernelfit import backend
from kernelfit.common.errors import DataError, InputError
from kernelfit.common.files import sha256
from kernelfit.common.progress import Progress
from kernelfit.gram.points import Points, points
from kernelfit.kernels import Precomputed


class Gram:
    """A matrix K of shape (n, m), known through its blocks.

    Attributes
    ----------
    shape : (int, int)
    symmetric : bool
    points : object of length m
        The points of the columns: gram(Z, kernel, K.points) is the matrix of new points Z against them.
    device : device
        Where blocks are made.
    """

    shape = (0, 0)
    symmetric = False
    points = ()
    device = backend.CPU

    def block(self, rows, columns, out=None):
        """Return K[rows, columns], both (start, stop), as float64; or written into `out`, float64 or float32."""
        raise NotImplementedError

    def duplicate_of(self, row):
        """Return the first earlier row that is the same point as `row`, or None."""
        return None

    def subset(self, rows):
        """Return the symmetric matrix K[rows, rows] of a symmetric K, for distinct indices."""
        raise NotImplementedError

    def fingerprint(self):
        """Return a SHA-256 of what the entries depend on: the same text only for the same matrix."""
        raise NotImplementedError

    def cached(self, *, progress=None):
        """Return the same matrix with whatever makes its blocks cheap kept in memory: of a kernel, inner products."""
        return self

    def product(self, V, *, progress=None):
        """Return K V for V of shape (m, r), where V lives; each entry of K is made once."""
        return self._product(V, progress, with_sums=False)[0]

    def product_and_norm(self, V, *, progress=None):
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
        strips = [(columns, columns[0] if self.symmetric else 0) for columns in _spans(0, m, tile)]
        entries = [(n - first) * (columns[1] - columns[0]) for columns, first in strips]
        with (progress or Progress()).phase("kernel product", sum(entries)) as advance:
            for (columns, first), made in zip(strips, entries, strict=True):
                tiles = [(rows, columns) for rows in _spans(first, n, tile)]
                self.add_product(tiles, right, out, sums if with_sums else None)
                device.synchronize()
                advance(made)
        return (device.host(out) if isinstance(V, np.ndarray) else out), sums

    def add_product(self, tiles, V, out, sums=None):
        """Add to `out` what some tiles of K give of K V, each made once, and its transpose too if K is symmetric.

        Parameters
        ----------
        tiles : list of (rows, columns)
            Spans (start, stop); of a symmetric K, of the lower triangle. What each adds is held until all are made.
        V, out : float64 arrays, shapes (m, r) and (n, r), on the device
        sums : float64 array, shape (n,), optional
            Gets the absolute row sums.
        """
        shares = self.device.map(lambda tile: self._share(*tile, V, sums is not None), tiles)
        for ((i, j), columns), (own, mirrored, own_sums, mirrored_sums) in zip(tiles, shares, strict=True):
            out[i:j] += own
            if mirrored is not None:
                out[slice(*columns)] += mirrored
            if sums is not None:
                sums[i:j] += own_sums
                if mirrored is not None:
                    sums[slice(*columns)] += mirrored_sums

    def diagonal(self):
        """Return the diagonal of a symmetric K, shape (n,), on the host."""
        spans = _spans(0, self.shape[0], 256)
        return np.concatenate([self.device.host(self.block(span, span).diagonal().copy()) for span in spans])

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


class KernelGram(Gram):
    """K[i, j] = kernel(X_i, Z_j), or kernel(X_i, X_j) without Z.

    Bit-identical for every block size and number of threads if X holds uint8 pixels and the kernel is a profile.
    """

    def __init__(self, X, kernel, Z=None, *, device=backend.CPU):
        X, Z = (part if part is None or isinstance(part, Points) else np.asarray(part) for part in (X, Z))
        self.kernel = kernel
        self.points = points(X if Z is None else Z, shifted=kernel.translation_invariant, device=device)
        if self.points.centre is not None and not kernel.translation_invariant:
            raise InputError(f"these points were shifted for a kernel of distances, and kernel {kernel} is none")
        self.device = self.points.device
        self.left = self.points if Z is None else points(X, beside=self.points, device=self.device)
        self.symmetric = Z is None
        self.shape = (len(self.left), len(self.points))

    def block(self, rows, columns, out=None):
        (i, j), (k, last) = self._bounds(rows, columns)
        out = self.device.empty((j - i, last - k)) if out is None else out
        right = self.points.part(k, last)
        height = max(1, self.device.tile**2 // max(1, last - k))

        def strip(start):
            stop = min(start + height, j)
            self.kernel.block(self.left.part(start, stop), right, out[start - i : stop - i])

        self.device.map(strip, range(i, j, height))
        return out

    def duplicate_of(self, row):
        return self.left.twin_of(row)

    def subset(self, rows):
        return KernelGram(self.points.subset(rows), self.kernel)

    def cached(self, *, progress=None):
        return KernelGram(self.points.cached(progress=progress), self.kernel) if self.symmetric else self

    def fingerprint(self):
        sides = [side.fingerprint() for side in (self.left, self.points)]
        return sha256(json.dumps([str(self.kernel), *sides, self.shape]).encode())


class MatrixGram(Gram):
    """A matrix that the caller has already."""

    def __init__(self, K, *, symmetric=True, device=backend.CPU):
        self.K = np.asarray(K)
        self.device = device
        if self.K.ndim != 2 or self.K.dtype.kind != "f":
            raise DataError(f"a precomputed kernel is a floating-point matrix; got {self.K.dtype} {self.K.shape}")
        self.shape = self.K.shape
        self.points = self.K.T
        self.symmetric, self._mirrored = symmetric, False
        for start, stop in _spans(0, len(self.K), 1024):  # in parts, to make no other array of its size
            if not np.isfinite(self.K[start:stop]).all():
                raise DataError(f"the precomputed kernel holds NaN or infinite values in rows from {start} on")
        if symmetric:
            self._check_symmetry()

    def block(self, rows, columns, out=None):
        (i, j), (k, last) = self._bounds(rows, columns)
        out = self.device.empty((j - i, last - k)) if out is None else out
        tile = self.K[i:j, k:last]
        if self._mirrored and last > i + 1:
            above = np.arange(i, j)[:, None] < np.arange(k, last)
            tile = np.where(above, self.K[k:last, i:j].T, tile)
        out[...] = self.device.array(tile)
        return out

    def subset(self, rows):
        return MatrixGram(self.K[np.ix_(rows, rows)], device=self.device)

    def fingerprint(self):
        return sha256(json.dumps([str(self.K.dtype), self.shape, sha256(np.ascontiguousarray(self.K))]).encode())

    def _check_symmetry(self):
        """Raise DataError unless K is symmetric but for the rounding of its dtype, or of float32 if its entries are.

        Where K and its transpose differ by that, the lower triangle is K, for the factor and for every product.
        """
        if self.shape[0] != self.shape[1]:
            raise DataError(f"a precomputed training kernel must be square; got {self.shape}")
        precision = self.K.dtype
        for start, stop in _spans(0, len(self.K), 1024):
            rows, transposed = self.K[start:stop], self.K[:, start:stop].T
            largest, difference = np.abs(rows).max(initial=0), np.abs(rows - transposed).max(initial=0)
            self._mirrored |= bool(difference > 0)
            # Rounding of a product of two factors leaves differences of some eps; anything larger is another matrix.
            if difference > 1e3 * np.finfo(precision).eps * largest and self._made_in_float32():
                precision = np.dtype(np.float32)
            if difference > 1e3 * np.finfo(precision).eps * largest:
                raise DataError(
                    f"the precomputed training kernel is not symmetric: K and its transpose differ by {difference:.1e} "
                    f"in rows {start} to {stop - 1}, whose largest entry is {largest:.1e}; rounding of {precision} "
                    "leaves less. Give (K + K.T) / 2 if the difference means nothing"
                )

    def _made_in_float32(self):
        """Whether every entry is a float32 number: such a K was rounded to float32 before it was cast to float64."""
        with np.errstate(over="ignore"):
            return all(
                (self.K[start:stop] == self.K[start:stop].astype(np.float32)).all()
                for start, stop in _spans(0, len(self.K), 1024)
            )


def gram(X, kernel, Z=None, *, device=backend.CPU):
    """Return the Gram object of kernel(X, X), or of kernel(X, Z); X and Z are arrays (n, ...), or Points.

    Blocks are made on `device`, or on that of Z if Z are Points. With the kernel Precomputed, X is the matrix itself:
    K (n, n), or with Z the cross matrix (n, m).

    Raises InputError for sparse arrays, and where there is no point.

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
    _check_arrays(X, Z)
    if isinstance(kernel, Precomputed):
        made = MatrixGram(X, symmetric=Z is None, device=device)
        if Z is not None and made.shape[1] != len(Z):
            raise DataError(f"a precomputed test kernel of shape {made.shape} does not fit {len(Z)} training points")
        return made
    made = KernelGram(X, kernel, Z, device=device)
    if made.symmetric:
        _check_symmetric_kernel(made)
    return made


def _check_arrays(*arrays):
    for X in arrays:
        if X is None or isinstance(X, Points):
            continue
        if hasattr(X, "toarray"):
            raise InputError(f"got a sparse {type(X).__name__}; points are dense arrays: give X.toarray()")
        if np.shape(X)[:1] == (0,):
            raise InputError(f"got points of shape {np.shape(X)}; a Gram matrix needs at least one")


def _spans(start, stop, size):
    """Return (first, last) of consecutive pieces of at most `size`."""
    return [(k, min(k + size, stop)) for k in range(start, stop, size)]


def _check_symmetric_kernel(made):
    """Only the lower triangle is ever asked for, so a user's function that is not symmetric would go unnoticed."""
    n = min(64, made.shape[0])
    K = made.device.host(made.block((0, n), (0, n)))
    if (
        np.isfinite(K).all() and np.abs(K - K.T).max() > 1e-8 * np.abs(K).max()
    ):  # far above the rounding of any order of summation
        raise InputError(f"kernel {made.kernel} is not symmetric: k(x, z) and k(z, x) differ on the first {n} points")
