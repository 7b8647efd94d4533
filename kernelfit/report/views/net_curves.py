"""Curves of trained nets, and the one key that says which of them may be drawn as one, compared, or averaged."""

import dataclasses
import json

from kernelfit.report.figure import Axis, Figure, Panel, Point, Series, chance, thinned
from kernelfit.report.table import Cell, Row, Table
from kernelfit.report.views.levels import LEVEL, against
from kernelfit.report.words import (
    count,
    data_of,
    is_true,
    kernel_of,
    known,
    labels_of,
    mean_sd,
    number,
    percent,
    quotient,
    share,
    sparkline,
)

# Settings that say when a training ends; steps to fit do not depend on them, and random labels are trained for longer.
_LIMITS = ("epochs", "steps", "stop_when_fitted", "loss_below")
_SPARKS = 20  # characters of a curve in the terminal
_LINES = 8  # of one figure, of one kind each
STEPS, EPOCHS = Axis(label="steps", low=0.0), Axis(label="epochs", low=0.0)
LOSS = Axis(label="training loss", low=0.0)
ACCURACY = Axis(label="accuracy", unit="%", low=0.0, high=100.0)
_ERROR = Axis(label="test error", unit="%", low=0.0, high=100.0)
_TIME = Axis(label="steps to fit, of those of true labels", unit="x", low=0.0)


def loss(record, name, style):
    """Return the Series of the mean training loss against steps, from the finer curve where there is one."""
    fine, coarse, end = record.results.step_curve, record.results.curve, record.results.steps
    if known(fine.get("every")) and isinstance(fine.get("loss"), list):  # the last stretch may be shorter
        pairs = [(min(end, (k + 1) * fine["every"]), value) for k, value in enumerate(fine["loss"])]
    else:
        pairs = zip(coarse.get("steps", ()), coarse.get("loss", ()), strict=False)
    points = (Point(step, value) for step, value in pairs if known(value))
    return Series(name=name, points=thinned(points), style=style)


def curve(record, field, name, style, **look):
    """Return the Series of an accuracy against epochs, where it was measured."""
    pairs = zip(record.results.curve.get("epoch", ()), record.results.curve.get(field, ()), strict=False)
    points = (Point(epoch, 100 * value) for epoch, value in pairs if known(value))
    return Series(name=name, points=thinned(points), style=style, **look)


def level_of(record):
    """Return the probability with which a label was replaced."""
    return record.results.corruption.get("labels", 0)


def steps_to_fit(record):
    """Return the steps at which the training accuracy reached the target, or None."""
    return (record.results.time_to_fit or {}).get("steps")


def by_key(nets):
    """Return (name, Records) for each net on each data, the one that was trained last at the end.

    Records of one name are alike in all that decides the outcome (data, sizes, model, settings) but labels, pixels and
    seed, and when training ends: only these may be drawn as one curve, compared, or averaged over seeds. The name
    tells net, data and size, and, of nets that are alike in these, the settings in which they differ.
    """
    found = {}
    for record in nets:
        setting = setting_of(record)
        name = f"{record.results.model}{'' if setting == 'none' else f', {setting}'} on {data_of(record)}"
        key = name, json.dumps(settings_of(record))
        found[key] = [*found.pop(key, []), record]
    alike = {}
    for name, settings in found:
        alike.setdefault(name, []).append(json.loads(settings))
    named = []
    for (name, settings), records in found.items():
        own, others = json.loads(settings), alike[name]
        told = [f", {key} {own[key]}" for key in own if any(each.get(key) != own[key] for each in others)]
        named.append((name + "".join(told), records))
    return named


def settings_of(record):
    """Return what decides the outcomes of a training but net, size, labels, pixels, seed, and when it ends."""
    training = {name: value for name, value in record.results.training.items() if name not in _LIMITS}
    used = {"data": record.dataset.asked, "n_test": record.dataset.n_test, "precision": record.results.precision}
    return dict(sorted((used | training).items()))


