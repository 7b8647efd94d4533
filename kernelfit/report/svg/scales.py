"""Axes of the report's charts: where a value stands, and which values are written beside it."""

import dataclasses
import math


@dataclasses.dataclass(frozen=True, kw_only=True)
class Axis:
    """What a chart asks of an axis.

    Attributes
    ----------
    label : str
        With the unit.
    log : bool
        Only positive values have a place then.
    low, high : float or None
        Ends that must be within it, beside the data.
    ticks : tuple of (value, text)
        Instead of round numbers.
    """

    label: str
    log: bool = False
    low: float | None = None
    high: float | None = None
    ticks: tuple = ()


class Scale:
    """The place of values between two ends, in pixels.

    Parameters
    ----------
    axis : Axis
    values : list of float
        The data.
    start, stop : float
        Where the least and the largest value stand.
    """

    def __init__(self, axis, values, start, stop):
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
            step = self.ticks[1][0] - self.ticks[0][0]
            low, high = math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step
            count = round((high - low) / step)
            self.ticks = [(low + k * step, short(low + k * step, step)) for k in range(count + 1)]
        self.low, self.high = low, high

    def __call__(self, value):
        """Return the place of a value, in pixels; None for one that has none."""
        if self.log:
            if value <= 0:
                return None
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.stop - self.start)


def linear_ticks(low, high, wanted=5):
    """Return (value, text) of about `wanted` round numbers that cover low to high."""
    raw = (high - low) / wanted
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = max(first + 1, math.floor(high / step + 1e-9))
    return [(k * step, short(k * step, step)) for k in range(first, last + 1)]


def log_ticks(low, high):
    """Return (value, text) of powers of ten from low to high; with 2 and 5 between them where these are few."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    decades = last - first
    every = max(1, math.ceil(decades / 7))
    factors = range(1, 10) if high < 5 * low else (1, 2, 5) if decades <= 2 else (1,)
    values = [f * 10.0**k for k in range(first, last + 1) if (k - first) % every == 0 for f in factors]
    return [(value, short(value)) for value in values if low * 0.999 <= value <= high * 1.001]


def short(value, step=None):
    """Return a number as an axis says it: 0.25, 2,000, 1e-6."""
    if step is not None and abs(value) < step / 1000:
        value = 0.0
    if value and not 1e-3 <= abs(value) < 1e5:
        mantissa, exponent = f"{value:.3g}".split("e") if "e" in f"{value:.3g}" else f"{value:.2e}".split("e")
        mantissa = f"{float(mantissa):g}"
        return f"{mantissa}e{int(exponent)}"
    return f"{value:,.6g}" if abs(value) >= 1000 else f"{value:.4g}"
