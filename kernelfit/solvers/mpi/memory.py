"""What the processes need of the memory of their hosts, looked at before any of it is taken."""

import numpy as np

from kernelfit.backend import CPU
from kernelfit.common.errors import NotEnoughMemoryError
from kernelfit.common.quantities import format_bytes
from kernelfit.grams.base import Points
from kernelfit.solvers.mpi.layout import Layout
from kernelfit.solvers.mpi.team import Shares
from kernelfit.solvers.planning.plan import PRECISIONS

_PAGE = 4096


def bytes_needed(layout: Layout, process: int, *, size: int, d: int, coordinate: int, r: int) -> int:
    """Return the bytes that a process allocates at its peak, for entries of `size` bytes and r right-hand sides.

    With m rows and k columns of the matrix here: its entries, see matrix_bytes; size (2 m + k) block of a panel that
    all subtract; the points of the rows and the columns, (m + k) (d coordinate + 16); their rows of two arrays of
    right-hand sides and sums, 16 (m + k) (r + 1). The leader has arrays of n r besides, as many as a solve alone.
    """
    m, k = len(layout.row_indices(process)), len(layout.column_indices(process))
    matrix, panel = matrix_bytes(layout, process, size), size * (2 * m + k) * layout.block
    points, vectors = (m + k) * (d * coordinate + 16), 16 * (m + k) * (r + 1)
    leading = 8 * 12 * layout.n * r if process == 0 else 0
    return matrix + panel + points + vectors + leading + CPU.fixed_bytes


def matrix_bytes(layout: Layout, process: int, size: int) -> int:
    """Return the bytes of the blocks on and below the diagonal that a process holds, in pages of 4 kB by column.

    ScaLAPACK's arrays have room for the full square; about half of it is never touched, and the operating system gives
    memory only to pages that are. So it is about size n^2 / (2 P) where a column is many pages long.
    """
    rows, columns = layout.row_indices(process), layout.column_indices(process)
    above = np.searchsorted(rows, columns // layout.block * layout.block)
    touched = size * (len(rows) - above) + _PAGE
    return int(np.minimum(touched, size * len(rows)).sum())


def choose_precision(
    shares: Shares, points: Points, layout: Layout, *, r: int, asked: str, limit: int | None
) -> tuple[str, str]:
    """Return (precision, reason): the one asked for, or for "auto" float64 if it fits on every host, else mixed.

    Raises
    ------
    NotEnoughMemoryError
        It does not fit; nothing has been allocated in any process.
    """
    precisions = PRECISIONS if asked == "auto" else (asked,)
    shortages: list[str] = []
    for precision in precisions:
        sizes = {"size": 8 if precision == "float64" else 4, "d": points.d, "coordinate": points.values.itemsize}
        short = _shortage(shares.call("memory", **sizes, r=r, limit=limit))
        if short is None:
            reason = "asked for" if asked != "auto" else "it fits" if not shortages else "float64 does not fit"
            return precision, reason
        shortages.append(f"{precision} needs {short}")
    advice = "more hosts, fewer points (`n_train`)" + (', `precision="mixed"`' if asked == "float64" else "")
    raise NotEnoughMemoryError(
        f"n = {layout.n:,} training points do not fit in {shares.team.size} processes: {'; '.join(shortages)}. "
        f"Try {advice}, or fewer processes on each host"
    )


def _shortage(found):
    """Return what is missing where most is, in words, or None; `found` is what Share.memory returned."""
    hosts = {}
    for host, need, free in found:
        total, count, least = hosts.get(host, (0, 0, free))
        hosts[host] = total + need, count + 1, min(free, least)
    host, (need, count, free) = max(hosts.items(), key=lambda item: item[1][0] - item[1][2])
    if need <= free:
        return None
    return f"{format_bytes(need)} for the {count} processes on {host}, where {format_bytes(free)} are free"
