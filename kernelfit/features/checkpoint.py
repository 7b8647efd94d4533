"""Arrays that grow for hours, kept in a scratch folder: each file is the old state of its array or the new one.

Each holds the number of steps that are in it. After a kill while some were being replaced they differ; whoever goes on
brings each up from its own.
"""

import contextlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

import numpy as np

from kernelfit import backend
from kernelfit.common.files import sha256
from kernelfit.common.progress import Progress
from kernelfit.common.scratch import ScratchFolder, identity_in


class Checkpoint:
    """Arrays of a device that belong to one problem, in a ScratchFolder; without one, nothing is kept."""

    def __init__(self, files: ScratchFolder | None, device: backend.Device, progress: Progress) -> None:
        self._files, self._device, self._progress = files, device, progress

    @classmethod
    @contextlib.contextmanager
    def open(
        cls, path: str | Path | None, identity: dict, device: backend.Device, *, progress: Progress | None = None
    ) -> Iterator[Self]:
        """Hold the folder "kernelfit-products-..." of an identity for a block `with`; yields the Checkpoint."""
        held = contextlib.nullcontext() if path is None else ScratchFolder(path, _kind(identity), identity, resume=True)
        with held as files:
            yield cls(files, device, progress or Progress())

    @staticmethod
    def exists(path: str | Path | None, identity: dict) -> bool:
        """Return whether there is something of this identity."""
        return path is not None and identity_in(path, _kind(identity)) is not None

    def load(self, arrays: Sequence) -> list[int]:
        """Fill the arrays with what there is of them; return how many steps each holds, 0 if it is not there.

        Takes the disk space of those that are not there. Raises ScratchError, NotEnoughDiskError.
        """
        if self._files is None:
            return [0] * len(arrays)
        there = sum(array.nbytes for j, array in enumerate(arrays) if self._files.file(_name(j)).exists())
        with self._progress.phase("verify", there) as advance:
            steps = [self._read(j, array, advance) for j, array in enumerate(arrays)]
        self._files.reserve({_name(j): array.nbytes for j, array in enumerate(arrays)}, "inner products")
        if any(steps):
            folder = self._files.folder
            self._progress.note(f"going on with the inner products in {folder}: {min(steps)} blocks of filters")
        return steps

    def save(self, arrays: Sequence, steps: Sequence[int]) -> None:
        """Replace all arrays; steps[j] is how many steps array j holds. Raises ScratchError, NotEnoughDiskError."""
        if self._files is not None:
            for j, (array, count) in enumerate(zip(arrays, steps, strict=True)):
                self._files.put(_name(j), {"products": self._device.host(array)}, count)

    def _read(self, j, array, advance):
        host = array if isinstance(array, np.ndarray) else np.empty(array.shape, array.dtype)
        found = self._files.get(_name(j), out={"products": host}, advance=advance)
        if found and host is not array:
            self._device.synchronize()  # `fill` copies beside whatever else the device does, here with new arrays
            self._device.fill(array, host)
        return found[1] if found else 0


def _kind(identity):
    return f"products-{sha256(json.dumps(identity, sort_keys=True).encode())[:16]}"


def _name(j):
    return f"panel-{j:05d}"
