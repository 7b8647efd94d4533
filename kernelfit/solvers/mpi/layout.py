"""Which process holds what: a matrix in blocks, dealt out in turn over a grid of processes ("block-cyclic").

Block (I, J) lies with the process in row I mod rows and column J mod columns of the grid, so that every process has its
share of what is left at any moment of a factorisation (Blackford et al., "ScaLAPACK users' guide", 1997, section 4.3).
"""

import dataclasses
import math
import re

import numpy as np
import numpy.typing as npt

from kernelfit.common.errors import InputError

BLOCK = 256  # rows and columns of a block unless asked for: the quickest of 64 to 768, see benchmarks/results/mpi.md


@dataclasses.dataclass(frozen=True)
class Layout:
    """An n x n matrix in square blocks over a grid of (rows, columns) of processes; k is in row k // columns of it."""

    n: int
    block: int
    grid: tuple[int, int]

    @property
    def grid_rows(self) -> int:
        return self.grid[0]

    @property
    def grid_columns(self) -> int:
        return self.grid[1]

    def row_indices(self, process: int) -> npt.NDArray[np.intp]:
        """Return the global rows that a process holds, in order."""
        return self._indices(process // self.grid_columns, self.grid_rows)

    def column_indices(self, process: int) -> npt.NDArray[np.intp]:
        """Return the global columns that a process holds, in order."""
        return self._indices(process % self.grid_columns, self.grid_columns)

    def own_part(self, process: int) -> tuple[int, int]:
        """Return (start, stop) of a part of its rows; the parts of the processes of a row are all of them."""
        count, k = len(self.row_indices(process)), process % self.grid_columns
        return count * k // self.grid_columns, count * (k + 1) // self.grid_columns

    def column_width(self, r: int) -> int:
        """Return the columns of a block of r right-hand sides: one block for each column of the grid."""
        return max(1, -(-r // self.grid_columns))

    def column_share(self, process: int, r: int) -> tuple[int, int]:
        """Return (start, stop) of the r right-hand sides that a process holds."""
        width, k = self.column_width(r), process % self.grid_columns
        return min(k * width, r), min((k + 1) * width, r)

    def _indices(self, position, count):
        blocks = range(position * self.block, self.n, count * self.block)
        parts = [np.arange(start, min(start + self.block, self.n)) for start in blocks]
        return np.concatenate(parts) if parts else np.arange(0)


def grid_shape(processes: int, text: str | None = None) -> tuple[int, int]:
    """Return (rows, columns) of the grid: what a text such as "4x2" says, or near a square with rows <= columns.

    Of two such grids the flatter is better: measured (benchmarks/results/mpi.md), 1 x 2 factors 1.2 times as fast as
    2 x 1, because a panel goes along a row in one broadcast, but down a column in an exchange of pieces.

    Raises
    ------
    InputError
        The text is no grid, or one of another number of processes.
    """
    if text is None:
        rows = next(count for count in range(math.isqrt(processes), 0, -1) if processes % count == 0)
        return rows, processes // rows
    match = re.fullmatch(r"\s*(\d+)\s*[xX]\s*(\d+)\s*", text)
    rows, columns = map(int, match.groups()) if match else (0, 0)
    if rows * columns != processes:
        wrong = "is no grid" if not match else f"has {rows * columns} processes"
        raise InputError(
            f"`grid={text}` {wrong}; there are {processes} processes. Write rows x columns whose product is that, as "
            f"in {'x'.join(map(str, grid_shape(processes)))}, or start another number with mpiexec -n"
        )
    return rows, columns
