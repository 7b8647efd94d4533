"""Random convolutional features: their speed against the matrix product, and against torch; their Gram against float64.

    python benchmarks/randomconv.py                   speed and accuracy: 3 minutes on 2 cores
    python benchmarks/randomconv.py --device cuda     the same on one GPU
    python benchmarks/randomconv.py --trials DATA     what each setting is worth, by leave-one-out: 10 minutes

Images are of the size of CIFAR10 (32 x 32 x 3), drawn at random: neither speed nor rounding depends on what they show.
Rates are of 2 x positions x patch x filters operations an image, the matrix products alone; rectifying and pooling
come on top of them in the time. Trials are on real images, of a dataset such as cifar10. Prints Markdown.
"""

import argparse
import statistics
import tempfile
import time

import common
import numpy as np

from kernelfit import backend
from kernelfit.features.accumulated import accumulate
from kernelfit.features.patches import image_patches, normalised
from kernelfit.features.pooling import rectified_cells
from kernelfit.features.random_net import BLOCK, Net
from kernelfit.features.randomconv import PRESETS, RandomConv
from kernelfit.features.rescaling import rescale
from kernelfit.kernels.text import parse_kernel
from kernelfit.solvers.planning.rates import measure_gemm

BARS = {"cpu": 0.60, "cuda": 0.50}
TORCH_BAR = 6.0
ACCURACY_BAR = 1e-6
TRIALS_N, TRIALS_FILTERS, TRIALS_RIDGES = 5_000, 1_024, (0.0, 0.01)
TRIALS = [  # the way from preset normalised to preset rooted, and what lies around that
    "preset='normalised'",
    "preset='normalised', flip=True",
    "preset='normalised', flip=True, root=0.5",
    "preset='normalised', flip=True, root=0.5, standardise=True",
    "preset='rooted'",
    "preset='rooted', flip=True",
    *(f"preset='rooted', flip=True, {changed}" for changed in ("epsilon=0.3", "epsilon=3.0", "bias=1.0", "bias=2.0")),
    *(f"preset='rooted', flip=True, {changed}" for changed in ("pool=11, stride=8", "root=0.3")),
]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--images", type=int, default=1500)
    parser.add_argument("--trials", metavar="DATA", help="a dataset: only the trials")
    options = parser.parse_args()
    if options.trials:
        common.describe("Random convolutional features", {})
        trials(options.trials)
        return
    device = backend.device(options.device)
    rng = np.random.default_rng(0)
    X = rng.integers(0, 256, (options.images, 32, 32, 3), np.uint8)
    common.describe("Random convolutional features", {})
    speed(X, device)
    accuracy(X[: min(len(X), 1500)], device)


def speed(X, device):
    print(f"\n## Speed, {len(X):,} images, {device.name}: median of 5, the sgemm rate measured before each\n")
    rows = []
    for preset in ("image", "normalised"):
        for filters in (2 * BLOCK, 4 * BLOCK, 8 * BLOCK):
            net = Net.prepare(RandomConv(filters=filters, preset=preset, whitening="none"), X[:500])
            images = device.array(net.images(X))
            weights = device.array(np.hstack([net.filters(block) for block in range(net.blocks)]))
            out = device.empty((net.blocks, len(X), net.block_features), np.float32)
            net.convolution.features(images[:64], weights, out[:, :64], device=device)  # compiles
            runs = [_run(net, images, weights, out, device) for _ in range(5)]
            rate, gemm = (statistics.median(values) for values in zip(*runs, strict=True))
            share = statistics.median(a / b for a, b in runs)
            row = [preset, f"{filters:,}", f"{rate / 1e9:.0f}", f"{gemm / 1e9:.0f}", f"{share:.2f}"]
            torch = _torch_rate(net, images, weights) if device.name == "cpu" and preset == "image" else None
            row += [f"{torch / 1e9:.0f}", f"{rate / torch:.1f}"] if torch else ["", ""]
            rows.append(row)
    header = ["preset", "filters at a time", "GFLOP/s", "sgemm, GFLOP/s", f"share (bar {BARS[device.name]:.0%})"]
    common.table([*header, "torch, GFLOP/s", f"faster by (bar {TORCH_BAR:g})"], rows)


def _run(net, images, weights, out, device):
    gemm = measure_gemm(max(2048, device.probe), dtype=np.float32, device=device)
    device.synchronize()
    start = time.perf_counter()
    net.convolution.features(images, weights, out, device=device)
    device.synchronize()
    return net.convolution.operations(len(images), weights.shape[1]) / (time.perf_counter() - start), gemm


