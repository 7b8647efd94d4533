"""Panels that do not lie where the arithmetic is done: on disk, or in host memory beside a GPU.

At most two panels are held at a time, the one being made and the one being written. Earlier panels come back in pieces,
the next pieces being read while one is multiplied. The wider a panel, the fewer the passes over all that is stored: the
whole factorisation reads about n / (3 width) times the half matrix.
"""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from kernelfit import backend
from kernelfit.backend.device import Array
from kernelfit.common.spans import spans
from kernelfit.solvers.scratch import Scratch

PIECE = 2**23  # entries of a piece: 64 MB in float64, long enough for full speed of GEMM and of any disk
_BUFFERS = 3  # one in use, two being read


class OutOfCorePanels:
    """Panels in a store; see MemoryPanels for the interface.

    Parameters
    ----------
    store : HostStore or kernelfit.solvers.scratch.Scratch
        create(sizes, advance), save(j, panel), load(j, entry, array), remove(), close().
    """

    n: int
    width: int
    dtype: np.dtype
    device: backend.Device
    bounds: list[tuple[int, int]]
    store: "HostStore | Scratch"

    def __init__(self, n: int, width: int, dtype: npt.DTypeLike, device: backend.Device, store: "HostStore | Scratch"):
        self.n, self.width, self.dtype, self.device = n, width, np.dtype(dtype), device
        self.bounds = spans(0, n, width)
        self.store = store
        self._reader, self._writer = ThreadPoolExecutor(1), ThreadPoolExecutor(1)
        self._saved: dict[int, Future] = {}

    @property
    def finished(self) -> int:
        return self.store.finished

    def allocate(self, advance: Callable[..., None]) -> None:
        self.store.create([(self.n - start) * (stop - start) for start, stop in self.bounds], advance)
        even, odd, self._head, *self._pieces = (
            self.device.touched(size, self.dtype) for size in buffer_sizes(self.n, self.width)
        )
        self._panel_buffers = even, odd

    def open(self, j: int) -> Array:
        self._wait(j - 2)  # the last user of this buffer
        rows, columns = self._shape(j)
        return self._panel_buffers[j % 2][: rows * columns].reshape(rows, columns)

    def close(self, j: int, panel: Array) -> None:
        self.device.synchronize()
        self._saved[j] = self._writer.submit(self.store.save, j, panel)

    def read(self, j: int, row: int) -> Iterator[tuple[int, Array]]:
        self._wait(j)
        self.device.synchronize()  # all that was asked of earlier pieces is done, their buffers can be filled again
        start, width = self.bounds[j][0], self._shape(j)[1]
        step = max(1, PIECE // width)
        # The first piece has a buffer of its own, the others share theirs in turn.
        pieces = deque([(row, min(row + width, self.n)), *spans(row + width, self.n, step)])
        buffers = deque([self._head, *self._pieces])
        coming: deque[tuple[int, Array, Array, Future]] = deque()

        def ask():
            (first, last), buffer = pieces.popleft(), buffers.popleft()
            array = buffer[: (last - first) * width].reshape(last - first, width)
            coming.append(
                (first, array, buffer, self._reader.submit(self.store.load, j, (first - start) * width, array))
            )

        while pieces and buffers:
            ask()
        try:
            while coming:
                first, array, buffer, loaded = coming.popleft()
                loaded.result()
                yield first, array
                if buffer is not self._head:
                    self.device.synchronize()  # what was asked of this piece is done, its buffer can be filled again
                    buffers.append(buffer)
                    if pieces:
                        ask()
        finally:
            for *_, loaded in coming:
                loaded.cancel()

    def finish(self) -> None:
        self._shut_down()
        self.store.remove()

    def abandon(self) -> None:
        self._shut_down()
        self.store.close()

    def _shut_down(self):
        self._reader.shutdown(cancel_futures=True)
        self._writer.shutdown()  # what is being written may be all that is left of hours
        self._panel_buffers, self._head, self._pieces = (), None, []

    def _shape(self, j):
        start, stop = self.bounds[j]
        return self.n - start, stop - start

    def _wait(self, j):
        """Return when panel j is saved; raises what went wrong."""
        if j in self._saved:
            self._saved[j].result()


def buffer_sizes(n: int, width: int) -> list[int]:
    """Return the entries of the arrays of OutOfCorePanels: two panels, the top of an earlier one, pieces."""
    width = min(width, n)
    piece = min(max(PIECE, width), n * width)
    return [n * width, (n - width) * width, width * width, *[piece] * _BUFFERS]


class HostStore:
    """Panels in the memory of the host, beside a GPU that is too small for them."""

    finished: int = 0

    def __init__(self, dtype: npt.DTypeLike, device: backend.Device):
        self.dtype, self.device = np.dtype(dtype), device
        self._panels: list[np.ndarray] = []

    def create(self, sizes: list[int], advance: Callable[..., None]) -> None:
        """Take the memory of all panels, each of `sizes` entries; calls advance(entries) after each."""
        for size in sizes:
            self._panels.append(self.device.transfer_buffer(size, self.dtype))
            advance(size)

    def save(self, j: int, panel: Array) -> None:
        """Keep a copy of panel j."""
        self.device.fetch(panel, self._panels[j].reshape(panel.shape))

    def load(self, j: int, entry: int, array: Array) -> None:
        """Overwrite a device array with the entries of panel j from `entry` on."""
        self.device.fill(array, self._panels[j][entry : entry + array.size].reshape(array.shape))

    def remove(self) -> None:
        """Give the memory back."""
        self._panels.clear()

    close = remove
