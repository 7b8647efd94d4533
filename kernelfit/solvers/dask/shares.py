"""Cutting the lower triangle of K into shares of equal work that touch few rows each.

K is cut into blocks of a few thousand rows. The pairs (i, j), i >= j, are ordered along a Z-order curve (Morton, 1966),
of which every piece is compact: one that holds 1 / T of all pairs touches about 2 n / sqrt(2 T) rows, and that is what
a share needs of a vector, and gives back.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from kernelfit.common.spans import Span, spans

_BLOCKS = 128  # blocks of rows: 8,256 pairs, which 100 shares divide within a few per cent
_ROWS = 1024  # fewest rows of a block: those of a tile on a CPU
_TRAFFIC = 2.8  # vectors of n rows that a worker may receive and send per product
_PER_WORKER = 4  # shares at most: then the last to end keeps others waiting for an eighth of a product on average


def block_bounds(n: int) -> list[Span]:
    """Return the (start, stop) of consecutive blocks of n rows."""
    rows = max(_ROWS, -(-n // (_BLOCKS * _ROWS)) * _ROWS)
    return spans(0, n, rows)


def triangle(blocks: int) -> npt.NDArray[np.int64]:
    """Return all pairs (i, j), 0 <= j <= i < blocks, along a Z-order curve: int array, shape (pairs, 2)."""
    i, j = np.tril_indices(blocks)
    code = np.zeros(len(i), np.int64)
    for bit in range(blocks.bit_length()):
        code |= (i >> bit & 1) << (2 * bit + 1) | (j >> bit & 1) << (2 * bit)
    return np.stack([i, j], axis=1)[np.argsort(code)]


def cut(n: int, workers: int) -> tuple[list[Span], list[npt.NDArray[np.int64]]]:
    """Return (bounds, shares): blocks of rows, and for each share its pairs of blocks, shape (pairs, 2).

    Every worker gets the same number of shares, each `workers`-th: as many as the traffic allows, since many small ones
    are done at nearly the same time, and cost less when a worker is lost.
    """
    bounds = block_bounds(n)
    pairs = triangle(len(bounds))
    most = max(1, min(_PER_WORKER, len(pairs) // workers))
    for per_worker in range(most, 0, -1):
        shares = [share for share in np.array_split(pairs, per_worker * workers) if len(share)]
        rows = [rows_touched(bounds, share) for share in shares]
        if max(2 * sum(rows[worker::workers]) for worker in range(workers)) <= _TRAFFIC * n:
            break
    return bounds, shares


def rows_touched(bounds: Sequence[Span], share: npt.NDArray[np.int64]) -> int:
    """Return how many rows of K the pairs of blocks of a share lie in, as rows or as columns."""
    return sum(bounds[block][1] - bounds[block][0] for block in np.unique(share))
