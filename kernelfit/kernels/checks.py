"""Checks of a kernel's options, which store them alike whatever kind of number they came as."""

import numbers
import operator
from typing import Any

from kernelfit.common.errors import InputError


def set_number(kernel: Any, name: str, smallest: float, largest: float) -> None:
    """Check a field of a frozen kernel and store it as a float, so that equal kernels print alike."""
    value = getattr(kernel, name)
    try:
        number = float(value) if isinstance(value, numbers.Real) else float("nan")
    except OverflowError:
        number = float("inf")
    if not smallest <= number <= largest:
        raise InputError(
            f"{kernel.name or 'constant'} kernel: {name} = {str(value)[:40]}; it must be a number from {smallest:g} to "
            f"{largest:g}"
        )
    object.__setattr__(kernel, name, number)


def set_count(kernel: Any, name: str) -> None:
    """Check a field of a frozen kernel and store it as an int from 1 to 1000."""
    value = getattr(kernel, name)
    try:
        count = operator.index(value)
    except TypeError:
        count = 0
    if not 1 <= count <= 1000 or isinstance(value, bool):
        raise InputError(f"{kernel.name} kernel: {name} = {str(value)[:40]}; it must be an integer from 1 to 1000")
    object.__setattr__(kernel, name, count)
