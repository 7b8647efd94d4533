"""Solves: one beside the paper's number; all of them in one table; margins and leave-one-out."""

from kernelfit.report.paper import paper_result
from kernelfit.report.section import Finding, Section, last
from kernelfit.report.table import Cell, Row, Table, listing
from kernelfit.report.views import margins
from kernelfit.report.words import (
    changes_of,
    compact,
    count,
    data_of,
    is_true,
    kernel_of,
    known,
    labels_of,
    memory,
    moment,
    number,
    percent,
    seconds,
    share,
    sizes_of,
    title_of,
)

_COLUMNS = (
    *("data", "n", "kernel", "features", "labels", "ridge", "test error", "paper", "training error", "leave-one-out"),
    *("norm, 0/1", "norm, -1/+1", "paper's norm", "residual", "time", "memory", "method", "warnings", "made"),
)


def table(record):
    """Return all that one solve says, with the paper's number beside ours where the paper has one."""
    results, paper = record.results, paper_result(record)
    about = f"about {number(paper.norm)}" if paper and paper.norm else ""
    pairs = [
        ("test error", percent(results.test_error), share(paper.test_error) if paper else ""),
        ("training error", percent(results.train_error), "0 %"),
        ("leave-one-out error", percent(results.loo_error), ""),
        ("RKHS norm, targets 0/1", number(results.norm, 6), about),
        ("RKHS norm, targets -1/+1", number(results.norm_pm1, 6), about and "(coding not stated)"),
        ("log marginal likelihood", number(results.log_marginal_likelihood, 6), ""),
        None,
        ("kernel", results.kernel, ""),
        ("ridge", number(results.ridge) if results.ridge else "", ""),
        ("relative residual", number(results.relative_residual, 2), ""),
        ("norm, two routes differ by", number(results.norm_disagreement, 2), ""),
        ("condition number, at least", number(results.condition_estimate, 2), ""),
        ("method", results.method, ""),
        *((name, value, "") for name, value in _solver(results.solver or {})),
        None,
        ("time", _times(record.seconds), about and "under 3 min, 24 cores"),
        ("factorisation", f"{number(results.gflops, 3)} GFLOP/s" if known(results.gflops) else "", ""),
        ("peak memory", memory(record.peak_bytes), about and "256 GB machine"),
    ]
    columns = ("", "kernelfit", "paper, section 5") if paper else ("", "")
    return listing(sizes_of(record) + changes_of(record), pairs, columns, warnings=tuple(record.warnings))


def section(records):
    """Return all solves in one table, and histograms of the last ones."""
    solves = records.of("solve")
    drawn, note = last([record for record in solves if record.results.histograms], "solves with histograms")
    caption = "Norms are RKHS norms for targets 0/1 and -1/+1. Click a head to sort."
    rows = tuple(map(_overview, reversed(solves)))  # the last first
    overview = Table(title="", columns=_COLUMNS, rows=rows, caption=caption) if rows else None
    return Section("solves", "Solves: kernel interpolation", (overview, note, *map(margins.figure, drawn)))


def findings(records):
    """Return the smallest test error on every data set, and what random labels did."""
    best, found = {}, []
    for record in sorted(records.of("solve"), key=lambda record: record.results.test_error, reverse=True):
        best |= {record.dataset.name: record} if is_true(record) else {}
    for record in best.values():
        paper = paper_result(record)
        beside = f"; the paper has {share(paper.test_error)}" if paper else ""
        error = percent(record.results.test_error)
        text = f"The smallest test error is {error} ({data_of(record)}, {kernel_of(record)}){beside}."
        found.append(Finding(error, text, record.command))
    random = [record for record in records.of("solve") if record.results.corruption.get("labels") == 1]
    for record in random[-1:]:
        train, test = percent(record.results.train_error), percent(record.results.test_error)
        text = f"On random labels the training error is {train}, the test error {test} ({title_of(record)})."
        found.append(Finding(train, text, record.command))
    return found


def _overview(record):
    results, paper = record.results, paper_result(record)
    copies = (results.augmentation or {}).get("what")
    cells = (
        record.dataset.name,
        count(record.dataset.n_train),
        compact(results.kernel),
        results.features + (f", {copies}" if copies not in (None, "none") else ""),
        labels_of(results.corruption),
        number(results.ridge),
        percent(results.test_error),
        share(paper.test_error) if paper else "",
        percent(results.train_error),
        percent(results.loo_error),
        number(results.norm),
        number(results.norm_pm1),
        Cell(f"about {number(paper.norm)}", paper.norm) if paper and paper.norm else "",
        number(results.relative_residual, 2),
        seconds(record.seconds.get("total")),
        memory(record.peak_bytes),
        results.method,
        "; ".join(record.warnings),
        moment(record.created),
    )
    return Row(cells, record.command)


def _solver(solver):
    """Yield what the solver did beyond its method."""
    if "norm_error" in solver:
        rank, lost = (solver.get("preconditioner") or {}).get("rank"), solver.get("workers_lost")
        gone = f", {lost} worker{'s' * (lost != 1)} lost" if lost else ""
        yield "steps", f"{solver.get('steps')}, preconditioner of rank {count(rank)}{gone}"
        yield f"error of the norm, {solver.get('norm_error_is')}", number(solver["norm_error"], 2)
    elif solver.get("steps"):
        shift = f", {number(solver['shift'], 2)} added to the float32 factor" if solver.get("shift") else ""
        reached = (solver.get("residuals") or [None])[-1]
        yield "corrections in float64", f"{solver['steps']} steps to {number(reached, 1)}{shift}"
    if solver.get("fallback"):
        yield "float32 failed", solver["fallback"]


def _times(spent):
    """Return the whole time, and what most of it was spent on."""
    total, parts = spent.get("total"), {name: value for name, value in spent.items() if name != "total"}
    largest = max(parts, key=parts.__getitem__, default=None)
    share_of = f" ({largest} {share(round(parts[largest] / total, 2))})" if largest and total else ""
    return f"{seconds(total)}{share_of}"
