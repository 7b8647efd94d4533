"""Doubtful labels: which, what speaks against each, pictures of both, and how well replaced labels were found."""

from kernelfit.report.section import Finding, Picture, Pictures, Section, last
from kernelfit.report.table import Row, Table
from kernelfit.report.words import changes_of, count, data_of, number, seconds, sizes_of, title_of

_CAPTION = (
    "score: the class of the label minus the largest other one, of the function fitted without the example; below 0 "
    "the others say another class, at -1 with certainty. against: training examples (their labels) that add most to it."
)


def table(record):
    """Return the doubtful labels, the most doubtful first."""
    results, rows = record.results, []
    for each in results.issues:
        against = ", ".join(f"{point.index} ({point.label}) {number(point.weight, 2)}" for point in each.against)
        true = each.true if each.true != each.label else ""
        cells = count(each.index), each.label, each.predicted, true, number(each.score, 3), against
        rows.append(Row(cells, record.command))
    notes = [
        f"{count(results.contradicted)} of {count(results.n)} labels are contradicted; {results.kernel}, ridge "
        f"{number(results.ridge)}, {seconds(record.seconds.get('total'))}"
    ]
    if results.auc is not None:
        notes.append(_found(results))
    return Table(
        title=sizes_of(record) + changes_of(record),
        columns=("example", "label", "predicted", "was", "score", "against"),
        rows=tuple(rows),
        caption=_CAPTION,
        notes=tuple(notes),
        warnings=tuple(record.warnings),
    )


def section(records):
    """Return the doubtful labels of the last runs, with pictures of them and of what speaks against each."""
    drawn, note = last(records.latest("label_issues"), "runs")
    parts = [note]
    for record in reversed(drawn):
        results, title = record.results, title_of(record)
        shown = tuple(map(_picture, results.pictures, results.issues))
        against = tuple(map(_picture_against, results.against, results.issues))
        parts.append(table(record))
        if shown:
            about = {"caption": "The first of the table.", "command": record.command}
            parts.append(Pictures(title=f"Doubtful labels: {title}", pictures=shown, **about))
        if against:
            about = {"caption": "In the same order: what speaks most against each.", "command": record.command}
            parts.append(Pictures(title=f"What speaks against them: {title}", pictures=against, **about))
    return Section("label-issues", "Doubtful labels", tuple(parts))


def findings(records):
    """Return how well replaced labels are found."""
    found = []
    for record in reversed(records.latest("label_issues")):
        if record.results.auc is not None:
            text = f"{_found(record.results)} ({data_of(record)})."
            found.append(Finding(number(record.results.auc), text, record.command))
    return found


def _found(results):
    """Return in words how well the changed labels are found."""
    changed = count(results.corruption.get("labels_changed"))
    precision = number(results.average_precision)
    return (
        f"{changed} labels that were replaced by others are found with an area under the ROC curve of "
        f"{number(results.auc, 5)}, average precision {precision}"
    )


def _picture(each, issue):
    lines = [f"label {each['label']}", f"left out: {each['predicted']}", f"score {number(issue.score, 3)}"]
    lines += [f"was {each['true']}"] if each["true"] != each["label"] else []
    return Picture(each["png"], f"example {each['index']}: labelled {each['label']}", tuple(lines))


def _picture_against(each, issue):
    lines = f"label {each['label']}", f"against {issue.index}", f"adds {number(issue.against[0].weight, 2)}"
    return Picture(each["png"], f"example {each['index']}: labelled {each['label']}", lines)
