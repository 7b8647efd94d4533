"""Arrays of other libraries, on whichever device they are: in as NumPy's, and results back as they came."""

import sys
from typing import Any

import numpy as np
import numpy.typing as npt

from kernelfit.common.errors import InputError


def host_array(X: Any) -> Any:
    """Return an array of another library (torch, CuPy, JAX, all that speak DLPack) as NumPy's; all else as it is.

    What lies in the memory of this machine is not copied.

    Raises
    ------
    InputError
        NumPy has no such array, e.g. one of bfloat16; or entries are masked.

    Examples
    --------
    >>> host_array([1.0, 2.0])
    [1.0, 2.0]
    """
    if not _foreign(X):
        if isinstance(X, np.ma.MaskedArray) and np.ma.is_masked(X):
            raise InputError(f"{np.ma.count_masked(X):,} entries of an array are masked; fill them, or drop their rows")
        return X
    try:
        return np.from_dlpack(X.detach() if getattr(X, "requires_grad", False) else X, device="cpu")
    except (BufferError, RuntimeError, TypeError, ValueError) as error:
        raise InputError(
            f"an array of {type(X).__module__}.{type(X).__name__} and {getattr(X, 'dtype', 'no dtype')} cannot be read "
            f"as NumPy's ({str(error)[:100]}). Convert it, e.g. to float64 on the CPU"
        ) from error


def like(values: npt.NDArray, X: Any) -> Any:
    """Return values as an array of the library of X, on the device of X; as they are where X is of none, or they texts.

    Examples
    --------
    >>> like(np.zeros(2), [[1.0], [2.0]])
    array([0., 0.])
    """
    library = _library(X) if _foreign(X) and values.dtype.kind in "fiub" else None
    if library is None:
        return values
    try:
        return library.asarray(values, device=X.device)
    except TypeError:  # CuPy's goes where the current device is
        with X.device:
            return library.asarray(values)


def _foreign(X):
    return hasattr(X, "__dlpack__") and not isinstance(X, np.ndarray | np.generic)


def _library(X):
    """Return the module of functions on arrays like X, or None."""
    if hasattr(X, "__array_namespace__"):
        return X.__array_namespace__()
    modules = (sys.modules.get(kind.__module__.partition(".")[0]) for kind in type(X).__mro__)
    return next((module for module in modules if hasattr(module, "asarray")), None)
