"""Files that are whole or absent: atomic writes, content hashes, appended JSON lines, folders with a lock."""

import contextlib
import fcntl
import hashlib
import os
import secrets
from pathlib import Path

from kernelfit.errors import ScratchError


@contextlib.contextmanager
def atomic_write(path):
    """Open a temporary binary file beside `path`; it becomes `path` only if the block ends without an error.

    The content reaches the disk (fsync) before the name does, so a crash leaves the old file or the new one.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.part")
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def append_line(path, line):
    """Append one line of text to `path`, on a line of its own even after a torn write or beside other writers."""
    if "\n" in line:
        raise ValueError("append_line takes one line, without a newline in it")
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # released when the file is closed
        size = file.seek(0, os.SEEK_END)
        torn = size > 0 and os.pread(file.fileno(), 1, size - 1) != b"\n"
        file.write(b"\n" * torn + line.encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def sha256(data):
    """Hex SHA-256 of bytes, of anything with a contiguous buffer, or of the content of a binary file object."""
    if hasattr(data, "read"):
        return hashlib.file_digest(data, "sha256").hexdigest()
    return hashlib.sha256(data).hexdigest()


def locked_folder(folder):
    """Return an open file that holds the lock of a scratch folder, made if missing; the lock goes with the process.

    Raises ScratchError if the folder cannot be made, or another process holds its lock.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = open(folder / "lock", "ab")  # noqa: SIM115 (open as long as the lock is held)
    except OSError as error:
        raise ScratchError(f"{folder} cannot be made or written: {error.strerror}. Name another --scratch") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(file.fileno()), os.stat(folder / "lock")):
            return file
        busy = True  # its owner removed the folder meanwhile, and somebody has made another
    except OSError as error:
        busy = isinstance(error, BlockingIOError | FileNotFoundError)
        reason = error.strerror
    file.close()
    raise ScratchError(
        f"{folder} is in use by another process; wait for it, or name another --scratch"
        if busy
        else f"{folder} cannot be locked: {reason}. Name another --scratch"
    )
