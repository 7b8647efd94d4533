"""Numbers that an argument may be: one check and one wording for all of kernelfit."""

import math
import numbers
import operator
import os
from typing import Any

import numpy as np
import numpy.typing as npt

from kernelfit.common.arrays import host_array
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


def check_path(name: str, value: Any) -> None:
    """Raise InputError unless a value is a path, or None for no such thing."""
    if not isinstance(value, str | os.PathLike | None):
        raise InputError(f"{_shown(name, value)}; it must be a path")


def check_labels(y: npt.ArrayLike, n: int, n_classes: int) -> npt.NDArray[np.integer]:
    """Return labels y (n,); raises InputError unless they are integers from 0 to n_classes - 1."""
    y = np.asarray(y)
    if y.shape != (n,) or y.dtype.kind not in "iu" or (n and (y.min() < 0 or y.max() >= n_classes)):
        raise InputError(
            f"labels must be {n} integers from 0 to n_classes - 1 (n_classes = {n_classes}); got {y.dtype} of shape "
            f"{y.shape}: {y}"
        )
    return y


def check_targets(Y: npt.ArrayLike, n: int) -> npt.NDArray[np.float64]:
    """Return targets Y (n,) or (n, r) as float64 (n, r); raises InputError unless they are finite real numbers."""
    Y = host_array(Y)
    try:
        array = np.asarray(Y)
    except ValueError as error:
        raise InputError(f"Y is no array: {error}") from error
    if array.dtype.kind not in "fiub":
        raise InputError(
            f"Y of dtype {array.dtype} holds no real numbers; kernelfit.datasets.labels.one_hot makes them of labels"
        )
    columns = array[:, None] if array.ndim == 1 else array
    if columns.ndim != 2 or len(columns) != n or not columns.shape[1]:
        raise InputError(
            f"Y of shape {array.shape} does not fit {n} points; give shape ({n},), or ({n}, r) for r outputs "
            "(kernelfit.datasets.labels.one_hot makes them of labels)"
        )
    wrong = ~np.isfinite(columns)
    if wrong.any():
        raise InputError(f"Y of point {np.argwhere(wrong)[0][0]} is NaN or infinite")
    return columns.astype(np.float64)


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
