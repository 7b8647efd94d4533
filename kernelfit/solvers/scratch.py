"""Panels of a factor as files in a scratch folder, with a journal: killed at any moment, a run goes on where it was.

A panel counts as finished when its line is in the journal; the line is written after the panel has reached the disk,
and holds its checksum. A run that resumes checks all that it finds before it uses any of it. Files without a header
belong to nothing: they are removed, never used.
"""

import contextlib
import errno
import json
import os
import shutil
import zlib
from pathlib import Path

import numpy as np

from kernelfit.common.errors import NotEnoughDiskError, ScratchError
from kernelfit.common.files import append_lines, atomic_write, locked_folder
from kernelfit.solvers.panels import panel_bounds

FOLDER = "kernelfit-factor"
_FORMAT = "kernelfit.scratch/1"
_STEP = 2**26  # bytes read at a time to verify
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Scratch:
    """The store of OutOfCorePanels on disk.

    Parameters
    ----------
    folder : path
        Where a folder "kernelfit-factor" is made, and removed in the end; nothing else in it is touched.
    identity : dict
        What the factor is of: only a run with an equal identity may go on with these files.
    resume : bool
        Go on with an unfinished factor of the same identity if there is one. Without it, finding one is an error.
    device : device
        Where arrays to fill live.

    Raises
    ------
    ScratchError
        Another process uses the folder, or it holds an unfinished factor that may not be or cannot be used.
    """

    def __init__(self, folder, identity, device, *, resume=False, progress=None):
        self.folder = Path(folder) / FOLDER
        self.identity = {"format": _FORMAT} | identity
        self.device = device
        self.dtype = np.dtype(identity["dtype"])
        self.finished = 0
        self._buffer = None  # only one thread loads
        self._lock = locked_folder(self.folder)
        try:
            found = _header(self.folder)
            if found is not None and not resume:
                raise ScratchError(
                    f"{self.folder} holds the unfinished factor of n = {found.get('n')}. Go on with --resume if it is "
                    f"the same problem, or remove that folder"
                )
            if found is not None:
                self._check_identity(found)
                self.finished = self._verified(progress)
            else:
                self._discard()
        except BaseException:
            self.close()
            raise

    def create(self, sizes, advance):
        """Take the disk space of all panels, each of `sizes` entries; calls advance(entries) after each."""
        try:
            with atomic_write(self.folder / "header.json") as file:
                file.write(json.dumps(self.identity).encode())
            for j, size in enumerate(sizes):
                with open(self._path(j), "ab") as file:
                    _reserve(file, size * self.dtype.itemsize)
                advance(size)
        except OSError as error:
            free = shutil.disk_usage(self.folder).free
            self.close() if self.finished else self.remove()
            if error.errno not in _FULL:
                raise ScratchError(f"{self.folder} cannot be written: {error}") from error
            raise NotEnoughDiskError(
                f"{self.folder}: {sum(sizes) * self.dtype.itemsize / 1e9:.1f} GB of panels do not fit, "
                f"{free / 1e9:.1f} GB were left ({error.strerror}). Free space, or name another --scratch folder"
            ) from error

    def save(self, j, panel):
        """Write panel j, and its line in the journal once it is on the disk."""
        flat = self.device.host(panel).reshape(-1).view(np.uint8)
        try:
            with open(self._path(j), "r+b") as file:
                file.write(flat)
                file.flush()
                os.fsync(file.fileno())
            append_lines(self._journal, json.dumps({"panel": j, "crc32": zlib.crc32(flat)}))
        except OSError as error:
            raise ScratchError(
                f"{self._path(j)}: {error.strerror}; {j} panels are safe, go on with --resume once the disk is in order"
            ) from error

    def load(self, j, entry, array):
        """Overwrite a device array with the entries of panel j from `entry` on."""
        host = array if isinstance(array, np.ndarray) else self._transfer(array.size)
        target = memoryview(host.reshape(-1).view(np.uint8))
        try:
            with open(self._path(j), "rb", buffering=0) as file:
                file.seek(entry * self.dtype.itemsize)
                while target and (read := file.readinto(target)):
                    target = target[read:]
        except OSError as error:
            raise ScratchError(f"{self._path(j)} cannot be read: {error.strerror}") from error
        if target:
            raise ScratchError(f"{self._path(j)} is shorter than the panel that was written to it")
        if host is not array:
            self.device.fill(array, host.reshape(array.shape))

    def _transfer(self, count):
        if self._buffer is None or self._buffer.size < count:
            self._buffer = self.device.transfer_buffer(count, self.dtype)
        return self._buffer[:count]

    def remove(self):
        """Remove the folder and let go of it."""
        if not self._lock.closed:  # else it may be another run's by now
            with contextlib.suppress(OSError):
                self._discard()
            shutil.rmtree(self.folder, ignore_errors=True)
            self.close()

    def close(self):
        """Let go of the folder, and leave it for a run that resumes."""
        self._lock.close()

    def _discard(self):
        """Remove the factor: its header first, so that a kill in between leaves nothing that seems to be one."""
        for path in (self.folder / "header.json", self._journal, *self.folder.glob("panel-*.bin")):
            path.unlink(missing_ok=True)

    @property
    def _journal(self):
        return self.folder / "journal.jsonl"

    def _path(self, j):
        return self.folder / f"panel-{j:05d}.bin"

    def _check_identity(self, found):
        different = [name for name in self.identity | found if self.identity.get(name) != found.get(name)]
        if different:
            pairs = ", ".join(
                f"{name} {found.get(name)!r} there, {self.identity.get(name)!r} here" for name in different
            )
            raise ScratchError(
                f"{self.folder} holds the unfinished factor of another problem ({pairs}). Repeat the command that made "
                "it, or remove that folder"
            )

    def _verified(self, progress):
        """Return how many leading panels are whole; raises ScratchError for one that should be and is not."""
        checksums = _journal_checksums(self._journal)
        n, width = self.identity["n"], self.identity["width"]
        sizes = [(n - start) * (stop - start) * self.dtype.itemsize for start, stop in panel_bounds(n, width)]
        finished = next((j for j in range(len(sizes)) if j not in checksums), len(sizes))
        total = sum(sizes[:finished])
        with progress.phase("verify", total) if progress else contextlib.nullcontext(lambda amount: None) as advance:
            for j in range(finished):
                try:
                    size, checksum = _checksum(self._path(j), sizes[j], advance)
                except OSError as error:
                    raise ScratchError(
                        f"{self._path(j)} cannot be read: {error.strerror}. Remove {self.folder} and start again"
                    ) from error
                if (size, checksum) != (sizes[j], checksums[j]):
                    raise ScratchError(
                        f"{self._path(j)} is not the panel that was written to it (damaged, truncated, or replaced). "
                        f"Remove {self.folder} and start again"
                    )
        return finished


