"""Panels of a factor as files in a scratch folder: killed at any moment, a run goes on where it was.

A run that resumes checks all that it finds before it uses any of it.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from kernelfit import backend
from kernelfit.backend.device import Array
from kernelfit.common.progress import Progress
from kernelfit.common.scratch import ScratchFolder, bytes_in, identity_in
from kernelfit.common.spans import spans


class Scratch(ScratchFolder):
    """The store of OutOfCorePanels on disk.

    Parameters
    ----------
    path, identity, resume
        See ScratchFolder; the identity has n, width and dtype.
    device : device
        Where arrays to fill live.

    Attributes
    ----------
    finished : int
        Leading panels that are there, and are what was written.
    """

    device: backend.Device
    finished: int

    def __init__(
        self,
        path: str | Path,
        identity: dict,
        device: backend.Device,
        *,
        resume: bool = False,
        progress: Progress | None = None,
    ):
        super().__init__(path, "factor", identity, resume=resume)
        self.device, self.dtype = device, np.dtype(identity["dtype"])
        self._buffer = None  # only one thread loads
        try:
            self.finished = self._verified(identity["n"], identity["width"], progress or Progress())
        except BaseException:
            self.close()
            raise

    def create(self, sizes: list[int], advance: Callable[[int], Any]) -> None:
        """Take the disk space of all panels, each of `sizes` entries; calls advance(entries) after each."""
        size_of = {_name(j): size * self.dtype.itemsize for j, size in enumerate(sizes)}
        self.reserve(size_of, "panels", lambda size: advance(size // self.dtype.itemsize))

    def save(self, j: int, panel: Array) -> None:
        """Write panel j."""
        self.put(_name(j), {"panel": self.device.host(panel)})

    def load(self, j: int, entry: int, array: Array) -> None:
        """Overwrite a device array with the entries of panel j from `entry` on."""
        host = array if isinstance(array, np.ndarray) else self._transfer(array.size)
        self.read(_name(j), entry * self.dtype.itemsize, host)
        if host is not array:
            self.device.fill(array, host.reshape(array.shape))

    def _transfer(self, count):
        if self._buffer is None or self._buffer.size < count:
            self._buffer = self.device.transfer_buffer(count, self.dtype)
        return self._buffer[:count]

    def _verified(self, n, width, progress):
        """Return how many leading panels are there; raises ScratchError for one that is not what was written."""
        bounds = spans(0, n, width)
        finished = next((j for j in range(len(bounds)) if not self.file(_name(j)).exists()), len(bounds))
        entries = sum((n - start) * (stop - start) for start, stop in bounds[:finished])
        with progress.phase("verify", entries * self.dtype.itemsize) as advance:
            for j in range(finished):
                self.get(_name(j), advance=advance)  # takes the memory of one panel; the run will take that of two
        return finished


def unfinished(folder: str | Path) -> dict[str, Any] | None:
    """Return the identity of the unfinished factor in a scratch folder, or None."""
    return identity_in(folder, "factor")


def bytes_taken(folder: str | Path) -> int:
    """Return the bytes on disk of the unfinished factor in a scratch folder."""
    return bytes_in(folder, "factor")


def _name(j):
    return f"panel-{j:05d}"
