"""Double descent: errors and norm of minimum-norm fits against the number of random features."""

import re

from kernelfit.report.figure import Axis, Figure, Panel, Point, Rule, Series, chance
from kernelfit.report.section import Finding, gallery
from kernelfit.report.table import Row, Table
from kernelfit.report.views.levels import ERROR, MEANS
from kernelfit.report.words import SURVIVES, averaged, count, known, mean_sd, number, percent, quotient, seconds, share

_COLUMNS = ("features", "over n", "training error", "test error", "squared error", "norm", "condition")
_RATIO = Axis(label="features / training points", log=True)


def table(record):
    """Return means and deviations over seeds for each number of features."""
    curves = record.results
    rows = [
        Row(
            (
                count(p),
                number(quotient(p, curves.n_train), 3),
                averaged(_at(curves.train_error, k), percent),
                averaged(_at(curves.test_error, k), percent),
                number(mean_sd(_at(curves.test_squared_error, k))[0], 3),
                number(mean_sd(_at(curves.norm, k))[0]),
                number(mean_sd(_at(curves.condition, k))[0], 1),
            ),
            record.command,
        )
        for k, p in enumerate(curves.grid)
    ]
    return Table(
        title=_title(record),
        columns=_COLUMNS,
        rows=tuple(rows),
        notes=(f"{len(curves.seeds)} seeds in {seconds(curves.seconds)}; {_peak(curves)}",),
        warnings=tuple(dict.fromkeys([*curves.warnings, *record.warnings])),
        about={"data": record.dataset.name, "random features": curves.features, "n": count(curves.n_train)},
    )


def figure(record):
    """Return errors, and norm and squared error, against the number of features over n; means over seeds."""
    curves = record.results
    errors = tuple(_series(curves, name, label, style, 100) for name, label, style in SURVIVES)
    norms = _series(curves, "norm", "norm", 0), _series(curves, "test_squared_error", "test squared error", 2)
    threshold = Rule(1.0, vertical=True)
    rules, told = (*chance(curves.n_classes), threshold), f"{MEANS}; {_peak(curves)}."
    y = Axis(label="norm, squared error", log=True)
    panels = (
        Panel(title="Double descent", x=_RATIO, y=ERROR, series=errors, rules=rules, caption=told),
        Panel(title="Norm and squared error", x=_RATIO, y=y, series=norms, rules=(threshold,)),
    )
    return Figure(title=_title(record), panels=panels, commands=(record.command,))


def section(records):
    """Return all double descents: the figures of the last ones, and one table."""
    about = {"what": "double descents", "caption": "Means over seeds. Squared error: on test points."}
    return gallery("descent", "Double descent", records.latest("descent"), table, figure, **about)


def findings(records):
    """Return where the error peaks: of a grid that holds the peak, and not one of its sides alone."""
    found = []
    for record in reversed(records.latest("descent")):
        curves, peak = record.results, record.results.peak()
        if peak in (None, curves.grid[0], curves.grid[-1]):
            continue
        errors = {p: mean_sd(_at(curves.test_error, k))[0] for k, p in enumerate(curves.grid)}
        last = curves.grid[-1]
        text = (
            f"The squared error on test points peaks at {count(peak)} random features, for {count(curves.n_train)} "
            f"training points: test error {percent(errors[peak])} there, {percent(errors[last])} with {count(last)} "
            f"features ({_title(record)})."
        )
        found.append(Finding(percent(errors[peak]), text, record.command))
    return found


def _title(record):
    """Return in words what was fitted."""
    curves = record.results
    noise = f"{share(curves.label_noise)} of the labels replaced"
    return f"{record.dataset.name}: {_features(curves.features)}, n = {count(curves.n_train)}, {noise}"


def _features(text):
    """Return "FourierFeatures(bandwidth=2.85...)" in short."""
    found = re.fullmatch(r"(\w+)Features\((?:bandwidth=(\d+(?:\.\d+)?(?:e[+-]?\d+)?))?\)", text)
    if found is None:
        return text
    kind, bandwidth = found[1].lower(), found[2]
    return f"{kind}, bandwidth {number(float(bandwidth))}" if bandwidth else kind


def _peak(curves):
    return f"the test squared error is largest at {count(curves.peak())} features, for {count(curves.n_train)} points"


def _at(curve, k):
    """Return the values of all seeds at the k-th number of features."""
    return [run[k] for run in curve if k < len(run)]


def _series(curves, name, label, style, scale=1):
    points = []
    for k, p in enumerate(curves.grid):
        mean, deviation = mean_sd(scale * value for value in _at(getattr(curves, name), k) if known(value))
        points.append(Point(quotient(p, curves.n_train), mean, deviation or 0.0))
    return Series(name=label, points=tuple(points), style=style)
