"""Rectify and average: from the responses of filters at every position to one number for each cell of a grid.

Windows of `pool` positions start every `stride`. They may overlap, so each position is added once to the segment that
it lies in (segments are what the edges of all windows cut), and windows are sums of segments.
"""

import dataclasses
import functools
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from kernelfit.backend.native import Native, native
from kernelfit.common.errors import InputError

_ZERO = np.float32(0)


@dataclasses.dataclass(frozen=True)
class Windows:
    """The windows along one side of `size` positions.

    Attributes
    ----------
    edges : tuple of int
        Bounds of the segments; the first is 0. Positions from the last on are in no window.
    spans : tuple of (int, int)
        First and last + 1 segment of each window.
    """

    edges: tuple[int, ...]
    spans: tuple[tuple[int, int], ...]

    @classmethod
    def along(cls, size: int, pool: int, stride: int) -> Self:
        """Return the Windows of `pool` positions every `stride` that fit in `size` positions."""
        if not 1 <= pool <= size:
            raise InputError(
                f"a pooling window of {pool} does not fit in {size} positions; images of this size need a smaller pool "
                "(or a smaller patch)"
            )
        starts = range(0, size - pool + 1, stride)
        edges = tuple(sorted({0, *starts, *(start + pool for start in starts)}))
        return cls(edges, tuple((edges.index(start), edges.index(start + pool)) for start in starts))

    @property
    def size(self) -> int:
        """Positions that are needed."""
        return self.edges[-1]


def rectified_cells(
    Z: npt.NDArray, vertical: Windows, horizontal: Windows, pool: int, bias: float, two_sided: bool, xp: Any = np
) -> npt.NDArray:
    """Return the pooled responses of images in plain array operations, for any array library: the reference, and GPUs.

    Parameters
    ----------
    Z : array, shape (m, height, width, filters)
        Responses at the positions of m images.
    vertical, horizontal : Windows

    Returns
    -------
    array, shape (m, cells, signs, filters)
        Means over each window of max(Z - bias, 0) and, if two-sided, of max(-Z - bias, 0).
    """
    rows, columns = (slice(windows.edges[0], windows.size) for windows in (vertical, horizontal))
    Z = Z[:, rows, columns]
    signs = [(Z - bias).clip(0)] + [(-Z - bias).clip(0)] * two_sided
    cells = []
    for top, bottom in vertical.spans:
        rows = slice(vertical.edges[top], vertical.edges[bottom])
        strips = [sign[:, rows].sum(axis=1) for sign in signs]
        for left, right in horizontal.spans:
            columns = slice(horizontal.edges[left], horizontal.edges[right])
            cells += [strip[:, columns].sum(axis=1) for strip in strips]
    out = xp.stack(cells, axis=1) * Z.dtype.type(1 / pool**2)
    return out.reshape(len(Z), -1, len(signs), Z.shape[-1])


@functools.cache
def passes(two_sided: bool) -> tuple[Native, Native]:
    """Return (add, combine), compiled, for float32; `add` is the only pass over all responses.

    add(Z, first, edges_y, edges_x, bias, sums): Z (rows * width, filters) holds the responses of the output rows from
    `first` on; they are rectified and added to sums (segments_y, segments_x, signs, filters).
    combine(sums, spans_y, spans_x, scale, out): out (cells, signs, filters) becomes scale times the sums over windows.
    """

    # Neither infinities nor NaN nor the sign of zero matter to a rectifier; sums keep their order.
    compiled = native(fastmath={"nnan", "ninf", "nsz"})

    def add_rows(Z, at, count, bias, positive, negative):
        """Add `count` consecutive positions, three at a time: sums are then loaded and stored once for the three."""
        filters = Z.shape[1]
        for x in range(at, at + count - 2, 3):
            a, b, c = Z[x], Z[x + 1], Z[x + 2]
            for j in range(filters):
                positive[j] += (_rectified(a[j] - bias) + _rectified(b[j] - bias)) + _rectified(c[j] - bias)
            if two_sided:
                for j in range(filters):
                    negative[j] += (_rectified(-a[j] - bias) + _rectified(-b[j] - bias)) + _rectified(-c[j] - bias)
        for x in range(at + count - count % 3, at + count):
            a = Z[x]
            for j in range(filters):
                positive[j] += _rectified(a[j] - bias)
            if two_sided:
                for j in range(filters):
                    negative[j] += _rectified(-a[j] - bias)

    @compiled
    def add(Z, first, edges_y, edges_x, bias, sums):
        width = edges_x[-1]
        segment = 0
        for row in range(Z.shape[0] // width):
            while first + row >= edges_y[segment + 1]:
                segment += 1
            for k in range(len(edges_x) - 1):
                own = sums[segment, k]
                count = edges_x[k + 1] - edges_x[k]
                add_rows(Z, row * width + edges_x[k], count, bias, own[0], own[-1])

    @compiled
    def combine(sums, spans_y, spans_x, scale, out):
        for cell_y in range(len(spans_y)):
            for cell_x in range(len(spans_x)):
                cell = out[cell_y * len(spans_x) + cell_x]
                for sign in range(cell.shape[0]):
                    for j in range(cell.shape[1]):
                        cell[sign, j] = _ZERO
                    for y in range(spans_y[cell_y, 0], spans_y[cell_y, 1]):
                        for x in range(spans_x[cell_x, 0], spans_x[cell_x, 1]):
                            for j in range(cell.shape[1]):
                                cell[sign, j] += sums[y, x, sign, j]
                    for j in range(cell.shape[1]):
                        cell[sign, j] *= scale

    return add, combine


def _rectified(value):
    return value if value > _ZERO else _ZERO
