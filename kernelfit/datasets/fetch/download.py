"""Download one file from one address: resumed where it broke off, and in place only when whole and verified."""

import contextlib
import os
from pathlib import Path

from kernelfit.common.errors import IntegrityError, KernelfitError
from kernelfit.common.files import sha256
from kernelfit.common.progress import Progress
from kernelfit.datasets.fetch import content
from kernelfit.datasets.fetch.registry import File

ATTEMPTS = 5  # broken connections in a row to one address, each of which brought some bytes
TIMEOUT = 30.0  # seconds without a byte
CHUNK = 1 << 16


class DownloadError(KernelfitError, OSError):
    """One address did not deliver the file; the message is the reason."""


def download(url: str, file: File, folder: Path, progress: Progress) -> Path:
    """Fetch `file` (a registry File) from `url` into `folder`; return its path.

    Bytes gather in a hidden .part file, which survives an interruption, belongs to this address alone (mirrors
    compress differently) and takes the name of the data only after the SHA-256 of its content was checked.

    Raises
    ------
    DownloadError
        If the address cannot be reached, breaks off, or serves other content.
    """
    from http.client import HTTPException

    target = folder / file.remote
    part = folder / f".{file.remote}.{sha256(url.encode())[:8]}.part"
    last: Exception | None = None
    for _ in range(ATTEMPTS):
        before = _size(part)
        try:
            _transfer(url, file, part, progress)
        except DownloadError:
            raise
        except (OSError, HTTPException) as error:
            if _size(part) > before:
                last = error
                continue  # it brought something: ask for the rest
            raise DownloadError(str(error) or type(error).__name__) from error
        try:
            content.check(part, file)
        except IntegrityError as error:
            part.unlink()
            if before:
                last = error
                continue  # the bytes from an earlier run may be of another version: begin anew
            reason = str(error).replace(str(part), "what it serves").removesuffix(content.REMEDY)
            raise DownloadError(reason) from error
        os.replace(part, target)
        return target
    raise DownloadError(f"gave up after {ATTEMPTS} attempts ({last}); run again to go on from {_size(part):,} bytes")


def _transfer(url, file, part, progress):
    """Append to `part` what the server still has; raise OSError where it stops early."""
    import fcntl
    import urllib.error
    import urllib.request
    from http import HTTPStatus

    start = _size(part)
    headers = {"User-Agent": "kernelfit", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    try:
        response = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and start:
            return  # nothing is left to send; the hash decides whether the part is the whole
        raise
    with response:
        resumed = response.status == HTTPStatus.PARTIAL_CONTENT
        if not (resumed and response.headers.get("Content-Range", "").startswith(f"bytes {start}-")):
            start = 0  # the server ignored the range and sends the whole file
        length = response.headers.get("Content-Length", "")
        remaining = int(length) if length.isdigit() else None
        # gzip adds less than 0.1 % and a header to what it cannot compress
        limit = file.size + file.size // 1000 + 4096
        part.parent.mkdir(parents=True, exist_ok=True)
        with open(part, "ab") as out, progress.phase(f"downloading {file.remote}", remaining or limit) as advance:
            try:
                fcntl.flock(out, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise DownloadError(f"another process is downloading it (lock on {part})") from None
            out.truncate(start)
            received = 0
            while chunk := response.read1(CHUNK):
                received += len(chunk)
                if start + received > limit:
                    part.unlink()
                    raise DownloadError(f"it sends more than the {limit:,} bytes that {file.remote} can have")
                out.write(chunk)
                advance(len(chunk))
            out.flush()
            os.fsync(out.fileno())
    if remaining is not None and received < remaining:
        raise OSError(f"the connection closed after {received:,} of {remaining:,} bytes")


def _size(path: Path) -> int:
    with contextlib.suppress(FileNotFoundError):
        return path.stat().st_size
    return 0
