"""What is learnt when, from the correctness of every example in every epoch.

An example is correct in an epoch if the net said its label at the moment it was trained on it. A forgetting event is a
correct epoch followed by a wrong one (Toneva et al., "An empirical study of example forgetting during deep neural
network learning", ICLR 2019).
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from kernelfit.common.errors import DataError, InputError
from kernelfit.common.files import atomic_write


def forgetting_events(correct: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Return how often each example was forgotten, int64 (n,), of a boolean matrix (epochs, n)."""
    correct = _checked(correct)
    return (correct[:-1] & ~correct[1:]).sum(axis=0, dtype=np.int64)


def first_learnt(correct: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Return the first epoch, from 1, in which each example was correct, int64 (n,); 0 for never."""
    correct = _checked(correct)
    return np.where(correct.any(axis=0), correct.argmax(axis=0) + 1, 0)


def learnt_for_good(correct: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Return the epoch, from 1, from which on each example was correct, int64 (n,); 0 where the last was wrong."""
    correct = _checked(correct)
    tail = np.where((~correct).any(axis=0), (~correct)[::-1].argmax(axis=0), len(correct))  # correct epochs at the end
    return np.where(tail > 0, len(correct) - tail + 1, 0)


def learning_summary(correct: npt.ArrayLike, corrupted: npt.NDArray[np.bool_]) -> dict[str, float | None]:
    """Return what a record keeps of it, as a JSON-ready dict; `corrupted` (n,) marks labels that are not true."""
    first, events = first_learnt(correct), forgetting_events(correct)
    learnt = first > 0
    groups = {"clean": learnt & ~corrupted, "corrupted": learnt & corrupted}
    return {
        "never_learnt": float(1 - learnt.mean()),
        "forgotten": float((events > 0).mean()),
        "forgetting_events": float(events.mean()),
        **{
            f"first_learnt_{name}": float(np.median(first[rows])) if rows.any() else None
            for name, rows in groups.items()
        },
    }


def _checked(correct: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    correct = np.asarray(correct, dtype=bool)
    if correct.ndim != 2 or not len(correct):
        raise InputError(f"correctness of shape {correct.shape}; give (epochs, n), of one epoch or more")
    return correct


def save_correctness(path: str | Path, packed: Sequence[npt.NDArray[np.uint8]], n: int) -> None:
    """Write the rows of np.packbits, one for each epoch, of n examples to a compressed .npz file."""
    with atomic_write(path) as file:
        np.savez_compressed(file, packed=np.array(packed, dtype=np.uint8).reshape(len(packed), -1), n=n)


def load_correctness(path: str | Path) -> npt.NDArray[np.bool_]:
    """Return the boolean matrix (epochs, n) of such a file; raises DataError if it is none."""
    try:
        with open(path, "rb") as opened, np.load(opened) as file:
            return np.unpackbits(file["packed"], axis=1, count=int(file["n"])).astype(bool)
    except Exception as error:  # a damaged file can make zipfile, zlib and numpy fail in any way
        raise DataError(f"{path} holds no correctness of examples: {error}") from error
