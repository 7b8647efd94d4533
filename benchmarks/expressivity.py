"""The network of Theorem 1, measured: random labels of 50,000 random images of 3,072 pixels each.

    python benchmarks/expressivity.py                      about ten seconds, 1 GB
    python benchmarks/expressivity.py --n 5000 --depth 5   another number of points, another depth for the corollary

Prints Markdown: time, memory, and the residual by every route. Reading v + s (z - b) off the piece that a point lies in
is what Network.outputs does; adding up w_j relu(z - b_j) as the theorem writes it, in one hidden layer or in many, is
done for a sample of the points, since it takes n operations for each.
"""

import argparse
import time

import numpy as np

from kernelfit import __version__, backend
from kernelfit.common.rng import generator
from kernelfit.datasets.labels import error_rate, one_hot
from kernelfit.theory.expressivity import apply_layers, deepen, fit_network, project

CLASSES, SAMPLE = 10, 500


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=50_000)
    parser.add_argument("--depth", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    n = options.n

    rng = generator(options.seed, "benchmark of expressivity")
    X = rng.integers(0, 256, (n, 32, 32, 3), np.uint8)
    y = rng.integers(0, CLASSES, n)
    Y = one_hot(y, CLASSES)
    sample = rng.permutation(n)[:SAMPLE]

    before = backend.peak_memory()
    network, fit_seconds = timed(lambda: fit_network(X, Y, seed=options.seed))
    outputs, predict_seconds = timed(lambda: network.outputs(X))
    memory = backend.peak_memory() - before
    summed, sum_seconds = timed(lambda: network.summed_outputs(X[sample]))
    layers, deepen_seconds = timed(lambda: deepen(network, options.depth))
    deep, apply_seconds = timed(lambda: apply_layers(layers, project(X[sample], network.direction)))
    scalar, scalar_seconds = timed(lambda: fit_network(X, 2.0 * (y % 2) - 1, seed=options.seed))

    machine = ", ".join(f"{name} {value}" for name, value in backend.describe().items())
    print(f"# The network of Theorem 1\n\nkernelfit {__version__}, {machine}\n")
    print(f"n = {n:,} random images, d = 3,072, {CLASSES} random labels; sums on {len(sample)} of the points\n")
    width = max(layer.width for layer in layers[:-1])
    rows = [
        ["time to fit", "< 5 s", f"{fit_seconds:.2f} s"],
        ["time to predict all points", "", f"{predict_seconds:.2f} s"],
        ["peak memory above the data", f"n x n: {8 * n * n / 1e9:.3g} GB", f"{memory / 1e9:.3f} GB"],
        ["training errors", "0", f"{error_rate(outputs, y) * n:.0f}"],
        ["residual, by pieces", "", f"{np.abs(outputs - Y).max():.1e}"],
        ["residual, sum over units", "", f"{np.abs(summed - Y[sample]).max():.1e} ({sum_seconds:.1f} s)"],
        ["errors, sum over units", "0", f"{error_rate(summed, y[sample]) * len(sample):.0f}"],
        ["largest weight", "", f"{np.abs(network.weights).max():.1e}"],
        ["smallest eigenvalue", "", f"{network.smallest_eigenvalue:.1e}"],
        ["weights, 10 outputs", "d + 11 n", f"{network.n_weights:,}"],
        ["labels -1 and +1: weights", "d + 2 n", f"{scalar.n_weights:,}"],
        ["labels -1 and +1: time to fit", "< 5 s", f"{scalar_seconds:.2f} s"],
        ["labels -1 and +1: residual, by pieces", "", f"{scalar.residual:.1e}"],
        [f"depth {options.depth}: width", f"n / {options.depth - 1} + 21", f"{width:,} ({deepen_seconds:.1f} s)"],
        [f"depth {options.depth}: weights not zero", "", f"{sum(layer.n_weights for layer in layers):,}"],
        [f"depth {options.depth}: residual", "", f"{np.abs(deep - Y[sample]).max():.1e} ({apply_seconds:.1f} s)"],
    ]
    print("| measure | bar | measured |\n|---|---|---|")
    for row in rows:
        print("| " + " | ".join(row) + " |")


def timed(function):
    begin = time.perf_counter()
    return function(), time.perf_counter() - begin


if __name__ == "__main__":
    main()
