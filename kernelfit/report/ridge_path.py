"""A ridge path as a table in the terminal, and as a figure: what regularisation does to the errors and to the norm."""

from rich import box
from rich.table import Table
from rich.text import Text

from kernelfit.common.progress import duration
from kernelfit.report.figures import ERRORS, GREY, figure, line, titled
from kernelfit.report.words import batch_title


def ridge_table(result):
    """Return a rich Table of a RidgePathResult, one row for each ridge, the choice of leave-one-out marked."""
    shared = result.shared
    table = Table(
        title=Text(
            f"{shared['dataset']['name']}: {shared['n_train']:,} training and {shared['n_test']:,} test examples, "
            f"{shared['kernel']}"
        ),
        title_justify="left",
        caption=Text("\n".join([_sentence(result), _how(result), *map("warning: {}".format, shared["warnings"])])),
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        padding=(0, 1, 0, 0),
    )
    names = ["ridge", "training\nerror, %", "leave-one-\nout, %", "test\nerror, %", "corrected,\nbroken"]
    names += ["RKHS norm\n0/1", "RKHS norm\n-1/+1"]
    for name in names:
        table.add_column(name, justify="right")
    for row in result.rows:
        mark = "* " if row.ridge == shared["chosen_by_loo"] else ""
        table.add_row(
            f"{mark}{row.ridge:g}",
            _percent(row.train_error),
            "-" if row.loo_error is None else _percent(row.loo_error),
            _percent(row.test_error),
            "" if row is result.rows[0] else f"{row.test_corrected}, {row.test_broken}",
            f"{row.norm:.6g}",
            f"{row.norm_pm1:.6g}",
        )
    return table


def plot_ridge_path(result, path):
    """Draw the errors and the norm against the ridge on a logarithmic axis, 0 at its left; returns the path."""
    ridges = [row.ridge for row in result.rows]
    at, shared = positions(ridges), result.shared
    with figure(path) as made:
        errors, norms = made.subplots(1, 2)
        for name, label, style in ERRORS:
            values = [getattr(row, name) for row in result.rows]
            if None not in values:
                line(errors, at, [100 * value for value in values], style=style, label=label)
        line(norms, at, [row.norm for row in result.rows], style=0, label="targets 0/1")
        line(norms, at, [row.norm_pm1 for row in result.rows], style=3, label="targets -1/+1", linestyle=":")
        errors.set(ylabel="error (%)", ylim=(-0.03 * errors.get_ylim()[1], None))
        norms.set(ylabel="RKHS norm", ylim=(0, None))
        for axes in (errors, norms):
            axes.set(xlabel="ridge", xscale="log")
            if ridges[0] == 0:  # beyond a line, as it has no place on this axis
                axes.axvline((at[0] * at[1]) ** 0.5, color=GREY, linewidth=0.8, linestyle=":")
            axes.set_xticks(at, [f"{ridge:g}" for ridge in ridges], rotation=30)
            axes.set_xticks([], minor=True)
            axes.legend()
        titled(errors, batch_title(shared, shared["kernel"]))
    return path


def positions(ridges):
    """Return where increasing ridges stand on a logarithmic axis: as themselves, and 0 a decade below the first."""
    return [ridge or ridges[1] / 10 for ridge in ridges]


def _sentence(result):
    """Return in words whether a ridge improved anything."""
    shared, first = result.shared, result.rows[0]
    if shared["chosen_by_loo"] is None:
        loo = "leave-one-out was not asked for (--loo)"
    else:
        verb = "improves" if shared["loo_improves"] else "does not improve"
        loo = f"a larger ridge {verb} leave-one-out, which would choose {shared['chosen_by_loo']:g} (*)"
    if not shared["test_improves"]:
        return f"{loo}; none improves the test error"
    best = min(result.rows, key=lambda row: row.test_error)
    errors = f"{_percent(best.test_error)} % at {best.ridge:g} instead of {_percent(first.test_error)} %"
    return f"{loo}; in hindsight the test error is {errors}"


def _how(result):
    shared = result.shared
    residual = max((row.relative_residual for row in result.rows), key=lambda value: (value != value, value))
    return (
        f"{len(result.rows)} ridges by {shared['method']} in {duration(shared['seconds']['total'])} "
        f"({shared['reason']}); relative residuals up to {residual:.1e}"
    )


def _percent(fraction):
    return f"{100 * fraction:.2f}"
