"""Where datasets are looked for, in which order, and where a download goes."""

import os
from pathlib import Path

from kernelfit.common.errors import DataNotFoundError, InputError
from kernelfit.common.files import expanded, user_cache
from kernelfit.datasets.fetch.registry import Entry, File, Form


def folders(data_dir: str | Path | None = None) -> list[Path]:
    """Return the folders in which datasets are looked for, first to last.

    `data_dir`, then $KERNELFIT_DATA, then data/ of a checkout, then the user's cache folder, if one is known. The last
    two need not exist.

    Raises
    ------
    InputError
        If `data_dir` or $KERNELFIT_DATA is given and is not a folder.
    """
    found = []
    for origin, value in (("data_dir", data_dir), ("$KERNELFIT_DATA", os.environ.get("KERNELFIT_DATA"))):
        if value:
            folder = expanded(value)
            if not os.path.isdir(folder):  # of names that are too long too
                raise InputError(f"{origin} is {str(value)!r}, which is not a folder; create it or correct the path")
            found.append(folder)
    return [*found, *(place for place in (_checkout_data(), user_cache()) if place)]


def locate(entry: Entry, data_dir: str | Path | None = None) -> tuple[Path, Form] | None:
    """Return the first (folder, form) in which a form of `entry` lies complete, or None.

    Each folder of the search is tried itself and with a sub folder named as the dataset.
    """
    for folder in candidates(entry, data_dir):
        for form in entry.forms:
            if all(path_of(file, folder) for file in form.files):
                return folder, form
    return None


def candidates(entry: Entry, data_dir: str | Path | None = None) -> list[Path]:
    """Return the folders that `locate` tries for `entry`, in order."""
    return list(dict.fromkeys(place for folder in folders(data_dir) for place in (folder, folder / entry.name)))


def path_of(file: File, folder: Path) -> Path | None:
    """Return the path of `file` in `folder`, plain or compressed, or None if it is not there."""
    return next((path for path in (folder / name for name in file.local) if path.is_file()), None)


def present(file: File, folder: Path) -> Path:
    """Return the path of `file` in a `folder` where it was found; raises DataNotFoundError if it is gone since."""
    path = path_of(file, folder)
    if path is None:
        raise DataNotFoundError(f"{folder / file.name} was there a moment ago and is gone; run again")
    return path


def download_folder(entry: Entry, data_dir: str | Path | None = None) -> Path:
    """Return the folder for a download of `entry`: below the first place of the search that can be written.

    Raises
    ------
    InputError
        If `data_dir` is given and cannot be written, or no place can.
    """
    places = folders(data_dir)
    for place in places[:1] if data_dir else places:
        existing = next(folder for folder in (place, *place.absolute().parents) if folder.is_dir())
        if os.access(existing, os.W_OK):
            target = place / entry.name
            if target.exists() and not target.is_dir():
                raise InputError(f"{target} is a file where the folder of {entry.name} should be; move it away")
            return target
    raise InputError(
        f"no folder for {entry.name} can be written, tried: {', '.join(map(str, places)) or 'none'}; give another"
    )


def _checkout_data() -> Path | None:
    root = Path(__file__).resolve().parents[3]
    project = root / "pyproject.toml"
    # site-packages could hold somebody else's pyproject.toml
    if project.is_file() and 'name = "kernelfit"' in project.read_text(encoding="utf-8"):
        return root / "data"
    return None
