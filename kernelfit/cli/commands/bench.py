"""Compare exact solvers on one problem: time, peak memory, residual, test error, and the limit of this machine."""

from pathlib import Path

from kernelfit.cli.options import Json, Out, Quiet, Runs, of_spec
from kernelfit.cli.output import showing, write_each
from kernelfit.cli.running import check_out, check_targets, files, interruption
from kernelfit.common.progress import make_progress
from kernelfit.experiments.bench import BenchSpec, run_bench
from kernelfit.records.record import FILE
from kernelfit.report.views import bench as view


@of_spec(BenchSpec)
def command(spec, *, runs: Runs = Path("runs"), out: Out = (), json: Json = False, quiet: Quiet = False):
    """Run all contenders, each in a process of its own; what is done is shown, whatever ended it."""
    check_targets(runs, scratch=spec.scratch)
    check_out(out, view)
    progress = make_progress(quiet)
    with showing(view.table, json) as records, interruption(f"the rows done are in {runs / FILE}"):
        records.extend(run_bench(spec, runs=runs, progress=progress))
    write_each(progress, *files(out, view, records))
