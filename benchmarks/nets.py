"""Neural nets: images per second beside the DataLoader loop of a tutorial, and how soon random labels are fitted."""

import contextlib
import dataclasses
import functools
import math
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.experiments import outcome
from benchmarks.runner import Table, apart, at_least, at_most, case, figure, measures, ratio, rounds
from kernelfit.experiments.registry import read_records

BATCH, CROP, CLASSES = 128, 28, 10
IMAGES = {"mlp1x512": 2560, "mlp3x512": 2560}  # of an epoch, for a fraction of a second of it; other nets:
FEW = {"cpu": 640, "cuda": 12_800}


@case(
    targets={
        "mlp1x512, 0 workers: kernelfit / loop": at_least(3),
        "alexnet, 0 workers: kernelfit / loop": at_least(1.1),
    },
    smoke={"models": ("mlp1x512",), "workers": (0,), "repeats": 1, "epochs": 2, "images": 256},
)
def nets(
    device="cpu",
    models=("mlp1x512", "alexnet"),
    workers=(0, 2),
    precision="float32",
    compile=False,
    repeats=5,
    epochs=6,
    images=0,
):
    """Images per second in training beside the DataLoader loop of a tutorial with some workers, net by net.

    Images are made up, of 32 x 32 x 3, cut at random to 28 x 28 and whitened, batch 128. The loop's Dataset does one
    image at a time, its layers and its optimiser are PyTorch's own, and it adds up loss and accuracy with .item(), as
    tutorials do; AlexNet is run too with PyTorch's own LRN, which kernelfit does not use. Every measurement is a
    process of its own, taken in turns, and the best of its epochs after the first.
    """
    import torch

    rows = []
    for model in models:
        loops = {f"{count} workers": {"workers": count} for count in workers}
        if model == "alexnet":
            loops |= {f"{name}, PyTorch's LRN": loop | {"own_lrn": True} for name, loop in loops.items()}
        asked = {"kernelfit": {"precision": precision, "compile": compile}} | loops
        shared = [model, device, epochs, images or IMAGES.get(model, FEW[device])]
        found = rounds(repeats, {name: functools.partial(apart, rate, *shared, asked[name]) for name in asked})
        ours = figure(found.pop("kernelfit"))
        for name, rates in found.items():
            row = {"net, loop of a tutorial": f"{model}, {name}", "its images / s": figure(rates), "kernelfit": ours}
            best = figure(max(ours.values) / max(rates))
            rows.append(row | {"best / best": f"{best}", "kernelfit / loop": ratio(ours, figure(rates))})
    name = torch.cuda.get_device_name() if device == "cuda" else f"{torch.get_num_threads()} threads"
    yield Table(f"PyTorch {torch.__version__}, {device}, {name}", rows)


def rate(model, device, epochs, n, options):
    """Return the images per second of the best epoch of kernelfit, or, with a number of workers, of the loop."""
    rng = np.random.default_rng(0)
    X, y = rng.integers(0, 256, (n, 32, 32, 3), dtype=np.uint8), rng.integers(0, CLASSES, n)
    seconds = (tutorial if "workers" in options else kernelfit)(model, X, y, device, epochs, **options)
    return n / min(seconds[1:])  # the first compiles, loads code, starts workers


def kernelfit(model, X, y, device, epochs, precision, compile):
    """Seconds of each epoch of kernelfit, its exact check whether everything is fitted included."""
    from kernelfit.nn.fitting import fit_net
    from kernelfit.nn.settings import Settings

    settings = Settings(batch=BATCH, lr=0.001, epochs=epochs, augment=True, precision=precision, compile=compile)
    history = fit_net(model, X, y, settings, n_classes=CLASSES, crop=CROP, device=device).history
    check = history.evaluate_seconds / epochs
    return check + np.diff(history.curve["seconds"], prepend=0.0)


