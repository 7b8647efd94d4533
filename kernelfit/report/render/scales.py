"""Where a value stands along an axis, and which values are written beside it: the same on the page and in a paper."""

import math

from kernelfit.report.figure import Axis
from kernelfit.report.words import number


class Scale:
    """The place of values between two ends.

    Parameters
    ----------
    axis : Axis
    values : list of float
        The data.
    start, stop : float
        Where the least and the largest value stand.
    """

    def __init__(self, axis: Axis, values: list[float], start: float, stop: float) -> None:
        values = [value for value in values if not axis.log or value > 0]
        ends = [end for end in (axis.low, axis.high) if end is not None]
        low, high = min([*values, *ends], default=0.1), max([*values, *ends], default=1.0)
        if axis.log:
            if high / low < 1.5:
                low, high = low / 1.5, high * 1.5
        elif high - low <= 1e-12 * max(abs(low), abs(high)):
            margin = abs(high) / 2 or 0.5
            low, high = low - margin, high + margin
        self.log, self.start, self.stop = axis.log, start, stop
        self.ticks = list(axis.ticks) or (log_ticks(low, high) if axis.log else linear_ticks(low, high))
        if not axis.log and not axis.ticks:  # round ends; on a log axis a margin is enough
            low, high = min(low, self.ticks[0][0]), max(high, self.ticks[-1][0])
        self.low, self.high = low, high

    def __call__(self, value: float) -> float | None:
        """Return the place of a value; None for one that has none."""
        if self.log:
            if value <= 0:
                return None
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.stop - self.start)

    def texts(self, letter: float) -> list[tuple[float, float, str]]:
        """Return (value, place, text) of the ticks; the text is empty where it would run into the one before it.

        `letter` is the width of a letter, in the units of places.
        """
        found, last = [], -math.inf
        for value, text in self.ticks:
            place, half = self(value), letter * len(text) / 2
            if place is not None:
                shown = place - half > last + letter / 2
                last = place + half if shown else last
                found.append((value, place, text if shown else ""))
        return found


def linear_ticks(low: float, high: float, wanted: int = 5) -> list[tuple[float, str]]:
    """Return (value, text) of about `wanted` round numbers, the first at most low, the last at least high."""
    raw = (high - low) / wanted
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [(k * step, number(k * step, 6)) for k in range(first, max(last, first + 1) + 1)]


def log_ticks(low: float, high: float) -> list[tuple[float, str]]:
    """Return (value, text) of powers of ten from low to high; with 2 and 5 between them where these are few."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    decades = last - first
    every = max(1, math.ceil(decades / 7))
    factors = range(1, 10) if high < 5 * low else (1, 2, 5) if decades <= 2 else (1,)
    values = [f * 10.0**k for k in range(first, last + 1) if (k - first) % every == 0 for f in factors]
    return [(value, number(value)) for value in values if low * 0.999 <= value <= high * 1.001]
