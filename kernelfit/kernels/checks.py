"""Checks of a kernel's options, which store them alike whatever kind of number they came as."""

from typing import Any

import numpy as np

from kernelfit.common.validation import check_integer, check_number


def set_number(kernel: Any, name: str, smallest: float, largest: float) -> None:
    """Check a field of a frozen kernel and store it as a float, so that equal kernels print alike."""
    object.__setattr__(kernel, name, check_number(_told(kernel, name), getattr(kernel, name), smallest, largest))


def set_bandwidth(kernel: Any) -> None:
    """Check the field `bandwidth`, one number or one for each feature, and store it as a float or a tuple of floats."""
    value = kernel.bandwidth
    # Beyond these bounds squares and their inverses leave float64, and K is 1 or the identity anyway.
    if isinstance(value, list | tuple | np.ndarray) and np.ndim(value) == 1 and len(value):
        told = _told(kernel, "bandwidth")
        object.__setattr__(kernel, "bandwidth", tuple(check_number(told, each, 1e-100, 1e100) for each in value))
    elif value is not None:
        set_number(kernel, "bandwidth", 1e-100, 1e100)


def set_count(kernel: Any, name: str) -> None:
    """Check a field of a frozen kernel and store it as an int from 1 to 1000."""
    object.__setattr__(kernel, name, check_integer(_told(kernel, name), getattr(kernel, name), 1, 1000))


def _told(kernel, name):
    return f"{kernel.name or 'constant'} kernel: {name}"
