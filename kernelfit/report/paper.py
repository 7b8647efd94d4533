"""The paper's own numbers, to stand beside ours.

Zhang, Bengio, Hardt, Recht and Vinyals, "Understanding deep learning (still) requires rethinking generalization",
CACM 64(3), 2021, section 5. The paper does not say for which target coding its norms are; ours are given for both.
"""

import dataclasses
import re


@dataclasses.dataclass(frozen=True)
class PaperResult:
    """A result of section 5: error as a fraction, norm as printed there ("about"), or None where there is none."""

    test_error: float
    norm: float | None = None


_SECTION_5 = {
    ("mnist", "gaussian", "pixels"): PaperResult(0.012, 220),
    ("mnist", "gaussian", "gabor"): PaperResult(0.006, 390),
    ("cifar10", "gaussian", "pixels"): PaperResult(0.46),
    ("cifar10", "gaussian", "randomconv"): PaperResult(0.17),
}
_SIZES = {"mnist": (60_000, 10_000), "cifar10": (50_000, 10_000)}


def paper_result(record):
    """Return the PaperResult of the experiment of a Record (whole data, true labels and pixels, no ridge), or None."""
    name = record.dataset["asked"]
    same = (
        (record.n_train, record.n_test) == _SIZES.get(name)
        and record.corruption["labels"] == 0
        and record.corruption["pixels"] == "true"
        and record.ridge == 0
        and (record.augmentation is None or record.augmentation["what"] == "none")
    )
    kernel = re.fullmatch(r"(\w+)\([^()]*\)", record.kernel)  # one kernel, not a combination
    features = re.match(r"\w+", record.features)
    return _SECTION_5.get((name, kernel[1], features[0])) if same and kernel else None


SECTION_5_CLAIMS = {
    "mnist-pixels": ("MNIST, Gaussian kernel on pixels", "1.2 %", "about 220"),
    "mnist-gabor": ("MNIST, after Gabor wavelets", "0.6 %", "about 390"),
    "mnist-scattering": ("MNIST, second-order scattering (not in the paper)", "", ""),
    "mnist-pixels-ridge": ("MNIST, pixels, with a ridge", "no improvement", ""),
    "mnist-gabor-ridge": ("MNIST, Gabor, with a ridge", "no improvement", ""),
    "cifar10-pixels": ("CIFAR10, Gaussian kernel on pixels", "46 %", ""),
    "cifar10-randomconv": ("CIFAR10, random convolutional features", "17 %", ""),
    "cifar10-randomconv-ridge": ("CIFAR10, random convolutional features, with a ridge", "15 %", ""),
    "interpolants": ("MNIST, other interpolants", "", "significantly larger"),
    "linear": ("SGD from 0 on a linear model, d > n", "", "the minimum norm"),
}
"""What section 5 says for each row of kernelfit.experiments.section5: title, test error, norm."""


@dataclasses.dataclass(frozen=True)
class Table1Row:
    """A row of table 1, on CIFAR10: accuracies in percent."""

    model: str
    setting: str
    train: float
    test: float


_SETTINGS = ("crop + wd", "crop", "wd", "none", "random labels")
_TABLE_1 = {
    "Inception": ((100, 89.05), (100, 89.31), (100, 86.03), (100, 85.75), (100, 9.78)),
    "Inception without batch norm": (None, None, (100, 83.00), (100, 82.00), (100, 10.12)),
    "AlexNet": ((99.90, 81.22), (99.82, 79.66), (100, 77.36), (100, 76.07), (99.82, 9.86)),
    "MLP 3x512": (None, None, (100, 53.35), (100, 52.39), (100, 10.48)),
    "MLP 1x512": (None, None, (99.80, 50.39), (100, 50.51), (99.34, 10.61)),
}
TABLE_1 = tuple(
    Table1Row(model, setting, *pair)
    for model, pairs in _TABLE_1.items()
    for setting, pair in zip(_SETTINGS, pairs, strict=True)
    if pair
)
IMAGENET = (
    ("Inception V3", "data augmentation only", "", "72.95 % (top 1)"),
    ("Inception V3", "none", "", "59.80 % (top 1), 80.38 % (top 5)"),
    ("Inception V3", "random labels", "95.20 % (top 1)", ""),
)
"""Net, setting, training and test accuracy of the paper's ImageNet experiments."""
FIGURE_1A_STEPS = {
    "true labels": 4000,
    "shuffled pixels": 5600,
    "Gaussian pixels": 8800,
    "random pixels": 11_900,
    "random labels": 16_600,
}
"""Steps until Inception's training loss is 0.1, in a careful replication of figure 1a."""


def table_1_row(record):
    """Return (model, setting) of the row of table 1 that a NetRecord belongs to, or None."""
    model, corruption, training = record.model.lower(), record.corruption, record.training
    if corruption["pixels"] != "true" or corruption["labels"] not in (0, 1):
        return None
    name = re.match(r"\w+", model)
    name = name[0] if name else ""
    if name == "mlp":
        hidden = re.findall(r"\d+", model)
        names = {("512",): "MLP 1x512", ("512",) * 3: "MLP 3x512"}
        net = names.get(tuple(hidden))
    else:
        plain = re.search(r"(batch_?norm|bn|norm)\s*=\s*(false|none|'none'|0)", model)
        net = {"alexnet": "AlexNet", "inception": "Inception without batch norm" if plain else "Inception"}.get(name)
    crop, decay = bool(training["augment"]), bool(training["weight_decay"])
    setting = "crop + wd" if crop and decay else "crop" if crop else "wd" if decay else "none"
    if corruption["labels"] == 1:
        setting = "random labels" if setting == "none" else None
    return (net, setting) if net and setting else None
