"""How right are kernels of points that are far apart, or far from the origin, and what does it cost?

    python benchmarks/far_points.py            3 minutes

First table: the largest error of an entry of K, against differences in extended precision, where the spread of the
points is many times the bandwidth; beside scikit-learn's rbf_kernel on the same float64 data. Second table: seconds of
a fit and of one pass over K for n = 10,000 vectors of 784 normal numbers, and of the pass where these lie in two
clusters so far apart that half of the entries are made from differences.
"""

import time

import numpy as np
from common import table
from sklearn.metrics.pairwise import rbf_kernel

from kernelfit.estimators import KernelInterpolator
from kernelfit.grams.matrix import gram
from kernelfit.kernels import Gaussian, Laplacian

SPREADS = 10.0 ** np.arange(0, 9, 2)
N, D = 10_000, 784


def main():
    table(["points", "spread / bandwidth", "gaussian", "laplacian", "scikit-learn, rbf_kernel"], errors())
    print()
    table(["n = 10,000, d = 784, float64", "seconds", "of the fit"], costs())


def errors():
    """Yield rows: kind of points, spread, and the largest error of each kernel over d = 1, 2, 9 and 100."""
    for kind in ("uniform", "two clusters", "one far point", "offset"):
        for spread in SPREADS:
            worst = np.zeros(3)
            for d in (1, 2, 9, 100):
                X = points(kind, spread, d)
                squares = ((X.astype(np.longdouble)[:, None] - X) ** 2).sum(axis=2)
                right = np.exp(-squares / 2), np.exp(-np.sqrt(squares))
                made = dense(Gaussian(1.0), X), dense(Laplacian(1.0), X), rbf_kernel(X, gamma=0.5)
                found = [abs(K - right[k]).max() for k, K in zip((0, 1, 0), made, strict=True)]
                worst = np.maximum(worst, np.array(found, dtype=float))
            yield [kind, f"{spread:.0e}", *(f"{error:.1e}" for error in worst)]


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


def costs():
    """Yield rows of the second table."""
    rng = np.random.default_rng(0)
    X, bandwidth = rng.standard_normal((N, D)), 39.0
    far = X + 1e6 * rng.integers(0, 2, (N, 1))
    KernelInterpolator(bandwidth=bandwidth).fit(far[:1200], X[:1200, 0])  # compiles both passes
    fit = seconds(lambda: KernelInterpolator(bandwidth=bandwidth).fit(X, X[:, 0]))
    yield ["fit", f"{fit:.2f}", "1"]
    for name, Z in (("one pass over K", X), ("the same, two far clusters", far)):
        K = gram(Z, Gaussian(bandwidth))
        each = min(seconds(lambda K=K: K.product(np.ones((N, 1)))) for _ in range(3))
        yield [name, f"{each:.2f}", f"{each / fit:.2f}"]


def seconds(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
