"""Members of a .zip, .tar or .tar.gz in memory: nothing is ever extracted, a hostile archive is refused whole.

Python's own extraction filters have been bypassed before, so names are only ever compared, and never used as paths.
"""

import gzip
import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import BinaryIO

from kernelfit.common.errors import DataError, IntegrityError, KernelfitError

MAX_MEMBERS = 2_000_000
MAX_BYTES = 64 << 30
# Images and CIFAR batches shrink a few times at most; a bomb grows a thousandfold.
MAX_GROWTH = 200
ALWAYS_ALLOWED = 64 << 20
# what the readers of the standard library raise on damaged input, RuntimeError being a recursion without end
_DAMAGE = (tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, EOFError, ValueError, RuntimeError)


def read_members(path: Path, wanted: Callable[[str], bool]) -> dict[str, bytes | None]:
    """Return {name: content} of the members of an archive whose name satisfies `wanted`; None for a folder.

    Names are of the form "a/b/c". A backslash, with which archives made on Windows may part names, is a "/" too.

    Raises
    ------
    IntegrityError
        If any member, wanted or not, has an absolute path, ".." or a name seen before, is a link or a device; if the
        archive grows beyond all proportion, or is truncated or damaged.
    DataError
        If the file cannot be read, or is encrypted.
    """
    try:
        with open(path, "rb") as file:
            magic = file.read(4)
            file.seek(0)
            if magic in (b"PK\x03\x04", b"PK\x05\x06"):
                return _read_zip(path, file, wanted)
            if magic.startswith(b"\x1f\x8b"):
                with gzip.open(file) as unpacked:
                    return _read_tar(path, unpacked, wanted)
            return _read_tar(path, file, wanted)
    except KernelfitError:
        raise
    except _DAMAGE as error:
        raise IntegrityError(f"{path} is damaged, truncated or no .zip, .tar or .tar.gz: {error}") from error
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error


def check_zip(path: str | Path, file: BinaryIO | Path) -> None:
    """Refuse a hostile zip before any member is unpacked; raises as `read_members`, and zipfile.BadZipFile."""
    guard = _Guard(path)
    with zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)
            guard.admit(info.filename, info.file_size, plain=kind in (0, stat.S_IFREG, stat.S_IFDIR))
            if info.flag_bits & 1:
                raise DataError(f"{path}: {info.filename} is encrypted; pack it again without a password")
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise DataError(f"{path}: {info.filename} is not compressed by deflate; pack it again as a plain zip")


def _read_zip(path, file, wanted):
    check_zip(path, file)
    members = {}
    with zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            name = _normal(info.filename)
            if not name or not wanted(name):
                continue
            if info.filename.endswith(("/", "\\")):
                members[name] = None
                continue
            members[name] = archive.read(info)  # stops at the declared size; the CRC tells if there was more
            _check_size(path, name, len(members[name]), info.file_size)
    return members


def _read_tar(path, file, wanted):
    guard, members = _Guard(path), {}
    stream = _Bounded(path, file, guard.limit)
    with tarfile.TarFile(fileobj=stream, mode="r") as archive:
        while member := archive.next():
            plain = (member.isreg() or member.isdir()) and not member.issparse()
            guard.admit(member.name, member.size, plain=plain)
            name = _normal(member.name)
            if member.isdir() and name and wanted(name):
                members[name] = None
            if member.isreg() and wanted(name):
                members[name] = archive.extractfile(member).read()
                _check_size(path, name, len(members[name]), member.size)
            archive.members.clear()  # tarfile would keep every header it has seen
    if stream.last != bytes(tarfile.BLOCKSIZE):
        # tarfile takes a damaged or missing header after the first for the end
        raise IntegrityError(f"{path} is damaged or truncated: it stops without the zero block that ends a tar file")
    while stream.read(1 << 20):
        pass  # gzip compares its checksum at the very end
    return members


class _Guard:
    """Refuses what no honest archive contains."""

    def __init__(self, path):
        self.path = path
        self.limit = min(MAX_BYTES, max(ALWAYS_ALLOWED, MAX_GROWTH * os.path.getsize(path)))
        self.total = 0
        self.seen = set()

    def admit(self, name, size, plain):
        parts = _parts(name)
        if not name or name.startswith(("/", "\\")) or ".." in parts or PureWindowsPath(name).drive:
            raise IntegrityError(f"{self.path}: member {name!r} points outside of the archive; refused")
        if not plain:
            raise IntegrityError(f"{self.path}: member {name!r} is a link, a device or sparse; refused")
        if parts in self.seen:
            raise IntegrityError(f"{self.path}: member {name!r} occurs twice; refused")
        self.seen.add(parts)
        self.total += size
        if size < 0 or self.total > self.limit or len(self.seen) > MAX_MEMBERS:
            raise IntegrityError(
                f"{self.path}: {len(self.seen):,} members with {self.total:,} bytes or more; the limit for this file "
                f"is {MAX_MEMBERS:,} and {self.limit:,}. A decompression bomb? If not, unpack it and give the folder"
            )


class _Bounded:
    """A stream for tarfile that hands out a bounded number of bytes, and remembers the last block read."""

    def __init__(self, path, file, limit):
        self.path, self.file = path, file
        self.left = 2 * limit  # headers are read too
        self.last = None

    def read(self, size):
        self.left -= max(size, 0)
        if size < 0 or self.left < 0:
            raise IntegrityError(f"{self.path} asks for more bytes than its size allows: a decompression bomb?")
        self.last = self.file.read(size)
        return self.last

    def seek(self, position):
        return self.file.seek(position)

    def tell(self):
        return self.file.tell()


def _parts(name):
    return PurePosixPath(name.replace("\\", "/")).parts


def _normal(name):
    return "/".join(_parts(name))


def _check_size(path, name, found, declared):
    if found != declared:
        raise IntegrityError(f"{path}: member {name!r} holds {found:,} bytes, but its header says {declared:,}")
