"""Matrices of kernels, the points that tests make them of, and formulas in int64 and long double."""

import numba
import numpy as np

from kernelfit.grams.matrix import gram
from kernelfit.kernels.scalars import exp

EPS = np.finfo(float).eps  # 2.2e-16, so that one rounding is EPS / 2
UNIT = 1 / 255**2


def dense(kernel, X, Z=None):
    K = gram(X, kernel, Z)
    return K.block((0, K.shape[0]), (0, K.shape[1]))


def pixels(shape, seed=0):
    """Random images between black, white and half-black ones, so that sums reach their extremes."""
    X = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    X[1], X[2] = 255, 0
    X[2].flat[0] = 1  # no kernel divides by zero
    X[3].flat[::2] = 0
    return X


def integer_products(X, Z):
    """<x, z>, |x|^2 and |z|^2 in int64."""
    X, Z = (part.reshape(len(part), -1).astype(np.int64) for part in (X, Z))
    return X @ Z.T, (X * X).sum(axis=1)[:, None], (Z * Z).sum(axis=1)[None]


def long_products(X, Z):
    """<x, z>, |x|^2, |z|^2 and |x - z|^2 in long double, of pixels / 255 or of numbers as they are."""
    X, Z = (
        part.reshape(len(part), -1).astype(np.longdouble) / (255 if part.dtype == np.uint8 else 1) for part in (X, Z)
    )
    distances = ((X[:, None] - Z) ** 2).sum(axis=2)
    return X @ Z.T, (X**2).sum(axis=1)[:, None], (Z**2).sum(axis=1)[None], distances


def deep(cosine, depth):
    """(arc-cosine, neural tangent) of unit vectors, from the angle: Cho and Saul 2009, Jacot et al. 2018."""
    tangent, pi = cosine, 4 * np.arctan(np.longdouble(1))
    for _ in range(depth):
        angle = np.arccos(np.clip(cosine, -1, 1))
        tangent = tangent * (1 - angle / pi)
        cosine = (np.sin(angle) + (pi - angle) * np.cos(angle)) / pi
        tangent = tangent + cosine
    return cosine, tangent


@numba.njit
def exp_of(x):
    """exp as compiled passes take it, of an array (n,)."""
    out = np.empty_like(x)
    for i in range(len(x)):
        out[i] = exp(x[i])
    return out
