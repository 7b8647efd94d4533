"""Shares of the lower triangle: every pair of blocks in one of them, of equal size, touching few rows."""

import numpy as np
import pytest

from kernelfit.solvers.dask.shares import cut, rows_touched, triangle


@pytest.mark.parametrize("blocks", [1, 2, 3, 16, 17, 128])
def test_each_pair_once(blocks):
    pairs = triangle(blocks)
    assert sorted(map(tuple, pairs.tolist())) == [(i, j) for i in range(blocks) for j in range(i + 1)]


@pytest.mark.parametrize("n", [1, 1000, 1024, 5000, 100_000, 10**6])
@pytest.mark.parametrize("workers", [1, 2, 3, 7, 16, 200])
def test_shares_are_all_of_the_triangle(n, workers):
    bounds, shares = cut(n, workers)
    assert [start for start, _ in bounds] == [0, *(stop for _, stop in bounds[:-1])] and bounds[-1][1] == n
    together = np.concatenate(shares)
    assert len(np.unique(together, axis=0)) == len(together) == len(bounds) * (len(bounds) + 1) // 2
    sizes = [len(share) for share in shares]
    assert max(sizes) - min(sizes) <= 1
    assert len(shares) % workers == 0 or len(together) < 4 * workers


@pytest.mark.parametrize("n", [20_000, 100_000, 10**6, 10**7])
@pytest.mark.parametrize("workers", [1, 2, 4, 8, 16, 64])
def test_traffic(n, workers):
    """At most three vectors per worker and product, and less for many workers."""
    bounds, shares = cut(n, workers)
    rows = [rows_touched(bounds, share) for share in shares]
    per_worker = [2 * sum(rows[worker::workers]) / n for worker in range(workers)]
    assert max(per_worker) <= 3
    if workers == 64:
        assert np.mean(per_worker) <= 1.2
