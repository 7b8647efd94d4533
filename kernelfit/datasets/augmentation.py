"""Augmentation for kernels: further rows, the training images mirrored or moved, each with the label of its original.

A kernel interpolates all rows exactly, copies as well as originals. Labels are corrupted before they are copied, so
that an image and its copies never contradict each other. "flip" mirrors left and right; "shift(k)" moves by 1 to k
pixels up, down, left and right, with zeros moving in. Steps are joined with +, and each works on all that came before
it: "flip + shift(1)" makes 2 x 5 rows of one image, "shift(1) + shift(1)" moves diagonally too.
"""

import dataclasses
import hashlib
import re

import numpy as np
import numpy.typing as npt

from kernelfit.common.errors import InputError, suggestion

_KINDS = ("none", "flip", "shift")


@dataclasses.dataclass(frozen=True)
class Augmented:
    """Training images with their copies.

    Attributes
    ----------
    X : array, shape (N, ...)
        The n originals, then copies of all of them, one kind of copy after the other.
    y : array, shape (N,)
    groups : int64 array, shape (N,)
        Row of the original that each row is a copy of; an original's own row.
    left_out : int
        Copies that equal an original or an earlier copy, of whatever label. Two equal rows would make K singular.
    """

    X: np.ndarray
    y: np.ndarray
    groups: npt.NDArray[np.int64]
    left_out: int


def augment(X: npt.NDArray, y: npt.NDArray, what: str) -> Augmented:
    """Return the Augmented training set.

    Parameters
    ----------
    X : array, shape (n, h, w) or (n, h, w, channels)
    y : array, shape (n,)
        Labels, after their corruption.
    what : str
        "none", "flip", "shift(k)", or several joined with "+".

    Raises
    ------
    InputError
        The text is not understood, the points are vectors, or a shift would empty the images.
    """
    steps = parse_augment(what)
    if len(X) != len(y):
        raise InputError(f"{len(y)} labels were given for {len(X)} training images")
    if not steps:
        return Augmented(X, y, np.arange(len(X)), 0)
    if X.ndim not in (3, 4):
        raise InputError(
            f"augment = {what!r} mirrors or moves images (n, h, w) or (n, h, w, channels); the training points have "
            f"shape {X.shape}. Give the data as images, or leave it out"
        )
    farthest = sum(k for kind, k in steps if kind == "shift")
    if farthest >= min(X.shape[1:3]):
        raise InputError(
            f"augment = {what!r} would move all of an image of {X.shape[1]} x {X.shape[2]} pixels out of it"
        )
    seen = {_digest(image) for image in X}
    parts, groups, left_out = [X], [np.arange(len(X))], 0
    for move in _moves(steps)[1:]:
        copies = move(X)
        new = np.zeros(len(X), bool)
        for row, image in enumerate(copies):
            digest = _digest(image)
            new[row] = digest not in seen
            seen.add(digest)
        left_out += int((~new).sum())
        parts.append(copies[new])
        groups.append(np.flatnonzero(new))
    rows = np.concatenate(groups)
    return Augmented(np.concatenate(parts), y[rows], rows, left_out)


def parse_augment(what: str) -> tuple[tuple[str, int], ...]:
    """Return the steps of a text as a tuple of ("flip", 0) and ("shift", k); none for "none"."""
    if str(what).strip() == "none":
        return ()
    steps = []
    for part in str(what).split("+"):
        match = re.fullmatch(r"\s*(\w+)\s*(?:\(\s*(\d+)\s*\))?\s*", part)
        kind, k = (match[1], match[2]) if match else ("", None)
        if (kind, k) == ("flip", None):
            steps.append(("flip", 0))
        elif kind == "shift" and k is not None and int(k) >= 1:
            steps.append(("shift", int(k)))
        else:
            raise InputError(
                f"augment = {what!r} was not understood{suggestion(kind, _KINDS)}; write none, flip, shift(1) for "
                'moves of up to 1 pixel, or several, as in "flip + shift(1)"'
            )
    return tuple(steps)


def _moves(steps):
    """Return the functions X -> copies, the identity first: each step after each of those before it."""
    moves = [lambda X: X]
    for kind, k in steps:
        if kind == "flip":
            own = [lambda X: X[:, :, ::-1]]
        else:
            own = [_shift(s * dy, s * dx) for s in range(1, k + 1) for dy, dx in ((-1, 0), (1, 0), (0, -1), (0, 1))]
        moves += [lambda X, first=first, then=then: then(first(X)) for then in own for first in moves]
    return moves


def _shift(dy, dx):
    """Return the function that moves images dy pixels down and dx to the right."""

    def span(step, size, here):
        return slice(max(0, step), size + min(0, step)) if here else slice(max(0, -step), size + min(0, -step))

    def move(X):
        out = np.zeros_like(X)
        h, w = X.shape[1:3]
        out[:, span(dy, h, True), span(dx, w, True)] = X[:, span(dy, h, False), span(dx, w, False)]
        return out

    return move


def _digest(image):
    # Adding 0 makes 0.0 of -0.0, an equal number in other bytes.
    return hashlib.blake2b((image + image.dtype.type(0)).tobytes(), digest_size=16).digest()
