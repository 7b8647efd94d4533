"""Inner products of points in half a matrix, where making them again would cost more than the memory."""

from collections.abc import Callable, Sequence
from typing import Self

import numpy as np
import numpy.typing as npt

from kernelfit import backend
from kernelfit.common.errors import InputError
from kernelfit.common.progress import Progress
from kernelfit.common.spans import spans
from kernelfit.grams.base import Points

_ONLY_ACROSS = "inner products of training points with each other were not made, only those with test points"


class InnerProducts:
    """G[i, j] = <x_i, x_j> for points i = 0..total - 1 and j = 0..n - 1, of which half is held.

    The first n points are the training points. Panel p holds the columns of a span from the diagonal down, row-major,
    on the device; what is above the diagonal is read from below it. To predict, products of training points with each
    other are not needed: `across`, panels begin with row n.

    Attributes
    ----------
    n, total : int
    panels : list of float64 or float32 arrays, shape (total - top, stop - start)
    bounds, tops : list of (start, stop), list of int
        Columns of each panel, and the first row that it holds.
    sq_norms : float64 array, shape (total,)
    """

    def __init__(
        self,
        n: int,
        total: int,
        *,
        device: backend.Device = backend.CPU,
        panels: list[npt.NDArray] | None = None,
        sq_norms: npt.NDArray[np.float64] | None = None,
        across: bool = False,
    ) -> None:
        self.n, self.total, self.device, self.across = n, total, device, across
        self.bounds = spans(0, n, panels[0].shape[1] if panels else device.tile)
        if panels is None or sq_norms is None:
            panels = _touched(n, total, device, np.float64, across)
            for panel in panels:
                panel[...] = 0.0
            sq_norms = device.xp.zeros(total)
        self.panels, self.sq_norms = panels, sq_norms
        self.tops = [total - len(panel) for panel in panels]

    @classmethod
    def of(cls, points: Points, *, progress: Progress | None = None) -> Self:
        """Return the inner products of all pairs of Points, as points.inner_products gives them."""
        n, device = len(points), points.device
        made = cls(n, n, device=device, panels=_touched(n, n, device, points.product_dtype), sq_norms=points.sq_norms)
        step = device.tile
        with (progress or Progress()).phase("inner products", made.entries) as advance:
            for (start, stop), panel in zip(made.bounds, made.panels, strict=True):
                columns = points.part(start, stop)

                def run(row, start=start, panel=panel, columns=columns):
                    last = min(row + step, n)
                    points.part(row, last).inner_products(columns, out=panel[row - start : last - start])

                device.map(run, range(start, n, step))
                device.synchronize()
                advance(panel.size)
        return made

    @staticmethod
    def bytes_needed(
        n: int, total: int, device: backend.Device, dtype: npt.DTypeLike = np.float64, *, across: bool = False
    ) -> int:
        """Return the bytes of the panels."""
        return np.dtype(dtype).itemsize * sum(
            rows * columns for rows, columns in _shapes(n, total, device.tile, across)
        )

    @property
    def entries(self) -> int:
        """Products that the panels hold."""
        return sum(panel.size for panel in self.panels)

    def add(self, features: npt.NDArray[np.float32], skip: Sequence[int], advance: Callable[[int], None]) -> None:
        """Add the inner products of features (blocks, total, width), float32, to panel p without its first skip[p]."""
        device = self.device
        step = device.tile
        jobs = []
        for p, top in enumerate(self.tops):
            jobs += [(p, row, min(row + step, self.total)) for row in range(top, self.total, step)]

        def run(job):
            p, row, last = job
            start, stop = self.bounds[p]
            tile = device.empty((last - row, stop - start), np.float32)
            target = self.panels[p][row - self.tops[p] : last - self.tops[p]]
            for block in features[skip[p] :]:
                device.gemm(block[row:last], block[start:stop], tile, transpose_b=True)
                target += tile

        for k in range(0, len(jobs), 64):
            device.map(run, jobs[k : k + 64])
            device.synchronize()
            advance(sum((last - row) * (self.bounds[p][1] - self.bounds[p][0]) for p, row, last in jobs[k : k + 64]))

    def add_norms(self, features: npt.NDArray[np.float32]) -> None:
        """Add the squared norms of features (blocks, total, width)."""
        for block in features:
            for row in range(0, self.total, self.device.tile):
                part = block[row : row + self.device.tile]
                self.sq_norms[row : row + len(part)] += (part * part).sum(axis=1, dtype=np.float64)

    def complete(self) -> None:
        """Make diagonal tiles, where there are any, symmetric to the last bit, and norms those of the diagonal."""
        if self.across:
            return
        xp = self.device.xp
        for (start, stop), panel in zip(self.bounds, self.panels, strict=True):
            square = panel[: stop - start]
            square[...] = xp.tril(square) + xp.tril(square, -1).T
            self.sq_norms[start:stop] = square.diagonal()

    def tile(self, rows: tuple[int, int], columns: tuple[int, int]) -> npt.NDArray:
        """Return G[rows, columns], both (start, stop), without gaps between rows: a view where a panel has it so."""
        (i, j), (k, last) = rows, columns
        if last > self.n:
            if j > self.n:
                raise InputError("inner products of test points with each other are not kept")
            return self.tile(columns, rows).T
        if self.across and i < self.n:
            raise InputError(_ONLY_ACROSS)
        pieces = [(p, *span) for p, span in enumerate(self.bounds) if span[0] < last and span[1] > k]
        if len(pieces) == 1 and i >= self.tops[pieces[0][0]]:
            [(p, start, _)], top = pieces, self.tops[pieces[0][0]]
            # Compiled passes take four times as long over rows with gaps.
            return self.device.xp.ascontiguousarray(self.panels[p][i - top : j - top, k - start : last - start])
        out = self.device.empty((j - i, last - k), self.panels[0].dtype)
        for p, start, stop in pieces:
            first, end = max(k, start), min(last, stop)
            top = self.tops[p]
            below = max(i, top)  # rows from here on lie in the panel
            if below < j:
                piece = self.panels[p][below - top : j - top, first - start : end - start]
                out[below - i :, first - k : end - k] = piece
            if i < below:
                out[: min(below, j) - i, first - k : end - k] = self.tile((first, end), (i, min(below, j))).T
        return out

    def submatrix(self, rows: npt.ArrayLike) -> npt.NDArray:
        """Return G[rows, rows] for distinct training indices, on the device."""
        if self.across:
            raise InputError(_ONLY_ACROSS)
        xp, rows = self.device.xp, np.asarray(rows)
        out = self.device.empty((len(rows), len(rows)), self.panels[0].dtype)
        for (start, stop), panel in zip(self.bounds, self.panels, strict=True):
            inside, below = np.flatnonzero((rows >= start) & (rows < stop)), np.flatnonzero(rows >= start)
            if len(inside):
                where = self.device.array(rows[below] - start)[:, None], self.device.array(rows[inside] - start)[None]
                piece = panel[where]
                a, b = self.device.array(below), self.device.array(inside)
                out[a[:, None], b[None]] = piece
                out[b[:, None], a[None]] = xp.ascontiguousarray(piece.T)
        return out


def _shapes(n, total, width, across):
    return [(total - (n if across else start), stop - start) for start, stop in spans(0, n, width)]


def _touched(n, total, device, dtype, across=False):
    """Return new panels; their memory is taken here and not tile by tile, so that it runs out now or never."""
    return [device.touched(shape, dtype) for shape in _shapes(n, total, device.tile, across)]
