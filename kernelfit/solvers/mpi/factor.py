"""The Cholesky factor of a matrix in blocks over a grid of processes.

Right-looking: for each block column, ScaLAPACK's pdpotrf factors the block on the diagonal, the processes of that
column of the grid divide what is below by it, all get the pieces of the panel that belong to their rows and columns,
and subtract the products. That is pdpotrf's own algorithm with block columns as its steps, so that progress can be
told, and with the matrix products, nearly all of the work, by the project's BLAS: on AMD's processors MKL takes slower
ones (see benchmarks/results/mpi.md). Triangular solves are ScaLAPACK's pdtrsm, which is what pdpotrs calls.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from kernelfit.backend import CPU
from kernelfit.common.spans import spans


class FactorShare:
    """What one process has of the matrix and then of its factor L; see Share for who calls what.

    Attributes
    ----------
    A : array, shape (m, k), column-major
        Own rows and columns. Only blocks on and below the diagonal are used; memory that is never touched takes none.
    """

    A: npt.NDArray

    def __init__(self, share: Any, dtype: npt.DTypeLike):
        self.share, self.layout = share, share.layout
        m, k, n = len(share.rows), len(share.columns), share.layout.n
        self.A = CPU.reserved((k, m), dtype).T
        self.scalapack = share.scalapack
        self.matrix = self.scalapack.matrix(self.A, (n, n), (share.layout.block,) * 2)

    def diagonal(self) -> npt.NDArray:
        """Return the diagonal, in the leader; shape (n,)."""
        share = self.share
        own, row_at, column_at = np.intersect1d(share.rows, share.columns, assume_unique=True, return_indices=True)
        mine, total = np.zeros(self.layout.n, self.A.dtype), np.empty(self.layout.n, self.A.dtype)
        mine[own] = self.A[row_at, column_at]
        share.team.world.Reduce(mine, total)
        return total

    def factorise(self, advance: Callable[..., None]) -> int:
        """Overwrite the lower triangle with L; return 0, or the row, counted from 1, that failed, in every process.

        advance(multiplications) is called after every block column; they are n^3 / 6 in all.
        """
        n = self.layout.n
        for start, stop in spans(0, n, self.layout.block):
            failed = self.scalapack.potrf(self.matrix, start, stop)
            if failed:
                return start + failed
            if stop < n:
                self._subtract(stop, *self._panel(start, stop))
            advance(((n - start) ** 3 - (n - stop) ** 3) / 6)
        return 0

    def half_solve(self, B: npt.NDArray, transpose: bool) -> npt.NDArray:
        """Return the own rows of L^-1 B or L^-T B, as parts to be summed over the processes of this row."""
        layout, (m, r) = self.layout, B.shape
        first, last = layout.column_share(self.share.team.rank, r)
        own = np.array(B[:, first:last], self.A.dtype, order="F")
        right = self.scalapack.matrix(own, (layout.n, r), (layout.block, layout.column_width(r)))
        self.scalapack.solve_triangular(self.matrix, right, layout.n, r, transpose=transpose)
        out = np.zeros((m, r), self.A.dtype)
        out[:, first:last] = own
        return out

    def _panel(self, start, stop):
        """Divide the panel start..stop - 1 by its diagonal block; return its transpose for the own rows and columns.

        These are W (width, own rows after stop), and for each row of the grid the columns of the panel's transpose that
        come from there and have the numbers of own columns after stop, in order.
        """
        share, layout = self.share, self.layout
        block, width = start // layout.block, stop - start
        home_row, home_column = block % layout.grid_rows, block % layout.grid_columns
        below = int(np.searchsorted(share.rows, stop))
        W = np.empty((width, len(share.rows) - below), self.A.dtype)
        if share.column == home_column:
            first = int(np.searchsorted(share.columns, start))
            strip = self.A.T[first : first + width]
            L = np.empty((width, width), self.A.dtype)
            if share.row == home_row:
                at = int(np.searchsorted(share.rows, start))
                L[...] = strip[:, at : at + width].T
            share.in_column.Bcast(L, home_row)
            CPU.trsm(L, strip[:, below:])
            W[...] = strip[:, below:]
        share.in_row.Bcast(W, home_column)
        rows, after = share.rows[below:], share.columns[int(np.searchsorted(share.columns, stop)) :]
        wanted = np.isin(rows, after, assume_unique=True)
        mine = np.ascontiguousarray(W if wanted.all() else W[:, wanted])
        counts = np.bincount(after // layout.block % layout.grid_rows, minlength=layout.grid_rows)
        received = np.empty(len(after) * width, W.dtype)
        share.in_column.Allgatherv(mine, (received, counts * width))
        pieces = np.split(received, np.cumsum(counts * width)[:-1])
        return W, [piece.reshape(width, count) for piece, count in zip(pieces, counts, strict=True)]

    def _subtract(self, stop, W, pieces):
        """Subtract the products of the panel from all that is below and to the right of it, block column by column."""
        share, layout, At = self.share, self.layout, self.A.T
        below, used = int(np.searchsorted(share.rows, stop)), [0] * len(pieces)
        for first in range(int(np.searchsorted(share.columns, stop)), len(share.columns), layout.block):
            last = min(first + layout.block, len(share.columns))
            source = share.columns[first] // layout.block % layout.grid_rows
            at, begin = int(np.searchsorted(share.rows, share.columns[first])), used[source]
            used[source] += last - first
            left = pieces[source][:, begin : used[source]]
            CPU.gemm(left, W[:, at - below :], At[first:last, at:], alpha=-1.0, beta=1.0, transpose_a=True)
