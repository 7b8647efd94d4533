"""The Cholesky factor of a matrix in blocks over a grid of processes.

Right-looking: for each block column, ScaLAPACK's pdpotrf factors the block on the diagonal, the processes of that
column of the grid divide what is below by it, all get the pieces of the panel that belong to their rows and columns,
and subtract the products. That is pdpotrf's own algorithm with block columns as its steps, so that progress can be
told, and with the matrix products, nearly all of the work, by the project's BLAS: on AMD's processors MKL takes slower
ones (see benchmarks/results/mpi.md). Triangular solves are ScaLAPACK's pdtrsm, which is what pdpotrs calls.
"""

import numpy as np

from kernelfit.backend import CPU


class FactorShare:
    """What one process has of the matrix and then of its factor L; see Share for who calls what.

    Attributes
    ----------
    A : array, shape (m, k), column-major
        Own rows and columns. Only blocks on and below the diagonal are used; memory that is never touched takes none.
    """

    def __init__(self, share, dtype):
        self.share, self.layout = share, share.layout
        m, k, n = len(share.rows), len(share.columns), share.layout.n
        self.A = CPU.reserved((k, m), dtype).T
        self.scalapack = share.scalapack
        self.matrix = self.scalapack.matrix(self.A, (n, n), (share.layout.block,) * 2)

    def diagonal(self):
        """Return the diagonal, in the leader; shape (n,)."""
        share = self.share
        own, row_at, column_at = np.intersect1d(share.rows, share.columns, assume_unique=True, return_indices=True)
        mine, total = np.zeros(self.layout.n, self.A.dtype), np.empty(self.layout.n, self.A.dtype)
        mine[own] = self.A[row_at, column_at]
        share.team.world.Reduce(mine, total)
        return total

    def factorise(self, advance):
        """Overwrite the lower triangle with L; return 0, or the row, counted from 1, that failed, in every process.

        advance(multiplications) is called after every block column.
        """
        n = self.layout.n
        for start in range(0, n, self.layout.block):
            stop = min(start + self.layout.block, n)
            failed = self.scalapack.potrf(self.matrix, start, stop)
            if failed:
                return start + failed
            if stop < n:
                W, V = self._panel(start, stop)
                self._subtract(stop, W, V)
            advance((n - start) ** 2 * (stop - start) / 2)
        return 0

    def half_solve(self, B, transpose):
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
        """Divide the panel start..stop - 1 by its diagonal block; return what belongs to the own rows and columns.

        Shapes (own rows after stop, width) and (own columns after stop, width), row-major.
        """
        share, layout = self.share, self.layout
        block, width = start // layout.block, stop - start
        home_row, home_column = block % layout.grid_rows, block % layout.grid_columns
        below = int(np.searchsorted(share.rows, stop))
        W = np.empty((len(share.rows) - below, width), self.A.dtype)
        if share.column == home_column:
            first = int(np.searchsorted(share.columns, start))
            strip = self.A.T[first : first + width]
            L = np.empty((width, width), self.A.dtype)
            if share.row == home_row:
                at = int(np.searchsorted(share.rows, start))
                L[...] = strip[:, at : at + width].T
            share.in_column.Bcast(L, home_row)
            CPU.trsm(L, strip[:, below:])
            W[...] = strip[:, below:].T
        share.in_row.Bcast(W, home_column)
        return W, self._for_columns(stop, W)

    def _for_columns(self, stop, W):
        """Return the rows of the panel with the numbers of the own columns: every process of this column has some."""
        share, layout = self.share, self.layout
        after = share.columns[int(np.searchsorted(share.columns, stop)) :]
        rows = share.rows[int(np.searchsorted(share.rows, stop)) :]
        sources = after // layout.block % layout.grid_rows  # the row of the grid that each comes from
        mine = W[np.isin(rows, after, assume_unique=True)]
        if share.in_column.size == 1:
            return mine
        counts = np.bincount(sources, minlength=layout.grid_rows) * W.shape[1]
        received = np.empty((len(after), W.shape[1]), W.dtype)
        share.in_column.Allgatherv(mine, (received, counts))
        V = np.empty_like(received)
        V[np.argsort(sources, kind="stable")] = received
        return V

    def _subtract(self, stop, W, V):
        """Subtract the products of the panel from all that is below and to the right of it, block column by column."""
        share, block = self.share, self.layout.block
        At, done = self.A.T, int(np.searchsorted(share.columns, stop))
        below = int(np.searchsorted(share.rows, stop))
        for first in range(done, len(share.columns), block):
            last = min(first + block, len(share.columns))
            at = int(np.searchsorted(share.rows, share.columns[first]))
            CPU.gemm(
                V[first - done : last - done],
                W[at - below :],
                At[first:last, at:],
                alpha=-1.0,
                beta=1.0,
                transpose_b=True,
            )