def setting_of(record):
    """Return "crop + wd", "crop", "wd" or "none": what regularises the training of a net."""
    training = record.results.training
    on = {"crop": training.get("augment"), "wd": training.get("weight_decay")}
    return " + ".join(name for name, value in on.items() if value) or "none"


def one_of_each(records):
    """Return {labels: the last Record of this kind of labels and pixels}."""
    return {labels_of(record.results.corruption): record for record in records}


def errors_at_levels(nets):
    """Return {name: {level: test errors of all seeds}} of the nets that were trained at several levels."""
    return _at_levels(nets, lambda record, true: record.results.test_error)


def errors_of_kernels(nets, sweeps):
    """Return {name: {level: test errors of all seeds}} of the exact kernels that were swept on images these nets saw.

    Of two sweeps with one name, that of the later one; none with a ridge, which is not exact.
    """
    found = {}
    for record in same_images(nets, sweeps):
        levels = {}
        for row in record.results.rows:
            if row.pixels == "true":
                levels.setdefault(row.level, []).append(row.test_error)
        found[f"exact, {kernel_of(record, 'true')} on {data_of(record)}"] = levels
    return found


def same_images(nets, sweeps):
    """Return the Records of sweeps of true pixels, without a ridge, on images that nets saw at several levels."""
    seen = [record.dataset.sha256 for record in _drawn_at_levels(nets)]
    exact = [record for record in sweeps if "true" in record.results.kernels and not record.spec.get("ridge")]
    return [record for record in exact if record.dataset.sha256 and record.dataset.sha256 in seen]


def times_to_fit(nets):
    """Return {name: {level: steps to fit, as multiples of those for true labels with the same seed}} of the same.

    Seeds that were not fitted to true labels are left out: another seed's steps are no measure of theirs.
    """
    return _at_levels(nets, lambda record, true: quotient(steps_to_fit(record), true.get(record.results.seed)))


def levels_table(found, title, say):
    """Return the means over seeds of {net: {level: values}}, a column for each level."""
    levels = sorted({level for each in found.values() for level in each})
    rows = [Row((name, *(say(mean_sd(each.get(level, ()))[0]) for level in levels))) for name, each in found.items()]
    return Table(title=title, columns=("net", *(str(share(level)) for level in levels)), rows=tuple(rows))


def overfit_panel(nets):
    """Return the time to fit against the level of corruption: the paper's figure 1b."""
    about = "The paper's figure 1b: about 1.5 to 3.5 times as long on random labels."
    return Panel(title="Time to overfit", x=LEVEL, y=_TIME, series=_levels(times_to_fit(nets), 1), caption=about)


def errors_panel(nets, sweeps=()):
    """Return the test error against the level of corruption: the paper's figure 1c.

    Beside it that of the exact kernel, from the Records of sweeps on the same images: with the labels of a seed, the
    same bytes.
    """
    classes = {record.dataset.n_classes for record in nets}
    rules = chance(classes.pop()) if len(classes) == 1 else ()
    series = _levels(errors_at_levels(nets), 100)
    for name, levels in errors_of_kernels(nets, sweeps).items():
        series += (against(levels, 100, name=name, style=len(series) % 6, dashed=True),)
    about = "The paper's figure 1c."
    return Panel(title="Test error against corruption", x=LEVEL, y=_ERROR, series=series, rules=rules, caption=about)


def levels_figure(nets, panel, others=()):
    """Return the figure of one of these panels; `others` are Records that it shows beside nets."""
    commands = tuple(record.command for record in (*_drawn_at_levels(nets), *others))
    return Figure(title="nets", panels=(panel(nets),), commands=commands)


def training_table(group):
    """Return the losses of a net, (name, Records), as lines of blocks, and the steps it took to fit."""
    rows = []
    for labels, record in one_of_each(group[1]).items():
        values = [point.y for point in loss(record, "", 0).points]
        ends = (number(values[0], 3), number(values[-1], 3)) if values else (Cell(), Cell())
        rows.append(Row((labels, _spark(values), *ends, count(steps_to_fit(record))), record.command))
    columns = ("labels", "loss", "from", "to", "steps to fit")
    return Table(title=f"Training loss of {group[0]}", columns=columns, rows=tuple(rows))


