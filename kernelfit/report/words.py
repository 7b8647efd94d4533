"""The one place where numbers become text, and where what was run becomes a few words."""

import re
import statistics
from collections.abc import Callable, Iterable
from typing import Any, TypeGuard

from kernelfit.common.progress import duration
from kernelfit.common.quantities import format_bytes
from kernelfit.report.table import Cell

LARGEST = 1e100  # what is larger comes from a damaged file: sums and squares of the others stay finite
SURVIVES = ("test_error", "test error", 1), ("train_error", "training error", 0)
ERRORS = (*SURVIVES, ("loo_error", "leave-one-out error", 2))
"""Field, name and style of the errors: the same in every figure."""


def known(value: Any) -> TypeGuard[float]:
    """Whether a value is a number that can be shown and drawn: not missing, not NaN, and not beyond all measure."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LARGEST


def number(value: float | None, digits: int = 4) -> Cell:
    """Return a number to some significant digits: 0.25, 2,000, 1.5e-7.

    >>> [str(number(value)) for value in (0.25, 59.98969, 9999.97, 12345.6, 1.5e-7, None)]
    ['0.25', '59.99', '10,000', '12,346', '1.5e-7', '']
    """
    if not known(value):
        return Cell()
    if value and not 1e-3 <= abs(value) < 1e6:
        mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
        return Cell(f"{float(mantissa):g}e{int(exponent)}", value)
    rounded = float(f"{value:.{_digits(value, digits)}g}")  # 99.97 is 100, which has a digit more
    return Cell(f"{rounded:,.{_digits(rounded, digits)}g}", value)


def _digits(value, least):
    return max(least, len(str(int(abs(value)))))


def count(value: float | None) -> Cell:
    """Return a whole number: 60,000."""
    return Cell(f"{round(value):,}", value) if known(value) else Cell()


def percent(fraction: float | None) -> Cell:
    """Return a fraction as percent with two digits behind the point: 1.22 %; one that is 0 as 0 %."""
    return Cell(f"{100 * fraction:.2f} %" if fraction else "0 %", fraction) if known(fraction) else Cell()


def share(fraction: float | None) -> Cell:
    """Return a fraction that somebody chose, or printed, as percent: 50 %, 1.2 %."""
    return Cell(f"{100 * fraction:.6g} %", fraction) if known(fraction) else Cell()


def times(ratio: float | None) -> Cell:
    """Return how many times as much: 8.1 x."""
    return Cell(f"{number(ratio)} x", ratio) if known(ratio) else Cell()


def seconds(value: float | None) -> Cell:
    """Return a time: 0.53 s, 7 min 03 s."""
    return Cell(duration(value) if value >= 60 else f"{value:.2f} s", value) if known(value) else Cell()


def memory(value: float | None) -> Cell:
    """Return bytes: 14.9 GB."""
    return Cell(format_bytes(value), value) if known(value) else Cell()


def moment(created: str) -> str:
    """Return a time in ISO 8601 to the minute."""
    return created[:16].replace("T", " ")


def mean_sd(values: Iterable[float | None]) -> tuple[float | None, float | None]:
    """Return (mean, standard deviation) of the values that are known; None where there is none, or one alone."""
    kept = [value for value in values if known(value)]
    mean = statistics.fmean(kept) if kept else None
    return mean, statistics.stdev(kept) if len(kept) > 1 else None


def averaged(values: Iterable[float | None], say: Callable[[float | None], Cell] = number) -> Cell:
    """Return mean and standard deviation, each as `say` says a number: 2.50 ± 0.10 %."""
    mean, deviation = mean_sd(values)
    middle = say(mean)
    if deviation is None:
        return middle
    (text, _, unit), around = middle.partition(" "), number(deviation, 2) if say is number else say(deviation)
    return Cell(f"{text if around.endswith(f' {unit}') else middle} ± {around}", mean)


def quotient(value: float | None, other: float | None) -> float | None:
    """Return value / other, or None where one of them, or the quotient, is no number."""
    if not known(value) or not known(other) or not other:
        return None
    found = value / other
    return found if known(found) else None


def sparkline(values: Iterable[float]) -> str:
    """Return values as a line of block characters, the largest the highest, 0 the lowest.

    >>> sparkline([0, 1, 2, 4])
    '▁▃▅█'
    """
    kept = [value for value in values if known(value)]
    largest = max(kept, default=0) or 1
    return "".join("▁▂▃▄▅▆▇█"[min(7, max(0, int(8 * value / largest)))] for value in kept)


def listed(names: Iterable[str]) -> str:
    """Return names in a row, each once: a, b, c."""
    return ", ".join(dict.fromkeys(names))


def compact(text: str) -> str:
    """Return a text with its decimal numbers to four digits: gaussian(bandwidth=1.446)."""
    return re.sub(r"\d+\.\d{4,}(e-?\d+)?", lambda found: f"{float(found[0]):.4g}", text)


def labels_of(corruption: dict[str, Any]) -> str:
    """Return in words what was done to labels and pixels."""
    p, pixels = corruption.get("labels", 0), corruption.get("pixels", "true")
    labels = "true labels" if p == 0 else "random labels" if p == 1 else f"{share(p)} of labels replaced"
    if pixels == "true":
        return labels
    return f"{pixels} pixels" if p == 0 else f"{labels}, {pixels} pixels"


def is_true(record: Any) -> bool:
    """Whether a Record, of a solve or of a net, is one of true labels and true pixels."""
    return labels_of(record.results.corruption) == "true labels"


def data_of(record: Any) -> str:
    """Return on what a Record is: digits, n = 1,437."""
    return f"{record.dataset.name}, n = {count(record.dataset.n_train)}"


def sizes_of(record: Any) -> str:
    """Return the same at length: digits: 1,437 training and 360 test examples."""
    used = record.dataset
    return f"{used.name}: {count(used.n_train)} training and {count(used.n_test)} test examples"


def changes_of(record: Any) -> str:
    """Return what was changed of labels and pixels, to follow after a comma; nothing where all is true."""
    corruption, parts = record.results.corruption, [""]
    if corruption.get("labels"):
        parts.append(f"{count(corruption.get('labels_changed'))} labels changed (p = {number(corruption['labels'])})")
    if corruption.get("pixels", "true") != "true":
        parts.append(f"{corruption['pixels']} pixels")
    return ", ".join(parts)


def kernel_of(record: Any, pixels: str | None = None) -> str:
    """Return kernel and features: gaussian(bandwidth=4.5) on gabor. Of a sweep those of all its pixels, or of some."""
    results = record.results
    kernels = {"": results.kernel} if hasattr(results, "kernel") else results.kernels
    chosen = [each for name, each in kernels.items() if pixels in (None, name)]
    on = "" if (results.features or "pixels") == "pixels" else f" on {results.features}"
    return compact(" and ".join(dict.fromkeys(chosen))) + on


def about_of(record: Any) -> dict[str, str]:
    """Return the same as columns of a table: data, n, kernel."""
    return {"data": record.dataset.name, "n": count(record.dataset.n_train), "kernel": kernel_of(record)}


def title_of(record: Any) -> str:
    """Return in words what a Record of a kernel is of: data, size, kernel, features; labels and pixels if not true."""
    words = [data_of(record), kernel_of(record)]
    if hasattr(record.results, "corruption") and not is_true(record):
        words.append(labels_of(record.results.corruption))
    if {"true"} != set(getattr(record.results, "kernels", {"true"})):
        words.append(f"{' and '.join(record.results.kernels)} pixels")
    return ", ".join(words)
