"""The paper's own numbers, to stand beside ours.

Zhang, Bengio, Hardt, Recht and Vinyals, "Understanding deep learning (still) requires rethinking generalization",
CACM 64(3), 2021: section 5 and, for nets, sections 2 to 4. The paper does not say for which target coding its norms
are; ours are given for both.
"""

import dataclasses
import re

from kernelfit.records.record import Record
from kernelfit.report.words import is_true


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
_BEYOND = re.compile(r"flip=True|rooted|root=|standardise=True")  # features that the paper does not have
_SIZES = {"mnist": (60_000, 10_000), "cifar10": (50_000, 10_000)}


def paper_result(record: Record) -> PaperResult | None:
    """Return the PaperResult of the experiment of a solve (whole data, true labels and pixels, no ridge), or None."""
    results, used = record.results, record.dataset
    if used is None:
        return None
    same = (
        (used.n_train, used.n_test) == _SIZES.get(used.asked)
        and is_true(record)
        and results.ridge == 0
        and (results.augmentation or {}).get("what") in (None, "none")
        and not _BEYOND.search(results.features)
    )
    kernel = re.fullmatch(r"(\w+)\([^()]*\)", results.kernel)  # one kernel, not a combination
    features = re.match(r"\w+", results.features)
    return _SECTION_5.get((used.asked, kernel[1], features[0])) if same and kernel and features else None


SECTION_5_CLAIMS = {
    "mnist-pixels": ("MNIST, Gaussian kernel on pixels", "1.2 %", "about 220"),
    "mnist-gabor": ("MNIST, after Gabor wavelets", "0.6 %", "about 390"),
    "mnist-scattering": ("MNIST, second-order scattering (not in the paper)", "", ""),
    "mnist-pixels-ridge": ("MNIST, pixels, with a ridge", "no improvement", ""),
    "mnist-gabor-ridge": ("MNIST, Gabor, with a ridge", "no improvement", ""),
    "cifar10-pixels": ("CIFAR10, Gaussian kernel on pixels", "46 %", ""),
    "cifar10-randomconv": ("CIFAR10, random convolutional features", "17 %", ""),
    "cifar10-randomconv-ridge": ("CIFAR10, random convolutional features, with a ridge", "15 %", ""),
    "cifar10-randomconv-rooted": ("CIFAR10, the same, rooted, standardised, mirrored (not in the paper)", "", ""),
    "cifar10-randomconv-rooted-ridge": ("CIFAR10, the same with a ridge (not in the paper)", "", ""),
    "interpolants": ("MNIST, other interpolants", "", "significantly larger"),
    "linear": ("SGD from 0 on a linear model, d > n", "", "the minimum norm"),
}
"""What section 5 says for each row of kernelfit.experiments.paper.section5: title, test error, norm."""

TABLE_1 = {
    "inception-crop-wd": (100.0, 89.05),
    "inception-crop": (100.0, 89.31),
    "inception-wd": (100.0, 86.03),
    "inception-none": (100.0, 85.75),
    "inception-random": (100.0, 9.78),
    "inception-nobn-wd": (100.0, 83.00),
    "inception-nobn-none": (100.0, 82.00),
    "inception-nobn-random": (100.0, 10.12),
    "alexnet-crop-wd": (99.90, 81.22),
    "alexnet-crop": (99.82, 79.66),
    "alexnet-wd": (100.0, 77.36),
    "alexnet-none": (100.0, 76.07),
    "alexnet-random": (99.82, 9.86),
    "mlp3x512-wd": (100.0, 53.35),
    "mlp3x512-none": (100.0, 52.39),
    "mlp3x512-random": (100.0, 10.48),
    "mlp1x512-wd": (99.80, 50.39),
    "mlp1x512-none": (100.0, 50.51),
    "mlp1x512-random": (99.34, 10.61),
    "imagenet-none": (None, 59.80),
    "imagenet-crop": (None, 72.95),
    "imagenet-random": (95.20, None),
}
"""Training and test accuracy (top-1) in percent of the rows of kernelfit.experiments.paper.nets."""

FIGURE_1A_STEPS = {"true": 4000, "shuffled": 5600, "gaussian": 8800, "random-pixels": 11_900, "random-labels": 16_600}
"""Steps to a training loss of 0.1 or less in a careful replication of figure 1a; the paper gives a plot alone."""
