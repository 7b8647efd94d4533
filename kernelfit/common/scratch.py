"""A scratch folder: what an unfinished run leaves on disk, so that killed at any moment it can go on.

    kernelfit-<kind>/
        lock           held while a run uses the folder; it goes with the process
        header.json    format, kind, identity: what the files are of. Made after the first of them, removed before all
        <name>.bin     a line of JSON (checksum, shapes, facts), and the bytes of arrays
        .<name>.part   the same in the making, or the space that was taken for it beforehand

Files without a header belong to nothing: they are removed, never used. A file gets its name once it is on the disk.
"""

import contextlib
import errno
import fcntl
import json
import math
import os
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import numpy as np

from kernelfit.common.errors import NotEnoughDiskError, ScratchError
from kernelfit.common.files import atomic_write
from kernelfit.common.quantities import format_bytes

_FORMAT = "kernelfit.scratch/2"
_STEP = 2**26  # bytes read at a time
_LINE = 2**9  # bytes to reserve for a line of JSON
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class ScratchFolder:
    """The files of one unfinished computation; in a block `with`, they are left to a run that goes on.

    Parameters
    ----------
    path : path
        Where `folder`, called "kernelfit-<kind>", is made; nothing else in it is touched.
    kind : str
        What is kept, as in "factor".
    identity : dict
        JSON-ready: what the files are of. Only a run with an equal identity may go on with them.
    resume : bool
        Go on with what is there. Without it, finding something is an error.

    Raises
    ------
    ScratchError
        Another process uses the folder, or it holds something that may not be or cannot be used.
    """

    def __init__(self, path: str | Path, kind: str, identity: dict, *, resume: bool = False) -> None:
        self.folder, self._resume = _folder(path, kind), resume
        self._header = {"format": _FORMAT, "kind": kind, "identity": json.loads(json.dumps(identity))}
        self._lock = _locked(self.folder)
        try:
            found = identity_in(path, kind)
            self._begun = found is not None
            self._check(found) if self._begun else self._discard()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the folder, and leave it for a run that goes on."""
        self._lock.close()

    def remove(self) -> None:
        """Remove the files and, where nothing else is in it, the folder; let go of it."""
        if not self._lock.closed:  # else it may be another run's by now
            with contextlib.suppress(OSError):
                self._discard()
                (self.folder / "lock").unlink()
                self.folder.rmdir()
            self.close()

    def file(self, name: str) -> Path:
        """Return the path of a file; where it exists it is finished."""
        return self.folder / f"{name}.bin"

    def reserve(self, sizes: dict[str, int], what: str, advance: Callable[[int], Any] = lambda size: None) -> None:
        """Take disk space for the bytes of files that are not there yet; calls advance(bytes) after each.

        Raises NotEnoughDiskError, ScratchError; then the folder is closed, and holds what it held before.
        """
        try:
            for name, size in sizes.items():
                if not self.file(name).exists():
                    with open(self._part(name), "ab") as file:
                        _allocate(file, size + _LINE)
                advance(size)
            self._begin()
        except OSError as error:
            failure = self._refused(f"{format_bytes(sum(sizes.values()))} of {what}", error)
            self.close() if self._begun else self.remove()
            raise failure from error

    def put(self, name: str, arrays: dict[str, np.ndarray], facts: Any = None) -> None:
        """Make or replace a file of arrays and JSON-ready facts: a reader finds the old ones or the new ones.

        Raises NotEnoughDiskError, ScratchError.
        """
        pieces, part = [_bytes(array) for array in arrays.values()], self._part(name)
        told = {"name": name, "facts": facts, "arrays": [[key, x.dtype.str, x.shape] for key, x in arrays.items()]}
        line = json.dumps(told | {"crc32": _checksum(told, pieces)}).encode() + b"\n"
        try:
            with open(part, "r+b" if part.exists() else "wb") as file:
                file.writelines([line, *pieces])
                file.truncate()  # it may have been longer
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, self.file(name))
            self._begin()
        except OSError as error:
            raise self._refused(f"{format_bytes(sum(map(len, pieces)))} of {name}", error) from error

    def get(
        self, name: str, *, out: dict[str, np.ndarray] | None = None, advance: Callable[[int], Any] = lambda size: None
    ) -> tuple[dict[str, np.ndarray], Any] | None:
        """Return (arrays, facts) of a file, or None where it is not there; raises ScratchError where it is damaged.

        Fills and returns the contiguous arrays `out`, if given; calls advance(bytes) after each piece that was read.
        """
        if not self.file(name).exists():
            return None
        with self._reading(name) as file:
            told = json.loads(file.readline())
            size = sum(math.prod(shape) * np.dtype(dtype).itemsize for _, dtype, shape in told["arrays"])
            if (told["name"], size) != (name, os.fstat(file.fileno()).st_size - file.tell()):
                raise ValueError  # before memory is taken for it
            arrays = {key: np.empty(shape, dtype) if out is None else out[key] for key, dtype, shape in told["arrays"]}
            pieces = [_bytes(array) for array in arrays.values()]
            for piece in pieces:
                _fill(piece, file, advance)
            if _checksum(told, pieces) != told["crc32"]:
                raise ValueError
        return arrays, told["facts"]

    def read(self, name: str, offset: int, array: np.ndarray) -> None:
        """Fill a contiguous array from the bytes of a file's arrays, from `offset` on; looks at no checksum."""
        with self._reading(name) as file:
            file.seek(len(file.readline()) + offset)
            _fill(_bytes(array), file)

    def _part(self, name):
        return self.folder / f".{name}.part"

    def _begin(self):
        """Write the header, unless it is there: from now on the files are something to go on with."""
        if not self._begun:
            with atomic_write(self.folder / "header.json") as file:
                file.write(json.dumps(self._header).encode())
            self._begun = True

    def _discard(self):
        """Remove all files: the header first, so that a kill in between leaves nothing that seems to be whole."""
        for pattern in ("header.json", "*.bin", ".*.part"):
            for path in self.folder.glob(pattern):
                path.unlink()

    def _check(self, there):
        """Raise ScratchError unless what is there may be gone on with."""
        here = self._header["identity"]
        what = f"{self.folder} holds an unfinished {self._header['kind']}"
        if not self._resume:
            of_n = f" of n = {there['n']}" if "n" in there else ""
            raise ScratchError(
                f"{what}{of_n}. Go on with `resume=True` if it is the same problem, or remove that folder"
            )
        different = [name for name in here | there if here.get(name) != there.get(name)]
        if different:
            pairs = ", ".join(f"{name} {there.get(name)!r} there, {here.get(name)!r} here" for name in different)
            raise ScratchError(
                f"{what} of another problem ({pairs}). Repeat the command that made it, or remove that folder"
            )

    def _refused(self, what, error):
        """Return the error to raise where the disk did not take what was to be written."""
        kept = f"; what was saved is kept{'' if self._resume else ', go on with `resume=True`'}" if self._begun else ""
        again = f"run again, or name another `scratch` folder{kept}"
        if error.errno not in _FULL:
            return ScratchError(f"{self.folder}: {what} cannot be written: {error}. Once that is in order, {again}")
        free = format_bytes(shutil.disk_usage(self.folder).free)
        return NotEnoughDiskError(
            f"{self.folder}: {what} do not fit, {free} are left ({error.strerror}). Free space and {again}"
        )

    @contextlib.contextmanager
    def _reading(self, name):
        """Open a file to read; raises ScratchError for what goes wrong in the block."""
        path, advice = self.file(name), f"Remove {self.folder} and start again"
        try:
            with open(path, "rb") as file:
                yield file
        except OSError as error:
            raise ScratchError(f"{path} cannot be read: {error.strerror}. {advice}") from error
        except (ValueError, KeyError, TypeError):
            raise ScratchError(
                f"{path} is not what was written to it (damaged, truncated, or replaced). {advice}"
            ) from None