def _torch_rate(net, images, weights):
    """The same work in torch: conv2d, two rectifiers, avg_pool2d, on the same threads; None where it is missing."""
    try:
        import torch
        from torch.nn import functional
    except ImportError:
        return None
    torch.set_num_threads(backend.num_threads())
    size, f = net.settings.patch, weights.shape[1]
    kernel = torch.from_numpy(np.ascontiguousarray(weights.T.reshape(f, size, size, 3).transpose(0, 3, 1, 2)))
    batch, times = 25, []
    count = min(200, len(images)) // batch * batch
    tensor = torch.from_numpy(np.ascontiguousarray(images[:count].transpose(0, 3, 1, 2)))
    pool, stride, bias = net.settings.pool, net.settings.stride, net.settings.bias
    with torch.inference_mode():
        for _ in range(2):
            start = time.perf_counter()
            for first in range(0, count, batch):
                Z = functional.conv2d(tensor[first : first + batch], kernel)
                positive = functional.avg_pool2d(functional.relu(Z - bias), pool, stride)
                negative = functional.avg_pool2d(functional.relu(-Z - bias), pool, stride)
            times.append(time.perf_counter() - start)
    ours = np.empty((net.blocks, batch, net.block_features), np.float32)
    net.convolution.features(images[count - batch : count], weights, ours, device=backend.CPU)
    ours = ours.reshape(net.blocks, batch, net.convolution.cells, 2, BLOCK)
    theirs = np.stack([part.numpy() for part in (positive, negative)])
    theirs = theirs.reshape(2, batch, net.blocks, BLOCK, -1).transpose(2, 1, 4, 0, 3)
    assert np.abs(ours - theirs).max() <= 1e-4 * np.abs(theirs).max(), "torch computes something else"
    return net.convolution.operations(count, f) / min(times)


def accuracy(X, device, sample=60):
    """Accumulated inner products of some images against float64: the sums alone, and features and all."""
    print(f"\n## Accuracy: inner products of {sample} of {len(X):,} images, 2,048 filters, {device.name}\n")
    rows = []
    for preset in PRESETS:
        net = Net.prepare(RandomConv(preset=preset), X)
        start = time.perf_counter()
        train, _ = accumulate(net, X, X[:1], device=device)
        seconds = time.perf_counter() - start
        G = device.host(train.part(0, sample).inner_products(train.part(0, sample)))
        sums, products = (
            np.abs(G - expected).max() / np.abs(G).max() for expected in _products(net, X, sample, device)
        )
        rows.append([preset, f"{sums:.1e}", f"<= {ACCURACY_BAR:.0e}", f"{products:.1e}", f"{seconds:.1f} s"])
    header = ["preset", "error of the sums / largest product", "bar", "with that of features", f"n = {len(X):,} took"]
    common.table(header, rows)


def trials(data):
    """Leave-one-out errors on training images: each row is the preset with these settings changed."""
    from kernelfit.experiments.solve import SolveSpec, run_solve

    ridges = ", ".join(f"{ridge:g}" for ridge in TRIALS_RIDGES)
    print(f"\n## Trials: leave-one-out on {TRIALS_N:,} images, {TRIALS_FILTERS:,} filters, ridges {ridges}\n")
    rows = []
    for settings in TRIALS:
        features = f"randomconv(filters={TRIALS_FILTERS}, {settings})"
        errors, bandwidths = [], []
        with tempfile.TemporaryDirectory() as scratch:
            options = {"data": data, "n_train": TRIALS_N, "n_test": 100, "features": features, "scratch": scratch}
            for ridge in TRIALS_RIDGES:
                record, _ = run_solve(SolveSpec(**options, kernel="gaussian", ridge=ridge, loo=True))
                errors.append(f"{100 * record.loo_error:.2f} %")
                bandwidths.append(f"{parse_kernel(record.kernel).bandwidth:.3g}")
        rows.append([f"`{settings}`", *errors, *bandwidths])
    names = [f"ridge {ridge:g}" for ridge in TRIALS_RIDGES]
    common.table(["settings", *names, *(f"bandwidth, {name}" for name in names)], rows)


def _products(net, X, sample, device):
    """Return inner products of the first images of X in float64: of the float32 features, and of float64 features."""
    conv, settings = net.convolution, net.settings
    images = net.images(X if settings.standardise else X[:sample])  # by which all are standardised
    sums, products = np.zeros((sample, sample)), np.zeros((sample, sample))
    out = device.empty((1, len(images), net.block_features), np.float32)
    for block in range(net.blocks):
        filters = net.filters(block)
        conv.features(device.array(images), device.array(filters), out, device=device)
        rescale(out, len(images), settings.root, settings.standardise, device=device)
        F = device.host(out)[0, :sample].astype(np.float64)
        sums += F @ F.T
        F = np.concatenate([_float64_features(conv, images[k : k + 100], filters) for k in range(0, len(images), 100)])
        F **= settings.root
        if settings.standardise:
            deviation = F.std(axis=0)
            F = (F - F.mean(axis=0)) / np.where(deviation > 0, deviation, np.inf)
        products += F[:sample] @ F[:sample].T
    return sums, products


def _float64_features(conv, images, filters):
    patches = image_patches(images.astype(np.float64), conv.patch)
    patches = (normalised(patches, conv.constant) if conv.constant >= 0 else patches) - conv.shift
    Z = patches @ filters.astype(np.float64)
    return rectified_cells(Z, *conv.windows, conv.pool, conv.bias, conv.two_sided).reshape(len(images), -1)


if __name__ == "__main__":
    main()
