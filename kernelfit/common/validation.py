"""Numbers that an argument may be: one check and one wording for all of kernelfit."""

import math
import numbers
import operator
from typing import Any

from kernelfit.common.errors import InputError


def check_integer(name: str, value: Any, smallest: int = 1, largest: float = math.inf) -> int:
    """Return a value as an int; raises InputError unless it is an integer, not a bool, from `smallest` to `largest`.

    Examples
    --------
    >>> check_integer("seed", 3, 0)
    3
    """
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool) or not smallest <= number <= largest:
        raise InputError(f"{_shown(name, value)}; it must be an integer {_range(smallest, largest)}")
    return number


def check_number(name: str, value: Any, smallest: float = 0.0, largest: float = math.inf) -> float:
    """Return a value as a float; raises InputError unless it is a finite real number from `smallest` to `largest`."""
    number = _real(value)
    if not smallest <= number <= largest:
        raise InputError(f"{_shown(name, value)}; it must be a number {_range(smallest, largest)}")
    return number


def check_positive(name: str, value: Any) -> float:
    """Return a value as a float; raises InputError unless it is a finite real number above 0."""
    number = _real(value)
    if not number > 0:
        raise InputError(f"{_shown(name, value)}; it must be a positive number")
    return number


def _real(value):
    """Return a finite real number as a float, and NaN for all else."""
    try:
        number = float(value) if isinstance(value, numbers.Real) and not isinstance(value, bool) else math.nan
    except OverflowError:
        number = math.nan
    return number if math.isfinite(number) else math.nan


def _shown(name, value):
    return f"{name} = {str(value)[:40] if isinstance(value, numbers.Real) else repr(value)[:40]}"


def _range(smallest, largest):
    return f"of at least {smallest:g}" if largest == math.inf else f"from {smallest:g} to {largest:g}"
