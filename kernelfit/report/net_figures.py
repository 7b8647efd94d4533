"""The paper's figures 1a, 1b and 1c for trained nets: in the terminal, and as figures."""

import statistics

from rich import box
from rich.table import Table
from rich.text import Text

from kernelfit.common.errors import DataNotFoundError
from kernelfit.report.figures import COLOURS, COLUMN, figure, line, sparkline, titled
from kernelfit.report.net_curves import errors_at_levels, losses, one_of_each, steps_to_fit, times_to_fit
from kernelfit.report.words import labels_of

_SPARKS = 32  # characters of a curve in the terminal


def training_table(group):
    """Return a rich Table of a net, (name, Records): its losses as lines of blocks, and the steps it took to fit."""
    name, rows = group
    table = _table(f"Training loss of {name}", ("labels", "loss", "from", "to", "steps to fit"))
    for row in one_of_each(rows):
        values = [loss for _, loss in losses(row)]
        shown = values[:: max(1, len(values) // _SPARKS)]
        ends = (f"{values[0]:.3g}", f"{values[-1]:.3g}") if values else ("", "")
        steps = steps_to_fit(row)
        table.add_row(labels_of(row.corruption), sparkline(shown), *ends, "-" if steps is None else f"{steps:,}")
    return table


def plot_training(group, path):
    """Draw the training loss of a net, (name, Records), a line for each kind of labels; returns the path."""
    name, rows = group
    with figure(path, COLUMN) as made:
        axes = made.subplots()
        for style, row in enumerate(one_of_each(rows)):
            points = losses(row)
            if points:
                look = {"color": COLOURS[style % len(COLOURS)], "linestyle": "-" if style < len(COLOURS) else ":"}
                axes.plot(*zip(*points, strict=True), label=labels_of(row.corruption), **look)
        axes.set(xlabel="steps", ylabel="training loss", ylim=(0, None))
        titled(axes, name)
        axes.legend()
    return path


def overfit_table(nets):
    """Return a rich Table of the time to fit at each level, in multiples of that for true labels."""
    return _levels_table("Steps to fit, of those of true labels", _measured(times_to_fit(nets)))


def plot_overfit(nets, path):
    """Draw the time to fit against the level of corruption (the paper's figure 1b); returns the path."""
    return _plot_levels(_measured(times_to_fit(nets)), "steps to fit, of those of true labels", path)


def errors_table(nets):
    """Return a rich Table of test errors at each level."""
    return _levels_table("Test error, %", _measured(errors_at_levels(nets)))


def plot_errors(nets, path):
    """Draw the test error against the level of corruption (the paper's figure 1c); returns the path."""
    return _plot_levels(_measured(errors_at_levels(nets)), "test error (%)", path)


def _measured(found):
    if not found:
        raise DataNotFoundError(
            "no net was trained on true labels and at another level of corruption too; train one with --labels 0.5, say"
        )
    return found


def _levels_table(title, found):
    levels = sorted({level for each in found.values() for level in each})
    table = _table(title, ("net", *(f"{100 * level:g} %" for level in levels)))
    for name, each in found.items():
        cells = [f"{statistics.fmean(each[level]):.4g}" if level in each else "" for level in levels]
        table.add_row(Text(name), *cells)
    return table


def _plot_levels(found, label, path):
    with figure(path, COLUMN) as made:
        axes = made.subplots()
        for style, (name, levels) in enumerate(found.items()):
            means = [statistics.fmean(values) for values in levels.values()]
            spread = [statistics.stdev(values) if len(values) > 1 else 0 for values in levels.values()]
            line(axes, [100 * level for level in levels], means, spread=spread, style=style, label=name)
        axes.set(xlabel="training labels replaced (%)", ylabel=label, ylim=(0, None))
        axes.legend()
    return path


def _table(title, names):
    table = Table(title=Text(title), title_justify="left", box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    for name in names:
        table.add_column(name, justify="left" if name in ("net", "labels", "loss") else "right")
    return table
