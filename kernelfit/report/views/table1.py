"""The paper's table 1 beside ours, and which nets answer which row of it."""

import re

from kernelfit.report.paper import FIGURE_1A_STEPS, TABLE_1
from kernelfit.report.section import Section
from kernelfit.report.table import Row, Table
from kernelfit.report.views import net_curves
from kernelfit.report.words import count, is_true, mean_sd, percent, share

ACCURACIES = ("training accuracy: paper", "kernelfit", "test accuracy: paper", "kernelfit")
_NETS = {
    "inception-nobn": "Inception without batch norm",
    "inception": "Inception",
    "alexnet": "AlexNet",
    "mlp3x512": "MLP 3x512",
    "mlp1x512": "MLP 1x512",
    "imagenet": "Inception V3",
}
_SETTINGS = {"crop-wd": "crop + wd", "crop": "crop", "wd": "wd", "none": "none", "random": "random labels"}


def section(records):
    """Return the paper's table 1; rows that no net has answered yet are grey."""
    nets, rows = records.latest("net"), []
    for name, (train, test) in TABLE_1.items():
        found = records_of(name, nets)
        cells, data = ["not run yet", ""], "ImageNet" if name.startswith("imagenet") else "CIFAR10"
        command = f"kernelfit reproduce table1 --scale full --rows {name}"
        if found:
            cells = [percent(mean_sd(accuracies(found, which))[0]) for which in ("train_error", "test_error")]
            seeds = f", {len(found)} seeds" if len(found) > 1 else ""
            data, command = (
                f"{found[-1].dataset.name}, n = {count(found[-1].dataset.n_train)}{seeds}",
                found[-1].command,
            )
        paper = [share(None if value is None else value / 100) for value in (train, test)]
        rows.append(Row((*in_words(name), paper[0], cells[0], paper[1], cells[1], data), command, grey=not found))
    steps = ", ".join(f"{name} {count(value)}" for name, value in FIGURE_1A_STEPS.items())
    made = Table(
        title="",
        columns=("net", "setting", *ACCURACIES, "data"),
        rows=tuple(rows),
        caption="Accuracies, and the paper's ImageNet results. wd: weight decay; crop: random crops.",
    )
    about = f"Figure 1a in a careful replication, steps until the training loss is 0.1: {steps}." if nets else ""
    return Section("table1", "Table 1 of the paper: nets", (made, about))


def findings(records):
    """Return nothing: the nets say it."""
    return []


def accuracies(records, field):
    """Return 1 minus an error of each of some Records."""
    return [1 - getattr(record.results, field) for record in records]


def in_words(row):
    """Return (net, setting) of a row's name: "mlp1x512-wd" is ("MLP 1x512", "wd")."""
    name = next(name for name in _NETS if row.startswith(f"{name}-"))
    return _NETS[name], _SETTINGS[row.removeprefix(f"{name}-")]


def records_of(row, nets):
    """Return the Records of a row, one of each seed: those on the most images where there are several sizes.

    Of several data sets, or ways to train, that of the last: accuracies of different ones have no mean.
    """
    found = [record for record in nets if _row_of(record) == row]
    largest = max((record.dataset.n_train for record in found), default=0)
    alike = net_curves.by_key([record for record in found if record.dataset.n_train == largest])
    return list({record.results.seed: record for record in alike[-1][1]}.values()) if alike else []


def _row_of(record):
    """Return the name of the row that a Record belongs to, or None."""
    name, corruption = _model(record.results.model.lower()), record.results.corruption
    setting = net_curves.setting_of(record).replace(" + ", "-")
    random = corruption.get("labels") == 1 and corruption.get("pixels") == "true" and setting == "none"
    ours = name == "imagenet" or record.dataset.name.lower().startswith("cifar10")  # after JPEG too, under its name
    if name is None or not ours or not (random or is_true(record)):
        return None
    return f"{name}-{'random' if random else setting}"


def _model(text):
    """Return the first part of a row's name for a model as the command line names it, or None."""
    options = re.sub(r"[\s'\"]", "", text.partition("(")[2])
    match text.partition("(")[0]:
        case "alexnet" | "mlp1x512" | "mlp3x512" as name if not options:
            return name
        case "inception" if options in ("", "batch_norm=false)"):
            return "inception-nobn" if options else "inception"
        case "inception_v3":
            return "imagenet"
        case "mlp":
            return {"hidden=[512])": "mlp1x512", "hidden=[512,512,512])": "mlp3x512"}.get(options)
    return None
