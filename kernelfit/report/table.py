"""A Record as a table in the terminal."""

from rich.table import Table
from rich.text import Text

from kernelfit.common.progress import duration
from kernelfit.common.quantities import format_bytes
from kernelfit.report.paper import paper_result
from kernelfit.solvers.planning.plan import operations


def solve_table(record):
    """Return a rich Table of one solve, with the paper's number beside ours where the paper has one."""
    paper = paper_result(record)
    table = Table(title=Text(_title(record)), title_justify="left", show_header=paper is not None)
    table.add_column("")
    table.add_column("kernelfit", justify="right")
    if paper:
        table.add_column("paper, section 5", justify="right")

    def row(name, value, reference=""):
        table.add_row(name, Text(value), *([reference] if paper else []))

    row("test error", _percent(record.test_error), _percent(paper.test_error) if paper else "")
    row("training error", _percent(record.train_error), "0 %" if paper else "")
    if record.loo_error is not None:
        row("leave-one-out error", _percent(record.loo_error))
    about = f"about {paper.norm:.0f}" if paper and paper.norm else ""
    row("RKHS norm, targets 0/1", f"{record.norm:.6g}", about)
    row("RKHS norm, targets -1/+1", f"{record.norm_pm1:.6g}", "(coding not stated)" if about else "")
    table.add_section()
    row("kernel", record.kernel)
    if record.ridge:
        row("ridge", f"{record.ridge:g}")
    row("relative residual", f"{record.relative_residual:.1e}")
    row("norm, two routes differ by", f"{record.norm_disagreement:.1e}")
    if record.condition_estimate is not None:
        row("condition number, at least", f"{record.condition_estimate:.1e}")
    row("method", record.method)
    if record.solver and "norm_error" in record.solver:
        row("steps", _iterations(record.solver))
        row(f"error of the norm, {record.solver['norm_error_is']}", f"{record.solver['norm_error']:.1e}")
    elif record.solver and record.solver["steps"]:
        row("corrections in float64", _corrections(record.solver))
    if record.solver and record.solver["fallback"]:
        row("float32 failed", record.solver["fallback"])
    table.add_section()
    row("time", _times(record.seconds), "under 3 min, 24 cores" if paper and paper.norm else "")
    if record.gflops is not None:
        row("factorisation", f"{record.gflops:.0f} GFLOP/s")
    row("peak memory", f"{record.peak_bytes / 1e9:.2f} GB", "256 GB machine" if paper and paper.norm else "")
    if record.warnings:
        table.add_section()
        for warning in record.warnings:
            row("warning", warning)
    return table


def plan_table(plan):
    """Return a rich Table of all ways of a Plan, the chosen one marked."""
    problem = plan.problem
    title = f"n = {problem.n:,}, d = {problem.d:,}, {problem.outputs} outputs, {problem.n_test:,} test points"
    table = Table(title=Text(title), title_justify="left")
    needs = [name for name in ("memory", "host", "disk") if any(getattr(way, name) for way in plan.ways)]
    for name in ("precision", "panels on", *needs, "time", ""):
        table.add_column(
            name, justify="left" if name in ("precision", "panels on", "") else "right", no_wrap=bool(name)
        )
    places = {"memory": plan.ways[0].device, "host": "host", "disk": "disk"}
    for way in plan.ways:
        verdict = "chosen" if way is plan.chosen else f"too little {' and '.join(way.missing)}" if way.missing else ""
        sizes = (format_bytes(getattr(way, name)) if getattr(way, name) else "" for name in needs)
        table.add_row(way.precision, places[way.storage], *sizes, duration(way.seconds), verdict)
    rates = plan.rates
    would_fit = f"About n = {plan.largest_n:,} would fit. " if plan.chosen is None and plan.largest_n else ""
    table.caption = (
        f"{would_fit}{operations(problem) / 1e12:.3g} TFLOP; matrix products at {rates.float64 / 1e9:,.0f} (float64) "
        f"and {rates.float32 / 1e9:,.0f} GFLOP/s (float32)"
    )
    return table


def _title(record):
    corruption = record.corruption
    parts = [f"{record.dataset['name']}: {record.n_train:,} training and {record.n_test:,} test examples"]
    if corruption["labels"]:
        parts.append(f"{corruption['labels_changed']:,} labels changed (p = {corruption['labels']:g})")
    if corruption["pixels"] != "true":
        parts.append(f"{corruption['pixels']} pixels")
    return ", ".join(parts)


def _corrections(solver):
    shift = f", {solver['shift']:.1e} added to the float32 factor" if solver["shift"] else ""
    return f"{solver['steps']} steps to {solver['residuals'][-1]:.0e}{shift}"


def _iterations(solver):
    rank, lost = solver["preconditioner"]["rank"], solver["workers_lost"]
    gone = f", {lost} worker{'s' * (lost != 1)} lost" if lost else ""
    return f"{solver['steps']}, preconditioner of rank {rank:,}{gone}"


def _percent(fraction):
    return f"{100 * fraction:.2f} %" if fraction else "0 %"


def _times(seconds):
    total = seconds["total"]
    largest = max((name for name in seconds if name != "total"), key=seconds.get)
    text = duration(total) if total >= 60 else f"{total:.2f} s"
    return f"{text} ({largest} {100 * seconds[largest] / total:.0f} %)"
