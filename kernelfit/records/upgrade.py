"""Lines of earlier versions: what they became.

They had a schema for each kind ("kernelfit.sweep/1"), in files of their own, and a line for each row of a sweep, a
ridge path or a set of interpolants. Here the rows of one run become one record of today.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from kernelfit.common.errors import DataError
from kernelfit.records.record import SCHEMA

_KINDS = {
    "kernelfit.record/1": "solve",
    "kernelfit.ridge/1": "ridge",
    "kernelfit.sweep/1": "sweep",
    "kernelfit.interpolants/1": "interpolants",
    "kernelfit.descent/1": "descent",
    "kernelfit.fit/1": "randomize",
    "kernelfit.net/1": "net",
    "kernelfit.bench/1": "bench",
    "kernelfit.section5/1": "section5",
}
_IN_ROWS = ("ridge", "sweep", "interpolants")  # a line for each row
_ENVELOPE = ("created", "version", "command", "environment", "warnings", "peak_bytes")
_SIZES = ("n_train", "n_test", "n_classes")


def kind_of_old(fields: dict[str, Any]) -> str | None:
    """Return the kind of a line of an earlier version; None of one of today, or of something else."""
    schema = fields.get("schema")
    return _KINDS.get(schema) if isinstance(schema, str) else None


def upgrade(lines: Iterable[tuple[int, dict[str, Any]]]) -> Iterator[tuple[list[int], Any]]:
    """Yield (numbers of the lines, fields of today's record, or the DataError that says why there are none)."""
    runs: dict[tuple, list] = {}
    for number, fields in lines:
        kind = _KINDS[fields["schema"]]
        key = (kind, str(fields.get("command")), str(fields.get("created"))) if kind in _IN_ROWS else (number,)
        runs.setdefault(key, []).append((number, fields))
    for group in runs.values():
        numbers, parts = [number for number, _ in group], [fields for _, fields in group]
        kind = _KINDS[parts[0]["schema"]]
        try:
            yield numbers, _OF_KIND.get(kind, _rows if kind in _IN_ROWS else _whole)(kind, parts)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            yield numbers, DataError(f"no whole record of {parts[0]['schema']}: {type(error).__name__}: {error}")


def _record(kind, fields, results, **more):
    """Return a record of today with these results."""
    dataset = fields.get("dataset")
    if isinstance(dataset, dict):
        dataset = {"asked": dataset.get("asked") or dataset.get("name")} | dataset
        dataset |= {size: fields[size] for size in _SIZES if size in fields}
    seconds = fields.get("seconds")
    made = {
        "kind": kind,
        "id": "",
        "schema": SCHEMA,
        "version": "",
        "spec": {},
        "environment": {},
        "dataset": dataset,
        "seconds": seconds if isinstance(seconds, dict) else {"total": seconds} if seconds is not None else {},
        "results": results,
    }
    return made | {name: fields[name] for name in _ENVELOPE if fields.get(name) is not None} | more


def _whole(kind, parts):
    """Return the record of a line that held a whole run."""
    [fields] = parts
    return _record(kind, fields, fields)


def _rows(kind, parts):
    """Return the record of lines that were rows of one run."""
    return _record(kind, parts[0], parts[0] | {"rows": parts}, command=_command(kind, parts[0]["command"]))


def _command(kind, command):
    """Return a command as it is today: a ridge path was one of `kernelfit solve`."""
    return command.replace("kernelfit solve ", "kernelfit ridge ", 1) if kind == "ridge" else command


def _fit(kind, parts):
    [fields] = parts
    data = fields["data"]
    dataset = {"asked": data["name"], "name": data["name"]}
    dataset |= {"sha256": {name: text for name, text in data.items() if name not in ("name", "test_set")}}
    return _record(
        kind,
        fields | {"dataset": dataset},
        fields | {"test_set": data["test_set"]},
        id=fields["identity"],
        seconds={"total": fields["fit_seconds"]},
    )


def _bench(kind, parts):
    [fields] = parts
    dataset = {"asked": fields["data"], "name": fields["data"], "n_train": fields["n"], "n_test": 0, "n_classes": 0}
    command = fields.get("command") or "kernelfit bench"
    own = {"contender": fields["contender"], "n": str(fields["n"])}  # as kernelfit.experiments.bench has it
    return _record(kind, fields | {"dataset": dataset}, fields, command=command, identity=own)


def _section5(kind, parts):
    [fields] = parts
    sizes = {"n_train": fields["n_train"], "n_test": fields["n_test"], "n_classes": 0}
    dataset = {"asked": fields["dataset"], "name": fields["dataset"]} | sizes
    return _record(kind, fields | {"dataset": dataset}, fields)


_OF_KIND = {"randomize": _fit, "bench": _bench, "section5": _section5}
