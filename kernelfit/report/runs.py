"""A folder of Records, read for the report: what each command wrote, and which lines could not be read."""

import dataclasses
import errno
import json
import types
from pathlib import Path

from kernelfit.common.errors import DataError, DataNotFoundError, InputError
from kernelfit.common.progress import Progress
from kernelfit.report.conforming import conform
from kernelfit.theory.double_descent import DoubleDescent


@dataclasses.dataclass(frozen=True)
class Batch:
    """The lines that one run of a command wrote.

    Attributes
    ----------
    shared : dict
        The first line; of what all lines have in common, theirs.
    rows : list of SimpleNamespace
        A line each, its fields as attributes.
    """

    shared: dict
    rows: list


@dataclasses.dataclass(frozen=True)
class Unread:
    """A line that was skipped: name of its file within the folder, number from 1 on, and why."""

    file: str
    number: int  # of the line; 0: the file as a whole
    reason: str


@dataclasses.dataclass(frozen=True)
class Runs:
    """All that a folder holds, each kind in the order in which it was made.

    Attributes
    ----------
    solves, nets : list of SimpleNamespace
        Records of solves and of nets, their fields as attributes.
    sweeps, ridges, interpolants, fits, benches : list of Batch
        Of a command that was run several times, the last run.
    descents : list of SimpleNamespace
        With `curves` and `shared`, as a DescentResult; of each command, the last.
    section5 : list of dict
        Of each row and command, the last outcome.
    unread : list of Unread
    """

    solves: list
    sweeps: list
    ridges: list
    interpolants: list
    section5: list
    benches: list
    fits: list
    descents: list
    nets: list
    unread: list

    @property
    def lines(self):
        """Number of Records of each kind, by name; kinds that there are none of are left out."""
        counts = {
            "solves": len(self.solves),
            "sets of labels in sweeps": sum(len(batch.rows) for batch in self.sweeps),
            "ridges": sum(len(batch.rows) for batch in self.ridges),
            "interpolants": sum(len(batch.rows) for batch in self.interpolants),
            "rows of section 5": len(self.section5),
            "benchmark runs": sum(len(batch.rows) for batch in self.benches),
            "fits of estimators": sum(len(batch.rows) for batch in self.fits),
            "double descents": len(self.descents),
            "trained nets": len(self.nets),
        }
        return {name: count for name, count in counts.items() if count}


def read_runs(folder, *, progress=None):
    """Return the Runs of every .jsonl file in `folder`, told apart by the schema of each line.

    A line that is no whole Record is told to `progress`, with its file and number, and skipped.

    Raises
    ------
    DataNotFoundError
        There is no such folder, or no .jsonl file in it.
    InputError
        `folder` is not a folder.
    """
    progress, folder = progress or Progress(), Path(folder)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is not a folder; name the folder that holds records.jsonl")
    files = sorted(folder.glob("*.jsonl"))
    if not files:
        what = "holds no .jsonl file" if folder.exists() else "does not exist"
        raise DataNotFoundError(
            f"{folder} {what}, so there is nothing to show yet. Make a Record first, e.g. kernelfit solve --runs "
            f"{folder}, or name the folder that your runs wrote to"
        )
    lines, unread = {}, []
    for file in files:
        try:
            content = _content(file)
        except OSError as error:
            unread.append(Unread(file.name, 0, str(error.strerror)))
            progress.note(f"{file} is skipped: {error.strerror}")
            continue
        for number, line in enumerate(content.split(b"\n"), 1):
            if not line.strip():
                continue
            try:
                fields = conform(_parsed(line))
            except DataError as error:
                unread.append(Unread(file.name, number, str(error)))
                progress.note(f"{file}, line {number}, is skipped: {error}")
            else:
                lines.setdefault(fields["schema"].split(".")[-1].split("/")[0], []).append(fields)
    return _sorted_out(lines, unread)


def _content(file):
    """Return the bytes of a file; a folder or a pipe of that name is an OSError too."""
    if file.exists() and not file.is_file():
        raise OSError(errno.EINVAL, "it is no file")
    return file.read_bytes()


def _parsed(line):
    try:
        return json.loads(line.decode("utf-8-sig"), parse_constant=lambda name: None)
    except (ValueError, RecursionError) as error:  # bad UTF-8 is a ValueError too
        raise DataError(f"no JSON: {str(error)[:120]}") from error


def _sorted_out(lines, unread):
    for kind in lines.values():
        kind.sort(key=lambda fields: fields["created"])  # a stable sort: of one run, the order of the file
    rows = {kind: [types.SimpleNamespace(**fields) for fields in each] for kind, each in lines.items()}
    outcomes = {(each["row"], each["command"]): each for each in lines.get("section5", [])}
    nets = {row.identity: row for row in rows.get("net", [])}
    fits = {row.identity: row for row in rows.get("fit", [])}
    return Runs(
        solves=rows.get("record", []),
        sweeps=_batches(rows.get("sweep", []), lambda row: row.command),
        ridges=_batches(rows.get("ridge", []), lambda row: row.command),
        interpolants=_batches(rows.get("interpolants", []), lambda row: row.command),
        section5=list(outcomes.values()),
        benches=_batches(rows.get("bench", []), lambda row: (row.data, row.bandwidth, row.command)),
        fits=_batches(fits.values(), lambda row: (row.estimator, repr(row.data), row.n_train), whole=True),
        descents=list({fields["command"]: _descent(fields) for fields in lines.get("descent", [])}.values()),
        nets=list(nets.values()),
        unread=unread,
    )


def _descent(fields):
    names = DoubleDescent.__dataclass_fields__
    curves = DoubleDescent(**{key: value for key, value in fields.items() if key in names})
    return types.SimpleNamespace(curves=curves, shared=fields)


def _batches(rows, key, whole=False):
    """Return a Batch for each key: of the rows made last (all of one run have one `created`), or the whole of them."""
    found = {}
    for row in rows:
        found.setdefault(key(row), []).append(row)
    batches = []
    for group in found.values():
        kept = group if whole else [row for row in group if row.created == group[-1].created]
        batches.append(Batch(vars(kept[0]), kept))
    return batches
