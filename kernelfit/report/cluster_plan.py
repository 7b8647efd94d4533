"""A plan for several machines as a table in the terminal."""

from rich.table import Table
from rich.text import Text

from kernelfit.common.progress import duration
from kernelfit.common.quantities import format_bytes


def cluster_plan_table(plan):
    """Return a rich Table of all ways of a ClusterPlan, the chosen one marked."""
    problem, cluster = plan.problem, plan.cluster
    title = (
        f"n = {problem.n:,}, d = {problem.d:,}, {problem.outputs} outputs, on {cluster.machines} machines of "
        f"{cluster.cores} cores and {format_bytes(cluster.memory)}"
    )
    table = Table(title=Text(title), title_justify="left")
    for name in ("engine", "precision", "memory of each", "received by each", "time", "of it network", ""):
        table.add_column(name, justify="left" if name in ("engine", "precision", "") else "right")
    for way in plan.ways:
        verdict = "chosen" if way is plan.chosen else "" if way.fits else "too little memory"
        table.add_row(
            way.engine,
            way.precision,
            format_bytes(way.memory),
            format_bytes(way.traffic),
            duration(way.total),
            f"{100 * way.seconds['network'] / way.total:.0f} %",
            verdict,
        )
    simulated = ", ".join(f"{what} {_seconds(seconds)}" for what, seconds in plan.simulated.items())
    shapes = "; ".join(f"{engine}: {what}" for engine, what in {way.engine: way.what for way in plan.ways}.items())
    rates = cluster.rates
    table.caption = (
        f"Computed, not measured. {shapes}. Matrix products at {rates.float64 / 1e9:.0f} (float64) and "
        f"{rates.float32 / 1e9:.0f} GFLOP/s (float32) on a core, {cluster.bandwidth / 1e9:.3g} GB/s into a machine. "
        f"With their network, by simulation of every step: {simulated}."
    )
    return table


def _seconds(seconds):
    return duration(seconds) if seconds >= 10 else f"{seconds:.2g} s"
