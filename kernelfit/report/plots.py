"""The figures of a folder of records by name: `kernelfit plot`."""

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kernelfit.common.errors import DataNotFoundError, InputError, suggestion
from kernelfit.records.reading import Records
from kernelfit.report.figure import Figure
from kernelfit.report.section import filled
from kernelfit.report.table import Table
from kernelfit.report.views import VIEWS, bench, margins, net, norms, randomize
from kernelfit.report.views import net_curves as curves
from kernelfit.report.words import percent, times


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
        Of Records, all things that it can show, the last made at the end.
    table, figure : function
        Of such a thing, the Table for the terminal and the Figure for a file.
    """

    about: str
    made_by: str
    find: Callable[[Records], list[Any]]
    table: Callable[[Any], Table]
    figure: Callable[[Any], Figure]


def _plot(view: Any, made_by: str = "", find: Callable[[Records], list[Any]] | None = None) -> Plot:
    """Return the Plot of a view: of all Records of its kind, unless others are to be found."""
    kind = _name(view)
    about = view.__doc__.splitlines()[0]
    command = f"kernelfit {made_by or kind}"
    return Plot(about, command, find or (lambda records: records.latest(kind)), view.table, view.figure)


def _name(view):
    return view.__name__.rpartition(".")[2]


def _at_levels(measured, records):
    nets = records.latest("net")
    return [(nets, records.latest("sweep"))] if measured(nets) else []


_TRAIN, _LEVELS = "kernelfit nn train", "kernelfit nn train --labels 0 0.5 1"
_OTHERS = (net, norms, margins, randomize, bench)  # whose figures are not of one record of their kind
PLOTS = {
    **{_name(view): _plot(view) for view in VIEWS if hasattr(view, "figure") and view not in _OTHERS},
    "norms": _plot(norms, "sweep", lambda records: records.latest("sweep")),
    "margins": _plot(
        margins, "solve --loo", lambda records: [each for each in records.of("solve") if each.results.histograms]
    ),
    "randomization": _plot(randomize, find=randomize.results),
    "bench": _plot(bench, find=bench.runs),
    "training": Plot(
        "Training loss of nets against steps.",
        _TRAIN,
        lambda records: curves.by_key(records.latest("net")),
        curves.training_table,
        curves.training_figure,
    ),
    "accuracy": Plot(
        "Test accuracy of nets on true labels against epochs, a figure for each data.",
        _TRAIN,
        lambda records: curves.along_the_way(records.latest("net")),
        curves.accuracy_table,
        curves.accuracy_figure,
    ),
    "overfit": Plot(
        "Time to overfit against label corruption, of nets that fitted true labels.",
        _LEVELS,
        functools.partial(_at_levels, curves.times_to_fit),
        lambda both: curves.levels_table(curves.times_to_fit(both[0]), "Steps to fit, of those of true labels", times),
        lambda both: curves.levels_figure(both[0], curves.overfit_panel),
    ),
    "errors": Plot(
        "Test error of nets, and of the exact kernel on the same images, against label corruption.",
        _LEVELS,
        functools.partial(_at_levels, curves.errors_at_levels),
        lambda both: curves.levels_table(
            curves.errors_at_levels(both[0]) | curves.errors_of_kernels(*both), "Test error", percent
        ),
        lambda both: curves.levels_figure(
            both[0], functools.partial(curves.errors_panel, sweeps=both[1]), curves.same_images(*both)
        ),
    ),
}


def find_plot(name: str) -> Plot:
    """Return the Plot of this name; raises InputError if there is none."""
    if name not in PLOTS:
        raise InputError(f"there is no figure {name!r}{suggestion(name, PLOTS)}; there are {', '.join(PLOTS)}")
    return PLOTS[name]


def shown_by(plot: Plot, records: Records, folder: str | Path, number: int | None = None) -> tuple[Any, int]:
    """Return what a Plot shows of Records: the last, or the one of this number, from 1 on; and how many there are.

    Raises
    ------
    DataNotFoundError
        The folder holds nothing of the kind.
    InputError
        There is none of this number.
    """
    found = plot.find(filled(records))
    if not found:
        raise DataNotFoundError(f"{folder} holds nothing to draw; `{plot.made_by}` makes it. The figure: {plot.about}")
    if number is not None and not 1 <= number <= len(found):
        raise InputError(
            f"`number={number}`: {folder} holds {len(found)} of these; give a number from 1 to {len(found)}"
        )
    return found[(number or len(found)) - 1], len(found)
