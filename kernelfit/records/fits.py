"""What a fit of the randomization test is recorded as, and what several fits amount to."""

import collections
import dataclasses
import math
import statistics

from kernelfit.records.forms import Count, Measure, Share
from kernelfit.records.record import Record

KIND = "randomize"
# The models that the paper's table 1 counts as fitting random labels end between 0 and 0.66 % training error.
THRESHOLD = 0.01


@dataclasses.dataclass(frozen=True, kw_only=True)
class FitResults:
    """One fit of the test. Errors are fractions; None is "no such example".

    Attributes
    ----------
    estimator : str
        With its parameters.
    test_set : str
        Where the test examples came from.
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
    """

    estimator: str
    test_set: str
    level: Share
    seed: int
    labels_changed: Count = 0
    train_error: Share
    train_error_clean: Share | None
    train_error_corrupted: Share | None
    test_error: Share
    fit_seconds: Measure


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
    records : tuple of Record
        One for each level and seed, in this order.
    resumed : int
        How many of the fits were read from the file of records.
    skipped : int
        How many lines of that file were no whole record.
    """

    records: tuple[Record, ...]
    resumed: int = 0
    skipped: int = 0

    @property
    def chance(self):
        """Error of a guess that knows nothing of the labels, 1 - 1/k."""
        return 1 - 1 / self.records[0].dataset.n_classes

    @property
    def summary(self):
        """A LevelSummary for each level, in increasing order."""
        names = [field.name for field in dataclasses.fields(LevelSummary)[2:]]
        by_level = collections.defaultdict(list)
        for record in self.records:
            by_level[record.results.level].append(record.results)
        return tuple(
            LevelSummary(level, len(group), *(_mean_sd([getattr(record, name) for record in group]) for name in names))
            for level, group in by_level.items()
        )

    @property
    def fits_random_labels(self):
        """Whether the training error on wholly random labels is at most 1 % for every seed; None if not tested."""
        errors = self._at(1, "train_error")
        return max(errors) <= THRESHOLD if errors else None

    @property
    def time_ratio(self):
        """Time to fit random labels over that of true ones; None unless both levels were run.

        Of medians over seeds: the first fit of a process may pay for loading and compiling too.
        """
        true, random = (self._at(level, "fit_seconds") for level in (0, 1))
        return statistics.median(random) / statistics.median(true) if true and random else None

    @property
    def verdict(self):
        """The outcome in one sentence, with its numbers."""
        if self.fits_random_labels is None:
            return "no verdict: no fit on wholly random labels (level 1)"
        errors = self._at(1, "train_error")
        return (
            f"{'fits' if self.fits_random_labels else 'does not fit'} random labels: training error "
            f"{_range(errors)} over {len(errors)} seed{'s' * (len(errors) > 1)} (fits: at most {100 * THRESHOLD:g} % "
            f"on each; chance: {100 * self.chance:.3g} %)"
        )

    def _at(self, level, name):
        """Return a number of all fits at a level."""
        return [getattr(each.results, name) for each in self.records if each.results.level == level]

    def outcome(self):
        """Return verdict and summary, without the single fits, JSON-ready."""
        return {
            "estimator": self.records[0].results.estimator,
            "dataset": self.records[0].dataset,
            "fits_random_labels": self.fits_random_labels,
            "verdict": self.verdict,
            "chance": self.chance,
            "time_ratio": self.time_ratio,
            "levels": self.summary,
            "resumed": self.resumed,
            "skipped": self.skipped,
        }


def _mean_sd(values):
    values = [value for value in values if value is not None]
    mean = statistics.fmean(values) if values else math.nan
    return mean, statistics.stdev(values) if len(values) > 1 else math.nan


def _range(errors):
    low, high = (f"{100 * error:.3g}" for error in (min(errors), max(errors)))
    return f"{low} %" if low == high else f"{low} to {high} %"