def identity_in(path: str | Path, kind: str) -> dict[str, Any] | None:
    """Return the identity of what is unfinished in a scratch folder, or None; raises ScratchError if it is damaged."""
    folder = _folder(path, kind)
    try:
        header = json.loads((folder / "header.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise ScratchError(f"{folder / 'header.json'} is damaged: {error}. Remove {folder} and start again") from error
    match header:
        case {"format": str(form), "kind": str(found), "identity": dict(identity)} if (form, found) == (_FORMAT, kind):
            return identity
    raise ScratchError(
        f"{folder} is no scratch folder of this version of kernelfit. Finish it with the version that wrote it, remove "
        "it, or name another"
    )


def bytes_in(path: str | Path, kind: str) -> int:
    """Return the bytes that the files of a scratch folder take on the disk."""
    return sum(file.stat().st_blocks * 512 for file in _folder(path, kind).glob("*.*"))


def _folder(path, kind):
    return Path(path) / f"kernelfit-{kind}"


def _locked(folder):
    """Return an open file that holds the lock of a folder, made if missing; the lock goes with the process."""
    file, trouble = None, "in use by another process"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = open(folder / "lock", "ab")  # noqa: SIM115 (open as long as the lock is held)
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(file.fileno()), os.stat(folder / "lock")):
            return file
        # else its owner removed the folder meanwhile, and somebody has made another
    except OSError as error:
        if not isinstance(error, BlockingIOError | FileNotFoundError):
            trouble = f"not a folder that can be made, written and locked ({error.strerror})"
    if file:
        file.close()
    raise ScratchError(f"{folder} is {trouble}; wait for it, or name another `scratch` folder")


def _allocate(file, size):
    """Make a file `size` bytes long, with disk space behind every byte where the system can do that."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, size)
    else:
        file.truncate(size)


def _bytes(array):
    """Return the bytes of an array: its own, where it is contiguous."""
    return memoryview(np.ascontiguousarray(array).reshape(-1).view(np.uint8))


def _fill(target, file, advance=lambda size: None):
    """Fill a memoryview from a file; raises ValueError if the file ends before."""
    while target:
        size = file.readinto(target[:_STEP])
        if not size:
            raise ValueError
        advance(size)
        target = target[size:]


def _checksum(told, pieces):
    """Return the CRC-32 of what a line of JSON tells, and of the bytes after it."""
    checksum = zlib.crc32(json.dumps([told["name"], told["facts"], told["arrays"]]).encode())
    for piece in pieces:
        checksum = zlib.crc32(piece, checksum)
    return checksum
