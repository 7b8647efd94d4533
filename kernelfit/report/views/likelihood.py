"""The likelihood of labels under a Gaussian process, beside the norm: both against the share that was replaced."""

from kernelfit.report.figure import Axis, Figure, Panel
from kernelfit.report.section import Finding, gallery
from kernelfit.report.table import Row, Table
from kernelfit.report.views.levels import LEVEL, MEANS, NORM, against
from kernelfit.report.words import (
    about_of,
    averaged,
    count,
    data_of,
    mean_sd,
    number,
    quotient,
    seconds,
    share,
    sizes_of,
    title_of,
)

_CAPTION = "log p(Y) in nats, 0/1 targets, summed over classes; means over seeds. The larger, the likelier."


def table(record):
    """Return mean and deviation over seeds, level by level."""
    results, rows = record.results, []
    for level, own in levels(results.rows).items():
        cells = averaged(per_example(results, own)), averaged(row.log_likelihood for row in own)
        rows.append(Row((share(level), *cells, averaged(row.norm for row in own)), record.command))
    how = f"{count(len(results.rows))} sets of labels in {seconds(record.seconds.get('total'))}; {results.method}"
    return Table(
        title=sizes_of(record),
        columns=("labels replaced", "log p per example", "log p", "norm, 0/1"),
        rows=tuple(rows),
        caption=_CAPTION,
        notes=(f"{how}; log det {number(results.log_determinant)}",),
        warnings=tuple(record.warnings),
        about=about_of(record),
    )


def figure(record):
    """Return likelihood and norm against the level, means over seeds and deviations."""
    results, found = record.results, levels(record.results.rows)
    likely = against({level: per_example(results, own) for level, own in found.items()}, name="log p(Y) / n")
    norms = against({level: [row.norm for row in own] for level, own in found.items()}, name="targets 0/1")
    y = Axis(label="log likelihood per example", unit="nats")
    panels = (
        Panel(title="Likelihood against corruption", x=LEVEL, y=y, series=(likely,), caption=f"{MEANS}."),
        Panel(title="Norm against corruption", x=LEVEL, y=NORM, series=(norms,)),
    )
    return Figure(title=title_of(record), panels=panels, commands=(record.command,))


def section(records):
    """Return all runs: the figures of the last ones, and one table."""
    runs = records.latest("likelihood")
    title = "Likelihood under a Gaussian process"
    return gallery("likelihood", title, runs, table, figure, what="likelihoods", caption=_CAPTION)


def findings(records):
    """Return how much likelier labels are the fewer of them were replaced."""
    found = []
    for record in reversed(records.latest("likelihood")):
        known = levels(record.results.rows)
        if len(known) > 1:
            least, most = min(known), max(known)
            first, last = (mean_sd(per_example(record.results, known[level]))[0] for level in (least, most))
            if None not in (first, last):
                more, likelier = number(abs(first - last)), "likelier" if first >= last else "less likely"
                text = (
                    f"Labels of which {share(least)} are replaced are {likelier} to a Gaussian process than those of "
                    f"which {share(most)} are, by {more} nats an example ({data_of(record)})."
                )
                found.append(Finding(more, text, record.command))
    return found


def levels(rows):
    """Return {level: rows of all seeds}."""
    return {level: [row for row in rows if row.level == level] for level in dict.fromkeys(row.level for row in rows)}


def per_example(results, rows):
    """Return log p(Y) / n of some rows; None where that is no number."""
    return [quotient(row.log_likelihood, results.n) for row in rows]
