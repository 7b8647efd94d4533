"""What several views draw: errors, and curves against the share of labels that were replaced."""

from collections.abc import Iterable, Mapping

from kernelfit.report.figure import Axis, Point, Series
from kernelfit.report.words import mean_sd

LEVEL = Axis(label="training labels replaced", unit="%", low=0.0, high=100.0)
ERROR = Axis(label="error", unit="%", low=0.0, high=100.0)
NORM = Axis(label="RKHS norm", low=0.0)
MEANS = "Mean and standard deviation over seeds"
KINDS = (
    ("true labels", 0, lambda level: level == 0),
    ("partly replaced", 2, lambda level: 0 < level < 1),
    ("random labels", 1, lambda level: level == 1),
)
"""Name, style and levels of the kinds of labels that are told apart."""


def against(levels: Mapping[float, Iterable[float | None]], scale: float = 1, **look) -> Series:
    """Return the Series of mean and deviation over seeds at each of {level: values}; `look` is that of Series."""
    points = []
    for level, values in levels.items():
        mean, deviation = mean_sd(None if value is None else scale * value for value in values)
        if mean is not None:
            points.append(Point(100 * level, mean, deviation or 0.0))
    return Series(points=tuple(points), **look)
