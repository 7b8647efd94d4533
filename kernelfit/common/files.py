"""Files that are whole or absent: atomic writes, content hashes, appended lines; where home is."""

import contextlib
import fcntl
import hashlib
import os
import secrets
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from kernelfit.common.errors import InputError

T = TypeVar("T")


def expanded(path: str | Path) -> Path:
    """Return a Path in which a leading ~ or ~name is the home folder of a person.

    Raises InputError where that folder is not known: there is no such person, or neither $HOME nor an entry for the
    user in the list of users.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        first = Path(path).parts[0]
        raise InputError(
            f"{path}: the home folder that {first} stands for is not known (is the name mistyped, or $HOME not set?); "
            "write the path from / on"
        ) from error


def user_cache() -> Path | None:
    """Return the folder for what kernelfit keeps of this user, made or not.

    $KERNELFIT_CACHE, else kernelfit/ in the cache folder that the system gives a user. None where $KERNELFIT_CACHE is
    "off", or no home folder is known.
    """
    own = os.environ.get("KERNELFIT_CACHE", "")
    if own:
        return None if own == "off" else expanded(own).absolute()
    given = os.environ.get("XDG_CACHE_HOME", "")
    # the XDG specification: a relative path is invalid and must be ignored
    if os.path.isabs(given) and sys.platform != "darwin":
        return Path(given) / "kernelfit"
    try:
        home = Path.home()
    except RuntimeError:  # no $HOME, and a user without an entry in the list of users
        return None
    return home / ("Library/Caches" if sys.platform == "darwin" else ".cache") / "kernelfit"


def encoded(text: str) -> bytes:
    """Return UTF-8 of a text; what UTF-8 cannot hold, such as a byte of a file name in another code, as \\udcff."""
    return text.encode("utf-8", "backslashreplace")


@contextlib.contextmanager
def _naming(path):
    """Name the file in an OSError that does not, such as that of a full disk."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None:
            error.filename = str(path)
        raise


@contextlib.contextmanager
def atomic_write(path: str | Path) -> Iterator[BinaryIO]:
    """Open a temporary binary file beside `path`; it becomes `path` only if the block ends without an error.

    The content reaches the disk (fsync) before the name does, so a crash leaves the old file or the new one. A link is
    followed. What is there and is no file, such as /dev/stdout or a named pipe, is written to as it is, never replaced;
    a folder is an InputError.
    """
    path = Path(os.path.realpath(path))
    if path.is_dir():
        raise InputError(f"{path} is a folder; name a file")
    if path.exists() and not path.is_file():
        with open(path, "wb") as file:
            yield file
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.part")
    try:
        with _naming(path), open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def write_text(path: str | Path, text: str) -> str | Path:
    """Write a text to `path`, whole or not at all; return the path."""
    with atomic_write(path) as file:
        file.write(encoded(text))
    return path


def append_lines(path: str | Path, *lines: str) -> Path:
    """Append lines of text to `path`: all of them or, where the disk is full, none; return the path.

    They start on a line of their own even after a torn write, and other writers wait.
    """
    if any("\n" in line for line in lines):
        raise ValueError("append_lines takes texts of one line, without a newline in them")
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with _naming(path), open(path, "a+b", buffering=0) as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # released when the file is closed
        size = file.seek(0, os.SEEK_END)
        torn = size > 0 and os.pread(file.fileno(), 1, size - 1) != b"\n"
        content = memoryview(b"\n" * torn + b"".join(encoded(line) + b"\n" for line in lines))
        try:
            while content:
                content = content[file.write(content) :]
            os.fsync(file.fileno())
        except BaseException:
            os.ftruncate(file.fileno(), size)
            raise
    return path


def remove_if_empty(folder: str | Path) -> None:
    """Remove a folder where that can be; what is not empty stays."""
    with contextlib.suppress(OSError):
        Path(folder).rmdir()


def written(value: T, write: Callable[..., Any], *arguments: Any) -> Iterator[T]:
    """Call write(*arguments), then yield `value`; where it raises OSError, yield the value first and raise after it.

    For what took long to compute: a disk that is full must not lose it for those who wait for it.
    """
    failure = None
    try:
        write(*arguments)
    except OSError as error:
        failure = error
    yield value
    if failure:
        raise failure


def sha256(data: Any) -> str:
    """Hex SHA-256 of bytes, of anything with a contiguous buffer, or of the content of a binary file object."""
    if hasattr(data, "read"):
        return hashlib.file_digest(data, "sha256").hexdigest()
    return hashlib.sha256(data).hexdigest()
