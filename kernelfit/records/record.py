"""Record: all that is needed to repeat, check and show one run, of any kind, as one JSON line."""

import dataclasses
import datetime
import json
import math
from pathlib import Path
from typing import Any, Self

from kernelfit import __version__
from kernelfit.common.errors import DataError
from kernelfit.common.files import append_lines
from kernelfit.common.spec import LARGEST, Spec

SCHEMA = 2
FILE = "records.jsonl"


@dataclasses.dataclass(frozen=True, kw_only=True)
class DatasetUsed:
    """The data of a run.

    Attributes
    ----------
    asked, name : str
        The name or path that was given, and what it turned out to be.
    n_train, n_test, n_classes : int
        Sizes of what was used of it.
    sha256 : dict
        Of each array, before corruption.
    provenance : dict or str
        Where it came from.
    """

    asked: str
    name: str
    n_train: int
    n_test: int
    n_classes: int
    sha256: dict[str, str] = dataclasses.field(default_factory=dict)
    provenance: Any = None

    @classmethod
    def of(cls, data: Any, asked: object) -> Self:
        """Return what a record says of a Dataset."""
        return cls(
            asked=str(asked),
            name=data.name,
            n_train=len(data.y_train),
            n_test=len(data.y_test),
            n_classes=len(data.classes),
            sha256=data.hashes(),
            provenance=data.provenance,
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Record:
    """One run. Errors in it are fractions, times seconds, memory bytes; None is "not measured".

    Attributes
    ----------
    kind : str
        Of the experiment; also the name of its module in kernelfit.experiments.
    id : str
        Hash of the spec: the same for the same run.
    created, version : str
        When, in UTC, and with which kernelfit.
    command : str
        The command line that repeats it.
    spec : dict
        All options.
    dataset : DatasetUsed or None
    environment : dict
        Machine and libraries.
    seconds : dict
        Of each phase, and "total".
    peak_bytes : int or None
        Largest resident memory of any process of the run up to its end.
    warnings : list of str
        What a reader of the numbers must know.
    results : dataclass
        Of the kind.
    schema : int
    """

    kind: str
    id: str
    created: str
    version: str
    command: str
    spec: dict[str, Any]
    dataset: DatasetUsed | None
    environment: dict[str, Any]
    seconds: dict[str, float]
    results: Any
    peak_bytes: int | None = None
    warnings: list[str] = dataclasses.field(default_factory=list)
    schema: int = SCHEMA

    def to_json(self) -> str:
        """Return the record as one line of strict JSON."""
        return to_json(self)


def make_record(spec: Spec, results: Any, *, kind: str, seconds: dict[str, float], **more: Any) -> Record:
    """Return the Record of a run of `spec` that has just ended; results are checked as if they had been read.

    `more` are further fields of a Record. What is no finite number, or beyond 1e100, becomes None.

    Raises
    ------
    DataError
        The results are not of their declared form: an error in kernelfit.
    """
    fields = {
        "kind": kind,
        "id": spec.identity(),
        "created": now(),
        "version": __version__,
        "command": spec.command(),
        "spec": spec.options(),
        "environment": {},
        "dataset": None,
        "seconds": {name: round(value, 4) for name, value in seconds.items()},
        "schema": SCHEMA,
    }
    return decoded(plain(fields | {"results": results} | more, LARGEST), type(results))


def decoded(fields: Any, results: type) -> Record:
    """Return the Record of its fields, with results of this type; raises DataError that names what is wrong."""
    import msgspec

    try:
        record = msgspec.convert(fields, Record)
        return dataclasses.replace(record, results=msgspec.convert(record.results, results))
    except (msgspec.ValidationError, RecursionError, UnicodeError) as error:
        raise DataError(f"no whole record: {error}") from error


def append_record(folder: str | Path, *records: Record) -> Path:
    """Append records to records.jsonl in `folder` (made if missing), all or none; return the file's path."""
    return append_lines(Path(folder) / FILE, *map(to_json, records))


def now() -> str:
    """Return the present time in UTC, ISO 8601, to the second."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def to_json(value: Any) -> str:
    """Return a value as one line of strict JSON, as every command and every record writes it.

    Examples
    --------
    >>> to_json({"norm": float("nan"), "errors": (0.5, float("inf"))})
    '{"norm": null, "errors": [0.5, null]}'
    """
    return json.dumps(plain(value), allow_nan=False)


def from_json(line: str) -> Any:
    """Return the value of a line of JSON; NaN and Infinity, which old lines may hold, become None.

    A byte order mark, which some editors put before a text, is skipped. Raises ValueError if it is no JSON, or
    RecursionError.
    """
    return json.loads(line.removeprefix("\ufeff"), parse_constant=lambda name: None)


def plain(value: Any, largest: float = math.inf) -> Any:
    """Return a value as dicts, lists, texts, whole and finite numbers, booleans and None.

    Numbers that are not finite, for which JSON has no word, or larger than `largest`, become None; NumPy's numbers and
    arrays plain ones; dataclasses dicts; paths and whatever else is no number, text, list or dict, its text.
    """
    if hasattr(value, "tolist"):  # a number or an array of NumPy's
        value = value.tolist()
    if isinstance(value, dict):
        return {key: plain(part, largest) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part, largest) for part in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name), largest) for field in dataclasses.fields(value)}
    if isinstance(value, float):
        return value if math.isfinite(value) and abs(value) <= largest else None
    return value if value is None or isinstance(value, str | int) else str(value)
