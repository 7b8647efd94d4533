"""The paper's table 1 beside ours, and which nets answer which row of it."""

import re

from kernelfit.report.paper import FIGURE_1A_STEPS, TABLE_1
from kernelfit.report.section import Section
from kernelfit.report.table import Cell, Row, Table
from kernelfit.report.views import net_curves
from kernelfit.report.words import averaged, count, is_true, percent, share

PAPERS_DECAY = 0.95  # of the learning rate, each epoch
_STUDYS_INIT = {"alexnet": "glorot"}  # of kernelfit.experiments.paper.nets, he of others; the paper states none
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
    for name, paper in TABLE_1.items():
        train, test = (share(None if value is None else value / 100) for value in paper)
        groups = groups_of(name, nets)
        for k, (told, found) in enumerate(groups):
            reached = [averaged(accuracies(found, error), percent) for error in ("train_error", "test_error")]
            net, setting = in_words(name)
            cells = (net, f"{setting}{told}", Cell() if k else train, reached[0], Cell() if k else test, reached[1])
            rows.append(Row((*cells, _data(found)), found[-1].command))
        if not groups:
            command = f"kernelfit reproduce table1 --scale full --rows {name}"
            data = "ImageNet" if name.startswith("imagenet") else "CIFAR10"
            rows.append(Row((*in_words(name), train, "not run yet", test, "", data), command, grey=True))
    steps = ", ".join(f"{name} {count(value)}" for name, value in FIGURE_1A_STEPS.items())
    made = Table(
        title="",
        columns=("net", "setting", *ACCURACIES, "data"),
        rows=tuple(rows),
        caption="Accuracies, and the paper's ImageNet results. wd: weight decay; crop: random crops.",
    )
    about = f"Figure 1a in a careful replication, steps until the training loss is 0.1: {steps}." if nets else ""
    return Section("table1", "Table 1 of the paper: nets", (made, about))


def accuracies(records, field):
    """Return 1 minus an error of each of some Records."""
    return [1 - getattr(record.results, field) for record in records]


def in_words(row):
    """Return (net, setting) of a row's name: "mlp1x512-wd" is ("MLP 1x512", "wd")."""
    name = next(name for name in _NETS if row.startswith(f"{name}-"))
    return _NETS[name], _SETTINGS[row.removeprefix(f"{name}-")]


def groups_of(row, nets):
    """Return (how they were trained, Records of each seed) for each way that a row was trained, the paper's first.

    Those on the most images, and of the data set that was used last: accuracies of different ones have no mean. Of a
    seed that was trained twice, the longer training: those of figures end as soon as labels are fitted. The first way,
    of the paper's decay and the study's initial weights, is told as "", each other by its settings that differ:
    ", lr_decay 0.98".
    """
    found = [record for record in nets if _row_of(record) == row]
    largest = max((record.dataset.n_train for record in found), default=0)
    found = [record for record in found if record.dataset.n_train == largest]
    found = [record for record in found if record.dataset.name == found[-1].dataset.name]
    ways = {}
    for record in sorted(found, key=lambda record: record.results.epochs):  # of a seed the one trained longest
        settings = net_curves.settings_of(record)
        _, seeds = ways.get(str(settings), (settings, {}))
        ways[str(settings)] = settings, seeds | {record.results.seed: record}
    ways = [(settings, list(seeds.values())) for settings, seeds in reversed(ways.values())]
    init = _STUDYS_INIT.get(row.partition("-")[0], "he")
    ways.sort(key=lambda way: (way[0].get("lr_decay") != PAPERS_DECAY, way[0].get("init", "he") != init))
    return [(_difference(settings, ways[0][0]), records) for settings, records in ways]


def _difference(settings, others):
    return "".join(f", {key} {settings.get(key)}" for key in others | settings if settings.get(key) != others.get(key))


def _data(records):
    """Return the data set, its size, and what else belongs to the accuracies of a row."""
    last = records[-1]
    seeds = f", {len(records)} seeds" if len(records) > 1 else ""
    precision = "" if last.results.precision == "float32" else f", {last.results.precision}"
    return f"{last.dataset.name}, n = {count(last.dataset.n_train)}{seeds}{precision}"


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
