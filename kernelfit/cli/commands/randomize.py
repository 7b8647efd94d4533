"""Test whether a classifier can fit random labels: train it on labels replaced at random, more and more of them."""

from pathlib import Path

from kernelfit.cli.options import Json, KeptRuns, Out, Quiet, of_spec
from kernelfit.cli.output import show_json, show_table, write_each
from kernelfit.cli.running import check_out, check_targets, files, interruption
from kernelfit.common.errors import UnwrittenError
from kernelfit.common.progress import make_progress
from kernelfit.experiments.randomize import RandomizeSpec, run_randomize
from kernelfit.records.record import FILE
from kernelfit.report.views import randomize as view


@of_spec(RandomizeSpec)
def command(spec, *, runs: KeptRuns = Path("runs"), out: Out = (), json: Json = False, quiet: Quiet = False):
    """Run the fits that are missing, show all of them, and the verdict."""
    check_targets(runs)
    check_out(out, view)
    progress, unwritten = make_progress(quiet), None
    with interruption(f"fits that are done are in {runs / FILE}: repeat the command to go on"):
        try:
            result = run_randomize(spec, runs=runs, progress=progress)
        except UnwrittenError as error:
            result, unwritten = error.result, error
    show_json(result.outcome()) if json else show_table(view.table, result)
    write_each(progress, *files(out, view, result))
    if unwritten:
        raise unwritten
    progress.note(f"fits are kept in {runs / FILE}")
