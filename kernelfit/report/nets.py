"""A NetRecord as a table in the terminal, and its training curves as a figure."""

from rich.table import Table
from rich.text import Text

from kernelfit.common.progress import duration
from kernelfit.report.figures import BLUE, VERMILION, figure, rule


def net_table(record):
    """Return a rich Table of one training."""
    table = Table(title=Text(net_title(record)), title_justify="left", show_header=False)
    table.add_column("")
    table.add_column("", justify="right")

    def row(name, value):
        table.add_row(name, Text(value))

    row("test error", _percent(record.test_error))
    if record.test_error_top5 is not None:
        row("test error, five guesses", _percent(record.test_error_top5))
    row("training error", _percent(record.train_error))
    if record.train_error_corrupted is not None and record.train_error_clean is not None:
        row(
            "of true labels, of wrong ones",
            f"{_percent(record.train_error_clean)}, {_percent(record.train_error_corrupted)}",
        )
    row("training loss", f"{record.train_loss:.3g}")
    row("fitted after", _fitted(record.time_to_fit))
    table.add_section()
    row("parameters", f"{record.parameters:,}")
    row("trained", f"{record.epochs} epochs, {record.steps:,} steps; stopped by {record.stopped_by}")
    row(
        "median margin, training and test",
        " and ".join(_median(m) for m in (record.train_margins, record.test_margins)),
    )
    product = record.norms["spectral_product"]
    row("product of spectral norms", "-" if product is None else f"{product:.4g}")
    if record.learning:
        row("examples forgotten at least once", _percent(record.learning["forgotten"]))
    table.add_section()
    row("device", f"{record.device}, {record.precision}{', compiled' * record.compiled}")
    row("time", f"{duration(record.seconds['total'])}, training {duration(record.seconds['train'])}")
    row("images per second", f"{record.images_per_second:,.0f}")
    for warning in record.warnings:
        row("warning", warning)
    return table


def plot_training(record, path):
    """Draw loss against steps, and accuracy against epochs, of one NetRecord; returns the path."""
    with figure(path) as made:
        left, right = made.subplots(1, 2)
        every, losses = record.step_curve["every"], record.step_curve["loss"]
        left.plot([min(record.steps, every * (k + 1)) for k in range(len(losses))], losses, color=BLUE)
        left.set(xlabel="steps", ylabel="training loss", ylim=(0, None))
        curve = record.curve
        right.plot(
            curve["epoch"], [100 * value for value in curve["accuracy"]], color=BLUE, label="training, as it ran"
        )
        measured = [(e, 100 * a) for e, a in zip(curve["epoch"], curve["test_accuracy"], strict=True) if a is not None]
        if measured:
            right.plot(*zip(*measured, strict=True), color=VERMILION, label="test")
        rule(right, 100 / record.n_classes, "chance")
        right.set(xlabel="epochs", ylabel="accuracy (%)", ylim=(0, 103))
        right.legend()
        made.suptitle(net_title(record), fontsize="medium", x=0.01, ha="left", parse_math=False)
    return path


def net_title(record):
    """Return what was trained on what, in words."""
    corruption = record.corruption
    parts = [
        f"{record.model} on {record.dataset['name']}: {record.n_train:,} training and {record.n_test:,} test images"
    ]
    if corruption["labels"]:
        parts.append(f"{corruption['labels_changed']:,} labels changed (p = {corruption['labels']:g})")
    if corruption["pixels"] != "true":
        parts.append(f"{corruption['pixels']} pixels")
    return ", ".join(parts)


def _fitted(time_to_fit):
    if time_to_fit is None:
        return "never"
    return f"{time_to_fit['epochs']} epochs, {time_to_fit['steps']:,} steps, {duration(time_to_fit['seconds'])}"


def _median(distribution):
    return f"{distribution['quantile_50']:.3g}"


def _percent(fraction):
    return f"{100 * fraction:.2f} %" if fraction else "0 %"
