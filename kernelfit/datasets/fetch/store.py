"""Named datasets on this machine: find them, fetch what is missing, verify what is there."""

import contextlib
import dataclasses
from pathlib import Path

from kernelfit.common.errors import DataError, DataNotFoundError
from kernelfit.common.progress import Progress
from kernelfit.datasets.fetch import content, search
from kernelfit.datasets.fetch.download import DownloadError, download
from kernelfit.datasets.fetch.registry import Entry, File, Form, find_entry


@dataclasses.dataclass(frozen=True)
class Check:
    """What `verify` found out about one file.

    Attributes
    ----------
    name : str
        The file.
    path : Path or None
        Where it lies; None if it is nowhere.
    ok : bool
        It is there, and nothing about it is wrong.
    verdict : str
        "SHA-256 matches", "size matches, no hash is published", "missing", or what is wrong with it.
    """

    name: str
    path: Path | None
    ok: bool
    verdict: str


def fetch(name: str, *, data_dir: str | Path | None = None, progress: Progress | None = None) -> Path | None:
    """Return the folder with the verified files of the dataset `name`; download them if they are nowhere.

    Returns None for datasets that need no file (digits, synthetic).

    Raises
    ------
    InputError
        If there is no such dataset, or `data_dir` is not a folder.
    IntegrityError
        If a file on disk is not what it should be. It is left as it is.
    DataNotFoundError
        If files are missing and no mirror delivers them.
    """
    entry = find_entry(name)
    if not entry.forms:
        return None
    folder, form = obtain(entry, data_dir, progress or Progress())
    for file in form.files:
        content.check(search.present(file, folder), file)
    return folder


def obtain(entry: Entry, data_dir: str | Path | None, progress: Progress) -> tuple[Path, Form]:
    """Return (folder, form) of a complete copy of `entry`, downloaded if need be; the reader verifies it."""
    found = search.locate(entry, data_dir)
    if found:
        return found
    folder = search.download_folder(entry, data_dir)
    for file in entry.files:
        if not search.path_of(file, folder):
            _download(entry, file, folder, data_dir, progress)
    return folder, entry.forms[0]


def verify(name: str, *, data_dir: str | Path | None = None) -> list[Check]:
    """Check every file of the dataset `name` in every folder of the search; return a list of Check.

    Without any file, the list names those that are missing. It is empty for datasets that need no file.

    Raises
    ------
    InputError
        If there is no such dataset, or `data_dir` is not a folder.
    """
    entry = find_entry(name)
    checks = []
    for folder in search.candidates(entry, data_dir):
        for form in entry.forms:
            found = {file: search.path_of(file, folder) for file in form.files}
            if any(found.values()):
                checks += [_check(file, path) for file, path in found.items()]
    return checks or [_check(file, None) for file in entry.files]


def _check(file: File, path: Path | None) -> Check:
    if path is None:
        return Check(file.name, None, False, "missing")
    try:
        content.check(path, file)
    except DataError as error:
        return Check(file.name, path, False, str(error))
    known = "SHA-256 matches" if file.sha256 else "size matches, no hash is published" if file.size else "no hash known"
    return Check(file.name, path, True, known)


def _download(entry, file, folder, data_dir, progress):
    reasons = []
    for mirror in entry.mirrors:
        url = mirror + file.remote
        progress.note(f"downloading {url} to {folder}")
        try:
            download(url, file, folder, progress)
            return
        except DownloadError as error:
            reasons.append(f"  {url}: {error}")
            progress.note(f"{url}: {error}")
    with contextlib.suppress(OSError):
        folder.rmdir()  # leaves nothing behind where nothing arrived
    raise DataNotFoundError(_not_found(entry, folder, data_dir, reasons))


def _not_found(entry, folder, data_dir, reasons):
    missing = [file.remote for file in entry.files if not search.path_of(file, folder)]
    return "\n".join(
        [
            f"{entry.name} is not on this machine and could not be downloaded.",
            f"Missing: {', '.join(missing)}",
            "Searched:",
            *(f"  {place}" for place in search.candidates(entry, data_dir)),
            "Tried:",
            *reasons,
            f"Put the files into {folder} by hand, or into any folder given by `data_dir` or $KERNELFIT_DATA.",
            "The dataset 'digits' is embedded: it needs no file and no network.",
        ]
    )
