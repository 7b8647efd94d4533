"""Random numbers: one independent stream for each purpose of each seed."""

import zlib

import numpy as np

from kernelfit.common.validation import check_integer


def generator(seed: int, *purpose: str | int) -> np.random.Generator:
    """Return numpy's Generator for a purpose: words and integers that name it, e.g. generator(0, "labels").

    Streams of different purposes are independent, so that drawing a subset does not change which labels are
    corrupted. Raises InputError unless the seed is a non-negative integer.
    """
    seed = check_integer("seed", seed, 0)
    key = tuple(zlib.crc32(part.encode()) if isinstance(part, str) else part for part in purpose)
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))
