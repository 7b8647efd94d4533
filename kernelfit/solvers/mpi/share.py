"""What one process holds of a problem, and its part of what is done to it: entries of K, products, predictions.

The rows and columns of the matrix that are here belong to two sets of few points, in the order of the matrix. So the
entries of K between these sets, made as large blocks, are in their places.
"""

import platform
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from kernelfit import backend
from kernelfit.backend import CPU
from kernelfit.backend.scalapack import Scalapack
from kernelfit.common.spans import spans
from kernelfit.grams.base import Points
from kernelfit.grams.points import CoordinatePoints
from kernelfit.kernels.text import parse_kernel
from kernelfit.solvers.mpi.factor import FactorShare
from kernelfit.solvers.mpi.layout import Layout
from kernelfit.solvers.mpi.memory import bytes_needed
from kernelfit.solvers.mpi.team import Team
from kernelfit.solvers.planning.rates import measure_gemm

_PIECE = 4096  # points sent at a time
_TILE = 2**20  # entries of K made at a time: 8 MB
_ARRAYS = ("values", "unshift", "sq_norms")  # of CoordinatePoints


class Share:
    """The part of one process. All processes of a team call its methods, in the same order.

    Arguments by position are the leader's; the others pass None. Results are the leader's too, unless said otherwise.

    Attributes
    ----------
    layout : Layout
    rows, columns : int arrays
        Global indices of the rows and columns that are here, shape (m,) and (k,).
    row_points, column_points : CoordinatePoints
    entries : int
        Of the lower triangle, by blocks, that are here: the leader has some.
    """

    layout: Layout
    rows: npt.NDArray[np.intp]
    columns: npt.NDArray[np.intp]
    row_points: CoordinatePoints
    column_points: CoordinatePoints
    entries: int
    factor: FactorShare

    def __init__(self, team: Team, layout: Layout):
        self.team, self.layout, rank = team, layout, team.rank
        self.row, self.column = divmod(rank, layout.grid_columns)
        self.in_row, self.in_column, self.scalapack = _grid(team, layout.grid)
        self.rows, self.columns = layout.row_indices(rank), layout.column_indices(rank)
        self.entries = sum(map(self._strip_entries, self._strips()))

    def take_points(self, points: Points | None, *, kernel: str, d: int, dtype: np.dtype, unit: float) -> None:
        """Get the points of the own rows and columns."""
        self.kernel = self.team.agree(parse_kernel, kernel)
        sets = [_no_points(len(indices), d, dtype, unit) for indices in (self.rows, self.columns)]
        for start, stop in spans(0, self.layout.n, _PIECE):
            piece = self._sent(points and points.part(start, stop), stop - start, d, dtype, unit)
            for own, indices in zip(sets, (self.rows, self.columns), strict=True):
                first, last = np.searchsorted(indices, (start, stop))
                for name in _ARRAYS:
                    getattr(own, name)[first:last] = getattr(piece, name)[indices[first:last] - start]
        self.row_points, self.column_points = sets

    def make_matrix(self, advance: Callable[..., None] | None, *, dtype: np.dtype, added: float) -> None:
        """Make the lower triangle of K + added I, to be factored in this dtype; advance(fraction) is called."""
        self.drop_factor()  # its memory is needed
        self.factor = self.team.agree(FactorShare, self, dtype)
        self.team.agree(self._fill, self.factor.A.T, added, advance or _silent)

    def machine(self, *, dtype: np.dtype) -> list[tuple[str, int, float]] | None:
        """Return (host, threads, rate of matrix products in operations per second) of every process."""
        rate = self.team.agree(measure_gemm, CPU.probe, dtype=dtype)
        return self.team.world.gather((platform.node(), backend.num_threads(), rate))

    def memory(
        self, *, size: int, d: int, coordinate: int, r: int, limit: int | None
    ) -> list[tuple[str, int, int]] | None:
        """Return (host, bytes needed, bytes free) of every process, for a matrix of entries of `size` bytes."""
        free = min(self.team.host.allgather(backend.free_memory()))
        need = bytes_needed(self.layout, self.team.rank, size=size, d=d, coordinate=coordinate, r=r)
        return self.team.world.gather((platform.node(), need, min(free, limit or free)))

    def peaks(self) -> list[int] | None:
        """Return the largest resident memory of every process so far, in bytes."""
        return self.team.world.gather(backend.peak_memory())

    def drop_factor(self) -> None:
        """Free the matrix."""
        vars(self).pop("factor", None)

    def diagonal(self) -> npt.NDArray:
        """Return the diagonal of the matrix as it is now, shape (n,), in its dtype."""
        return self.factor.diagonal()

    def factorise(self, advance: Callable[..., None] | None) -> int:
        """Overwrite the matrix with its Cholesky factor; return 0, or the row, counted from 1, that failed."""
        return self.factor.factorise(advance or _silent)

    def half_solve(self, Y: npt.NDArray[np.float64] | None, *, r: int, transpose: bool) -> npt.NDArray | None:
        """Return L^-1 Y or L^-T Y, shape (n, r)."""
        return self.gather_rows(self.factor.half_solve(self.spread_rows(Y, r), transpose))

    def product(
        self, V: npt.NDArray[np.float64] | None, advance: Callable[..., None] | None, *, r: int, with_sums: bool
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]] | None:
        """Return (K V, absolute row sums of K), the latter zero unless with_sums; each entry of K is made once.

        advance(fraction) is called as it goes on.
        """
        advance = advance or _silent
        beside, above = self.spread_rows(V, r), self.spread_columns(V, r)  # what the own columns and rows multiply
        by_row, by_column = (np.zeros((len(indices), r + 1)) for indices in (self.rows, self.columns))
        self.team.agree(self._multiply, beside, above, by_row, by_column, with_sums, advance)
        total, mirrored = self.gather_rows(by_row), self.gather_columns(by_column)
        if total is None or mirrored is None:  # of the leader alone
            return None
        total += mirrored
        return total[:, :r], total[:, r]

    def predict(
        self,
        points: Points | None,
        coef: npt.NDArray[np.float64] | None,
        advance: Callable[..., None] | None,
        *,
        m: int,
        d: int,
        dtype: np.dtype,
        unit: float,
        r: int,
    ) -> npt.NDArray[np.float64] | None:
        """Return the kernel of m points with the training points, times coef (n, r): shape (m, r)."""
        first, last = self.layout.own_part(self.team.rank)
        own, coef = self.row_points.part(first, last), self.spread_rows(coef, r)[first:last]
        scores = np.empty((m, r)) if self.team.is_root else None
        for start, stop in spans(0, m, _PIECE):
            piece = self._sent(points and points.part(start, stop), stop - start, d, dtype, unit)
            part = self.team.agree(self._predict, piece, own, coef)
            self.team.world.Reduce(part, None if scores is None else scores[start:stop])
            if advance:
                advance(stop - start)
        return scores

    def spread_rows(self, V: npt.NDArray[np.float64] | None, r: int) -> npt.NDArray[np.float64]:
        """Return the rows of the leader's V, float64 (n, r), that are here."""
        return self._spread(V, r, self.in_column, self.in_row, self.layout.row_indices, self.layout.grid_columns)

    def spread_columns(self, V: npt.NDArray[np.float64] | None, r: int) -> npt.NDArray[np.float64]:
        """Return the rows of V with the numbers of the columns that are here."""
        return self._spread(V, r, self.in_row, self.in_column, self.layout.column_indices, 1)

    def gather_rows(self, part: npt.NDArray) -> npt.NDArray | None:
        """Return the sum over all processes of parts (len(rows), r), each row in its place: shape (n, r)."""
        return self._gather(part, self.in_column, self.in_row, self.layout.row_indices, self.layout.grid_columns)

    def gather_columns(self, part: npt.NDArray) -> npt.NDArray | None:
        """The same for parts (len(columns), r)."""
        return self._gather(part, self.in_row, self.in_column, self.layout.column_indices, 1)

    def _spread(self, V, r, heads, followers, indices_of, step):
        """The leader deals to the heads, the processes beside it on one edge of the grid, and they to their line."""
        out = np.empty((len(indices_of(self.team.rank)), r))
        if followers.rank == 0:
            if heads.rank == 0:
                for head in range(1, heads.size):
                    heads.Send(np.ascontiguousarray(V[indices_of(head * step)], dtype=np.float64), head)
                out[...] = V[indices_of(0)]
            else:
                heads.Recv(out, 0)
        followers.Bcast(out)
        return out

    def _gather(self, part, heads, followers, indices_of, step):
        part = np.ascontiguousarray(part)
        total = np.empty_like(part) if followers.rank == 0 else None
        followers.Reduce(part, total)
        if followers.rank != 0:
            return None
        if heads.rank != 0:
            heads.Send(total, 0)
            return None
        out = np.empty((self.layout.n, part.shape[1]), part.dtype)
        out[indices_of(0)] = total
        for head in range(1, heads.size):
            indices = indices_of(head * step)
            received = np.empty((len(indices), part.shape[1]), part.dtype)
            heads.Recv(received, head)
            out[indices] = received
        return out

    def _sent(self, points, count, d, dtype, unit):
        """Return the leader's points in every process."""
        made = _no_points(count, d, dtype, unit)
        for name in _ARRAYS:
            array = getattr(made, name)
            if points is not None:
                array[...] = getattr(points, name)
            self.team.world.Bcast(array)
        return made

    def _fill(self, At, added, advance):
        """Write the entries into At (k, m), the transpose of what is here, row-major."""
        for strip in self._strips():
            first, last, below, diagonal = strip

            def tile(span, columns=(first, last)):
                At[slice(*columns), slice(*span)] = self._block(columns, span)

            CPU.map(tile, self._spans(last - first, below))
            if diagonal is not None:
                block = At[first:last, diagonal : diagonal + last - first]
                block[...] = self._diagonal_block(first, last)
                np.fill_diagonal(block, block.diagonal() + added)
            if held := self._strip_entries(strip):
                advance(held / self.entries)

    def _multiply(self, beside, above, by_row, by_column, with_sums, advance):
        r = beside.shape[1]
        for strip in self._strips():
            first, last, below, diagonal = strip
            pieces = self._spans(last - first, below)

            def tile(span, columns=(first, last)):
                K = self._block(columns, span)
                across, down = CPU.empty((K.shape[0], r)), CPU.empty((K.shape[1], r))
                CPU.gemm(K, beside[slice(*span)], across)
                CPU.gemm(K, above[slice(*columns)], down, transpose_a=True)
                if not with_sums:
                    return across, down, 0.0, 0.0
                np.abs(K, out=K)
                return across, down, K.sum(axis=1), K.sum(axis=0)

            parts = CPU.map(tile, pieces)
            for (start, stop), (across, down, across_sums, down_sums) in zip(pieces, parts, strict=True):
                by_column[first:last, :r] += across
                by_column[first:last, r] += across_sums
                by_row[start:stop, :r] += down
                by_row[start:stop, r] += down_sums
            if diagonal is not None:
                K, own = self._diagonal_block(first, last), slice(diagonal, diagonal + last - first)
                by_row[own, :r] += K @ above[first:last]
                by_row[own, r] += np.abs(K).sum(axis=1) if with_sums else 0.0
            if held := self._strip_entries(strip):
                advance(held / self.entries)

    def _predict(self, points, own, coef):
        rows = self._spans(max(1, len(own)), 0, len(points))

        def strip(span):
            K = CPU.empty((span[1] - span[0], len(own)))
            out = np.zeros((len(K), coef.shape[1]))
            if len(own):
                self.kernel.block(points.part(*span), own, K)
                CPU.gemm(K, coef, out)
            return out

        return np.concatenate(CPU.map(strip, rows))

    def _strips(self):
        """Yield (first, last, below, diagonal) for each block of own columns.

        These are the own columns first..last - 1, the own row from which on all rows are below the block's, and the own
        row at which the rows of the diagonal block begin, or None if it is elsewhere.
        """
        layout = self.layout
        for first in range(0, len(self.columns), layout.block):
            last = min(first + layout.block, len(self.columns))
            start, stop = self.columns[first], self.columns[last - 1] + 1
            at, below = np.searchsorted(self.rows, (start, stop))
            yield first, last, int(below), int(at) if below > at else None

    def _strip_entries(self, strip):
        first, last, below, diagonal = strip
        return (last - first) * (len(self.rows) - (below if diagonal is None else diagonal))

    def _spans(self, width, start, stop=None):
        """Return (first, last) of pieces of start..stop - 1, or of the own rows from start on, for tiles this wide."""
        stop, height = len(self.rows) if stop is None else stop, max(1, _TILE // width)
        return spans(start, stop, height)

    def _block(self, columns, rows):
        """Return K between own columns and own rows, none of which are the same point."""
        out = CPU.empty((columns[1] - columns[0], rows[1] - rows[0]))
        self.kernel.block(self.column_points.part(*columns), self.row_points.part(*rows), out)
        return out

    def _diagonal_block(self, first, last):
        """Return K between the own columns first..last - 1: a point with itself is exact only within one set."""
        part, out = self.column_points.part(first, last), CPU.empty((last - first, last - first))
        self.kernel.block(part, part, out)
        return out


_GRIDS: dict[tuple[int, int], tuple] = {}


def _grid(team, shape):
    """Return what all problems on a grid share, made once, as MPI has few communicators: those of the processes of the
    own row, numbered by column, and of the own column, by row; and Scalapack.
    """
    if shape not in _GRIDS:
        row, column = divmod(team.rank, shape[1])
        _GRIDS[shape] = team.world.Split(row, team.rank), team.world.Split(column, team.rank), Scalapack(shape)
    return _GRIDS[shape]


def _silent(amount):
    """Take note of no progress: what the others do instead of the leader."""


def _no_points(count, d, dtype, unit):
    """Return CoordinatePoints yet to be filled."""
    return CoordinatePoints(np.empty((count, d), dtype), np.empty(count), np.empty(count), unit)
