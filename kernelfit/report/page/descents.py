"""Double descent: errors and norm of minimum-norm fits against the number of random features."""

import statistics

from kernelfit.report.descent import descent_title
from kernelfit.report.page.parts import figure, figures, last, number, paragraph, percent, power, repeat, section, table
from kernelfit.report.svg.chart import Point, Rule, Series, chart
from kernelfit.report.svg.scales import Axis


def descents_section(runs):
    """Return the section of double descent."""
    drawn, note = last(runs.descents, "double descents")
    header = ("data", "features", "n", "number", "over n", "training error", "test error", "squared error", "norm")
    header += ("condition", "command")
    rows = [row for result in reversed(runs.descents) for row in _rows(result)]
    caption = "Means over seeds; of condition numbers the median. Squared error: on test points."
    return section(
        "descent",
        "Double descent",
        figures([made for result in drawn for made in _figures(result)]),
        paragraph(note),
        table(header, rows, caption=caption) if rows else None,
    )


def _rows(result):
    curves, means = result.curves, {name: result.curves.mean(name) for name in _NAMES}
    for k, p in enumerate(curves.grid):
        yield [
            result.shared["dataset"]["name"],
            curves.features,
            number(curves.n_train, f"{curves.n_train:,}"),
            number(p, f"{p:,}"),
            number(p / curves.n_train, f"{p / curves.n_train:.3g}"),
            percent(means["train_error"][k]),
            percent(means["test_error"][k]),
            number(means["test_squared_error"][k]),
            number(means["norm"][k]),
            power(statistics.median(run[k] for run in curves.condition)),
            repeat(result.shared["command"]),
        ]


_NAMES = ("train_error", "test_error", "test_squared_error", "norm")


def _figures(result):
    curves, title = result.curves, descent_title(result)
    x = Axis(label="features / training points", log=True)
    chance = 100 * (1 - 1 / curves.n_classes)
    errors = [
        _series(curves, "test_error", "test error", 1, 100),
        _series(curves, "train_error", "training error", 0, 100),
    ]
    others = [_series(curves, "norm", "norm", 0), _series(curves, "test_squared_error", "test squared error", 2)]
    told = f"The squared error on test points is largest at {curves.peak():,} features, for {curves.n_train:,} points."
    commands = [result.shared["command"]]
    return [
        figure(
            f"Double descent: {title}",
            chart(
                title=f"Errors against the number of features, {title}",
                description=told,
                x=x,
                y=Axis(label="error (%)", low=0.0, high=100.0),
                series=errors,
                rules=[Rule(name=f"chance, {chance:.3g} %", y=chance)],
            ),
            caption=told,
            commands=commands,
        ),
        figure(
            f"Norm and squared error: {title}",
            chart(
                title=f"Norm and squared error against the number of features, {title}",
                description=told,
                x=x,
                y=Axis(label="norm, squared error", log=True),
                series=others,
            ),
            commands=commands,
        ),
    ]


def _series(curves, name, label, style, scale=1):
    values = [scale * value for value in curves.mean(name)]
    points = tuple(
        Point(p / curves.n_train, value, 0, f"{p:,} features: {label} {value:.4g}")
        for p, value in zip(curves.grid, values, strict=True)
    )
    return Series(name=label, points=points, style=style)
