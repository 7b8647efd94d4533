"""What the commands of `kernelfit reproduce` do: run what is missing of a study, and show the paper beside ours."""

import functools
import types
from pathlib import Path

from kernelfit import nn
from kernelfit.cli.options import Json, KeptRuns, Out, Quiet, of_spec
from kernelfit.cli.output import show_json, show_table, write_each
from kernelfit.cli.running import check_out, check_targets, files, interruption
from kernelfit.common.progress import make_progress
from kernelfit.experiments.paper.study import run_study


def study_command(spec_type):
    """Return the command of a study; its view is the module of its name."""

    @of_spec(spec_type)
    def command(spec, *, runs: KeptRuns = Path("runs"), out: Out = (), json: Json = False, quiet: Quiet = False):
        """Run what is missing, and show all of it beside the paper."""
        view = _view(spec.words[-1])
        check_targets(runs, scratch=getattr(spec, "scratch", None))
        check_out(out, view)
        is_root = nn.rank() == 0  # of the processes that torchrun started
        progress = make_progress(quiet or not is_root)
        outcomes: list = []
        try:
            with interruption("what is done is kept: repeat the command to go on"):
                outcomes.extend(run_study(spec, runs=runs, progress=progress))
        finally:
            if is_root and outcomes:
                _show(view, outcomes, json)
        if is_root:
            write_each(progress, *files(out, view, outcomes))
        return 1 if any(outcome.failed for outcome in outcomes) else 0

    return command


def _view(study):
    """Return the view of a study; one module has those of all nets."""
    if study == "section5":
        from kernelfit.report.views import section5

        return section5
    from kernelfit.report.views import nets_paper

    table, figure = (functools.partial(make, study) for make in (nets_paper.table, nets_paper.figure))
    return types.SimpleNamespace(table=table, figure=figure)


def _show(view, outcomes, json):
    if json:
        shown = [(each, [record.id for record in each.records]) for each in outcomes]
        show_json([{"row": each.name, "records": ids, "failed": each.failed} for each, ids in shown])
    else:
        show_table(view.table, outcomes)
