"""Random convolutional features: their speed, their accuracy, and what their settings are worth."""

import functools
import tempfile

import numpy as np

from benchmarks.experiments import settings, solve
from benchmarks.runner import Table, apart, at_least, at_most, case, figure, ratio, rounds, timed

BLOCK_COUNTS = (2, 4, 8)
TRIALS = (  # the way from preset normalised to preset rooted, and what lies around that
    "preset='normalised'",
    "preset='normalised', flip=True",
    "preset='normalised', flip=True, root=0.5",
    "preset='normalised', flip=True, root=0.5, standardise=True",
    "preset='rooted'",
    "preset='rooted', flip=True",
    *(f"preset='rooted', flip=True, {changed}" for changed in ("epsilon=0.3", "epsilon=3.0", "bias=1.0", "bias=2.0")),
    *(f"preset='rooted', flip=True, {changed}" for changed in ("pool=11, stride=8", "root=0.3")),
)


def _drawn(images):
    """Images of the size of CIFAR10: neither speed nor rounding depends on what they show."""
    return np.random.default_rng(0).integers(0, 256, (images, 32, 32, 3), np.uint8)


# ---- speed ---------------------------------------------------------------------------------------------------------


@case(
    targets={"cpu: of the matrix product": at_least(0.60), "cuda: of the matrix product": at_least(0.50)}
    | {"faster than torch": at_least(6)},
    smoke={"images": 50, "repeats": 1, "blocks": (1,)},
)
def randomconv(device="cpu", images=1500, repeats=5, blocks=BLOCK_COUNTS):
    """Random convolutional features against the matrix product of the same minute, and against torch.

    Rates are of 2 x positions x patch x filters operations an image, the matrix products alone; rectifying and pooling
    come on top of them in the time.
    """
    from kernelfit import backend
    from kernelfit.features.random_net import BLOCK, Net
    from kernelfit.features.randomconv import RandomConv
    from kernelfit.solvers.planning.rates import measure_gemm

    device, X, rows = backend.device(device), _drawn(images), []
    for preset in ("image", "normalised"):
        for count in blocks:
            net = Net.prepare(RandomConv(filters=count * BLOCK, preset=preset, whitening="none"), X[:500])
            made, weights = _inputs(net, X, device)
            out = device.empty((net.blocks, len(X), net.block_features), np.float32)
            net.convolution.features(made[:64], weights, out[:, :64], device=device)  # compiles
            ways = {
                "gemm": functools.partial(measure_gemm, max(2048, device.probe), dtype=np.float32, device=device),
                "ours": functools.partial(_rate, net, made, weights, out, device),
            }
            with_torch = device.name == "cpu" and preset == "image" and _has_torch()
            if with_torch:
                ways["torch"] = functools.partial(_torch_rate, net, made, weights)
            found = {name: figure(rates, "GFLOP/s", scale=1e9) for name, rates in rounds(repeats, ways).items()}
            row = {"device": device.name, "preset": preset, "filters at a time": f"{count * BLOCK:,}"}
            row |= {"features": found["ours"], "sgemm": found["gemm"]}
            row["of the matrix product"] = ratio(found["ours"], found["gemm"])
            if with_torch:
                row |= {"torch": found["torch"], "faster than torch": ratio(found["ours"], found["torch"])}
            rows.append(row)
    yield Table(f"{images:,} images", rows)


def _inputs(net, X, device):
    weights = np.hstack([net.filters(block) for block in range(net.blocks)])
    return device.array(net.images(X)), device.array(weights)


def _operations(convolution, images, filters):
    """Return the floating-point operations of the matrix products."""
    vertical, horizontal = convolution.windows
    return 2 * images * vertical.size * horizontal.size * len(convolution.shift) * filters


def _rate(net, images, weights, out, device):
    device.synchronize()

    def features():
        net.convolution.features(images, weights, out, device=device)
        device.synchronize()

    return _operations(net.convolution, len(images), weights.shape[1]) / timed(features)[1]


def _has_torch():
    import importlib.util

    return importlib.util.find_spec("torch") is not None


def _torch_rate(net, images, weights, batch=25):
    """The same work in torch: conv2d, two rectifiers, avg_pool2d, on the same threads."""
    import torch
    from torch.nn import functional

    from kernelfit import backend

    torch.set_num_threads(backend.num_threads())
    size, f = net.settings.patch, weights.shape[1]
    kernel = torch.from_numpy(np.ascontiguousarray(weights.T.reshape(f, size, size, 3).transpose(0, 3, 1, 2)))
    count = min(200, len(images)) // batch * batch
    tensor = torch.from_numpy(np.ascontiguousarray(images[:count].transpose(0, 3, 1, 2)))
    pool, stride, bias = net.settings.pool, net.settings.stride, net.settings.bias

    def features():
        for first in range(0, count, batch):
            Z = functional.conv2d(tensor[first : first + batch], kernel)
            positive = functional.avg_pool2d(functional.relu(Z - bias), pool, stride)
            negative = functional.avg_pool2d(functional.relu(-Z - bias), pool, stride)
        return positive, negative

    with torch.inference_mode():
        features()
        last, seconds = timed(features)
    _check_same(net, images[count - batch : count], weights, last)
    return _operations(net.convolution, count, f) / seconds


