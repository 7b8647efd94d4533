"""Rows of the paper's table 1 in words, and which of them a NetRecord belongs to."""

import re

from kernelfit.report.net_curves import by_curve
from kernelfit.report.words import is_true

_NETS = {
    "inception-nobn": "Inception without batch norm",
    "inception": "Inception",
    "alexnet": "AlexNet",
    "mlp3x512": "MLP 3x512",
    "mlp1x512": "MLP 1x512",
    "imagenet": "Inception V3",
}
_SETTINGS = {
    "crop-wd": "crop + wd",
    "crop": "crop",
    "wd": "wd",
    "none": "none",
    "random": "random labels",
}


def in_words(row):
    """Return (net, setting) of a row's name: "mlp1x512-wd" is ("MLP 1x512", "wd")."""
    net = next(name for name in _NETS if row.startswith(f"{name}-"))
    return _NETS[net], _SETTINGS[row.removeprefix(f"{net}-")]


def records_of(row, nets):
    """Return the NetRecords of a row, one of each seed: those on the most images where there are several sizes.

    Of several data sets, or ways to train, that of the last: accuracies of different ones have no mean.
    """
    found = [record for record in nets if _row(record) == row]
    largest = max((record.n_train for record in found), default=0)
    alike = by_curve([record for record in found if record.n_train == largest])
    return list({record.seed: record for record in alike[-1][1]}.values()) if alike else []


def _row(record):
    """Return the name of the row that a NetRecord belongs to, or None."""
    net = _net(record.model.lower())
    crop, decay = bool(record.training["augment"]), bool(record.training["weight_decay"])
    setting = "crop-wd" if crop and decay else "crop" if crop else "wd" if decay else "none"
    random = record.corruption["labels"] == 1 and record.corruption["pixels"] == "true" and setting == "none"
    ours = net == "imagenet" or record.dataset["name"].lower().startswith("cifar10")  # after JPEG too, under its name
    if net is None or not ours or not (random or is_true(record)):
        return None
    return f"{net}-{'random' if random else setting}"


def _net(model):
    """Return the first part of a row's name for a model as the command line names it, or None."""
    options = re.sub(r"[\s'\"]", "", model.partition("(")[2])
    match model.partition("(")[0]:
        case "alexnet" | "mlp1x512" | "mlp3x512" as name if not options:
            return name
        case "inception" if options in ("", "batch_norm=false)"):
            return "inception-nobn" if options else "inception"
        case "inception_v3":
            return "imagenet"
        case "mlp":
            return {"hidden=[512])": "mlp1x512", "hidden=[512,512,512])": "mlp3x512"}.get(options)
    return None
