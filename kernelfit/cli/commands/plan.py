"""Show memory, disk and time of every way to solve, and which would be chosen. Measures the machine once."""

import dataclasses

from kernelfit.cli.options import Json, Quiet, of_spec
from kernelfit.cli.output import show_json, show_table
from kernelfit.common.progress import make_progress
from kernelfit.experiments.cluster_plan import run_cluster_plan
from kernelfit.experiments.plan import PlanSpec, run_plan
from kernelfit.report.views import plan as view


@of_spec(PlanSpec)
def command(spec, *, json: Json = False, quiet: Quiet = False):
    """Show the plan of a solve on this machine or another, or on several."""
    if spec.several:
        made, table = run_cluster_plan(spec), view.cluster_table
        told = made.to_dict()
    else:
        made, table = run_plan(spec, progress=make_progress(quiet)), view.table
        ways = [dataclasses.asdict(way) | {"chosen": way is made.chosen} for way in made.ways]
        told = {"n": made.problem.n, "free": made.free, "largest_n": made.largest_n, "ways": ways}
    show_json(told) if json else show_table(table, made)