def training_figure(group):
    """Return the training loss of a net, (name, Records), a line for each kind of labels: the paper's figure 1a."""
    each = list(one_of_each(group[1]).items())[:_LINES]
    series = tuple(loss(record, labels, style) for style, (labels, record) in enumerate(each))
    series = tuple(found for found in series if found.points)
    panel = Panel(title="Training curves", x=STEPS, y=LOSS, series=series, caption="The paper's figure 1a.")
    return Figure(title=group[0], panels=(panel,), commands=tuple(record.command for record in group[1]))


def along_the_way(nets):
    """Return (data, {name: Record}) for each data: the last Record of each net on true labels with a test accuracy
    after more than one epoch, the data of which a net was trained last at the end.
    """
    found = {}
    for name, records in by_key([record for record in nets if is_true(record)]):
        data = data_of(records[-1])
        told = [record for record in records if len(_test_accuracy(record, name, 0).points) > 1]
        if told:
            found[data] = found.pop(data, {}) | {name.replace(f" on {data}", ""): told[-1]}
    return list(found.items())


def accuracy_table(group):
    """Return the test accuracies of (data, {name: Record}): at the end, and the best along the way."""
    rows = []
    for name, record in group[1].items():
        points = _test_accuracy(record, name, 0).points
        best = max(points, key=lambda point: (point.y, -point.x))
        cells = percent(points[-1].y / 100), percent(best.y / 100), count(best.x), count(points[-1].x)
        rows.append(Row((name, _spark([point.y for point in points]), *cells), record.command))
    columns = ("net", "test accuracy", "at the end", "best along the way", "its epoch", "epochs")
    return Table(title=f"Test accuracy on {group[0]}", columns=columns, rows=tuple(rows))


def accuracy_figure(group):
    """Return the test accuracy against epochs of (data, {name: Record}): the paper's figure 2."""
    shown = list(group[1].items())[-_LINES:]
    series = tuple(_test_accuracy(record, name, style) for style, (name, record) in enumerate(shown))
    y = Axis(label="test accuracy", unit="%", high=100.0)
    panel = Panel(title="Test accuracy while training", x=EPOCHS, y=y, series=series, caption="The paper's figure 2.")
    return Figure(title=f"nets on {group[0]}", panels=(panel,), commands=tuple(record.command for _, record in shown))


def _spark(values):
    return sparkline(values[:: -(-len(values) // _SPARKS) or 1])


def _test_accuracy(record, name, style):
    """Return the Series of the test accuracy; at the end of a training it is known, even if its curve ends before."""
    line, end, error = curve(record, "test_accuracy", name, style), record.results.epochs, record.results.test_error
    if not line.points or line.points[-1].x >= end:
        return line
    return dataclasses.replace(line, points=(*line.points, Point(end, 100 * (1 - error))))


def _levels(found, scale):
    """Return a line for each name, those with most levels first, as many as can be told apart."""
    drawn = sorted(found.items(), key=lambda item: -len(item[1]))[:6]
    return tuple(against(levels, scale, name=name, style=style) for style, (name, levels) in enumerate(drawn))


def _drawn_at_levels(nets):
    names = errors_at_levels(nets)
    return [record for name, records in by_key(nets) if name in names for record in records]


def _at_levels(nets, measured):
    """Return {name: {level: measured(Record, {seed: steps to fit true labels}) of all seeds}}."""
    made = {}
    for name, records in by_key(nets):
        own = {
            (level_of(record), record.results.seed): record
            for record in records
            if record.results.corruption.get("pixels", "true") == "true" and known(level_of(record))
        }
        true = {seed: steps_to_fit(record) for (level, seed), record in own.items() if level == 0}
        levels = {}
        for (level, _), record in sorted(own.items(), key=lambda item: item[0]):
            value = measured(record, true)
            if value is not None:
                levels.setdefault(level, []).append(value)
        if len(levels) > 1:
            made[name] = levels
    return made
