"""Nets: images per second beside the DataLoader loop of a tutorial, and how soon random labels are fitted.

    python benchmarks/nn.py                                     MLP and AlexNet on the CPU, some minutes
    python benchmarks/nn.py --device cuda --workers 4 --models mlp1x512 inception --precision bfloat16 --compile
    python benchmarks/nn.py --plain --models alexnet inception  step by step beside PyTorch's own, tensors in memory
    python benchmarks/nn.py --random-labels --data cifar10      5,000 images with random labels, MLP 1x512

Speed is measured on made-up images of 32 x 32 x 3, cut at random to 28 x 28 and whitened, batch 128: in every round
kernelfit and the tutorial's loop train the same net one after the other. The loop's Dataset does one image at a time,
its layers and its optimiser are PyTorch's own, and it adds up loss and accuracy with .item(), as tutorials do. For
AlexNet it is run too with PyTorch's own LRN, which kernelfit does not use. Every measurement is a process of its own,
taken in turns, and the best of its short epochs: on a machine that others use too, only the best means something.
Prints Markdown.
"""

import argparse
import json
import shlex
import time

import common
import numpy as np

BATCH, CROP, CLASSES = 128, 28, 10
IMAGES = {"mlp1x512": 2560, "mlp3x512": 2560}  # of an epoch, for a fraction of a second of it; other nets:
FEW = {"cpu": 640, "cuda": 12_800}
EPOCHS = 6  # the first compiles, loads code, starts workers


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["mlp1x512", "alexnet"])
    parser.add_argument("--workers", nargs="+", type=int, default=[0, 2], help="of the DataLoader")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--plain", type=int, nargs="?", const=40, help="steps of each net beside plain PyTorch")
    parser.add_argument("--random-labels", action="store_true")
    parser.add_argument("--data", default="cifar10", help="with --random-labels: name or path")
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(rate(**json.loads(options.child[1]))))
        return
    if options.random_labels:
        common.describe("Fitting random labels", {})
        random_labels(options.data)
        return
    import torch

    common.describe("Images per second in training", {})
    name = torch.cuda.get_device_name() if options.device == "cuda" else f"{torch.get_num_threads()} threads"
    print(f"PyTorch {torch.__version__}, {options.device}, {name}\n")
    if options.plain:
        rows = [plain_pytorch(model, options.device, options.plain) for model in options.models]
        common.table(["net", "plain PyTorch, images/s", "kernelfit", "ratio by steps"], rows)
        return
    rows = [row for model in options.models for row in speed(model, options)]
    header = ["net", "loop of a tutorial", "its images/s, best", "kernelfit, best", "ratio of these", "ratio by rounds"]
    common.table(header, rows)


def speed(model, options):
    """Return the rows of one net: kernelfit against each form of the loop, best of all rounds, and ratios within."""
    loops = {f"{workers} workers": {"workers": workers} for workers in options.workers}
    if model == "alexnet":
        loops |= {f"{name}, PyTorch's LRN": loop | {"own_lrn": True} for name, loop in loops.items()}
    shared = {"model": model, "device": options.device}
    ours = {"precision": options.precision, "compile": options.compile}
    found = {name: [] for name in ("kernelfit", *loops)}
    for _ in range(options.rounds):
        for name, rates in found.items():
            asked = shared | (ours if name == "kernelfit" else loops[name])
            rates.append(common.child(__file__, "rate", json.dumps(asked)))
    ours = found.pop("kernelfit")
    return [
        [
            model,
            name,
            f"{max(rates):,.0f}",
            f"{max(ours):,.0f}",
            f"{max(ours) / max(rates):.2f}",
            common.spread([a / b for a, b in zip(ours, rates, strict=True)]),
        ]
        for name, rates in found.items()
    ]


def rate(model, device, workers=None, **options):
    """Return the images per second of the best epoch of kernelfit, or, with a number of workers, of the loop."""
    rng = np.random.default_rng(0)
    n = IMAGES.get(model, FEW[device])
    X = rng.integers(0, 256, (n, 32, 32, 3), dtype=np.uint8)
    y = rng.integers(0, CLASSES, n)
    if workers is None:
        seconds = kernelfit_epochs(model, X, y, device, **options)
    else:
        seconds = tutorial_epochs(model, X, y, device, workers, **options)
    return n / min(seconds[1:])


def kernelfit_epochs(model, X, y, device, precision, compile):
    """Seconds of each epoch of kernelfit, its exact check whether everything is fitted included."""
    from kernelfit.nn.fitting import fit_net
    from kernelfit.nn.settings import Settings

    settings = Settings(batch=BATCH, lr=0.001, epochs=EPOCHS, augment=True, precision=precision, compile=compile)
    history = fit_net(model, X, y, settings, n_classes=CLASSES, crop=CROP, device=device).history
    check = history.evaluate_seconds / EPOCHS
    return check + np.diff(history.curve["seconds"], prepend=0.0)


def tutorial_epochs(model, X, y, device, workers, own_lrn=False):
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
        net.features[3] = nn.LocalResponseNorm(9, alpha=1e-3, beta=0.75, k=1.0)
        net.features[7] = nn.LocalResponseNorm(9, alpha=1e-3, beta=0.75, k=1.0)
    net.to(device)
    criterion, optimizer = nn.CrossEntropyLoss(), torch.optim.SGD(net.parameters(), lr=0.001, momentum=0.9)
    loader = DataLoader(Pictures(), batch_size=BATCH, shuffle=True, num_workers=workers, persistent_workers=workers > 0)
    seconds = []
    for _ in range(EPOCHS):
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


def plain_pytorch(model, device, steps):
    """Return a row: the plainest loop of PyTorch and kernelfit's, whose steps take turns: others use the machine too.

    The plain loop has the same net in the same memory format, all its inputs in memory as it takes them, and a fused
    optimiser. It draws, cuts and whitens nothing, and counts nothing.
    """
    import contextlib

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
    ours, theirs = np.array(seconds[3:]).T  # the first steps load and choose code
    low, middle, high = np.quantile(theirs / ours, [0.25, 0.5, 0.75])
    rates = [f"{BATCH / np.median(each):,.0f}" for each in (theirs, ours)]
    return [model, *rates, f"{middle:.3f} (middle half {low:.3f} to {high:.3f}, {len(ours)} steps)"]


def random_labels(data):
    """MLP 1x512 on 5,000 images with random labels until each is fitted, from the start of the program on."""
    from kernelfit.experiments.nets import NetSpec, run_net

    start = time.perf_counter()
    rows = []
    for seed in range(3):
        spec = NetSpec(
            model="mlp1x512", data=data, labels="random", n_train=5000, lr_decay=0.995, epochs=200, seed=seed
        )
        record, _ = run_net(spec)
        rows.append(
            [
                str(seed),
                f"{100 * (1 - record.train_error):.2f} %",
                f"{100 * (1 - record.test_error):.2f} %",
                f"{record.epochs}, {record.steps:,}",
                f"{record.seconds['train']:.1f} s",
                f"{time.perf_counter() - start:.1f} s",
            ]
        )
        start = time.perf_counter()
    words = shlex.split(record.command)
    name = record.dataset["name"]
    print(f"\n{name}, {record.n_train:,} training and {record.n_test:,} test images\n")
    common.table(["seed", "training accuracy", "test accuracy", "epochs, steps", "training", "in all"], rows)
    command = shlex.join(name if word == data else word for word in words)
    print(f"\nTest accuracy: chance is {100 / record.n_classes:.0f} %. `{command}`")


if __name__ == "__main__":
    main()
