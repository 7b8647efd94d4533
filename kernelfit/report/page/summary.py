"""The head of the page: what there is, and what it says in a few numbers and sentences."""

import collections
import statistics

from kernelfit.report.page.parts import paragraph, percent_text, repeat, tile
from kernelfit.report.section5 import verdicts
from kernelfit.report.svg.markup import element, join
from kernelfit.report.words import compact, is_true

_SENTENCES = 5  # about sweeps, the last ones


def summary(runs):
    """Return the summary of a folder: numbers in tiles, sentences, and the lines that could not be read."""
    tiles = [tile(f"{count:,}", name) for name, count in runs.lines.items()]
    tiles += [
        tile(percent_text(error), join(f"smallest test error on {name}, {what}", repeat(command)))
        for name, (error, what, command) in _smallest_errors(runs).items()
    ]
    sentences = [*verdicts(runs.section5), *map(_sweep_sentence, runs.sweeps[-_SENTENCES:])]
    return join(element("div", *tiles, class_="tiles"), *map(paragraph, sentences), _unread(runs.unread))


def _smallest_errors(runs):
    """Return {dataset: (test error, of what, command)} of whole experiments: true labels and pixels."""
    found = collections.defaultdict(list)
    for row in runs.solves:
        if is_true(row):
            what = f"{compact(row.kernel)} on {row.features}, n = {row.n_train:,}"
            found[row.dataset["name"]].append((row.test_error, what, row.command))
    for row in runs.section5:
        if row["test_error"] is not None:
            found[row["dataset"]].append((row["test_error"], f"{row['row']}, n = {row['n_train']:,}", row["command"]))
    for row in runs.nets:
        if is_true(row):
            found[row.dataset["name"]].append((row.test_error, row.model, row.command))
    return {name: min(each) for name, each in sorted(found.items())[:8]}


def _sweep_sentence(batch):
    """Return what a sweep says of random labels beside true ones, or nothing if it lacks one of them."""
    true, random = ([row for row in batch.rows if row.level == level and row.pixels == "true"] for level in (0, 1))
    if not true or not random:
        return ""

    def mean(rows, name):
        return statistics.fmean(getattr(row, name) for row in rows)

    errors = f"{percent_text(mean(random, 'train_error'))} training and {percent_text(mean(random, 'test_error'))} test"
    most, least = mean(random, "norm"), mean(true, "norm")
    times = f", with {most / least:.3g} times the norm" if most > 0 < least else ""
    return (
        f"{batch.shared['dataset']['name']}, n = {batch.shared['n_train']:,}: on random labels {errors} error, on true "
        f"ones {percent_text(mean(true, 'train_error'))} and {percent_text(mean(true, 'test_error'))}{times}."
    )


def _unread(unread):
    """Return a warning that names lines that are no whole Records."""
    if not unread:
        return None
    places = [f"{each.file}, line {each.number}" if each.number else each.file for each in unread[:50]]
    shown = [element("li", f"{place}: {each.reason}") for place, each in zip(places, unread, strict=False)]
    more = element("li", f"and {len(unread) - 50} more") if len(unread) > 50 else None
    one = len(unread) == 1
    head = f"{len(unread)} line{'' if one else 's'} could not be read and {'is' if one else 'are'} left out:"
    return element("div", head, element("ul", *shown, more), class_="warn", role="note")
