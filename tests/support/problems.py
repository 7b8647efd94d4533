"""Matrices drawn with a known condition number, and matrices that are given as Gram matrices, for tests of solvers."""

import numpy as np

from kernelfit.backend import CPU
from kernelfit.grams.matrix import gram
from kernelfit.kernels import Precomputed
from kernelfit.solvers.cholesky import Cholesky


def symmetric_matrix(n, condition, seed=0):
    """Return K = Q diag(lambda) Q^T with eigenvalues spaced geometrically from 1 / condition to 1, and its inverse."""
    rng = np.random.default_rng(seed)
    Q, _ = np.linalg.qr(rng.standard_normal((n, n)))
    eigenvalues = np.geomspace(1 / condition, 1, n)
    K, inverse = ((Q * values) @ Q.T for values in (eigenvalues, 1 / eigenvalues))
    return (K + K.T) / 2, (inverse + inverse.T) / 2


def as_gram(K, device=CPU):
    """Return a symmetric matrix (n, n) as a Gram matrix."""
    return gram(K, Precomputed(), device=device)


def corrected(K, Y, *, width=32, cached=False, **options):
    """Return the Solution by a float32 factor in memory; K is a matrix or a Gram."""
    K = as_gram(K) if isinstance(K, np.ndarray) else K
    with Cholesky(precision="mixed", width=width, cached=cached).factor(K, **options) as factor:
        return factor.solve(Y)
