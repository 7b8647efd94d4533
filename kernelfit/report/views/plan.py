"""Plans: every way to solve, on this machine or on several, and which would be chosen."""

from kernelfit.report.table import Row, Table
from kernelfit.report.words import count, listed, memory, number, percent, quotient, seconds
from kernelfit.solvers.planning.plan import operations


def table(plan):
    """Return all ways of a Plan, the chosen one marked."""
    problem, rates = plan.problem, plan.rates
    needs = [name for name in ("memory", "host", "disk") if any(getattr(way, name) for way in plan.ways)]
    places = {"memory": plan.ways[0].device, "host": "host", "disk": "disk"}
    rows = []
    for way in plan.ways:
        verdict = "chosen" if way is plan.chosen else f"too little {' and '.join(way.missing)}" if way.missing else ""
        sizes = (memory(getattr(way, name) or None) for name in needs)
        rows.append(Row((way.precision, places[way.storage], *sizes, seconds(way.seconds), verdict)))
    would_fit = f"About n = {count(plan.largest_n)} would fit. " if plan.chosen is None and plan.largest_n else ""
    return Table(
        title=f"{_problem(problem)}, {count(problem.n_test)} test points",
        columns=("precision", "panels on", *needs, "time", ""),
        rows=tuple(rows),
        caption=f"{would_fit}{number(operations(problem) / 1e12, 3)} TFLOP; {_rates(rates)}",
    )


def cluster_table(plan):
    """Return all ways of a ClusterPlan, the chosen one marked."""
    problem, cluster = plan.problem, plan.cluster
    rows = [
        Row(
            (
                way.engine,
                way.precision,
                memory(way.memory),
                memory(way.traffic),
                seconds(way.total),
                percent(quotient(way.seconds["network"], way.total)),
                "chosen" if way is plan.chosen else "" if way.fits else "too little memory",
            )
        )
        for way in plan.ways
    ]
    shapes = listed(f"{way.engine}: {way.what}" for way in plan.ways)
    simulated = ", ".join(f"{what} {seconds(value)}" for what, value in plan.simulated.items())
    return Table(
        title=f"{_problem(problem)}, on {cluster.machines} machines of {cluster.cores} cores and "
        f"{memory(cluster.memory)}",
        columns=("engine", "precision", "memory of each", "received by each", "time", "of it network", ""),
        rows=tuple(rows),
        caption=f"Computed, not measured. {shapes}. On a core {_rates(cluster.rates)}, "
        f"{number(cluster.bandwidth / 1e9, 3)} GB/s into a machine.",
        notes=(f"With their network, by simulation of every step: {simulated}.",),
    )


def _problem(problem):
    return f"n = {count(problem.n)}, d = {count(problem.d)}, {problem.outputs} outputs"


def _rates(rates):
    return (
        f"matrix products at {count(rates.float64 / 1e9)} (float64) and {count(rates.float32 / 1e9)} GFLOP/s (float32)"
    )
