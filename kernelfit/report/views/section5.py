"""The paper's section 5 beside ours: one table, and what it says as a whole."""

from kernelfit.report.paper import SECTION_5_CLAIMS, paper_result
from kernelfit.report.section import Finding, Section
from kernelfit.report.table import Row, Table
from kernelfit.report.words import count, known, number, percent, quotient, seconds, times

_COLUMNS = ("experiment", "n", "test error: paper", "kernelfit", "norm: paper", "kernelfit, targets 0/1", "notes")
_CAPTION = "Nothing is chosen on test images. The paper does not say for which targets its norms are."
_BY_RESULT = {
    ("mnist", "pixels"): "mnist-pixels",
    ("mnist", "gabor"): "mnist-gabor",
    ("cifar10", "pixels"): "cifar10-pixels",
    ("cifar10", "randomconv"): "cifar10-randomconv",
}


def table(outcomes):
    """Return the paper's claims beside Records of section 5, and the sentences that these make together."""
    rows = tuple(_row(record, record.results.row) for record in outcomes)
    return _table(rows, notes=tuple(found.sentence for found in _verdicts(outcomes)))


def section(records):
    """Return the table of all claims; whole solves stand in for rows that `reproduce section5` has not run."""
    rows = []
    for name, (title, error, norm) in SECTION_5_CLAIMS.items():
        found = [record for record in records.latest("section5") if record.results.row == name]
        rows += [_row(record, name) for record in found or _solved(records, name)] or [
            Row(
                (title, count(None), error, "not run yet", norm, count(None), ""),
                f"kernelfit reproduce section5 --scale full --rows {name}",
                grey=True,
            )
        ]
    return Section("section5", "Section 5 of the paper: kernels", (_table(tuple(rows)),))


def findings(records):
    """Return what the rows say together."""
    return _verdicts(records.latest("section5"))


def _table(rows, **more):
    return Table(title="Section 5 of the paper, and kernelfit", columns=_COLUMNS, rows=rows, caption=_CAPTION, **more)


def _solved(records, name):
    """Return the last solve that is this claim's experiment, in a list, or none."""
    found = [
        record
        for record in records.of("solve")
        if _BY_RESULT.get((record.dataset.asked, record.results.features.partition("(")[0])) == name
    ]
    return [record for record in found if paper_result(record)][-1:]


def _row(record, name):
    """Return the row of a claim, from a Record of section 5 or of a solve."""
    results = record.results
    title, error, norm = SECTION_5_CLAIMS[name]
    if failed := getattr(results, "failed", None):
        return Row((title, count(None), error, "not run", norm, count(None), failed), record.command)
    if title.startswith("CIFAR10") and record.dataset.name != "cifar10":
        title = title.replace("CIFAR10", record.dataset.name)
        error += " on CIFAR10" if error else ""
    cells = title, count(record.dataset.n_train), error, percent(results.test_error), norm, number(results.norm)
    return Row((*cells, _notes(record)), record.command)


def _notes(record):
    results, notes = record.results, []
    if results.loo_error is not None:
        notes.append(f"leave-one-out {percent(results.loo_error)}")
    if results.ridge:
        notes.append(f"ridge {number(results.ridge)} by leave-one-out")
    path, others = getattr(results, "path", None), getattr(results, "others", None)
    notes += [", ".join(f"{number(row.ridge)}: {percent(row.test_error)}" for row in path)] if path else []
    notes += [", ".join(f"{row.name} ({row.labels}) {times(row.ratio)}" for row in others)] if others else []
    if getattr(results, "distance", None) is not None:
        further = times(quotient(results.norm_elsewhere, results.norm))
        notes.append(
            f"relative distance to the minimum-norm solution {number(results.distance, 1)}; another start ends "
            f"{further} as far out"
        )
    return "; ".join([*notes, seconds(record.seconds.get("total"))])


def _verdicts(outcomes):
    """Return what the rows say together; what needs a row that is not there is left out."""
    done = {record.results.row: record for record in outcomes if known(record.results.test_error)}
    found = []
    pixels, gabor = done.get("mnist-pixels"), done.get("mnist-gabor")
    if pixels and gabor and known(pixels.results.norm) and known(gabor.results.norm):
        one, other = gabor.results, pixels.results
        predicts = "does not predict" if one.norm > other.norm and one.test_error < other.test_error else "agrees with"
        text = (
            f"The norm {predicts} the error: Gabor features have norm {number(one.norm)} and error "
            f"{percent(one.test_error)}, pixels norm {number(other.norm)} and error {percent(other.test_error)}."
        )
        found.append(Finding(percent(one.test_error), text, gabor.command))
    for name, record in done.items():
        if name.startswith("mnist") and getattr(record.results, "path", None):
            found.append(_ridge_verdict(name, record))
    return found


def _ridge_verdict(name, record):
    first, *others = record.results.path
    best = min(others or [first], key=lambda row: row.test_error)
    # One standard deviation of a difference of two errors on the same n examples is below sqrt(e (1 - e) 2 / n).
    noise = (2 * first.test_error * (1 - first.test_error) / max(1, record.dataset.n_test)) ** 0.5
    gain = first.test_error - best.test_error
    verb = "does not improve" if gain <= 0 else "improves by less than noise on" if gain <= 2 * noise else "improves"
    what = "Gabor features" if "gabor" in name else "pixels"
    text = (
        f"On {what} of MNIST a ridge {verb} the test error: {percent(first.test_error)} without, at best "
        f"{percent(best.test_error)} with {number(best.ridge)}."
    )
    return Finding(percent(best.test_error), text, record.command)
