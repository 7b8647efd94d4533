"""Trained nets: one of them, and all of them."""

import functools

from kernelfit.report.figure import Axis, Figure, Panel, Point, Rule, Series
from kernelfit.report.section import Finding, Section, last
from kernelfit.report.table import Cell, Row, Table, listing
from kernelfit.report.views.levels import KINDS
from kernelfit.report.views.net_curves import (
    ACCURACY,
    EPOCHS,
    LOSS,
    STEPS,
    accuracy_figure,
    along_the_way,
    by_key,
    curve,
    errors_panel,
    level_of,
    levels_figure,
    loss,
    one_of_each,
    overfit_panel,
    same_images,
    setting_of,
    steps_to_fit,
    times_to_fit,
    training_figure,
)
from kernelfit.report.words import (
    changes_of,
    count,
    data_of,
    is_true,
    known,
    labels_of,
    mean_sd,
    moment,
    number,
    percent,
    seconds,
    sizes_of,
    times,
)

_PRODUCT = Axis(label="product of the layers' spectral norms", log=True)
_COLUMNS = (
    *("net", "data", "n", "labels", "setting", "seed", "training error", "test error", "test loss", "epochs"),
    *("steps to fit", "stopped by", "time", "parameters", "warnings", "made"),
)


def table(record):
    """Return all that one training says."""
    results = record.results
    parted = results.train_error_clean, results.train_error_corrupted
    fitted = [(results.time_to_fit or {}).get(name) for name in ("epochs", "steps", "seconds")]
    spent = f"{count(fitted[0])} epochs, {count(fitted[1])} steps, {seconds(fitted[2])}"
    ended = f"{count(results.epochs)} epochs, {count(results.steps)} steps; stopped by {results.stopped_by}"
    medians = [number(each.get("quantile_50"), 3) for each in (results.train_margins, results.test_margins)]
    pairs = [
        ("test error", percent(results.test_error)),
        ("test error, five guesses", percent(results.test_error_top5)),
        ("training error", percent(results.train_error)),
        ("of true labels, of wrong ones", "" if None in parted else ", ".join(map(percent, parted))),
        ("training loss", number(results.train_loss, 3)),
        ("fitted after", spent if results.time_to_fit else "never"),
        None,
        ("parameters", count(results.parameters)),
        ("trained", ended),
        ("median margin, training and test", " and ".join(medians) if all(medians) else ""),
        ("product of spectral norms", number(_spectral(record))),
        ("examples forgotten at least once", percent(results.learning.get("forgotten"))),
        None,
        ("device", f"{results.device}, {results.precision}{', compiled' * results.compiled}"),
        ("time", ", training ".join(seconds(record.seconds.get(name)) for name in ("total", "train"))),
        ("images per second", count(results.images_per_second)),
    ]
    return listing(_title(record), pairs, warnings=tuple(record.warnings))


def figure(record):
    """Return the loss against steps, and the accuracy against epochs, of one training."""
    accuracy = (curve(record, "accuracy", "training, as it ran", 0), curve(record, "test_accuracy", "test", 1))
    rules = (Rule(100 / record.dataset.n_classes, "chance"),) if record.dataset.n_classes else ()
    panels = (
        Panel(title="Training loss", x=STEPS, y=LOSS, series=(loss(record, "training loss", 0),)),
        Panel(title="Accuracy", x=EPOCHS, y=ACCURACY, series=accuracy, rules=rules),
    )
    return Figure(title=_title(record), panels=panels, commands=(record.command,))


def section(records):
    """Return the paper's figures 1 and 2 as our nets have them, and every training."""
    nets = records.latest("net")
    curves, note = last(by_key(nets), "nets")
    figures = [*map(training_figure, curves)]
    sweeps = records.latest("sweep")
    errors = functools.partial(errors_panel, sweeps=sweeps)
    figures += [
        levels_figure(nets, errors, same_images(nets, sweeps)),
        levels_figure(nets, overfit_panel),
        *map(accuracy_figure, along_the_way(nets)),
    ]
    rows = tuple(map(_overview, reversed(nets)))
    overview = Table(title="", columns=_COLUMNS, rows=rows, caption="Every training.") if rows else None
    return Section("nets", "Neural nets", (*figures, _norms_figure(nets), note, overview))


def findings(records):
    """Return whether nets fit random labels, and what that costs them."""
    nets, found = records.latest("net"), []
    for name, own in reversed(by_key(nets)):
        kinds = one_of_each(own)
        if random := kinds.get("random labels"):
            true, train = kinds.get("true labels"), percent(random.results.train_error)
            beside = f" instead of {percent(true.results.test_error)}" if true else ""
            ratio = mean_sd(times_to_fit(own).get(name, {}).get(1.0, ()))[0]
            longer = f", after {times(ratio)} the steps" if ratio else ""
            test = f"test error {percent(random.results.test_error)}{beside}"
            text = f"On random labels a net ends with a training error of {train}{longer}, {test} ({name})."
            found.append(Finding(train, text, random.command))
    for record in sorted(filter(is_true, nets), key=lambda record: record.results.test_error)[:1]:
        error = percent(record.results.test_error)
        text = f"The smallest test error of a net is {error} ({record.results.model} on {data_of(record)})."
        found.append(Finding(error, text, record.command))
    return found


def _title(record):
    return f"{record.results.model} on {sizes_of(record)}{changes_of(record)}"


def _spectral(record):
    return record.results.norms.get("spectral_product")


def _norms_figure(nets):
    """Return the product of spectral norms against the test error, true and random labels."""
    shown = [record for record in nets if known(_spectral(record)) and _spectral(record) > 0]
    series = []
    for kind, style, holds in KINDS:
        points = tuple(
            Point(_spectral(record), 100 * record.results.test_error, name=f"{record.results.model}, {labels}")
            for record in shown
            if known(level_of(record)) and holds(level_of(record)) and (labels := labels_of(record.results.corruption))
        )
        series += [Series(name=kind, points=points, style=style, line=False)] if points else []
    y = Axis(label="test error", unit="%", low=0.0)
    panel = Panel(title="Norm against error", x=_PRODUCT, y=y, series=tuple(series))
    return Figure(title="nets", panels=(panel,), commands=tuple(record.command for record in shown))


def _overview(record):
    results = record.results
    cells = (
        results.model,
        record.dataset.name,
        count(record.dataset.n_train),
        labels_of(results.corruption),
        setting_of(record),
        count(results.seed) if known(results.seed) else Cell(str(results.seed)),
        percent(results.train_error),
        percent(results.test_error),
        number(results.test_loss),
        count(results.epochs),
        count(steps_to_fit(record)),
        results.stopped_by,
        seconds(record.seconds.get("total")),
        count(results.parameters),
        "; ".join(record.warnings),
        moment(record.created),
    )
    return Row(cells, record.command)