def unfinished(folder):
    """Return the identity of the unfinished factor in a scratch folder, or None."""
    return _header(Path(folder) / FOLDER)


def bytes_taken(folder):
    """Return the bytes on disk of the unfinished factor in a scratch folder."""
    return sum(path.stat().st_blocks * 512 for path in (Path(folder) / FOLDER).glob("panel-*.bin"))


def _reserve(file, size):
    """Make a file `size` bytes long, with disk space behind every byte where the system can do that."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, size)
    else:
        file.truncate(size)


def _header(folder):
    try:
        with open(folder / "header.json", encoding="utf-8") as file:
            found = json.load(file)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError as error:
        raise ScratchError(f"{folder / 'header.json'} is damaged: {error}. Remove {folder} and start again") from error
    if not isinstance(found, dict) or found.get("format") != _FORMAT or not found.keys() >= {"n", "width", "dtype"}:
        raise ScratchError(f"{folder} is no scratch folder of this version of kernelfit; remove it, or name another")
    return found


def _journal_checksums(path):
    """Return the checksums of finished panels, the last of each; a torn line is a panel that was not finished."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    except FileNotFoundError:
        return {}
    checksums = {}
    for line in lines:
        with contextlib.suppress(ValueError, TypeError, KeyError):
            entry = json.loads(line)
            checksums[entry["panel"]] = entry["crc32"]
    return checksums


def _checksum(path, size, advance):
    """Return how many bytes a file has (at most `size`), and their CRC-32."""
    checksum, done = 0, 0
    with open(path, "rb") as file:
        while done < size and (piece := file.read(min(_STEP, size - done))):
            checksum, done = zlib.crc32(piece, checksum), done + len(piece)
            advance(len(piece))
    return done, checksum
