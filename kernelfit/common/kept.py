"""What a process keeps in a folder for the next one: it is read back whole, and written by this user, or not at all."""

import contextlib
import os
import stat
from pathlib import Path

from kernelfit.common.files import atomic_write, sha256

_LARGEST = 2**26  # bytes of a file that is read: far more than anything kept


def recall(folder: Path, key: str) -> bytes | None:
    """Return what `keep` put into the folder under a key; None where there is nothing, or nothing to be trusted.

    Trusted is what cannot come from somebody else: a file of this user in a folder of this user, neither a link, into
    which no other user may write; and of it what has the checksum that was written with it. So a file that was damaged,
    cut off, or renamed from another key is nothing.
    """
    with contextlib.suppress(OSError), contextlib.ExitStack() as closing:
        where = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        closing.callback(os.close, where)
        # O_NONBLOCK: opening a named pipe would wait for a writer.
        file = os.open(key, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=where)
        closing.callback(os.close, file)
        status = os.fstat(file)
        if not _own(os.fstat(where)) or not _own(status) or not stat.S_ISREG(status.st_mode):
            return None
        with open(file, "rb", closefd=False) as stream:
            checksum, _, content = stream.read(_LARGEST).partition(b"\n")
        if checksum.decode(errors="replace") == _checksum(key, content):
            return content
    return None


def keep(folder: Path, key: str, content: bytes) -> None:
    """Put a content into a folder, made where there is none, under a key that is a file name.

    A reader sees all of it or nothing, whoever else writes at the same time and whenever a writer is killed. Where the
    folder cannot be written to, nothing is kept.
    """
    with contextlib.suppress(OSError):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _own(os.lstat(folder)):
            return
        with atomic_write(folder / key) as file:
            os.fchmod(file.fileno(), 0o600)  # whatever the umask: what others may write to is not trusted
            file.write(_checksum(key, content).encode() + b"\n" + content)


def _own(status):
    return status.st_uid == os.geteuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _checksum(key, content):
    return sha256(key.encode() + b"\n" + content)
