"""Panels that are streamed: the same factor as in memory, buffers kept while in use, errors that arrive."""

import gc
import os
import threading
import time

import numpy as np
import pytest

from kernelfit.backend import CPU
from kernelfit.common.errors import SingularMatrixError
from kernelfit.common.spans import spans
from kernelfit.solvers import out_of_core
from kernelfit.solvers.out_of_core import HostStore, OutOfCorePanels, buffer_sizes
from kernelfit.solvers.panel_cholesky import cholesky
from kernelfit.solvers.panels import MemoryPanels
from kernelfit.solvers.scratch import Scratch
from tests.support.problems import as_gram, symmetric_matrix


@pytest.fixture(autouse=True)
def quick_writes(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda number: None)  # nothing here outlives the machine


@pytest.fixture(autouse=True)
def no_thread_is_left():
    before = set(threading.enumerate())
    yield
    gc.collect()  # an executor ends its thread when nothing refers to it any more
    deadline = time.monotonic() + 5
    while (left := set(threading.enumerate()) - before) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not left


def make_store(kind, folder, n, width, dtype):
    if kind == "host":
        return HostStore(dtype, CPU)
    return Scratch(folder, {"n": n, "width": width, "dtype": np.dtype(dtype).name}, CPU)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("kind", ["host", "disk"])
@pytest.mark.parametrize(
    ("n", "width", "piece"),
    [
        (1, 1, 1),
        (2, 1, 1),
        (40, 1, 3),
        (41, 7, 1),  # pieces of one row
        (41, 7, 20),  # of two rows, and one that is left over
        (64, 16, 256),  # a piece is as large as the top of a panel
        (64, 16, 10**6),  # one piece holds all
        (65, 64, 100),  # the last panel is one column
        (50, 50, 64),  # one panel
        (50, 80, 64),  # wider than the matrix
        (97, 24, 200),
    ],
)
def test_streamed_panels_are_those_in_memory(tmp_path, monkeypatch, n, width, piece, kind, dtype):
    monkeypatch.setattr(out_of_core, "PIECE", piece)
    K = as_gram(symmetric_matrix(n, 1e2, seed=n)[0])
    Y = np.random.default_rng(1).standard_normal((n, 3))
    panels = OutOfCorePanels(n, width, dtype, CPU, make_store(kind, tmp_path, n, width, dtype))
    factor = cholesky(K, panels=panels)
    plain = cholesky(K, panels=MemoryPanels(n, width, dtype))
    # The same operations on the same numbers, but BLAS may sum other blocks in another order: n eps cond at most.
    tolerance = {"rtol": 0, "atol": 10 * n * np.finfo(dtype).eps * 1e2}
    for j, (start, stop) in enumerate(panels.bounds):
        pieces = list((row, rows.copy()) for row, rows in panels.read(j, start))
        assert len(pieces) == 1 or len(pieces[0][1]) >= stop - start
        assert [row for row, _ in pieces] == list(np.cumsum([start, *(len(rows) for _, rows in pieces)])[:-1])
        [(_, expected)] = plain.panels.read(j, start)
        np.testing.assert_allclose(
            np.concatenate([rows for _, rows in pieces])[stop - start :], expected[stop - start :], **tolerance
        )
    scale = np.abs(plain.solve(Y)).max()
    np.testing.assert_allclose(factor.solve(Y) / scale, plain.solve(Y) / scale, **tolerance)
    np.testing.assert_allclose(factor.half_solve(Y), plain.half_solve(Y), **tolerance)
    np.testing.assert_allclose(factor.inverse_diagonal() / 1e2, plain.inverse_diagonal() / 1e2, **tolerance)
    np.testing.assert_allclose(factor.pivots(), plain.pivots(), **tolerance)
    panels.finish()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("n", "width", "piece"), [(1, 1, 10), (60, 7, 20), (60, 7, 10**6), (60, 60, 1), (30, 99, 64)])
def test_buffers_have_the_sizes_that_plans_count(monkeypatch, n, width, piece):
    monkeypatch.setattr(out_of_core, "PIECE", piece)
    made = []
    touched = CPU.touched
    monkeypatch.setattr(CPU, "touched", lambda shape, dtype: made.append(shape) or touched(shape, dtype))
    panels = OutOfCorePanels(n, width, np.float64, CPU, HostStore(np.float64, CPU))
    panels.allocate(lambda entries: None)
    sizes = [(n - start) * (stop - start) for start, stop in spans(0, n, width)]
    assert made == sizes + buffer_sizes(n, width)
    panels.finish()


