"""Where panels begin and end, and what every storage promises."""

import numpy as np
import pytest

from kernelfit.backend import CPU
from kernelfit.common.spans import spans
from kernelfit.solvers.panels import MemoryPanels, panel_width


@pytest.mark.parametrize(("n", "width"), [(1, 1), (5, 1), (5, 2), (5, 5), (5, 9), (2000, 384)])
def test_bounds_cover_every_column_once(n, width):
    bounds = spans(0, n, width)
    assert [column for bound in bounds for column in range(*bound)] == list(range(n))
    assert {stop - start for start, stop in bounds[:-1]} <= {width}


@pytest.mark.parametrize("n", [1, 100, 1152, 2048, 5000, 18_432, 60_000, 10**6])
def test_the_square_tops_waste_little(n):
    """n width / 2 entries above the diagonal, of n^2 / 2: a sixteenth, a quarter of small ones, or 128 columns."""
    width = panel_width(n)
    assert 1 <= width <= CPU.panel and width <= max(128, n / (16 if n > 18_000 else 4))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_memory_panels_keep_what_was_put_there(dtype):
    panels = MemoryPanels(10, 4, dtype)
    taken = []
    panels.allocate(taken.append)
    assert taken == [10 * 4, 6 * 4, 2 * 2]
    for j, (start, stop) in enumerate(panels.bounds):
        panel = panels.open(j)
        assert panel.shape == (10 - start, stop - start) and panel.dtype == dtype
        panel[...] = np.arange(start, 10)[:, None]
        panels.close(j, panel)
    for row in (4, 7, 9):
        [(first, rows)] = panels.read(1, row)
        assert first == row and np.array_equal(rows[:, 0], np.arange(row, 10))
    panels.finish()
    panels.abandon()


def test_rows_are_added_without_copies_of_those_above():
    n, width = 6, 4
    panels = MemoryPanels(n, width)
    panels.allocate(lambda entries: None)
    L = np.tril(np.arange(1.0, 1601).reshape(40, 40))
    for j, (start, stop) in enumerate(panels.bounds):
        panels.open(j)[...] = L[start:n, start:stop]
    first, grown = panels.open(0), panels
    for m in [1] * 24 + [4, 3, 2, 1]:
        new = slice(grown.n, grown.n + m)
        grown = grown.grown(L[new, : grown.n].copy(), L[new, new].copy())
    assert grown.n == 40 and np.shares_memory(first, grown.open(0)) and panels.n == n
    found = np.zeros((40, 40))
    for j, (start, stop) in enumerate(grown.bounds):
        assert stop - start <= width
        pieces = list(grown.read(j, start))
        assert len(pieces) <= 1 + np.ceil(np.log2(40))
        for row, rows in pieces:
            found[row : row + len(rows), start:stop] = rows
    assert np.array_equal(np.tril(found), L)
    [(row, rows)] = list(grown.read(1, 39))
    assert row == 39 and np.array_equal(rows, L[39:, 4 : grown.bounds[1][1]])
