"""The content of a dataset file: read plain or gzip'd, never more than it should hold, checked by SHA-256."""

import gzip
import hashlib
import zlib
from collections.abc import Iterator
from pathlib import Path

from kernelfit.common.errors import DataError, IntegrityError
from kernelfit.datasets.fetch.registry import File

CHUNK = 1 << 20
REMEDY = "; remove it and fetch anew"


def read(path: Path, file: File) -> bytes:
    """Return the verified content of `file` (a registry File) at `path`, as bytes.

    Raises
    ------
    IntegrityError
        If the content is truncated, larger than it should be, or has another hash.
    DataError
        If the file cannot be read.
    """
    content = b"".join(_chunks(path, file))
    _compare(path, file, hashlib.sha256(content).hexdigest(), len(content))
    return content


def check(path: Path, file: File) -> str:
    """Verify the content of `file` at `path` without holding it in memory; return its SHA-256. Raises as `read`."""
    digest, size = hashlib.sha256(), 0
    for chunk in _chunks(path, file):
        digest.update(chunk)
        size += len(chunk)
    _compare(path, file, digest.hexdigest(), size)
    return digest.hexdigest()


def _chunks(path: Path, file: File) -> Iterator[bytes]:
    """Yield the content; stop a file, or a gzip bomb, that holds more than `file.size` at the first chunk too many."""
    size = 0
    try:
        with _open(path, file) as stream:
            while chunk := stream.read(CHUNK):
                size += len(chunk)
                if file.size is not None and size > file.size:
                    raise IntegrityError(f"{path} holds more than the {file.size:,} bytes of {file.name}{REMEDY}")
                yield chunk
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise IntegrityError(f"{path} is a damaged or truncated gzip file ({error}){REMEDY}") from error
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error


def _open(path, file):
    # By the magic number, not by the name: browsers unpack a .gz and keep its name.
    with open(path, "rb") as raw:
        packed = file.gzipped and raw.read(2) == b"\x1f\x8b"
    return gzip.open(path) if packed else open(path, "rb")


def _compare(path: Path, file: File, digest: str, size: int) -> None:
    if file.size is not None and size != file.size:
        raise IntegrityError(
            f"{path} holds {size:,} bytes where {file.name} has {file.size:,}: a truncated copy or another file{REMEDY}"
        )
    if file.sha256 is not None and digest != file.sha256:
        raise IntegrityError(
            f"{path} is not {file.name}: the SHA-256 of its content is {digest}, expected {file.sha256}: "
            f"damaged or another version{REMEDY}"
        )
