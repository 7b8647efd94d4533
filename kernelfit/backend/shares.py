"""Products and triangular solves cut into shares, one for each thread: views, all of the result together."""

import itertools
import math
from collections.abc import Iterator

from kernelfit.backend.device import Array
from kernelfit.common.spans import spans

_LEAST = 2**21  # multiplications of a share: 50 microseconds, a few times what handing it over takes on a few threads
_MULTIPLE = 8  # of rows and columns that kernels of BLAS make at a time


def count_shares(multiplications: float, threads: int) -> int:
    """Return how many threads are worth it."""
    return max(1, min(threads, int(multiplications / _LEAST)))


def edges(n: int, count: int) -> list[tuple[int, int]]:
    """Return (first, last) of `count` parts of n, or of fewer: each but the last a multiple of what BLAS takes."""
    step = max(1, -(-n // (count * _MULTIPLE))) * _MULTIPLE
    return spans(0, n, step)


def of_product(
    A: Array, B: Array, C: Array, transpose_a: bool, transpose_b: bool, count: int
) -> Iterator[tuple[Array, Array, Array]]:
    """Yield (A, B, C) of the shares of C = op(A) op(B): rows of C, or columns where there are more of these."""
    m, n = C.shape
    for first, last in edges(max(m, n), count):
        if m >= n:
            yield (A[:, first:last] if transpose_a else A[first:last]), B, C[first:last]
        else:
            yield A, (B[first:last] if transpose_b else B[:, first:last]), C[:, first:last]


def of_square(n: int, count: int) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Return (rows, columns) of the blocks that make up the lower triangle of an n x n matrix, the largest first."""
    parts = edges(n, math.ceil((8 * count) ** 0.5) if count > 1 else 1)  # 4 count blocks: threads end together
    blocks = [(rows, columns) for columns, rows in itertools.combinations(parts, 2)]
    return blocks + [(part, part) for part in parts]
