"""Every failure that kernelfit foresees, as one small family of exceptions.

Each message says what was asked, the value seen, the likely causes and what to try. Each class is also
the standard exception that a caller would expect (ValueError, MemoryError, ...), so that code which
knows nothing of kernelfit still catches the right thing.
"""

import difflib
from collections.abc import Iterable
from typing import Any

import numpy as np


class KernelfitError(Exception):
    """Base of all errors that kernelfit raises on purpose."""


class InputError(KernelfitError, ValueError):
    """An argument or option is outside what the function accepts."""


class DataError(KernelfitError, ValueError):
    """A data file or array was read, but its content cannot be used."""


class IntegrityError(DataError):
    """A data file is not the file that it should be: wrong hash, truncated, or a hostile archive."""


class DataNotFoundError(KernelfitError, FileNotFoundError):
    """A dataset is neither on this machine nor could it be downloaded."""


class NotEnoughMemoryError(KernelfitError, MemoryError):
    """The planned computation does not fit in the memory that is free."""


class NotEnoughDiskError(KernelfitError, OSError):
    """The panels of a factor do not fit on the scratch disk."""


class ScratchError(KernelfitError, OSError):
    """A scratch folder is in use, or holds files that are damaged or belong to another problem."""


class UnwrittenError(KernelfitError, OSError):
    """Results were computed, and could not be written to their file; they are the attribute `result`."""

    def __init__(self, message: str, *, result: Any) -> None:
        super().__init__(message)
        self.result = result


class WorkersLostError(KernelfitError, ConnectionError):
    """The processes that an engine works with, on this or other machines, cannot be reached, or are gone."""


class MissingLibraryError(KernelfitError, ImportError):
    """A library of one of the extras is needed, and is not installed, or does not load."""


class UnsupportedError(KernelfitError, NotImplementedError):
    """A factor, a solver or a set of points cannot give what was asked of it, whatever the numbers are."""


class NotConvergedError(KernelfitError, np.linalg.LinAlgError):
    """An iteration ended before the residual was as small as asked for."""


class SingularMatrixError(KernelfitError, np.linalg.LinAlgError):
    """The Gram matrix is not positive definite to working precision.

    Attributes
    ----------
    row : int
        Index of the first training point whose pivot vanished.
    pivot : float
        The pivot found there (NaN where the factorisation stopped before it was known).
    duplicate : int or None
        Index of an earlier training point that is identical to it.
    """

    def __init__(self, message: str, *, row: int, pivot: float = float("nan"), duplicate: int | None = None) -> None:
        super().__init__(message)
        self.row = row
        self.pivot = pivot
        self.duplicate = duplicate


def suggestion(word: object, choices: Iterable[str]) -> str:
    """Return " (did you mean 'X'?)" for the choice nearest to a mistyped word, or nothing."""
    known = {choice.lower(): choice for choice in choices}
    close = difflib.get_close_matches(str(word).lower(), list(known), n=1)
    return f" (did you mean {known[close[0]]!r}?)" if close else ""
