"""Where the panels of a factor lie. The factorisation and the triangular solves see only this interface.

Panel j holds rows start_j.. of columns start_j..stop_j-1 of a lower triangular matrix, row-major, so that consecutive
rows are one contiguous piece of memory or of a file.
"""

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from kernelfit import backend
from kernelfit.backend.device import Array
from kernelfit.common.spans import spans


class MemoryPanels:
    """Panels in the memory of the device that computes. All storages have these attributes and methods.

    Attributes
    ----------
    n, width : int
        Order of the matrix, and columns of a panel (the last may have fewer).
    dtype : dtype
        float64 or float32.
    device : device
        Where the arithmetic is done; `open` and `read` give its arrays.
    bounds : list of (int, int)
        First column (= first row) of each panel, and the end of its columns.
    finished : int
        Leading panels that are factored already, from an earlier run.
    """

    n: int
    width: int
    dtype: np.dtype
    device: backend.Device
    bounds: list[tuple[int, int]]
    finished: int = 0

    def __init__(self, n: int, width: int, dtype: npt.DTypeLike = np.float64, device: backend.Device = backend.CPU):
        self.n, self.width, self.dtype, self.device = n, width, np.dtype(dtype), device
        self.bounds = spans(0, n, width)
        self._panels: list[list[Array]] = []  # each panel in pieces, from its first row to its last

    def allocate(self, advance: Callable[..., None]) -> None:
        """Take all memory (or disk) at once, so that it runs out now or never; calls advance(entries) as it goes on."""
        for start, stop in self.bounds:
            self._panels.append([self.device.touched((self.n - start, stop - start), self.dtype)])
            advance(self._panels[-1][0].size)

    def open(self, j: int) -> Array:
        """Return an array (n - start, stop - start) in which panel j can be made."""
        return self._panels[j][0]

    def close(self, j: int, panel: Array) -> None:
        """Take back the array that open(j) gave, now panel j of the factor."""

    def read(self, j: int, row: int) -> Iterator[tuple[int, Array]]:
        """Yield (first row, rows of panel j) from `row` on to the end, in order.

        The first piece holds at least stop - start rows and stays valid until the last has been used; any other stays
        valid until the next is asked for.
        """
        first = self.bounds[j][0]
        for piece in self._panels[j]:
            skipped, first = max(0, row - first), first + len(piece)
            if skipped < len(piece):
                yield first - len(piece) + skipped, piece[skipped:]

    def grown(self, border: Array, corner: Array) -> "MemoryPanels":
        """Return a storage of [[L, 0], [border, corner]], for a border (m, n) with m <= width; it shares these panels.

        Rows are added as pieces and not copied, but for a last panel that has room for the new columns. Two pieces
        below the first become one unless the upper is longer: there are no more than the logarithm of their rows.
        """
        made = MemoryPanels(self.n + len(corner), self.width, self.dtype, self.device)
        xp, (start, stop) = self.device.xp, self.bounds[-1]
        made.bounds, made._panels = [*self.bounds], [[*each] for each in self._panels]
        if stop - start + len(corner) <= self.width:
            (square,) = self._panels[-1]
            filled = self.device.empty((made.n - start, made.n - start), self.dtype)
            filled[: stop - start, : stop - start] = square
            filled[stop - start :, : stop - start], filled[stop - start :, stop - start :] = border[:, start:], corner
            made.bounds[-1], made._panels[-1] = (start, made.n), [filled]
        else:
            made.bounds.append((self.n, made.n))
            made._panels.append([corner])
        for (first, last), pieces in zip(made.bounds, made._panels, strict=True):
            if last <= self.n:
                pieces.append(xp.ascontiguousarray(border[:, first:last]))
                while len(pieces) > 2 and len(pieces[-2]) <= len(pieces[-1]):
                    pieces[-2:] = [xp.concatenate(pieces[-2:])]
        return made

    def finish(self) -> None:
        """Free all memory, and all that outlives the process."""
        self._panels.clear()

    def abandon(self) -> None:
        """Free all memory; a storage that outlives the process keeps what a later run can go on with."""
        self._panels.clear()


def panel_width(n: int, device: backend.Device = backend.CPU) -> int:
    """Return the columns per panel for order n: wide enough for GEMM, at most n / 4 to bound the unused memory.

    The top block of a panel is square, and its upper triangle is not part of L: n width / 2 entries in all. On a CPU
    that is 23 MB at n = 5,000, where panels of n / 16 columns would be multiplied at 0.7 of the rate of these.
    """
    return min(device.panel, max(128, n // 4 // 128 * 128))
