"""A user's own images in class folders, train/CLASS/*.png|jpg and test/CLASS/..., on disk or in an archive."""

from collections import Counter
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from kernelfit.common.errors import DataError, suggestion
from kernelfit.common.progress import Progress
from kernelfit.datasets.dataset import Dataset, composed
from kernelfit.datasets.read import archives
from kernelfit.datasets.read.images import read_images

SUFFIXES = (".png", ".jpg", ".jpeg")
ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")
SPLITS = ("train", "test")
_SYSTEM = ("__macosx", "thumbs.db", "desktop.ini")  # what macOS and Windows leave behind


def read_class_folders(path: str | Path, progress: Progress | None = None) -> Dataset:
    """Return the Dataset of a folder, or of an archive of it, with train/CLASS and test/CLASS full of images.

    In an archive all of it may lie below one top folder. Images are PNG or JPEG of one size, grey (n, h, w) or colour
    (n, h, w, 3), turned upright as their EXIF data say, in the order of class and file name. Names of classes are
    compared in Unicode's form NFC. Hidden files are ignored.

    Raises
    ------
    DataError
        If a split is missing or empty, a class has no training images, a folder cannot be read, or a file is not such
        an image: names it. A class may have no test images.
    IntegrityError
        If the archive is hostile, damaged or truncated.
    NotEnoughMemoryError
        If the images do not fit in memory.
    """
    path = Path(path)
    suffix = next((suffix for suffix in ARCHIVES if path.name.lower().endswith(suffix)), "")
    name = path.resolve().name if path.is_dir() else path.name[: len(path.name) - len(suffix)]
    rows, classes = list_class_folders(path)
    with (progress or Progress()).phase(f"reading {name}", len(rows)) as advance:
        X, turned = read_images([(f"{path}: {'/'.join(row)}", source) for row, source in rows.items()], advance)
    y = np.array([classes.index(label) for _, label, _ in rows])
    n = sum(split == "train" for split, _, _ in rows)
    provenance = f"{name}: class folders in {path}"
    if turned:
        provenance += f", {turned:,} image{'s' * (turned > 1)} turned upright as EXIF says"
    return Dataset(name, X[:n], y[:n], X[n:], y[n:], classes, provenance)


def list_class_folders(path: Path) -> tuple[dict[tuple[str, str, str], Any], list[str]]:
    """Return ({(split, class, file name): path or content} in the order of the rows, sorted names of the classes).

    Raises DataError and IntegrityError as read_class_folders does for what need not be decoded.
    """
    files = _in_folder(path) if path.is_dir() else _in_archive(path)
    folders = _class_folders(path, files)
    rows = _rows(path, files)
    classes = sorted({label for split, label, _ in rows if split == "train"})
    strange = sorted({label for _, label, _ in rows} - set(classes))
    if strange:
        meant = "".join(suggestion(label, classes) for label in strange)
        raise DataError(f"{path}: no training images for the test class(es) {', '.join(strange)}{meant}")
    empty = sorted({label for _, label in folders} - set(classes))
    if empty:
        raise DataError(
            f"{path}: no images in the class folder(s) {', '.join(empty)}; put some in train/, or remove the folder(s)"
        )
    return rows, classes


def _in_folder(path):
    """{relative name: path, or None for a class} of two levels below train/ and test/, links followed."""
    files: dict[str, Path | None] = {}
    for split in SPLITS:
        for entry in _listed(path / split) if (path / split).is_dir() else ():
            is_class = entry.is_dir()
            files[f"{split}/{entry.name}"] = None if is_class else entry
            files |= {f"{split}/{entry.name}/{file.name}": file for file in (_listed(entry) if is_class else ())}
    return files


def _listed(folder):
    """Return what is in a folder and not hidden."""
    try:
        return [entry for entry in folder.iterdir() if _visible(entry.name)]
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {error.strerror}") from error


def _in_archive(path):
    """{relative name: content} of all that lies below train/ and test/, without the top folder; None: a folder."""
    members = archives.read_members(path, lambda name: _visible(name) and not set(SPLITS).isdisjoint(_first_two(name)))
    if any(name.split("/")[0] in SPLITS for name in members):
        return members
    tops = {name.split("/")[0] for name in members}
    if len(tops) > 1:
        raise DataError(f"{path} has train/ or test/ in several folders: {', '.join(sorted(tops))}; keep one")
    return {name.partition("/")[2]: content for name, content in members.items()}


def _rows(path, files):
    """{(split, class, file name): source} in order, training split first."""
    rows = {}
    for name in sorted(files, key=_place):
        parts = tuple(_place(name)[1])
        if parts[0] not in SPLITS or files[name] is None:
            continue
        if len(parts) != 3 or not parts[2].lower().endswith(SUFFIXES):
            raise DataError(f"{path}: {name} is not of the form {parts[0]}/CLASS/NAME.png (or .jpg); move or remove it")
        rows[parts] = files[name]
    for split in SPLITS:
        if not any(row[0] == split for row in rows):
            raise DataError(f"{path} holds no images {split}/CLASS/NAME.png (or .jpg)")
    return rows


def _class_folders(path, files):
    """Return {(split, class)} of all class folders, with images or without.

    Raises DataError if two folders of a split differ only in how Unicode spells their names.
    """
    spelt = {tuple(name.split("/")[:2]) for name, source in files.items() if "/" in name and source is None}
    spelt |= {tuple(name.split("/")[:2]) for name in files if name.count("/") > 1}
    counts = Counter((split, composed(label)) for split, label in spelt)
    twins = sorted(f"{split}/{label}" for (split, label), count in counts.items() if count > 1)
    if twins:
        raise DataError(
            f"{path}: two folders each are called {', '.join(twins)}, in two spellings of Unicode (NFC, NFD) that look "
            "the same; put their images into one"
        )
    return {(split, label) for split, label in counts if split in SPLITS}


def _place(name):
    """Return the key by which names are sorted, the last of it (split, class, file name) with the class in NFC."""
    split, *rest = name.split("/")
    return split != "train", [split, *map(composed, rest[:1]), *rest[1:]]


def _visible(name):
    return not any(part.startswith(".") or part.lower() in _SYSTEM for part in PurePosixPath(name).parts)


def _first_two(name):
    return name.split("/")[:2]
