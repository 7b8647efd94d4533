"""A sweep of label corruption as a table in the terminal, and as the paper's figure 1c for kernels."""

import statistics

from rich import box
from rich.table import Table
from rich.text import Text

from kernelfit.common.progress import duration
from kernelfit.report.figures import ERRORS, figure, line, rule, titled
from kernelfit.report.words import batch_title


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
        caption=Text("\n".join([caption, *map("warning: {}".format, shared.get("warnings", []))])),
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        padding=(0, 1, 0, 0),
    )
    several = len({row.pixels for row in result.rows}) > 1  # else seven columns do not fit in 80 characters
    names = ["pixels"] * several + ["labels\nreplaced", "training\nerror, %", "test\nerror, %", "RKHS norm\n0/1"]
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
        table.add_row(*[pixels] * several, f"{100 * level:g} %", *errors, norm, *last)
    return table


def plot_sweep(result, path):
    """Draw errors and norm against the level of corruption, means over seeds and deviations; returns the path."""
    shared = result.shared
    with figure(path) as made:
        errors, norms = made.subplots(1, 2)
        for pixels in dict.fromkeys(row.pixels for row in result.rows):
            groups = [(level, rows) for name, level, rows in _groups(result) if name == pixels]
            look = {"linestyle": "-" if pixels == "true" else ":"}
            suffix = "" if pixels == "true" else f", {pixels} pixels"
            for name, label, style in ERRORS:
                _curve(errors, groups, name, scale=100, style=style, label=label + suffix, **look)
            _curve(norms, groups, "norm", style=0, label="targets 0/1" + suffix, **look)
        chance = 100 * (1 - 1 / shared["n_classes"])
        rule(errors, chance, f"chance, {chance:.3g} %")
        errors.set(xlabel="training labels replaced (%)", ylabel="error (%)", ylim=(-3, 103))
        norms.set(xlabel="training labels replaced (%)", ylabel="RKHS norm", ylim=(0, None))
        for axes in (errors, norms):
            axes.legend()
        titled(errors, batch_title(shared, next(iter(shared["kernels"].values()))))
    return path


def _curve(axes, groups, name, *, scale=1, **look):
    """Draw means over seeds with their deviations, unless a value is missing."""
    values = [[getattr(row, name) for row in rows] for _, rows in groups]
    if not any(None in each for each in values):
        means, deviations = zip(*(mean_and_spread([scale * value for value in each]) for each in values), strict=True)
        line(axes, [100 * level for level, _ in groups], means, spread=deviations, **look)


def _groups(result):
    """Yield (pixels, level, rows of all seeds)."""
    for pixels, level in dict.fromkeys((row.pixels, row.level) for row in result.rows):
        yield pixels, level, [row for row in result.rows if (row.pixels, row.level) == (pixels, level)]


def _percent(rows, name):
    values = [100 * getattr(row, name) for row in rows if getattr(row, name) is not None]
    return _spread(values) if values else "-"


def mean_and_spread(values):
    """Return the mean and the standard deviation, 0 of a single value; NaN and 0 where one of them is NaN."""
    mean = statistics.fmean(values)
    return mean, statistics.stdev(values) if len(values) > 1 and mean == mean else 0.0


def _spread(values):
    mean, deviation = mean_and_spread(values)
    return f"{mean:.4g}" + (f" ± {deviation:.2g}" if len(values) > 1 else "")
