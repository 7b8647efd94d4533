"""A randomization test as a table in the terminal, and as a figure like the paper's 1c."""

import math

from rich import box
from rich.table import Table
from rich.text import Text

from kernelfit.report.figures import COLUMN, ERRORS, figure, line, rule, titled


def randomization_table(result):
    """Return a rich Table of a RandomizationResult: mean and standard deviation over seeds, level by level."""
    table = Table(
        title=Text(_title(result)),
        title_justify="left",
        caption=Text(_caption(result)),
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        padding=(0, 1, 0, 0),  # six columns in 80 characters
    )
    for name in ("labels\nreplaced", "training\nerror, %", "of true\nlabels", "of wrong\nlabels", "test\nerror, %"):
        table.add_column(name, justify="right")
    table.add_column("fit,\nseconds", justify="right")
    for each in result.summary:
        errors = (each.train_error, each.train_error_clean, each.train_error_corrupted, each.test_error)
        percent = (_spread(*(100 * value for value in pair)) for pair in errors)
        table.add_row(f"{100 * each.level:g} %", *percent, _spread(*each.fit_seconds))
    return table


def plot_randomization(result, path):
    """Draw training and test error against the level of corruption, mean and standard deviation over seeds.

    Parameters
    ----------
    result : RandomizationResult
    path : path
        The file to write, whole or not at all; its suffix, .svg, .png or .pdf, tells the kind.
    """
    summary = result.summary
    levels = [100 * each.level for each in summary]
    with figure(path, COLUMN) as made:
        axes = made.subplots()
        for name, label, style in ERRORS[:2]:
            means, deviations = zip(*(getattr(each, name) for each in summary), strict=True)
            spread = [0 if math.isnan(deviation) else 100 * deviation for deviation in deviations]
            line(axes, levels, [100 * mean for mean in means], spread=spread, style=style, label=label)
        rule(axes, 100 * result.chance, f"chance, {100 * result.chance:.3g} %")
        axes.set(xlabel="training labels replaced (%)", ylabel="error (%)", ylim=(-3, 103))
        titled(axes, _title(result))
        axes.legend()
    return path


def _title(result):
    first = result.records[0]
    name = f"{first.data['name']}: " if first.data["name"] else ""
    return f"{first.estimator} on {name}{first.n_train:,} training and {first.n_test:,} test examples"


def _caption(result):
    first, fits = result.records[0], len(result.records)
    lines = [result.verdict]
    if result.time_ratio is not None:
        lines.append(f"random labels take {result.time_ratio:.2f} times as long to fit as true ones")
    held_out = first.data["test_set"]
    if held_out != "given":
        lines.append(f"test examples: {held_out}")
    if result.resumed:
        lines.append(f"{result.resumed} of {fits} fits were done before, and read from the records")
    if result.skipped:
        lines.append(f"{result.skipped} lines of the records were not whole, and skipped")
    return "\n".join(lines)


def _spread(mean, sd):
    if math.isnan(mean):
        return "-"
    return f"{mean:.2f}" + ("" if math.isnan(sd) else f" ± {sd:.2f}")
