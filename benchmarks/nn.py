"""Nets: images per second beside the DataLoader loop of a tutorial, and how soon random labels are fitted.

    python benchmarks/nn.py                                     MLP and AlexNet on the CPU, some minutes
    python benchmarks/nn.py --device cuda --workers 4 --models mlp1x512 inception --precision bfloat16 --compile
    python benchmarks/nn.py --random-labels --data cifar10      5,000 images with random labels, MLP 1x512

Speed is measured on made-up images of 32 x 32 x 3, cut at random to 28 x 28 and whitened, batch 128: in every round
kernelfit and the tutorial's loop train the same net one after the other. The loop's Dataset does one image at a time,
its optimiser is SGD as PyTorch makes it, and it adds up loss and accuracy with .item(), as tutorials do. For AlexNet it
is run too with PyTorch's own LRN, which kernelfit does not use. Epochs are short and many, and the best of each
counts: on a machine that others use too, only the best means something. Prints Markdown.
"""

import argparse
import shlex
import time

import common
import numpy as np

BATCH, CROP, CLASSES = 128, 28, 10
IMAGES = {"mlp1x512": 2560, "mlp3x512": 2560}  # of an epoch, for a fraction of a second of it; other nets:
FEW = {"cpu": 640, "cuda": 12_800}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["mlp1x512", "alexnet"])
    parser.add_argument("--workers", nargs="+", type=int, default=[0, 2], help="of the DataLoader")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--random-labels", action="store_true")
    parser.add_argument("--data", default="cifar10", help="with --random-labels: name or path")
    options = parser.parse_args()
    if options.random_labels:
        common.describe("Fitting random labels", {})
        random_labels(options.data)
        return
    import torch

    common.describe("Images per second in training", {})
    name = torch.cuda.get_device_name() if options.device == "cuda" else f"{torch.get_num_threads()} threads"
    print(f"PyTorch {torch.__version__}, {options.device}, {name}\n")
    rows = [row for model in options.models for row in speed(model, options)]
    header = ["net", "loop of a tutorial", "its images/s, best", "kernelfit, best", "ratio of these", "ratio by rounds"]
    common.table(header, rows)


def speed(model, options):
    """Return the rows of one net: kernelfit against each form of the loop, best of all rounds, and ratios within."""
    rng = np.random.default_rng(0)
    n = IMAGES.get(model, FEW[options.device])
    X = rng.integers(0, 256, (n, 32, 32, 3), dtype=np.uint8)
    y = rng.integers(0, CLASSES, n)
    loops = {f"{workers} workers": (workers, False) for workers in options.workers}
    if model == "alexnet":
        loops |= {f"{name}, PyTorch's LRN": (workers, True) for name, (workers, _) in loops.items()}
    found = {name: [] for name in ("kernelfit", *loops)}
    for round_ in range(options.rounds + 1):  # the first warms up
        for name in found:
            if name == "kernelfit":
                rate = kernelfit_rate(model, X, y, options)
            else:
                rate = tutorial_rate(model, X, y, options, *loops[name])
            if round_:
                found[name].append(rate)
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


def kernelfit_rate(model, X, y, options):
    """Images per second of an epoch of kernelfit, with its exact check whether everything is fitted."""
    from kernelfit.nn.fitting import fit_net
    from kernelfit.nn.settings import Settings

    settings = Settings(
        batch=BATCH, lr=0.001, epochs=2, augment=True, precision=options.precision, compile=options.compile
    )
    fitted = fit_net(model, X, y, settings, n_classes=CLASSES, crop=CROP, device=options.device)
    history = fitted.history
    second = history.curve["seconds"][1] - history.curve["seconds"][0]  # the first compiles, or loads code
    return len(X) / (second + history.evaluate_seconds / 2)


def tutorial_rate(model, X, y, options, workers, own_lrn):
    """Images per second of an epoch of the tutorial's loop."""
    import torch
    from torch import nn
    from torch.utils.data import DataLoader, Dataset

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

    device = torch.device(options.device)
    net = build_model(model, (3, CROP, CROP), CLASSES)
    if own_lrn:
        net.features[3] = nn.LocalResponseNorm(9, alpha=1e-3, beta=0.75, k=1.0)
        net.features[7] = nn.LocalResponseNorm(9, alpha=1e-3, beta=0.75, k=1.0)
    net.to(device)
    criterion, optimizer = nn.CrossEntropyLoss(), torch.optim.SGD(net.parameters(), lr=0.001, momentum=0.9)
    loader = DataLoader(Pictures(), batch_size=BATCH, shuffle=True, num_workers=workers, persistent_workers=workers > 0)
    for _ in range(2):  # the second is timed: workers have started
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
        seconds = time.perf_counter() - start
    return len(X) / seconds


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
