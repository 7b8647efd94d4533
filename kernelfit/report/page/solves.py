"""Solves: every Record beside the paper's number, what its margins and leave-one-out look like, and its pictures."""

from kernelfit.common.progress import duration
from kernelfit.records.pictures import is_one_value
from kernelfit.report.page.parts import (
    figure,
    figures,
    last,
    moment,
    number,
    paragraph,
    percent,
    percent_text,
    power,
    repeat,
    section,
    table,
)
from kernelfit.report.paper import paper_result
from kernelfit.report.svg.bars import histogram
from kernelfit.report.words import compact, labels_of, title_of

_HEADER = (
    "data",
    "n",
    "kernel",
    "features",
    "labels",
    "ridge",
    "test error",
    "paper",
    "training error",
    "leave-one-out",
    "norm, 0/1",
    "norm, -1/+1",
    "paper",
    "residual",
    "time",
    "memory",
    "method",
    "warnings",
    "made",
    "command",
)


def solves_section(runs):
    """Return the section of all Records of solves."""
    caption = "Test and training errors; norms are RKHS norms for targets 0/1 and -1/+1. Click a head to sort."
    rows = [_row(row) for row in reversed(runs.solves)]  # the last first
    drawn, note = last([row for row in runs.solves if row.histograms], "Records with histograms")
    return section(
        "solves",
        "Solves: kernel interpolation",
        table(_HEADER, rows, caption=caption) if rows else None,
        paragraph(note),
        figures([made for row in drawn for made in _histograms(row)]),
    )


def _row(row):
    paper = paper_result(row)
    norm = f"about {paper.norm:g}" if paper and paper.norm else ""
    features = row.features
    if row.augmentation and row.augmentation.get("what") not in (None, "none"):
        features += f", {row.augmentation['what']}"
    return [
        row.dataset["name"],
        number(row.n_train, f"{row.n_train:,}"),
        compact(row.kernel),
        features,
        labels_of(row.corruption),
        number(row.ridge, f"{row.ridge:g}"),
        percent(row.test_error),
        number(paper.test_error, f"{100 * paper.test_error:g} %") if paper else "",
        percent(row.train_error),
        percent(row.loo_error),
        number(row.norm),
        number(row.norm_pm1),
        number(paper.norm, norm) if norm else "",
        power(row.relative_residual),
        number(row.seconds["total"], duration(row.seconds["total"])),
        number(row.peak_bytes, f"{row.peak_bytes / 1e9:.2f} GB"),
        row.method,
        "; ".join(row.warnings),
        moment(row.created),
        repeat(row.command),
    ]


def _histograms(row):
    """Return the figures of the margins and of the leave-one-out residuals of a Record."""
    found = row.histograms
    names = (("train_margins", "training", 0), ("loo_margins", "leave-one-out", 2), ("test_margins", "test", 1))
    groups = [
        (name, found[key]["low"], found[key]["high"], found[key]["counts"], style)
        for key, name, style in names
        if key in found and not is_one_value(found[key])
    ]
    title, made = title_of(row), []
    if groups:
        drawing = histogram(
            title=f"Margins: {title}",
            description=f"Histograms of margins of {', '.join(name for name, *_ in groups)} examples. Test error "
            f"{percent_text(row.test_error)}, training error {percent_text(row.train_error)}.",
            label="margin: score of the own class minus the largest other",
            groups=groups,
        )
        about = "Left of 0 are the errors."
        if "train_margins" in found and is_one_value(found["train_margins"]):
            about += (
                f" The margins of all training examples are {_middle(found['train_margins'])}: they are interpolated."
            )
        made.append(figure(f"Margins: {title}", drawing, caption=about, commands=[row.command]))
    if "loo_residuals" in found:
        each = found["loo_residuals"]
        drawing = histogram(
            title=f"Leave-one-out residuals: {title}",
            description="Histogram of 1 minus the score that the own class gets from the model fitted without the "
            "example.",
            label="1 minus the own class's score, left out",
            groups=[("leave-one-out", each["low"], each["high"], each["counts"], 2)],
        )
        about = (
            "How far the model fitted without an example is from its label: 0 needs no memory of it, 1 nothing else."
        )
        made.append(figure(f"Leave-one-out residuals: {title}", drawing, caption=about, commands=[row.command]))
    return made


def _middle(histogram):
    """Return the middle of the fullest bin, as a text."""
    width = (histogram["high"] - histogram["low"]) / len(histogram["counts"])
    return f"{histogram['low'] + (histogram['counts'].index(max(histogram['counts'])) + 0.5) * width:.2g}"
