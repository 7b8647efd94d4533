"""Equal points: one policy for all. Equal targets are merged and counted, different ones are an error that names both.

Two equal points make two equal rows of K, which is then singular. The function of least norm through all targets is the
one through those of distinct points, where equal points have equal targets; else no function fits both.
"""

import dataclasses
import hashlib
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from kernelfit.common.errors import SingularMatrixError

_TOGETHER = 32  # rows that are converted at a time: few enough for a cache


@dataclasses.dataclass(frozen=True, eq=False)
class Duplicates:
    """Which rows of an array are equal.

    Attributes
    ----------
    first : int array, shape (n,)
        For every row, the first row that equals it: itself, where no earlier one does.
    support : int array, shape (n - merged,)
        Rows that equal no earlier row.
    targets : array, shape (n,) or (n, r), or None
    pairwise : bool
        Whether the rows are those of a precomputed matrix.
    numbers : int array, shape (n,), or None
        What messages call the rows; None: 0, 1, ...
    """

    first: npt.NDArray[np.intp]
    support: npt.NDArray[np.intp]
    targets: npt.NDArray | None = None
    pairwise: bool = False
    numbers: npt.NDArray[np.int64] | None = None

    @property
    def merged(self) -> int:
        """Rows that equal an earlier row."""
        return len(self.first) - len(self.support)

    @property
    def repeated(self) -> npt.NDArray[np.bool_]:
        """Mask (n,) of all rows that equal another, earlier or later."""
        return (np.bincount(self.first, minlength=len(self.first)) > 1)[self.first]

    @property
    def contradiction(self) -> tuple[int, int] | None:
        """(i, j), i < j, of the smallest j whose targets are not those of the first row that equals it; or None."""
        assert self.targets is not None
        differs = (self.targets != self.targets[self.first]).reshape(len(self.targets), -1).any(axis=1)
        if not differs.any():
            return None
        j = int(differs.argmax())
        return int(self.first[j]), j

    def distinct(self, X: npt.NDArray) -> npt.NDArray:
        """Return X without the rows that equal an earlier one, of a precomputed matrix without the columns too."""
        if not self.merged:
            return X
        return X[np.ix_(self.support, self.support)] if self.pairwise else X[self.support]

    def require_equal_targets(self, classes: Sequence[Any] | None = None) -> None:
        """Raise SingularMatrixError that names both rows if the targets of two equal rows differ.

        With `classes`, targets are labels 0 .. len(classes) - 1, and the message gives their names.
        """
        pair = self.contradiction
        if pair is None:
            return
        assert self.targets is not None
        i, j = pair
        named = "" if classes is None else f" ({classes[self.targets[i]]!r} and {classes[self.targets[j]]!r})"
        first, second = pair if self.numbers is None else self.numbers[list(pair)]
        raise SingularMatrixError(
            f"training points {first} and {second} are identical but their targets are not{named}, so no function fits "
            "both. Remove one of them, or give a ridge, e.g. 1e-6",
            row=j,
            duplicate=i,
        )


def merge_duplicates(X: npt.NDArray, Y: npt.ArrayLike | None = None, *, pairwise: bool = False) -> Duplicates:
    """Return the Duplicates among the rows of X; numbers are compared as float64, so that 0.0 equals -0.0.

    Parameters
    ----------
    X : array, shape (n, ...)
        uint8 pixels or floating point; or with `pairwise` a precomputed matrix (n, n), two of whose points are equal
        where their rows are, and their columns but for rounding.
    Y : array, shape (n,) or (n, r), optional
        Labels or targets, for `require_equal_targets`. Merging does not look at them.

    Examples
    --------
    >>> import numpy as np
    >>> found = merge_duplicates(np.array([[1.0, 2.0], [0.0, 3.0], [1.0, 2.0], [-0.0, 3.0]]), [4, 5, 4, 6])
    >>> found.first, found.support, found.merged
    (array([0, 1, 0, 1]), array([0, 1]), 2)
    >>> found.require_equal_targets(classes="abcdefg")
    Traceback (most recent call last):
        ...
    kernelfit.common.errors.SingularMatrixError: training points 1 and 3 are identical but their targets are not ...
    """
    X = np.asarray(X)
    first = np.arange(len(X), dtype=np.intp)
    seen: dict[bytes, int] = {}
    _, kinds, counts = np.unique(_sums(X), return_inverse=True, return_counts=True)
    again = np.flatnonzero(counts[kinds] > 1)  # rows whose sums differ are not equal; hashes take five times as long
    for j in again.tolist():
        first[j] = seen.setdefault(hashlib.blake2b(_as_compared(X[j : j + 1]), digest_size=16).digest(), j)
    if pairwise:
        for j in np.flatnonzero(first != np.arange(len(X))).tolist():
            if not _columns_agree(X[:, first[j]], X[:, j]):
                first[j] = j
    support = np.flatnonzero(first == np.arange(len(X)))
    return Duplicates(first, support, None if Y is None else np.asarray(Y), pairwise)


def find_copies(X: npt.NDArray, others: npt.NDArray) -> npt.NDArray[np.intp]:
    """Return for each row of X the first row of `others` that equals it, or -1, shape (m,).

    Parameters
    ----------
    X, others : array, shape (m, d) and (n, d)
        Of one dtype. Rows are compared where sums of their bits times odd numbers, modulo 2^64, are equal.

    Examples
    --------
    >>> import numpy as np
    >>> find_copies(np.array([[3.0, -0.0], [5.0, 0.0]]), np.array([[1.0, 2.0], [3.0, 0.0]]))
    array([ 1, -1])
    """
    mine, theirs = _sums(X), _sums(others)
    found = np.full(len(X), -1)
    for i in np.flatnonzero(np.isin(mine, theirs)):
        same = np.flatnonzero(theirs == mine[i])
        same = same[(others[same] == X[i]).all(axis=1)]
        found[i] = same[0] if len(same) else -1
    return found


def _sums(X):
    """Return a sum of bits times odd numbers of each row, the same for equal numbers, uint64 (n,)."""
    size = math.prod(X.shape[1:])
    odd = np.random.default_rng(0).integers(1, 2**63, size, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    sums = np.zeros(len(X), np.uint64)
    for k in range(0, len(X), _TOGETHER):
        part = _as_compared(X[k : k + _TOGETHER])
        bits = part.view(f"u{part.itemsize}").astype(np.uint64)
        bits ^= bits >> np.uint64(32)  # whole numbers have bits at the top alone, which products with odd ones lose
        sums[k : k + _TOGETHER] = bits @ odd
    return sums


def _as_compared(X):
    """Return rows (n, d) of numbers whose bytes are equal where they are: -0.0 is 0.0, all but uint8 is float64."""
    X = X.reshape(len(X), math.prod(X.shape[1:]))
    return np.ascontiguousarray(X) if X.dtype == np.uint8 else X.astype(np.float64, order="C") + 0.0


def _columns_agree(a, b):
    """Whether columns differ by no more than those of a matrix that is symmetric but for rounding, of float32 at most.

    Where rows are equal and columns are not, the matrix is not symmetric; merging would hide that from its check.
    """
    return np.abs(a - b).max() <= 1e3 * np.finfo(np.float32).eps * np.abs(a).max()
