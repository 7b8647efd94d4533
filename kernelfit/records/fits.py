"""Records of the randomization test, one JSON line for each fit, and what they amount to."""

import collections
import dataclasses
import math
import statistics

from kernelfit.common.progress import Progress
from kernelfit.records.record import append_json, parse_record, read_lines, to_json

SCHEMA = "kernelfit.fit/1"
# The models that the paper's table 1 counts as fitting random labels end between 0 and 0.66 % training error.
THRESHOLD = 0.01


@dataclasses.dataclass(frozen=True, kw_only=True)
class FitRecord:
    """One fit of the test. Errors are fractions; None is "no such example".

    Attributes
    ----------
    identity : str
        Hash of the estimator with its parameters, the data, the level and the seed; the same for the same fit.
    data : dict
        name, test_set (where the test examples came from), and hashes of X_train, y_train, X_test and y_test before
        corruption.
    level : float
        Probability with which each training label was replaced.
    seed : int
        Of the labels, and of the estimator where its random_state was None.
    train_error : float
        Against the corrupted labels, the ones fitted.
    train_error_clean, train_error_corrupted : float or None
        The same among the examples whose label is the true one, and among the others.
    test_error : float
        Against true labels.
    fit_seconds : float
    command : str
        The command line that repeats the test, or nothing.
    """

    schema: str = SCHEMA
    identity: str
    created: str
    version: str
    estimator: str
    data: dict
    n_train: int
    n_test: int
    n_classes: int
    level: float
    seed: int
    labels_changed: int
    train_error: float
    train_error_clean: float | None
    train_error_corrupted: float | None
    test_error: float
    fit_seconds: float
    command: str = ""

    def to_json(self):
        """Return the record as one line of strict JSON."""
        return to_json(self)

    @classmethod
    def from_json(cls, line):
        """Return the FitRecord of a JSON line; raises DataError if it is not one of this schema."""
        return parse_record(cls, SCHEMA, line)


@dataclasses.dataclass(frozen=True)
class LevelSummary:
    """Mean and standard deviation over seeds at one level; NaN where there is no example, or one seed alone."""

    level: float
    fits: int
    train_error: tuple
    train_error_clean: tuple
    train_error_corrupted: tuple
    test_error: tuple
    fit_seconds: tuple


@dataclasses.dataclass(frozen=True)
class RandomizationResult:
    """The outcome of a randomization test.

    Attributes
    ----------
    records : tuple of FitRecord
        One for each level and seed, in this order.
    resumed : int
        How many of the fits were read from the file of records.
    skipped : int
        How many lines of that file were no whole record.
    """

    records: tuple
    resumed: int = 0
    skipped: int = 0

    @property
    def chance(self):
        """Error of a guess that knows nothing of the labels, 1 - 1/k."""
        return 1 - 1 / self.records[0].n_classes

    @property
    def summary(self):
        """A LevelSummary for each level, in increasing order."""
        names = [field.name for field in dataclasses.fields(LevelSummary)[2:]]
        by_level = collections.defaultdict(list)
        for record in self.records:
            by_level[record.level].append(record)
        return tuple(
            LevelSummary(level, len(group), *(_mean_sd([getattr(record, name) for record in group]) for name in names))
            for level, group in by_level.items()
        )

    @property
    def fits_random_labels(self):
        """Whether the training error on wholly random labels is at most 1 % for every seed; None if not tested."""
        errors = [record.train_error for record in self.records if record.level == 1]
        return max(errors) <= THRESHOLD if errors else None

    @property
    def time_ratio(self):
        """Time to fit random labels over that of true ones; None unless both levels were run.

        Of medians over seeds: the first fit of a process may pay for loading and compiling too.
        """
        true, random = ([record.fit_seconds for record in self.records if record.level == level] for level in (0, 1))
        return statistics.median(random) / statistics.median(true) if true and random else None

    @property
    def verdict(self):
        """The outcome in one sentence, with its numbers."""
        if self.fits_random_labels is None:
            return "no verdict: no fit on wholly random labels (level 1)"
        errors = [record.train_error for record in self.records if record.level == 1]
        return (
            f"{'fits' if self.fits_random_labels else 'does not fit'} random labels: training error "
            f"{_range(errors)} over {len(errors)} seed{'s' * (len(errors) > 1)} (fits: at most {100 * THRESHOLD:g} % "
            f"on each; chance: {100 * self.chance:.3g} %)"
        )

    def to_json(self):
        """Return verdict and summary, without the single fits, as one line of strict JSON; NaN becomes null."""
        outcome = {
            "estimator": self.records[0].estimator,
            "data": self.records[0].data,
            "fits_random_labels": self.fits_random_labels,
            "verdict": self.verdict,
            "chance": self.chance,
            "time_ratio": self.time_ratio,
            "levels": self.summary,
            "resumed": self.resumed,
            "skipped": self.skipped,
        }
        return to_json(outcome)


def append_fit(path, record):
    """Append a FitRecord to the file at `path` (made if missing)."""
    append_json(path, record)


def read_fits(path, *, progress=None):
    """Return ({identity: FitRecord}, number of lines skipped) of a file; a missing file is an empty one.

    A line that is no whole record, such as one torn when a run was killed, is told to `progress` and skipped.
    """
    records, skipped = read_lines(path, FitRecord.from_json, progress=progress or Progress())
    return {record.identity: record for record in records}, skipped


def _mean_sd(values):
    values = [value for value in values if value is not None]
    mean = statistics.fmean(values) if values else math.nan
    return mean, statistics.stdev(values) if len(values) > 1 else math.nan


def _range(errors):
    low, high = (f"{100 * error:.3g}" for error in (min(errors), max(errors)))
    return f"{low} %" if low == high else f"{low} to {high} %"
