"""Checks of a kernel's options, which store them alike whatever kind of number they came as."""

import numbers
import operator
from typing import Any

import numpy as np

from kernelfit.common.errors import InputError


def set_number(kernel: Any, name: str, smallest: float, largest: float) -> None:
    """Check a field of a frozen kernel and store it as a float, so that equal kernels print alike."""
    object.__setattr__(kernel, name, _number(kernel, name, getattr(kernel, name), smallest, largest))


def _number(kernel, name, value, smallest, largest):
    try:
        number = float(value) if isinstance(value, numbers.Real) else float("nan")
    except OverflowError:
        number = float("inf")
    if not smallest <= number <= largest:
        raise InputError(
            f"{kernel.name or 'constant'} kernel: {name} = {str(value)[:40]}; it must be a number from {smallest:g} to "
            f"{largest:g}"
        )
    return number


def set_bandwidth(kernel: Any) -> None:
    """Check the field `bandwidth`, one number or one for each feature, and store it as a float or a tuple of floats."""
    value = kernel.bandwidth
    # Beyond these bounds squares and their inverses leave float64, and K is 1 or the identity anyway.
    if isinstance(value, list | tuple | np.ndarray) and np.ndim(value) == 1 and len(value):
        object.__setattr__(
            kernel, "bandwidth", tuple(_number(kernel, "bandwidth", each, 1e-100, 1e100) for each in value)
        )
    elif value is not None:
        set_number(kernel, "bandwidth", 1e-100, 1e100)


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
