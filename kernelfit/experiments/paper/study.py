"""A study: a table or a figure of the paper as entries, each of which is one or several runs.

The records of a folder are all that is kept. A run whose id is found among them is not repeated, so that a study that
was stopped goes on with what is missing.
"""

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

from kernelfit.common.errors import InputError, KernelfitError, suggestion
from kernelfit.common.progress import Progress
from kernelfit.common.spec import Spec, option
from kernelfit.datasets.fetch.registry import ENTRIES
from kernelfit.experiments.registry import known_records
from kernelfit.records.record import Record


@dataclasses.dataclass(frozen=True)
class Task:
    """A run: its id, and how it is made.

    Attributes
    ----------
    id : str
    seed : int or None
    run : callable
        run(runs, progress) yields the Record, and then writes it to the folder `runs`: what cannot be written is shown.
    decides : bool
        Whether `run` itself looks for the Record, and at whether the data are still what they were.
    """

    id: str
    seed: int | None
    run: Callable[[Path, Progress], Iterator[Record]]
    decides: bool = False


@dataclasses.dataclass(frozen=True)
class Entry:
    """A row or a curve: its name, its part of the figure ("" in a table), and its runs."""

    name: str
    part: str
    tasks: tuple[Task, ...]


@dataclasses.dataclass(frozen=True)
class Outcome:
    """An entry by name and part, with the records of its runs, and why there are no more of them."""

    name: str
    part: str
    records: tuple[Record, ...]
    failed: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class StudySpec(Spec):
    """What to repeat, and how much of it."""

    group = "What is repeated"

    scale: Literal["quick", "full"] = option(
        "quick", "quick: some thousand images, minutes on 2 cores; full: as in the paper, hours.", shown=True
    )
    rows: tuple[str, ...] = option((), "Only these rows or curves; default: all. A wrong name lists them all.")

    def check(self):
        known = self.names()
        for name in self.rows:
            if name not in known:
                study = self.words[-1]
                raise InputError(f"{study} has no {name!r}{suggestion(name, known)}; it has {', '.join(known)}")

    def names(self) -> list[str]:
        """Return the names of all entries, in order."""
        raise NotImplementedError

    def entry(self, name: str) -> Entry:
        """Return an entry."""
        raise NotImplementedError

    def entries(self) -> list[Entry]:
        """Return the entries to run, in order."""
        return [self.entry(name) for name in self.names() if not self.rows or name in self.rows]


def is_own(data: str) -> bool:
    """Whether data are a user's own, which can change; those with a name are what they are."""
    return data not in ENTRIES and data.partition(":")[0] != "synthetic"


def run_study(spec: StudySpec, *, runs: str | Path, progress: Progress | None = None) -> Iterator[Outcome]:
    """Run what the folder `runs` does not hold yet of a study; yield an Outcome for each entry."""
    progress, runs = progress or Progress(), Path(runs)
    kept = known_records(runs, progress)
    for entry in spec.entries():
        records: list[Record] = []
        failed = None
        try:
            for task in entry.tasks:
                what = entry.name if task.seed is None else f"{entry.name}, seed {task.seed}"
                if task.id in kept and not task.decides:
                    progress.note(f"{what}: kept from {kept[task.id].created}")
                    records.append(kept[task.id])
                else:
                    progress.note(f"{what} ...")
                    for record in task.run(runs, progress):
                        records.append(record)
        except KernelfitError as error:
            failed = str(error)
        except OSError as error:  # the disk is full: what there is is shown, and then the failure
            yield Outcome(entry.name, entry.part, tuple(records), str(error))
            raise
        yield Outcome(entry.name, entry.part, tuple(records), failed)
