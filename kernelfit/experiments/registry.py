"""The experiments, found by name: each is a module of this package with an EXPERIMENT.

A further experiment is a module here, a view in kernelfit.report.views and a command in kernelfit.cli.commands, all
three named as its kind.
"""

import dataclasses
import functools
import importlib
import inspect
import pkgutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kernelfit.common.errors import InputError, suggestion
from kernelfit.common.files import expanded
from kernelfit.common.progress import Progress
from kernelfit.common.spec import Spec, option_name
from kernelfit.common.validation import check_path
from kernelfit.records.reading import Records, read_file, read_folder
from kernelfit.records.record import Record, append_record


@dataclasses.dataclass(frozen=True)
class Experiment:
    """An experiment.

    Attributes
    ----------
    kind : str
        Of its records, and its module's name.
    spec, results : type
        Dataclasses of what is asked, and of what a record of it holds.
    run : callable
        run(spec, progress=...) returns a Record, or (Record, what was fitted). One that also takes `runs` writes its
        records into that folder itself.
    several : bool
        Whether it makes several records, and returns something else.
    """

    kind: str
    spec: type[Spec]
    results: type
    run: Callable[..., Any]
    several: bool = False


def find(kind: str) -> Experiment | None:
    """Return the Experiment of a kind of record, or None if there is no such kind."""
    home = _homes().get(kind)
    return getattr(importlib.import_module(home), "EXPERIMENT", None) if home else None


def kinds() -> list[str]:
    """Return the kinds of all experiments."""
    return [name for name in _homes() if find(name)]


@functools.cache
def _homes():
    """Return {name: path to import} of the modules of this package, and of that of the paper."""
    packages = [importlib.import_module(name) for name in (__package__, f"{__package__}.paper")]
    found = [
        (each.name, f"{package.__name__}.{each.name}")
        for package in packages
        for each in pkgutil.iter_modules(package.__path__)
    ]
    return dict(found)


def run(kind: str, *, runs: str | Path | None = None, progress: Progress | None = None, **options: Any) -> Record:
    """Run an experiment as the command of its name does; return its Record.

    Parameters
    ----------
    kind : str
        "solve", "ridge", "sweep", "interpolants", "measures", "descent", "hardness", "label_issues", "likelihood" or
        "net".
    runs : path, optional
        Folder whose records.jsonl the Record is appended to.
    progress : Progress, optional
    **options
        Those of the command, with underscores: n_train=1000.

    Raises
    ------
    KernelfitError
        Of the kind that fits: an option or data that cannot be used, too little memory, a singular matrix.

    Examples
    --------
    >>> record = run("solve", data="digits", bandwidth=1.5, labels="random")
    >>> record.results.train_error
    0.0
    """
    experiment = find(kind)
    if experiment is None:
        known = [name for name in kinds() if (found := find(name)) and not found.several]
        raise InputError(f"there is no experiment {kind!r}{suggestion(kind, known)}; there are {', '.join(known)}")
    if experiment.several:
        command = " ".join(["kernelfit", *experiment.spec.words])
        raise InputError(
            f"{kind} makes several records, and this returns one. The command `{command}` writes them into a folder, "
            "from which `read_records` returns them"
        )
    fields: dict[str, str] = {}
    for field in dataclasses.fields(experiment.spec):
        fields |= {name.replace("-", "_"): field.name for name in (option_name(field), field.name)}
    for name in options:
        if name not in fields:
            raise InputError(f"{kind} has no option {name!r}{suggestion(name, fields)}")
    spec = experiment.spec(**{fields[name]: value for name, value in options.items()})
    folder = None if runs is None else expanded(runs)
    writes = "runs" in inspect.signature(experiment.run).parameters
    made = experiment.run(spec, progress=progress, **({"runs": folder} if writes else {}))
    record = made[0] if isinstance(made, tuple) else made
    if folder is not None and record is not None and not writes:
        append_record(folder, record)
    return record


def read_records(folder: str | Path, *, progress: Progress | None = None) -> Records:
    """Return the Records of a folder: every run that a command kept there, checked.

    Lines of earlier versions are read too. A line that is no whole record is told to `progress`, is in
    `Records.unread`, and is left out.

    Parameters
    ----------
    folder : path
        Whose .jsonl files are read, as "runs".
    progress : Progress, optional

    Raises
    ------
    DataNotFoundError
        There is no such folder, or no .jsonl file in it.
    InputError
        `folder` is not a folder.

    Examples
    --------
    >>> records = read_records("runs")  # doctest: +SKIP
    >>> [record.results.test_error for record in records.of("solve")]  # doctest: +SKIP
    """
    if folder is None:
        raise InputError("folder = None; name the folder that holds records.jsonl, as `runs`")
    check_path("folder", folder)
    return read_folder(expanded(folder), find, progress=progress or Progress())


def known_records(folder: Path, progress: Progress) -> dict[str, Record]:
    """Return the record of each id that was made last in a folder, which need not be there."""
    files = sorted(folder.glob("*.jsonl"))
    found = [record for file in files for record in read_file(file, find, progress=progress)[0]]
    return {record.id: record for record in sorted(found, key=lambda record: record.created)}