def tutorial(model, X, y, device, epochs, workers, own_lrn=False):
    """Seconds of each epoch of the tutorial's loop."""
    import torch
    from torch import nn
    from torch.utils.data import DataLoader, Dataset

    from kernelfit.nn.layers import Linear
    from kernelfit.nn.models import build_model

    class Pictures(Dataset):
        def __len__(self):
            return len(X)

        def __getitem__(self, index):
            image = torch.from_numpy(X[index]).permute(2, 0, 1).float() / 255
            top, left = torch.randint(0, 32 - CROP + 1, (2,)).tolist()
            image = image[:, top : top + CROP, left : left + CROP]
            image = (image - image.mean()) / max(float(image.std(correction=0)), image.numel() ** -0.5)
            return image, int(y[index])

    net = build_model(model, (3, CROP, CROP), CLASSES)
    for module in net.modules():
        if isinstance(module, Linear):
            module.__class__ = nn.Linear  # a tutorial's layer
    if own_lrn:
        for layer in (3, 7):
            net.features[layer] = nn.LocalResponseNorm(9, alpha=1e-3, beta=0.75, k=1.0)
    net.to(device)
    criterion, optimizer = nn.CrossEntropyLoss(), torch.optim.SGD(net.parameters(), lr=0.001, momentum=0.9)
    loader = DataLoader(Pictures(), batch_size=BATCH, shuffle=True, num_workers=workers, persistent_workers=workers > 0)
    seconds = []
    for _ in range(epochs):
        start, loss_sum, correct = time.perf_counter(), 0.0, 0
        for images, labels in loader:
            images, labels = images.to(device), labels.to(device)
            optimizer.zero_grad()
            logits = net(images)
            loss = criterion(logits, labels)
            loss.backward()
            optimizer.step()
            loss_sum += loss.item()
            correct += (logits.argmax(1) == labels).sum().item()
        seconds.append(time.perf_counter() - start)
    return seconds


@case(targets={"kernelfit / plain": at_least(0.98)}, smoke={"models": ("mlp1x512",), "steps": 5})
def nets_plain(models=("alexnet", "inception"), device="cpu", steps=40):
    """Steps of training beside the plainest loop of PyTorch, whose steps take turns.

    The plain loop has the same net in the same memory format, all its inputs in memory as it takes them, and a fused
    optimiser. It draws, cuts and whitens nothing, and counts nothing.
    """
    rows = []
    for model in models:
        ours, theirs = (np.array(each) for each in zip(*_in_turns(model, device, steps)[3:], strict=True))
        low, middle, high = np.quantile(theirs / ours, [0.25, 0.5, 0.75])  # the first steps load and choose code
        rates = {name: figure(BATCH / float(np.median(each))) for name, each in (("plain", theirs), ("ours", ours))}
        rows.append(
            {
                "net": model,
                "plain PyTorch, images / s": rates["plain"],
                "kernelfit": rates["ours"],
                "kernelfit / plain": figure(float(middle)),
                "middle half": f"{low:.3f} to {high:.3f}, {len(ours)} steps",
            }
        )
    yield Table("Steps in turns", rows)


def _in_turns(model, device, steps):
    """Return (seconds of our step, seconds of the plain one) of each step."""
    import torch
    from torch.nn import functional

    from kernelfit.common.progress import Progress
    from kernelfit.nn.images import Images
    from kernelfit.nn.models import build_model, fastest_layout
    from kernelfit.nn.settings import Settings
    from kernelfit.nn.training import train

    rng, n = np.random.default_rng(0), 20 * BATCH
    images = Images(rng.integers(0, 256, (n, 32, 32, 3), dtype=np.uint8), crop=CROP, device=device)
    y = torch.from_numpy(rng.integers(0, CLASSES, n)).to(device)
    net, plain = (build_model(model, images.input_shape, CLASSES) for _ in range(2))
    images.layout = fastest_layout(net, images.input_shape)
    x = images.batch(torch.arange(n, device=device))
    plain.to(device, memory_format=images.layout)
    optimizer = torch.optim.SGD(plain.parameters(), lr=0.001, momentum=0.9, fused=True)
    seconds = []

    def now():
        if images.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    class Turns(Progress):
        @contextlib.contextmanager
        def phase(self, name, total, **options):
            begin = now()

            def advance(amount, detail="", kind=""):
                nonlocal begin
                between = now()
                rows = torch.randint(0, n, (BATCH,), device=device)
                optimizer.zero_grad()
                functional.cross_entropy(plain(x[rows]), y[rows]).backward()
                optimizer.step()
                end = now()
                seconds.append((between - begin, end - between))
                begin = now()

            yield advance

    settings = Settings(batch=BATCH, lr=0.001, epochs=steps, steps=steps, augment=True, stop_when_fitted=False)
    train(net, images, y, settings, progress=Turns())
    return seconds


