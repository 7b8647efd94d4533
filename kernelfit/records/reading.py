"""Records read from a folder, each checked against the type of its kind; what cannot be read is named."""

import dataclasses
import errno
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kernelfit.common.errors import DataError, DataNotFoundError, InputError, MissingLibraryError
from kernelfit.common.progress import Progress
from kernelfit.records.record import SCHEMA, Record, decoded, from_json, plain
from kernelfit.records.upgrade import kind_of_old, upgrade


@dataclasses.dataclass(frozen=True)
class Unread:
    """A line that was skipped: name of its file within the folder, number from 1 on (0: the file), and why."""

    file: str
    number: int
    reason: str


@dataclasses.dataclass(frozen=True)
class Records:
    """All records of a folder, in the order in which they were made.

    Attributes
    ----------
    records : list of Record
    unread : list of Unread
    """

    records: list[Record]
    unread: list[Unread] = dataclasses.field(default_factory=list)

    def of(self, kind: str) -> list[Record]:
        """Return those of a kind."""
        return [record for record in self.records if record.kind == kind]

    def latest(self, kind: str) -> list[Record]:
        """Return the last record of each run of a kind, by time: what was repeated on the same data counts once."""
        found: dict[Any, Record] = {}
        for record in self.of(kind):
            run = record.id, tuple(sorted(record.dataset.sha256.items())) if record.dataset else ()
            found.pop(run, None)
            found[run] = record
        return list(found.values())

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self):
        return iter(self.records)

    def to_frame(self) -> Any:
        """Return a data frame of pandas, or of polars where pandas is not installed.

        A row for each record, or for each of its results' rows where it has several (a sweep, a ridge path); columns
        kind, id, created, command, dataset, n_train, n_test, and every result that is a number, a text or a flag.

        Raises
        ------
        InputError
            Neither is installed.
        """
        rows = [row for record in self.records for row in _flat(record)]
        try:
            import pandas
        except ImportError:
            try:
                import polars
            except ImportError:
                raise MissingLibraryError("to_frame makes a frame of pandas or polars: pip install pandas") from None
            return polars.DataFrame(rows, infer_schema_length=None)
        return pandas.DataFrame(rows)


def _flat(record):
    """Yield a dict of plain values for each row of a record."""
    shared = {name: getattr(record, name) for name in ("kind", "id", "created", "command")}
    if record.dataset:
        shared |= {"dataset": record.dataset.name, "n_train": record.dataset.n_train, "n_test": record.dataset.n_test}
    results = plain(record.results)
    for row in results.pop("rows", None) or [{}]:
        values = results | row
        yield shared | {name: value for name, value in values.items() if not isinstance(value, list | dict)}


def read_folder(folder: str | Path, find: Callable[[str], Any], *, progress: Progress) -> Records:
    """Return the Records of every .jsonl file in `folder`; `find` returns the Experiment of a kind, or None.

    Raises
    ------
    DataNotFoundError
        There is no such folder, or no .jsonl file in it.
    InputError
        `folder` is not a folder.
    DataError
        It cannot be read.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is not a folder; name the folder that holds records.jsonl")
    try:
        files = sorted(file for file in folder.iterdir() if file.suffix == ".jsonl") if folder.exists() else []
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {error.strerror}") from error
    if not files:
        what = "holds no .jsonl file" if folder.exists() else "does not exist"
        raise DataNotFoundError(
            f"{folder} {what}, so there is nothing to show yet. Make a Record first, e.g. kernelfit solve "
            f"{shlex.quote(f'--runs={folder}')}, or name the folder that your runs wrote to"
        )
    found, unread = [], []
    for file in files:
        own, skipped = read_file(file, find, progress=progress)
        found += own
        unread += skipped
    return Records(sorted(found, key=lambda record: record.created), unread)  # stable: of one run, the file's order


def read_file(
    file: Path, find: Callable[[str], Any], *, only: str | None = None, progress: Progress
) -> tuple[list[Record], list[Unread]]:
    """Return (the records of a file, the lines that were skipped); a missing file is an empty one.

    Lines that are skipped are told to `progress`. With `only`, records of other kinds are passed over.
    """
    if not file.exists():
        return [], []
    found: list[Record] = []
    old, unread = [], []
    try:
        content = _content(file)
    except OSError as error:
        progress.note(f"{file} is skipped: {error.strerror}")
        return [], [Unread(file.name, 0, str(error.strerror))]
    for number, line in enumerate(content.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            fields = _parsed(line)
            if only not in (None, fields.get("kind"), kind_of_old(fields)):
                continue
            if kind_of_old(fields):
                old.append((number, fields))
            else:
                found.append(_typed(fields, find))
        except DataError as error:
            unread.append(Unread(file.name, number, str(error)))
    for numbers, fields in upgrade(old):
        try:
            if isinstance(fields, DataError):
                raise fields
            found.append(_typed(fields, find))
        except DataError as error:
            unread += [Unread(file.name, number, str(error)) for number in numbers]
    for each in sorted(unread, key=lambda each: each.number):
        progress.note(f"{file}, line {each.number}, is skipped: {each.reason[:160]}")
    return found, unread


def _content(file):
    """Return the bytes of a file; a folder or a pipe of that name is an OSError too."""
    if not file.is_file():
        raise OSError(errno.EINVAL, "it is no file")
    return file.read_bytes()


def _parsed(line):
    try:
        fields = from_json(line.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:  # bad UTF-8 is a ValueError too
        raise DataError(f"no JSON: {str(error)[:120]}") from error
    if not isinstance(fields, dict):
        raise DataError("no JSON object")
    return fields


def _typed(fields, find):
    """Return the Record of its fields; one of an earlier version gets its spec and its id from its command."""
    kind, own = fields.get("kind"), fields.pop("identity", {})
    experiment = find(kind) if isinstance(kind, str) else None
    if experiment is None or fields.get("schema") != SCHEMA:
        raise DataError(f"no record of a kind that is known: {str(kind or fields.get('schema'))[:60]!r}")
    record = decoded(fields, experiment.results)
    if record.id:
        return record
    try:
        spec = experiment.spec.of_command(record.command)
    except (InputError, ValueError):  # an option that is no more, or a command that was typed
        return dataclasses.replace(record, id=f"{kind} {own}: {record.command}")
    return dataclasses.replace(record, id=spec.identity(**own), spec=spec.options())
