"""Inner products of images in half a matrix, and the points of a kernel that they make."""

import dataclasses

import numpy as np

from kernelfit import backend
from kernelfit.errors import InputError
from kernelfit.files import sha256
from kernelfit.points import Points


class InnerProducts:
    """G[i, j] = <f(x_i), f(x_j)> in float64 for images i = 0..total - 1 and j = 0..n - 1, of which half is held.

    The first n images are the training images. Panel p holds the columns of a span from the diagonal down, row-major,
    on the device; what is above the diagonal is read from below it.

    Attributes
    ----------
    n, total : int
    panels : list of float64 arrays, shape (total - start, stop - start)
    sq_norms : float64 array, shape (total,)
    """

    def __init__(self, n, total, *, device=backend.CPU, panels=None, sq_norms=None):
        self.n, self.total, self.device = n, total, device
        width = n if panels is not None else device.tile
        self.bounds = [(start, min(start + width, n)) for start in range(0, n, width)]
        if panels is None:
            # Touched here and not tile by tile, so that memory runs out now or never.
            panels = [device.touched((total - start, stop - start)) for start, stop in self.bounds]
            for panel in panels:
                panel[...] = 0.0
            sq_norms = device.xp.zeros(total)
        self.panels, self.sq_norms = panels, sq_norms

    @staticmethod
    def bytes_needed(n, total, device):
        """Return the bytes of the panels."""
        return sum(8 * (total - start) * min(device.tile, n - start) for start in range(0, n, device.tile))

    def add(self, features, skip, advance):
        """Add the inner products of features (blocks, total, width), float32, to panel p without its first skip[p]."""
        device = self.device
        step = device.tile
        jobs = []
        for p, (start, _) in enumerate(self.bounds):
            jobs += [(p, row, min(row + step, self.total)) for row in range(start, self.total, step)]

        def run(job):
            p, row, last = job
            start, stop = self.bounds[p]
            tile = device.empty((last - row, stop - start), np.float32)
            target = self.panels[p][row - start : last - start]
            for block in features[skip[p] :]:
                device.gemm(block[row:last], block[start:stop], tile, transpose_b=True)
                target += tile

        for k in range(0, len(jobs), 64):
            device.map(run, jobs[k : k + 64])
            advance(sum((last - row) * (self.bounds[p][1] - self.bounds[p][0]) for p, row, last in jobs[k : k + 64]))

    def add_norms(self, features):
        """Add the squared norms of features (blocks, total, width)."""
        for block in features:
            for row in range(0, self.total, self.device.tile):
                part = block[row : row + self.device.tile]
                self.sq_norms[row : row + len(part)] += (part * part).sum(axis=1, dtype=np.float64)

    def complete(self):
        """Make diagonal tiles symmetric to the last bit, and norms of training images those of the diagonal."""
        xp = self.device.xp
        for (start, stop), panel in zip(self.bounds, self.panels, strict=True):
            top = panel[: stop - start]
            top[...] = xp.tril(top) + xp.tril(top, -1).T
            self.sq_norms[start:stop] = top.diagonal()

    def tile(self, rows, columns):
        """Return G[rows, columns], both (start, stop): a view where it lies in one piece."""
        (i, j), (k, last) = rows, columns
        if last > self.n:
            if j > self.n:
                raise InputError("inner products of test points with each other are not kept")
            return self.tile(columns, rows).T
        pieces = [(p, *span) for p, span in enumerate(self.bounds) if span[0] < last and span[1] > k]
        if len(pieces) == 1 and i >= pieces[0][1]:
            p, start, _ = pieces[0]
            return self.panels[p][i - start : j - start, k - start : last - start]
        out = self.device.empty((j - i, last - k))
        for p, start, stop in pieces:
            first, end = max(k, start), min(last, stop)
            below = max(i, start)  # rows from here on lie in the panel
            if below < j:
                piece = self.panels[p][below - start : j - start, first - start : end - start]
                out[below - i :, first - k : end - k] = piece
            if i < below:
                out[: min(below, j) - i, first - k : end - k] = self.tile((first, end), (i, min(below, j))).T
        return out

    def submatrix(self, rows):
        """Return G[rows, rows] for distinct training indices, on the device."""
        xp, rows = self.device.xp, np.asarray(rows)
        out = self.device.empty((len(rows), len(rows)))
        for (start, stop), panel in zip(self.bounds, self.panels, strict=True):
            inside, below = np.flatnonzero((rows >= start) & (rows < stop)), np.flatnonzero(rows >= start)
            if len(inside):
                where = self.device.array(rows[below] - start)[:, None], self.device.array(rows[inside] - start)[None]
                piece = panel[where]
                a, b = self.device.array(below), self.device.array(inside)
                out[a[:, None], b[None]] = piece
                out[b[:, None], a[None]] = xp.ascontiguousarray(piece.T)
        return out


@dataclasses.dataclass(frozen=True)
class AccumulatedPoints(Points):
    """Consecutive images of InnerProducts, as points of a kernel.

    Attributes
    ----------
    products : InnerProducts
    start, stop : int
    unit : float
    d : int
        Number of features.
    filters : array, shape (k, h, w, channels), or None
        Some of the filters behind the features, to be looked at.
    """

    products: InnerProducts
    start: int
    stop: int
    unit: float
    d: int
    filters: np.ndarray | None = dataclasses.field(default=None, compare=False)

    @property
    def origin(self):
        return self.products

    @property
    def device(self):
        return self.products.device

    @property
    def sq_norms(self):
        return self.products.sq_norms[self.start : self.stop]

    @property
    def unshift(self):
        return self.device.xp.zeros(len(self))

    def __len__(self):
        return self.stop - self.start

    def part(self, start, stop):
        return dataclasses.replace(self, start=self.start + start, stop=self.start + stop)

    def subset(self, rows):
        rows = np.asarray(rows)
        norms = self.sq_norms[self.device.array(rows)]
        G = self.products.submatrix(rows + self.start)
        products = InnerProducts(len(rows), len(rows), device=self.device, panels=[G], sq_norms=norms)
        return AccumulatedPoints(products, 0, len(rows), self.unit, self.d)

    def inner_products(self, other):
        if not isinstance(other, AccumulatedPoints) or other.products is not self.products:
            raise InputError("accumulated features meet points of another kind; only those of one run can be combined")
        return self.products.tile((self.start, self.stop), (other.start, other.stop))

    def coordinates(self):
        raise InputError(
            "features that are accumulated have inner products, but no coordinates: a kernel of your own cannot be "
            "used on them"
        )

    def distances(self):
        G, norms = self.device.host(self.inner_products(self)), self.device.host(self.sq_norms)
        squares = norms[:, None] + norms[None] - 2 * G
        return np.sqrt(np.maximum(squares[np.triu_indices(len(self), 1)], 0.0) * self.unit)

    def fingerprint(self):
        host = self.device.host
        parts = [sha256(np.ascontiguousarray(host(panel))) for panel in self.products.panels]
        return sha256(repr((parts, sha256(host(self.sq_norms)), self.start, self.stop, self.unit)).encode())
