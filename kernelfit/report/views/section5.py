"""The paper's section 5 beside ours: one table, and what it says as a whole."""

from kernelfit.report.paper import SECTION_5_CLAIMS, paper_result
from kernelfit.report.section import Finding, Section
from kernelfit.report.table import Cell, Row, Table
from kernelfit.report.words import count, known, number, percent, quotient, seconds, times

_COLUMNS = ("experiment", "n", "test error: paper", "kernelfit", "norm: paper", "kernelfit, targets 0/1", "notes")
_BY_RESULT = {
    ("mnist", "pixels"): "mnist-pixels",
    ("mnist", "gabor"): "mnist-gabor",
    ("cifar10", "pixels"): "cifar10-pixels",
    ("cifar10", "randomconv"): "cifar10-randomconv",
}


def table(outcomes):
    """Return the paper's claims beside Outcomes of a study of section 5, and the sentences that these make together."""
    rows = [_row(outcome.name, record) for outcome in outcomes for record in outcome.records]
    rows += [_empty(outcome.name, "not run", notes=outcome.failed) for outcome in outcomes if outcome.failed]
    found = _verdicts({outcome.name: record for outcome in outcomes for record in outcome.records})
    return _table(rows, notes=tuple(each.sentence for each in found))


def section(records):
    """Return the table of all claims; whole solves stand in for rows that `reproduce section5` has not run."""
    rows = []
    for name, found in _answers(records).items():
        command = f"kernelfit reproduce section5 --scale full --rows {name}"
        rows += [_row(name, record) for record in found] or [_empty(name, "not run yet", command=command, grey=True)]
    return Section("section5", "Section 5 of the paper: kernels", (_table(rows),))


def findings(records):
    """Return what the rows say together."""
    return _verdicts({name: found[-1] for name, found in _answers(records).items() if found})


def _table(rows, **more):
    about = "Nothing is chosen on test images. The paper does not say for which targets its norms are."
    title = "Section 5 of the paper, and kernelfit"
    return Table(title=title, columns=_COLUMNS, rows=tuple(rows), caption=about, **more)


def _answers(records):
    """Return {row: its Records}: those of `reproduce section5`, or else the last solve that is the same experiment."""
    found = {name: [] for name in SECTION_5_CLAIMS}
    for record in records.latest("section5"):
        found.get(record.results.row, []).append(record)
    for record in reversed(records.of("solve")):
        name = _BY_RESULT.get((record.dataset.asked, record.results.features.partition("(")[0]))
        if name and not found[name] and paper_result(record):
            found[name].append(record)
    return found


def _row(name, record):
    """Return the row of a claim, of a Record of section 5 or of a solve."""
    results, used = record.results, record.results if record.kind == "section5" else record.dataset
    data = used.dataset if record.kind == "section5" else used.name
    title, error, norm = SECTION_5_CLAIMS[name]
    if title.startswith("CIFAR10") and data != "cifar10":
        title, error = title.replace("CIFAR10", data), error and f"{error} on CIFAR10"
    cells = title, count(used.n_train), error, percent(results.test_error), norm, number(results.norm), _notes(record)
    return Row(cells, record.command)


def _empty(name, ours, *, notes="", **more):
    title, error, norm = SECTION_5_CLAIMS[name]
    return Row((title, Cell(), error, ours, norm, Cell(), notes), **more)


def _notes(record):
    results, notes = record.results, []
    if results.loo_error is not None:
        notes.append(f"leave-one-out {percent(results.loo_error)}")
    if results.ridge:
        notes.append(f"ridge {number(results.ridge)} by leave-one-out")
    if record.kind == "section5":
        path = [f"{number(row.get('ridge'))}: {percent(row.get('test_error'))}" for row in results.path or ()]
        others = [f"{row.get('name')} ({row.get('labels')}) {times(row.get('ratio'))}" for row in results.others or ()]
        notes += [", ".join(each) for each in (path, others) if each]
        if results.distance is not None:
            further = times(quotient(results.norm_elsewhere, results.norm))
            notes.append(
                f"relative distance to the minimum-norm solution {number(results.distance, 1)}; another start ends "
                f"{further} as far out"
            )
    return "; ".join([*notes, seconds(record.seconds.get("total"))])


def _verdicts(done):
    """Return what {row: Record} say together; what needs a row, or a number, that is not there is left out."""
    found = []
    pixels, gabor = (done.get(f"mnist-{name}") for name in ("pixels", "gabor"))
    if pixels and gabor:
        one, other = gabor.results, pixels.results
        if all(map(known, (one.norm, other.norm, one.test_error, other.test_error))):
            agrees = (one.norm - other.norm) * (one.test_error - other.test_error) > 0
            text = (
                f"The norm {'agrees with' if agrees else 'does not predict'} the error: Gabor features have "
                f"norm {number(one.norm)} and error {percent(one.test_error)}, pixels norm {number(other.norm)} and "
                f"error {percent(other.test_error)}."
            )
            found.append(Finding(percent(one.test_error), text, gabor.command))
    for name, what in (("mnist-pixels-ridge", "pixels"), ("mnist-gabor-ridge", "Gabor features")):
        path = done[name].results.path or () if name in done else ()
        path = [row for row in path if known(row.get("test_error"))]
        found += [_ridge_verdict(what, done[name], *path)] if len(path) > 1 else []
    return found


def _ridge_verdict(what, record, first, *others):
    least, best = first["test_error"], min(others, key=lambda row: row["test_error"])
    # The variance of a difference of two errors on the same n examples: of b corrected and c broken ones it is
    # (b + c) / n^2, and where these are not known, as in early records, below 2 e (1 - e) / n.
    n, moved = max(1, record.results.n_test), (best.get("test_corrected"), best.get("test_broken"))
    variance = 2 * least * (1 - least) / n if None in moved else sum(moved) / n**2
    noise = variance**0.5
    gain = least - best["test_error"]
    verb = "does not improve" if gain <= 0 else "improves by less than noise on" if gain <= 2 * noise else "improves"
    text = (
        f"On {what} of MNIST a ridge {verb} the test error: {percent(least)} without, at best "
        f"{percent(best['test_error'])} with {number(best.get('ridge'))}."
    )
    return Finding(percent(best["test_error"]), text, record.command)
