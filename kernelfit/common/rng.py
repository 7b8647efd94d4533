"""Random numbers: one independent stream for each purpose of each seed."""

import operator
import zlib

import numpy as np

from kernelfit.common.errors import InputError


def generator(seed, *purpose):
    """Return numpy's Generator for a purpose: words and integers that name it, e.g. generator(0, "labels").

    Streams of different purposes are independent, so that drawing a subset does not change which labels are
    corrupted. Raises InputError unless the seed is a non-negative integer.
    """
    try:
        seed = operator.index(seed)
    except TypeError:
        seed = -1 if seed is None else seed
    if not isinstance(seed, int) or seed < 0:
        raise InputError(f"seed = {seed!r}; it must be an integer of at least 0")
    key = tuple(zlib.crc32(part.encode()) if isinstance(part, str) else part for part in purpose)
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))