def _check_same(net, images, weights, theirs):
    from kernelfit import backend
    from kernelfit.features.random_net import BLOCK

    batch = len(images)
    ours = np.empty((net.blocks, batch, net.block_features), np.float32)
    net.convolution.features(images, weights, ours, device=backend.CPU)
    ours = ours.reshape(net.blocks, batch, net.convolution.cells, 2, BLOCK)
    theirs = np.stack([part.numpy() for part in theirs])
    theirs = theirs.reshape(2, batch, net.blocks, BLOCK, -1).transpose(2, 1, 4, 0, 3)
    assert np.abs(ours - theirs).max() <= 1e-4 * np.abs(theirs).max(), "torch computes something else"


# ---- accuracy ------------------------------------------------------------------------------------------------------


@case(targets={"error of the sums": at_most(1e-6)}, smoke={"images": 100, "sample": 20, "presets": ("image",)})
def randomconv_accuracy(device="cpu", images=1500, sample=60, presets=("image", "patch", "normalised", "rooted")):
    """Accumulated inner products of some images, 2,048 filters, against float64: the sums alone, and features and all.

    Errors are relative to the largest product.
    """
    from kernelfit import backend
    from kernelfit.features.accumulated import accumulate
    from kernelfit.features.random_net import Net
    from kernelfit.features.randomconv import RandomConv

    device, X, rows = backend.device(device), _drawn(images), []
    for preset in presets:
        net = Net.prepare(RandomConv(preset=preset), X)
        (train, _), seconds = timed(accumulate, net, X, X[:1], device=device)
        G = device.host(train.part(0, sample).inner_products(train.part(0, sample)))
        right = _products(net, X, sample, device)
        sums, products = (float(np.abs(G - expected).max() / np.abs(G).max()) for expected in right)
        row = {"preset": preset, "error of the sums": figure(sums, digits=2)}
        rows.append(row | {"with that of features": figure(products, digits=2), "time": figure(seconds, "s")})
    yield Table(f"{sample} of {images:,} images, {device.name}", rows)


def _products(net, X, sample, device):
    """Return inner products of the first images of X in float64: of the float32 features, and of float64 features."""
    from kernelfit.features.rescaling import rescale

    conv, chosen = net.convolution, net.settings
    images = net.images(X if chosen.standardise else X[:sample])  # by which all are standardised
    sums, products = np.zeros((sample, sample)), np.zeros((sample, sample))
    out = device.empty((1, len(images), net.block_features), np.float32)
    for block in range(net.blocks):
        filters = net.filters(block)
        conv.features(device.array(images), device.array(filters), out, device=device)
        rescale(out, len(images), chosen.root, chosen.standardise, device=device)
        F = device.host(out)[0, :sample].astype(np.float64)
        sums += F @ F.T
        F = np.concatenate([_float64_features(conv, images[k : k + 100], filters) for k in range(0, len(images), 100)])
        F **= chosen.root
        if chosen.standardise:
            deviation = F.std(axis=0)
            F = (F - F.mean(axis=0)) / np.where(deviation > 0, deviation, np.inf)
        products += F[:sample] @ F[:sample].T
    return sums, products


def _float64_features(conv, images, filters):
    from kernelfit.features.patches import image_patches, normalised
    from kernelfit.features.pooling import rectified_cells

    patches = image_patches(images.astype(np.float64), conv.patch)
    patches = (normalised(patches, conv.constant) if conv.constant >= 0 else patches) - conv.shift
    Z = patches @ filters.astype(np.float64)
    return rectified_cells(Z, *conv.windows, conv.pool, conv.bias, conv.two_sided).reshape(len(images), -1)


# ---- worth ---------------------------------------------------------------------------------------------------------


@case(smoke={"data": "", "n": 60, "filters": 512, "trials": TRIALS[:1]})
def randomconv_trials(data="cifar10", n=5_000, filters=1_024, ridges=(0.0, 0.01), trials=TRIALS):
    """What each setting is worth, by leave-one-out on training images of CIFAR10; each row is the preset, changed."""
    rows = []
    for trial in trials:
        row = {"settings": f"`{trial}`"}
        for ridge, (error, kernel) in zip(ridges, apart(left_out, data, n, filters, ridges, trial), strict=True):
            row |= {f"leave-one-out, ridge {ridge:g}": figure(error), f"kernel, ridge {ridge:g}": kernel}
        rows.append(row)
    yield Table(f"{n:,} images of {data or 'made-up digits'}, {filters:,} filters", rows)


def left_out(data, n, filters, ridges, trial):
    """Return [leave-one-out error, kernel] for each ridge."""
    with tempfile.TemporaryDirectory() as scratch:
        options = {"features": f"randomconv(filters={filters}, {trial})", "scratch": scratch, "n_test": 100}
        options |= settings(data or _coloured(scratch), n, 0, kernel="gaussian", loo=True)
        found = [solve(options | {"ridge": ridge}) for ridge in ridges]
        return [[run["loo_error"], run["kernel"]] for run in found]


def _coloured(folder):
    """Write images of 32 x 32 x 3 that stand in for CIFAR10's."""
    X = _drawn(200)
    y = np.arange(200) % 10
    np.savez(f"{folder}/made.npz", X_train=X[:100], y_train=y[:100], X_test=X[100:], y_test=y[100:])
    return f"{folder}/made.npz"
