"""Matrices drawn with a known condition number, for tests of solvers."""

import numpy as np


def symmetric_matrix(n, condition, seed=0):
    """Return K = Q diag(lambda) Q^T with eigenvalues spaced geometrically from 1 / condition to 1, and its inverse."""
    rng = np.random.default_rng(seed)
    Q, _ = np.linalg.qr(rng.standard_normal((n, n)))
    eigenvalues = np.geomspace(1 / condition, 1, n)
    K, inverse = ((Q * values) @ Q.T for values in (eigenvalues, 1 / eigenvalues))
    return (K + K.T) / 2, (inverse + inverse.T) / 2