class SlowStore(HostStore):
    """Poisons what it is asked to fill, and fills it late; notes which thread did what."""

    def save(self, j, panel):
        time.sleep(0.002)
        super().save(j, panel)

    def load(self, j, entry, array):
        array[...] = np.nan
        time.sleep(0.001)
        super().load(j, entry, array)


def filled(n=60, width=8, store=SlowStore):
    """Return OutOfCorePanels whose panel j holds 1000 j + row in every column."""
    panels = OutOfCorePanels(n, width, np.float64, CPU, store(np.float64, CPU))
    panels.allocate(lambda entries: None)
    for j, (start, _) in enumerate(panels.bounds):
        panel = panels.open(j)
        panel[...] = (1000 * j + np.arange(start, n))[:, None]
        panels.close(j, panel)
    return panels


def test_a_panel_is_not_made_where_another_is_still_being_written():
    panels = filled()
    for j, (start, stop) in enumerate(panels.bounds):
        for row, rows in panels.read(j, start):
            assert np.array_equal(rows, np.tile((1000 * j + np.arange(row, row + len(rows)))[:, None], stop - start))
    panels.finish()


@pytest.mark.parametrize("piece", [1, 16, 40, 10**6])
def test_pieces_stay_valid_while_they_are_used(monkeypatch, piece):
    """The first to the end, any other until the next is asked for, however fast the reader is."""
    monkeypatch.setattr(out_of_core, "PIECE", piece)
    panels = filled()
    for j, row in ((0, 0), (0, 8), (2, 40), (7, 56)):
        first = first_seen = None
        for start, rows in panels.read(j, row):
            seen = rows.copy()
            time.sleep(0.004)  # the reader has had time to fill whatever it thinks is free
            assert np.array_equal(rows, seen) and np.array_equal(
                seen[:, 0], 1000 * j + np.arange(start, start + len(rows))
            )
            if first is None:
                first, first_seen = rows, seen
            assert np.array_equal(first, first_seen)
    panels.finish()


def test_readers_that_stop_early_disturb_nobody(monkeypatch):
    monkeypatch.setattr(out_of_core, "PIECE", 8)
    panels = filled()
    for j in (3, 0, 5):
        _, rows = next(panels.read(j, panels.bounds[j][0]))
        assert rows[0, 0] == 1000 * j + panels.bounds[j][0]
        for position, (row, rows) in enumerate(panels.read(j, panels.bounds[j][0])):
            assert np.array_equal(rows[:, 0], 1000 * j + np.arange(row, row + len(rows)))
            if position == 2:
                break
    panels.finish()


class Fails(HostStore):
    """Fails to save one panel, or to load what lies far enough inside of one."""

    def __init__(self, broken_panel=-1, broken_entry=10**9):
        super().__init__(np.float64, CPU)
        self.broken_panel, self.broken_entry = broken_panel, broken_entry

    def save(self, j, panel):
        if j == self.broken_panel:
            raise OSError("on fire")
        super().save(j, panel)

    def load(self, j, entry, array):
        if entry > self.broken_entry:
            raise OSError("drowned")
        super().load(j, entry, array)


@pytest.mark.parametrize("broken", [{"broken_panel": 0}, {"broken_panel": 3}, {"broken_entry": 100}])
def test_errors_of_the_writer_and_of_the_reader_stop_the_factorisation(monkeypatch, broken):
    monkeypatch.setattr(out_of_core, "PIECE", 8)
    panels = OutOfCorePanels(60, 8, np.float64, CPU, Fails(**broken))
    with pytest.raises(OSError, match=r"on fire|drowned"):
        cholesky(as_gram(symmetric_matrix(60, 1e2)[0]), panels=panels)
    panels.abandon()


def test_an_error_with_the_last_panel_arrives_with_the_first_solve():
    panels = OutOfCorePanels(60, 8, np.float64, CPU, Fails(broken_panel=7))
    factor = cholesky(as_gram(symmetric_matrix(60, 1e2)[0]), panels=panels)
    with pytest.raises(OSError, match="on fire"):
        factor.solve(np.ones((60, 1)))
    panels.finish()


def test_a_singular_matrix_is_found_at_the_same_row():
    K = symmetric_matrix(50, 10.0)[0]
    K[:, 33], K[33] = K[:, 5], K[5]
    K[33, 33] = K[5, 5]
    panels = OutOfCorePanels(50, 8, np.float64, CPU, HostStore(np.float64, CPU))
    with pytest.raises(SingularMatrixError) as caught:
        cholesky(as_gram(K), panels=panels)
    assert caught.value.row == 33
    panels.finish()
