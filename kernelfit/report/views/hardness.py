"""The kernel and nets side by side: which examples are hard, to which, and how far they agree."""

from kernelfit.report.figure import Axis, Figure, Panel, Point, Series
from kernelfit.report.section import Finding, gallery
from kernelfit.report.table import Row, Table
from kernelfit.report.words import (
    about_of,
    averaged,
    changes_of,
    count,
    data_of,
    known,
    listed,
    number,
    percent,
    seconds,
    sizes_of,
    title_of,
)

_CAPTION = (
    "Spearman's rank correlation of the kernel's leave-one-out margins, the largest first, with the epoch from which "
    "on a net was right (learnt), the first in which it was (first), and how often it forgot; what is "
    "never learnt comes last. Above 0 they agree."
)
_TENTH = Axis(label="training examples, the kernel's easiest tenth first", low=0.5, high=10.5)


def table(record):
    """Return the nets, each with its correlations with the kernel."""
    results, rows = record.results, []
    for net in results.nets:
        errors = percent(net.train_error), percent(net.test_error)
        agreed = (net.learnt_for_good, net.first_learnt, net.forgetting, net.clean, net.corrupted)
        cells = net.model, count(net.seed), count(net.epochs), *errors, *(number(value, 3) for value in agreed)
        rows.append(Row(cells, record.command))
    kernel = (
        f"{results.kernel}, n = {count(results.n)}: leave-one-out error {percent(results.loo_error)}, test error "
        f"{percent(results.test_error)}, norm {number(results.norm)}; {seconds(record.seconds.get('total'))}"
    )
    among = [f"two nets agree with each other to {number(results.among_nets, 3)}"] if known(results.among_nets) else []
    return Table(
        title=sizes_of(record) + changes_of(record),
        columns=(
            "net",
            "seed",
            "epochs",
            "training error",
            "test error",
            "learnt",
            "first",
            "forgot",
            "learnt, true labels",
            "learnt, wrong labels",
        ),
        rows=tuple(rows),
        caption=_CAPTION,
        notes=(kernel, *among),
        warnings=tuple(record.warnings),
        about=about_of(record),
    )


def figure(record):
    """Return, by tenths of the kernel's margins, when nets learn the examples and how often they forget them."""
    results = record.results
    panels = (
        _panel("When a net learns them", "mean epoch, for good", results.nets, "epoch_by_group"),
        _panel("How often it forgets them", "mean forgetting events, once learnt", results.nets, "events_by_group"),
        Panel(
            title="Margin of the kernel",
            x=_TENTH,
            y=Axis(label="mean leave-one-out margin"),
            series=(_series("kernel", results.margin_by_group, 0),),
        ),
    )
    return Figure(title=title_of(record), panels=panels, commands=(record.command,))


def section(records):
    """Return all comparisons: the figures of the last ones, and one table."""
    runs = records.latest("hardness")
    title = "Hard examples: kernel and nets"
    return gallery("hardness", title, runs, table, figure, what="comparisons", caption=_CAPTION)


def findings(records):
    """Return how far nets and the kernel agree on which examples are hard."""
    found = []
    for record in reversed(records.latest("hardness")):
        agreed = [(net.learnt_for_good, net.model) for net in record.results.nets if known(net.learnt_for_good)]
        if agreed:
            told = averaged((value for value, _ in agreed), lambda value: number(value, 2))
            text = (
                "The order of the kernel's leave-one-out margins, the largest first, and that in which examples are "
                f"learnt by {listed(model for _, model in agreed)} have a rank correlation of {told} "
                f"({data_of(record)}{changes_of(record)})."
            )
            found.append(Finding(told, text, record.command))
    return found


def _panel(title, label, nets, field):
    series = tuple(_series(f"{net.model}, seed {net.seed}", getattr(net, field), k % 5) for k, net in enumerate(nets))
    return Panel(title=title, x=_TENTH, y=Axis(label=label, low=0.0), series=series)


def _series(name, values, style):
    return Series(name=name, points=tuple(Point(k + 1, value) for k, value in enumerate(values)), style=style)
