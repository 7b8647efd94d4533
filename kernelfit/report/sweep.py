"""A sweep of label corruption as a table in the terminal, and as the paper's figure 1c for kernels."""

import statistics

from rich import box
from rich.table import Table
from rich.text import Text

from kernelfit.progress import duration
from kernelfit.report.figures import BLUE, GREEN, GREY, VERMILION, new_figure, save_figure


def sweep_table(result):
    """Return a rich Table of a SweepResult: mean and standard deviation over seeds, level by level."""
    shared, loo = result.shared, any(row.loo_error is not None for row in result.rows)
    seconds = shared["seconds"]
    caption = (
        f"{len(result.rows)} sets of labels in {duration(seconds['total'])}; {shared['method']}; relative residual "
        f"{shared['relative_residual']:.1e}"
    )
    table = Table(
        title=Text(
            f"{shared['dataset']['name']}: {shared['n_train']:,} training and {shared['n_test']:,} test examples"
        ),
        title_justify="left",
        caption=Text(caption),
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        padding=(0, 1, 0, 0),
    )
    names = ["pixels", "labels\nreplaced", "training\nerror, %", "test\nerror, %", "RKHS norm\n0/1"]
    names += ["leave-one-\nout, %", "recovered,\n%"] if loo else ["test\nmargin"]
    for name in names:
        table.add_column(name, justify="left" if name == "pixels" else "right")
    for pixels, level, rows in _groups(result):
        last = (
            [_percent(rows, "loo_error"), _percent(rows, "recovered")]
            if loo
            else [_spread([row.test_margins["mean"] for row in rows])]
        )
        norm = _spread([row.norm for row in rows])
        errors = [_percent(rows, "train_error"), _percent(rows, "test_error")]
        table.add_row(pixels, f"{100 * level:g} %", *errors, norm, *last)
    return table


def plot_sweep(result, path):
    """Draw errors and norm against the level of corruption, mean and standard deviation over seeds."""
    shared = result.shared
    figure = new_figure(9, 3.6)
    errors, norms = figure.subplots(1, 2)
    for pixels in dict.fromkeys(row.pixels for row in result.rows):
        groups = [(level, rows) for name, level, rows in _groups(result) if name == pixels]
        levels = [100 * level for level, _ in groups]
        style = {"capsize": 3, "marker": "o", "markersize": 4, "linestyle": "-" if pixels == "true" else ":"}
        suffix = "" if pixels == "true" else f", {pixels} pixels"
        for name, label, colour in (
            ("test_error", "test error", VERMILION),
            ("train_error", "training error", BLUE),
            ("loo_error", "leave-one-out error", GREEN),
        ):
            values = [
                [100 * getattr(row, name) for row in rows if getattr(row, name) is not None] for _, rows in groups
            ]
            if all(values):
                means, deviations = zip(*map(_mean, values), strict=True)
                errors.errorbar(levels, means, yerr=deviations, color=colour, label=label + suffix, **style)
        means, deviations = zip(*(_mean([row.norm for row in rows]) for _, rows in groups), strict=True)
        norms.errorbar(levels, means, yerr=deviations, color=BLUE, label="RKHS norm, targets 0/1" + suffix, **style)
    chance = 100 * (1 - 1 / shared["n_classes"])
    errors.axhline(chance, color=GREY, linestyle="--", label=f"chance, {chance:.3g} %")
    errors.set(xlabel="training labels replaced (%)", ylabel="error (%)", ylim=(-3, 103))
    norms.set(xlabel="training labels replaced (%)", ylabel="RKHS norm")
    for axes in (errors, norms):
        axes.legend(frameon=False, fontsize=7)
        axes.spines[["top", "right"]].set_visible(False)
    kernel = next(iter(shared["kernels"].values()))
    errors.set_title(f"{shared['dataset']['name']}, n = {shared['n_train']:,}, {kernel}", fontsize="small", loc="left")
    return save_figure(figure, path)


def _groups(result):
    """Yield (pixels, level, rows of all seeds)."""
    for pixels, level in dict.fromkeys((row.pixels, row.level) for row in result.rows):
        yield pixels, level, [row for row in result.rows if (row.pixels, row.level) == (pixels, level)]


def _percent(rows, name):
    values = [100 * getattr(row, name) for row in rows if getattr(row, name) is not None]
    return _spread(values) if values else "-"


def _mean(values):
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else 0.0


def _spread(values):
    mean, deviation = _mean(values)
    return f"{mean:.4g}" + (f" ± {deviation:.2g}" if len(values) > 1 else "")
