"""Histograms of margins and leave-one-out residuals of a solve."""

from kernelfit.records.pictures import is_one_value
from kernelfit.report.figure import Axis, Figure, Panel, Steps
from kernelfit.report.table import Row, Table
from kernelfit.report.words import number, sparkline, title_of

_KINDS = {
    "train_margins": ("training margins", 0),
    "loo_margins": ("leave-one-out margins", 2),
    "test_margins": ("test margins", 1),
    "loo_residuals": ("leave-one-out residuals", 2),
}
_MARGIN = Axis(label="margin: score of the own class minus the largest other")
_RESIDUAL = Axis(label="1 minus the own class's score, left out")


def table(record):
    """Return the histograms of a solve, drawn with block characters."""
    rows = []
    for key, (name, _) in _KINDS.items():
        if found := (record.results.histograms or {}).get(key):
            rows.append(Row((name, number(found["low"], 3), sparkline(found["counts"]), number(found["high"], 3))))
    caption = "margin: score of the own class minus the largest other; residual: 1 minus the own class's score"
    return Table(title=title_of(record), columns=("", "from", "histogram", "to"), rows=tuple(rows), caption=caption)


def figure(record):
    """Return the margins and, with leave-one-out, the residuals; margins that are all in one place are told instead."""
    found, about = record.results.histograms or {}, "Left of 0 are the errors."
    steps = {
        key: Steps(name=name, style=style, **found[key] | {"counts": tuple(found[key]["counts"])})
        for key, (name, style) in _KINDS.items()
        if key in found and found[key]["low"] < found[key]["high"] and not is_one_value(found[key])
    }
    if is_one_value(train := found.get("train_margins", {"low": 0.0, "high": 1.0})):
        middle = number((train["low"] + train["high"]) / 2, 2)
        about += f" The margins of all training examples are {middle}."
    residuals = steps.pop("loo_residuals", None)
    how_far = "How far the model fitted without an example is from its label: 0 needs no memory of it, 1 nothing else."
    panels = (
        Panel(title="Margins", x=_MARGIN, steps=tuple(steps.values()), caption=about),
        Panel(title="Leave-one-out residuals", x=_RESIDUAL, steps=(residuals,) if residuals else (), caption=how_far),
    )
    return Figure(title=title_of(record), panels=panels, commands=(record.command,))
