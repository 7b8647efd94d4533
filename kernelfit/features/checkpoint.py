"""Arrays that grow for hours, kept in a folder: each file is the old state of its array or the new one, never between.

Each array is a file with the number of steps that it holds and a checksum. After a kill while some were being replaced
they hold different numbers of steps; whoever goes on brings each up from its own.
"""

import contextlib
import errno
import json
import shutil
import struct
import zlib
from pathlib import Path

import numpy as np

from kernelfit.common.errors import NotEnoughDiskError, ScratchError
from kernelfit.common.files import atomic_write, locked_folder, sha256
from kernelfit.common.progress import Progress
from kernelfit.common.quantities import format_bytes

FOLDER = "kernelfit-products"
_FORMAT = "kernelfit.products/1"
_HEAD = struct.Struct("<qq")  # steps, CRC-32 of the entries
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Checkpoint:
    """A folder of arrays that belong to one problem; without a folder, nothing is kept.

    Parameters
    ----------
    folder : path or None
        Where folders "kernelfit-products-..." are made, one for each identity.
    identity : dict
        JSON-ready: what the arrays depend on. Another identity is another folder.
    device : device
        Where the arrays live.
    """

    def __init__(self, folder, identity, device, progress):
        self.folder, self.device, self.progress = _folder(folder, identity), device, progress
        self._identity = identity

    @classmethod
    @contextlib.contextmanager
    def open(cls, folder, identity, device, *, progress=None):
        """Hold the folder's lock for a block `with`; yields the Checkpoint."""
        made = cls(folder, identity, device, progress or Progress())
        if folder is None:
            yield made
            return
        with locked_folder(made.folder):
            for torn in made.folder.glob(".*.part"):  # of a run that was killed while it wrote
                torn.unlink()
            yield made

    @staticmethod
    def exists(folder, identity):
        """Return whether there is something of this identity in the folder."""
        return folder is not None and (_folder(folder, identity) / "identity.json").exists()

    def load(self, arrays):
        """Fill the arrays with what the folder holds of them; return how many steps each holds, 0 if it is not there.

        Raises
        ------
        ScratchError
            A file is not what was written to it.
        NotEnoughDiskError
            The arrays will not fit beside what is there.
        """
        if self.folder is None:
            return [0] * len(arrays)
        total = sum(array.nbytes for array in arrays)
        there = sum(path.stat().st_size for path in self.folder.glob("panel-*.bin"))
        # One file more while it is replaced.
        if shutil.disk_usage(self.folder).free < total - there + max(array.nbytes for array in arrays):
            raise self._full(total)
        to_read = sum(array.nbytes for j, array in enumerate(arrays) if self._path(j).exists())
        with self.progress.phase("verify", to_read) as advance:
            steps = [self._read(j, array, advance) for j, array in enumerate(arrays)]
        if any(steps):
            self.progress.note(f"going on with the inner products in {self.folder}: {min(steps)} blocks of filters")
        return steps

    def save(self, arrays, steps):
        """Replace the files of all arrays; steps[j] is how many steps array j holds."""
        if self.folder is None:
            return
        try:
            with atomic_write(self.folder / "identity.json") as file:
                file.write(_text(self._identity))
            for j, (array, count) in enumerate(zip(arrays, steps, strict=True)):
                flat = np.ascontiguousarray(self.device.host(array)).reshape(-1).view(np.uint8)
                with atomic_write(self._path(j)) as file:
                    file.write(_HEAD.pack(count, zlib.crc32(flat)))
                    file.write(flat)
        except OSError as error:
            if error.errno not in _FULL:
                raise ScratchError(f"{self.folder} cannot be written: {error}") from error
            raise self._full(sum(array.nbytes for array in arrays)) from error

    def _full(self, total):
        return NotEnoughDiskError(
            f"{self.folder}: {format_bytes(total)} of inner products do not fit, "
            f"{format_bytes(shutil.disk_usage(self.folder).free)} are left. Free space and repeat the command: it goes "
            "on with what is there; or name another --scratch folder"
        )

    def _read(self, j, array, advance):
        path = self._path(j)
        try:
            with open(path, "rb", buffering=0) as file:
                head = file.read(_HEAD.size)
                host = array if isinstance(array, np.ndarray) else np.empty(array.shape, array.dtype)
                target, done = memoryview(host.reshape(-1).view(np.uint8)), 0
                while done < len(target) and (read := file.readinto(target[done : done + 2**26])):
                    done += read
                    advance(read)
                whole = len(head) == _HEAD.size and done == len(target) and not file.read(1)
        except FileNotFoundError:
            return 0
        except OSError as error:
            raise ScratchError(
                f"{path} cannot be read: {error.strerror}. Remove {self.folder} and start again"
            ) from error
        steps, checksum = _HEAD.unpack(head) if whole else (0, None)
        if not whole or zlib.crc32(target) != checksum or steps < 0:
            raise ScratchError(
                f"{path} is not what was written to it (damaged, truncated, or replaced). Remove {self.folder} and "
                "start again"
            )
        if host is not array:
            self.device.synchronize()  # `fill` copies beside whatever else the device does, here with new arrays
            self.device.fill(array, host)
        return steps

    def _path(self, j):
        return self.folder / f"panel-{j:05d}.bin"


def _text(identity):
    return json.dumps({"format": _FORMAT} | identity, sort_keys=True).encode()


def _folder(folder, identity):
    return None if folder is None else Path(folder) / f"{FOLDER}-{sha256(_text(identity))[:16]}"
