"""The network of Theorem 1, measured."""

import numpy as np

from benchmarks.runner import at_most, case, figure, measures, timed

CLASSES, SAMPLE = 10, 500


@case(
    targets={
        "fit": at_most(5),
        "fit, labels -1 and +1": at_most(5),
        "training errors": at_most(0),
        "training errors, sum over units": at_most(0),
    },
    smoke={"n": 1000},
)
def expressivity(n=50_000, depth=10, seed=0):
    """The network of Theorem 1 for random labels of random images of 3,072 pixels: time, memory, residual by routes.

    Reading v + s (z - b) off the piece that a point lies in is what Network.outputs does; adding up w_j relu(z - b_j)
    as the theorem writes it, in one hidden layer or in many, is done for a sample of the points, since it takes n
    operations for each.
    """
    from kernelfit import backend
    from kernelfit.common.rng import generator
    from kernelfit.datasets.labels import error_rate, one_hot
    from kernelfit.theory.expressivity import apply_layers, deepen, fit_network, project

    rng = generator(seed, "benchmark of expressivity")
    X = rng.integers(0, 256, (n, 32, 32, 3), np.uint8)
    y = rng.integers(0, CLASSES, n)
    Y, sample = one_hot(y, CLASSES), rng.permutation(n)[:SAMPLE]
    before = backend.peak_memory()
    network, fitting = timed(fit_network, X, Y, seed=seed)
    outputs, predicting = timed(network.outputs, X)
    memory = backend.peak_memory() - before
    summed, summing = timed(network.summed_outputs, X[sample])
    layers, deepening = timed(deepen, network, depth)
    deep, applying = timed(lambda: apply_layers(layers, project(X[sample], network.direction)))
    scalar, scalar_fitting = timed(fit_network, X, 2.0 * (y % 2) - 1, seed=seed)
    width = max(layer.width for layer in layers[:-1])
    rows = {
        "fit": figure(fitting, "s"),
        "predict all points": figure(predicting, "s"),
        "peak memory above the data": figure(memory, "GB", scale=1e9),
        "an n x n matrix would take": figure(8 * n * n, "GB", scale=1e9),
        "training errors": figure(error_rate(outputs, y) * n),
        "residual, by pieces": figure(float(np.abs(outputs - Y).max()), digits=2),
        "residual, sum over units": figure(float(np.abs(summed - Y[sample]).max()), digits=2),
        "sum over units": figure(summing, "s"),
        "training errors, sum over units": figure(error_rate(summed, y[sample]) * len(sample)),
        "largest weight": figure(float(np.abs(network.weights).max()), digits=2),
        "smallest eigenvalue": figure(float(network.smallest_eigenvalue), digits=2),
        "weights, 10 outputs (theorem: d + 11 n)": f"{network.n_weights:,}",
        "weights, labels -1 and +1 (d + 2 n)": f"{scalar.n_weights:,}",
        "fit, labels -1 and +1": figure(scalar_fitting, "s"),
        "residual, labels -1 and +1": figure(float(scalar.residual), digits=2),
        f"depth {depth}: width (n / {depth - 1} + 21)": f"{width:,}",
        f"depth {depth}: weights not zero": f"{sum(layer.n_weights for layer in layers):,}",
        f"depth {depth}: made": figure(deepening, "s"),
        f"depth {depth}: residual": figure(float(np.abs(deep - Y[sample]).max()), digits=2),
        f"depth {depth}: applied": figure(applying, "s"),
    }
    yield measures(f"n = {n:,}, {CLASSES} classes; sums on {len(sample)} of the points", rows)
