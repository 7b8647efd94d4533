"""Double descent as a table in the terminal, and as a figure."""

import re
import statistics

from rich import box
from rich.table import Table
from rich.text import Text

from kernelfit.common.progress import duration
from kernelfit.report.figures import COLOURS, GREY, figure, line, rule, titled


def descent_table(result):
    """Return a rich Table of a DescentResult: means over seeds (of condition numbers the median) for each p."""
    curves = result.curves
    table = Table(
        title=Text(descent_title(result)),
        title_justify="left",
        caption=Text(_how(result)),
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        padding=(0, 1, 0, 0),
    )
    for name in ("features", "/ n", "training\nerror, %", "test\nerror, %", "squared\nerror", "norm", "condition"):
        table.add_column(name, justify="right", no_wrap=True)
    for k, p in enumerate(curves.grid):
        train, test, squared, norm, condition = (
            [run[k] for run in getattr(curves, name)]
            for name in ("train_error", "test_error", "test_squared_error", "norm", "condition")
        )
        table.add_row(
            f"{p:,}",
            f"{p / curves.n_train:.3g}",
            f"{100 * statistics.fmean(train):.2f}",
            _spread([100 * value for value in test]),
            f"{statistics.fmean(squared):.3g}",
            f"{statistics.fmean(norm):.4g}",
            f"{statistics.median(condition):.0e}",
        )
    return table


def plot_descent(result, path):
    """Draw errors and norm against the number of features over n, mean and range over seeds; returns the path."""
    curves = result.curves
    at = [p / curves.n_train for p in curves.grid]
    with figure(path) as made:
        errors, norms = made.subplots(1, 2)
        for axes, name, label, style, factor in (
            (errors, "test_error", "test error", 1, 100),
            (errors, "train_error", "training error", 0, 100),
            (norms, "norm", "norm", 0, 1),
            (norms, "test_squared_error", "test squared error", 2, 1),
        ):
            runs = [[factor * value for value in run] for run in getattr(curves, name)]
            means = [statistics.fmean(values) for values in zip(*runs, strict=True)]
            line(axes, at, means, style=style, label=label, markersize=3)
            low, high = ([pick(values) for values in zip(*runs, strict=True)] for pick in (min, max))
            axes.fill_between(at, low, high, color=COLOURS[style], alpha=0.2, linewidth=0)
        chance = 100 * (1 - 1 / curves.n_classes)
        rule(errors, chance, f"chance, {chance:.3g} %")
        errors.set(ylabel="error (%)", ylim=(-3, 103))
        norms.set(yscale="log")
        for axes in (errors, norms):
            axes.axvline(1, color=GREY, linewidth=0.8, linestyle=":")
            axes.set(xlabel="features / training points", xscale="log")
            ticks = [2.0**k for k in range(-6, 7) if at[0] <= 2.0**k <= at[-1]]
            axes.set_xticks(ticks, [f"{tick:.3g}" for tick in ticks])
            axes.set_xticks([], minor=True)
            axes.legend()
        titled(errors, descent_title(result))
    return path


def descent_title(result):
    """Return in words what was fitted."""
    curves = result.curves
    return (
        f"{result.shared['dataset']['name']}: {_features(curves.features)}, n = {curves.n_train:,}, "
        f"{100 * curves.label_noise:g} % of the labels replaced"
    )


def _features(text):
    """Return "FourierFeatures(bandwidth=2.85...)" in short."""
    found = re.fullmatch(r"(\w+)Features\((?:bandwidth=(\d+(?:\.\d+)?(?:e[+-]?\d+)?))?\)", text)
    if found is None:
        return text
    kind, bandwidth = found[1].lower(), found[2]
    return f"{kind}, bandwidth {float(bandwidth):.4g}" if bandwidth else kind


def _how(result):
    curves = result.curves
    seeds = f"{len(curves.seeds)} seeds in {duration(curves.seconds)}"
    return "\n".join([f"{seeds}; the test squared error is largest at p = {curves.peak():,}", *curves.warnings])


def _spread(values):
    mean = f"{statistics.fmean(values):.3g}"
    return mean if len(values) == 1 else f"{mean} ± {statistics.stdev(values):.2g}"
