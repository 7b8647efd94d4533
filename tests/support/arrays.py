"""Arrays that nothing may write to, for tests of all rooms, and a Gram matrix as one."""

import numpy as np


def whole(K):
    return K.block((0, K.shape[0]), (0, K.shape[1]))


def pixels(n, d, seed=0):
    X = np.random.default_rng(seed).integers(0, 256, (n, d), np.uint8)
    X.flags.writeable = False
    return X


def vectors(n, d, seed=0):
    X = np.random.default_rng(seed).normal(size=(n, d))
    X.flags.writeable = False
    return X


def symmetric(n, seed=0):
    """Return a symmetric float64 matrix, shape (n, n), with eigenvalues of both signs."""
    A = np.random.default_rng(seed).normal(size=(n, n))
    return A + A.T
