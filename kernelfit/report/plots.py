"""The figures of a folder of Records by name: `kernelfit plot`."""

import dataclasses
from collections.abc import Callable

from kernelfit.common.errors import DataNotFoundError, InputError, suggestion
from kernelfit.report.bench import bench_table, plot_bench
from kernelfit.report.descent import descent_table, plot_descent
from kernelfit.report.interpolants import interpolants_table, plot_interpolants
from kernelfit.report.margins import margins_table, plot_margins
from kernelfit.report.net_curves import by_curve
from kernelfit.report.net_figures import (
    errors_table,
    overfit_table,
    plot_errors,
    plot_overfit,
    plot_training,
    training_table,
)
from kernelfit.report.norms import norms_table, plot_norms
from kernelfit.report.page.fits import randomization_result
from kernelfit.report.randomization import plot_randomization, randomization_table
from kernelfit.report.ridge_path import plot_ridge_path, ridge_table
from kernelfit.report.sweep import plot_sweep, sweep_table


@dataclasses.dataclass(frozen=True)
class Plot:
    """A figure that can be drawn of a folder.

    Attributes
    ----------
    about : str
        What it shows.
    made_by : str
        The command that writes what it shows.
    find : function
        Of Runs, all things that it can show, the last made at the end.
    table : function
        Of such a thing, something for the terminal.
    draw : function
        Of such a thing and a path, the figure.
    """

    about: str
    made_by: str
    find: Callable
    table: Callable
    draw: Callable


_TRAIN = "kernelfit nn train"


def _bench_rows(runs):
    return [
        [{k: v for k, v in vars(row).items() if k != "skipped" or v} for row in batch.rows] for batch in runs.benches
    ]


def _nets(runs):
    return [runs.nets] if runs.nets else []


PLOTS = {
    "sweep": Plot(
        "errors and norm against label corruption", "kernelfit sweep", lambda runs: runs.sweeps, sweep_table, plot_sweep
    ),
    "norms": Plot("norm against test error", "kernelfit sweep", lambda runs: runs.sweeps, norms_table, plot_norms),
    "ridge": Plot(
        "errors and norm against the ridge",
        "kernelfit solve --loo --ridge 0 1e-6 1e-3 1",
        lambda runs: runs.ridges,
        ridge_table,
        plot_ridge_path,
    ),
    "margins": Plot(
        "margins and leave-one-out residuals",
        "kernelfit solve --loo",
        lambda runs: [row for row in runs.solves if row.histograms],
        margins_table,
        plot_margins,
    ),
    "descent": Plot(
        "double descent of random features",
        "kernelfit descent",
        lambda runs: runs.descents,
        descent_table,
        plot_descent,
    ),
    "interpolants": Plot(
        "norms of other interpolants",
        "kernelfit interpolants",
        lambda runs: runs.interpolants,
        interpolants_table,
        plot_interpolants,
    ),
    "randomization": Plot(
        "the randomization test of an estimator",
        "kernelfit randomize",
        lambda runs: list(map(randomization_result, runs.fits)),
        randomization_table,
        plot_randomization,
    ),
    "bench": Plot("time and memory against n, with the limit", "kernelfit bench", _bench_rows, bench_table, plot_bench),
    "training": Plot(
        "training loss of nets against steps",
        "kernelfit nn train",
        lambda runs: by_curve(runs.nets),
        training_table,
        plot_training,
    ),
    "overfit": Plot("time to overfit against label corruption", _TRAIN, _nets, overfit_table, plot_overfit),
    "errors": Plot("test error of nets against label corruption", _TRAIN, _nets, errors_table, plot_errors),
}


def find_plot(name):
    """Return the Plot of this name; raises InputError if there is none."""
    if name not in PLOTS:
        raise InputError(f"there is no figure {name!r}{suggestion(name, PLOTS)}; there are {', '.join(PLOTS)}")
    return PLOTS[name]


def shown_by(plot, runs, folder, number=None):
    """Return what a Plot shows of Runs: the last, or the one of this number, counted from 1; and how many there are.

    Raises
    ------
    DataNotFoundError
        The folder holds nothing of the kind.
    InputError
        There is none of this number.
    """
    found = plot.find(runs)
    if not found:
        raise DataNotFoundError(f"{folder} holds nothing for a figure of {plot.about}; make it with {plot.made_by}")
    if number is not None and not 1 <= number <= len(found):
        raise InputError(
            f"`number={number}`: {folder} holds {len(found)} of these; give a number from 1 to {len(found)}"
        )
    return found[(number or len(found)) - 1], len(found)