@case(
    targets={"training error": at_most(0), "in all": at_most(120)},
    smoke={"data": "digits", "n": 200, "seeds": 1, "epochs": 3},
)
def nets_random_labels(data="cifar10", n=5_000, model="mlp1x512", seeds=3, epochs=200):
    """How soon an MLP fits 5,000 random labels, from the start of the process on; chance is a test error of 0.9."""
    rows = []
    for seed in range(seeds):
        options = {"data": data, "n_train": n, "model": model, "labels": "random", "seed": seed}
        run = apart(outcome, "net", options | {"lr_decay": 0.995, "epochs": epochs})
        rows.append(
            {
                "seed": str(seed),
                "training error": figure(run["train_error"]),
                "test error": figure(run["test_error"]),
                "epochs, steps": f"{run['epochs']}, {run['steps']:,}",
                "training": figure(run["seconds"]["train"], "s"),
                "in all": figure(run["wall"], "s"),
            }
        )
    yield Table(f"`{run['command']}`", rows)


@case(
    targets={"numbers that differ": at_most(0), "steps done when it was killed": at_least(1)},
    smoke={"data": "digits", "model": "mlp1x512", "steps": 400, "every": 0.05},
)
def nets_resume(data="cifar10", model="alexnet", steps=300, every=5.0, labels="random"):
    """A training that is killed after its first checkpoint and goes on, beside one that is not: the same bits.

    Compared are the losses by step and epoch, errors, margins and norms of the weights, and what was learnt when, of
    every example.
    """
    words = ["--data", data, "--model", model, "--steps", str(steps), "--labels", labels, "--lr", "0.01", "--quiet"]
    words = ["-m", "kernelfit", "nn", "train", *words, "--checkpoint-every", str(every)]
    with tempfile.TemporaryDirectory() as folder:
        whole, killed = (Path(folder) / name for name in ("whole", "killed"))
        _train([*words, "--runs", str(whole)])
        _killed_at_a_checkpoint([*words, "--runs", str(killed)], killed)
        _train([*words, "--runs", str(killed), "--resume"])
        expected, found = (_numbers(each) for each in (whole, killed))
        resumed = found.pop("resumed")
        expected.pop("resumed")
    row = {
        "numbers that are compared": figure(sum(len(each) for each in expected.values())),
        "numbers that differ": figure(sum(_differing(expected[name], found[name]) for name in expected)),
        "steps done when it was killed": figure(int(resumed[0]) if len(resumed) else 0),
    }
    yield measures(f"{model} on {data}, {labels} labels, {steps} steps", row)


def _train(words):
    subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL)


def _killed_at_a_checkpoint(words, runs):
    training = subprocess.Popen([sys.executable, *words], stdout=subprocess.DEVNULL)
    while training.poll() is None and not list(runs.glob("nets/*.pt")):
        time.sleep(0.02)
    training.kill()
    training.wait()


def _numbers(runs):
    """Return {name: the numbers of the one record of a folder, bits as integers}, times left out."""
    [record] = read_records(runs)
    results = dataclasses.asdict(record.results)
    results["curve"].pop("seconds")
    found = {"resumed": np.asarray(results.pop("resumed"))}
    for name in ("time_to_fit", "images_per_second"):
        results.pop(name)
    for name, value in results.items():
        numbers = list(_flat(value))
        found[name] = np.array(numbers, np.float64).view(np.int64)
    for file in runs.glob("nets/*.npz"):
        with np.load(file) as arrays:
            found |= {
                f"{name} of each example": arrays[name].ravel().astype(np.float64).view(np.int64) for name in arrays
            }
    return found


def _differing(a, b):
    return int((a != b).sum()) if len(a) == len(b) else max(len(a), len(b))


def _flat(value):
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for each in value:
            yield from _flat(each)
    elif isinstance(value, (int, float)) or value is None:
        yield math.nan if value is None else value
