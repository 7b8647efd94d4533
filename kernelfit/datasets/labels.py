"""Labels as targets, and scores judged by them."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from kernelfit.common.errors import InputError


def classes_of(y: npt.ArrayLike) -> tuple[npt.NDArray, npt.NDArray[np.intp]]:
    """Return the classes in order, two or more, and the index among them of each label y (n,).

    Raises
    ------
    InputError
        A label is missing, labels cannot be put in order, as texts beside numbers, or all are of one class.

    Examples
    --------
    >>> classes_of(["b", "a", "b"])
    (array(['a', 'b'], dtype='<U1'), array([1, 0, 1]))
    """
    require_known(y)
    y = np.asarray(y)
    if y.dtype.kind == "f" and len(wrong := np.flatnonzero(~np.isfinite(y))):
        raise InputError(f"label {wrong[0]} is {y.flat[wrong[0]]}; drop such examples")
    try:
        classes, labels = np.unique(y, return_inverse=True)
    except TypeError as error:
        raise InputError(
            f"labels are of kinds that have no order ({error}); make all of them texts or numbers"
        ) from error
    if len(classes) < 2:
        raise InputError(f"all {len(labels)} labels are of one class, {classes}; give at least two classes")
    return classes, labels


def require_known(y: Any) -> None:
    """Raise InputError if a label among objects is missing: None, NaN, or pandas' NA."""
    y = np.asarray(y)
    for row, label in enumerate(y.ravel()) if y.dtype == object and y.ndim else ():
        if label is None or type(label).__name__ in _MISSING or (isinstance(label, float) and math.isnan(label)):
            raise InputError(f"label {row} is missing ({label}); drop such examples")


_MISSING = ("NAType", "NaTType")  # of pandas, which need not be installed


def one_hot(y: Sequence[int] | npt.NDArray, n_classes: int) -> npt.NDArray[np.float64]:
    """Return 0/1 targets, float64 of shape (n, n_classes), for labels y."""
    Y = np.zeros((len(y), n_classes))
    Y[np.arange(len(y)), y] = 1.0
    return Y


def plus_minus_one(n_classes: int) -> npt.NDArray[np.float64]:
    """Return the matrix T (n_classes, n_classes) that turns 0/1 one-hot targets Y into -1/+1 targets Y T.

    With rows of Y that sum to one, 2 Y - 1 = Y (2 I - 1 1^T); so does T with all that is linear in the targets.

    Examples
    --------
    >>> (one_hot([0, 2], 3) @ plus_minus_one(3)).tolist()
    [[1.0, -1.0, -1.0], [-1.0, -1.0, 1.0]]
    """
    return 2.0 * np.eye(n_classes) - 1.0


def right(scores: npt.NDArray, y: npt.NDArray) -> npt.NDArray[np.bool_]:
    """Return for each row of `scores` (n, classes) whether its one largest entry is at y (n,).

    NaN is never right, nor is a tie: else classes would gain by their order.
    """
    own = scores[np.arange(len(y)), y]
    return ((scores >= own[:, None]).sum(axis=1) == 1) & np.isfinite(scores).all(axis=1)


def decided(scores: npt.NDArray) -> npt.NDArray[np.bool_]:
    """Return for each row of `scores` (n, classes) whether some label would be `right`."""
    return right(scores, scores.argmax(axis=1))


def undecided(scores: npt.NDArray) -> list[str]:
    """Return what a reader of an error rate of `scores` (n, classes) must know, a list of sentences."""
    finite = np.isfinite(scores).all(axis=1)
    found = []
    if not finite.all():
        found.append("some test points have no finite prediction; they count as errors")
    if ties := int(np.sum(finite & ~decided(scores))):
        found.append(f"{ties:,} test points have several largest scores, perhaps all 0; they count as errors")
    return found


def error_rate(scores: npt.NDArray, y: npt.NDArray) -> float:
    """Return the fraction of rows of `scores` (n, classes) that are not `right` for labels y (n,).

    Examples
    --------
    >>> import numpy as np
    >>> error_rate(np.array([[0.9, 0.1], [0.4, 0.6], [0.8, 0.3]]), np.array([0, 1, 1])).hex()
    '0x1.5555555555555p-2'
    """
    return float(np.mean(~right(scores, y)))
