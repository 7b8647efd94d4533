"""How right are kernels of points that are far apart, or far from the origin, and what does it cost?"""

import functools

import numpy as np

from benchmarks.runner import Table, case, figure, rounds, timed
from kernelfit.grams.matrix import gram
from kernelfit.kernels import Gaussian, Laplacian

KINDS = ("uniform", "two clusters", "one far point", "offset")


@case(smoke={"spreads": (1.0, 1e8), "dimensions": (1, 9)})
def far_points(spreads=(1.0, 1e2, 1e4, 1e6, 1e8), dimensions=(1, 2, 9, 100)):
    """The largest error of an entry of K, against differences in extended precision, beside scikit-learn's rbf_kernel.

    The spread of 100 points is many times the bandwidth; entries are at most 1. All are given the same float64 data.
    """
    from sklearn.metrics.pairwise import rbf_kernel

    rows = []
    for kind in KINDS:
        for spread in spreads:
            worst = np.zeros(3)
            for d in dimensions:
                X = points(kind, spread, d)
                squares = ((X.astype(np.longdouble)[:, None] - X) ** 2).sum(axis=2)
                right = np.exp(-squares / 2), np.exp(-np.sqrt(squares))
                made = dense(Gaussian(1.0), X), dense(Laplacian(1.0), X), rbf_kernel(X, gamma=0.5)
                found = [abs(K - right[k]).max() for k, K in zip((0, 1, 0), made, strict=True)]
                worst = np.maximum(worst, np.array(found, dtype=float))
            errors = dict(zip(("gaussian", "laplacian", "rbf_kernel"), worst.tolist(), strict=True))
            row = {"points": kind, "spread / bandwidth": f"{spread:.0e}"}
            rows.append(row | {name: figure(error, digits=2) for name, error in errors.items()})
    yield Table("Largest error of an entry", rows)


@case(smoke={"n": 600, "d": 20, "repeats": 1})
def far_points_cost(n=10_000, d=784, repeats=3):
    """Seconds of a fit and of a pass over K; the pass also where half of the entries are made from differences."""
    from kernelfit.estimators import KernelInterpolator

    rng = np.random.default_rng(0)
    X, bandwidth = rng.standard_normal((n, d)), 39.0 * (d / 784) ** 0.5
    far = X + 1e6 * rng.integers(0, 2, (n, 1))  # two clusters
    KernelInterpolator(bandwidth=bandwidth).fit(far[:1200], X[:1200, 0])  # compiles both passes
    ways = {"fit": functools.partial(timed, KernelInterpolator(bandwidth=bandwidth).fit, X, X[:, 0])}
    for name, Z in (("one pass over K", X), ("the same, two far clusters", far)):
        ways[name] = functools.partial(timed, gram(Z, Gaussian(bandwidth)).product, np.ones((n, 1)))
    found = {name: [seconds for _, seconds in runs] for name, runs in rounds(repeats, ways).items()}
    best = min(found["fit"])
    rows = [
        {"float64": name, "time": figure(seconds, "s"), "best / best of the fit": figure(min(seconds) / best)}
        for name, seconds in found.items()
    ]
    yield Table(f"n = {n:,} vectors of {d} normal numbers", rows)


def points(kind, spread, d):
    rng = np.random.default_rng(d)
    near = rng.standard_normal((100, d))
    if kind == "uniform":
        return spread * rng.uniform(-1, 1, (100, d))
    if kind == "two clusters":
        return near + spread * rng.integers(0, 2, (100, 1))
    if kind == "one far point":
        near[50] = spread
        return near
    return near + spread


def dense(kernel, X):
    return gram(X, kernel).block((0, len(X)), (0, len(X)))
