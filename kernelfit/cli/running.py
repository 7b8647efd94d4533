"""What the commands of experiments do: check, run, write, show."""

import contextlib
import importlib
import os
import sys
from pathlib import Path

from kernelfit.cli.options import Json, Out, Quiet, Runs, of_spec
from kernelfit.cli.output import show_json, show_table, write_each
from kernelfit.common.errors import InputError


def command_of(kind):
    """Return the command of an experiment that makes one Record of a kind; its view is the module of that name."""
    from kernelfit.experiments.registry import find

    experiment = find(kind)

    @of_spec(experiment.spec)
    def command(spec, *, runs: Runs = Path("runs"), out: Out = (), json: Json = False, quiet: Quiet = False):
        run_and_show(spec, experiment.run, kind, runs=runs, out=out, json=json, quiet=quiet)

    command.__doc__ = sys.modules[f"kernelfit.cli.commands.{kind}"].__doc__
    return command


def run_and_show(spec, run, kind, *, runs, save=None, out=(), json=False, quiet=False):
    """Run a spec; show its Record, and write it, the model that was fitted, and the files of `out`."""
    from kernelfit.common.progress import make_progress
    from kernelfit.records.record import append_record

    view = view_of(kind)
    check_targets(runs, save, spec.scratch)
    check_out(out, view)
    progress = make_progress(quiet)
    with interruption(lambda: how_to_go_on(spec)):
        made = run(spec, progress=progress)
    record, model = made if isinstance(made, tuple) else (made, None)
    if record is None:  # this process followed another, which shows and writes
        return
    show_record(record, view, json)
    writes = [lambda: f"Record appended to {append_record(runs, record)}"]
    if save is not None:
        served = "" if model.pixels == "true" else f"; `kernelfit predict` has no use for it: {model.pixels} pixels"
        writes.append(lambda: model.save(save) or f"model saved to {save}{served}")
    write_each(progress, *writes, *files(out, view, record))


def view_of(kind):
    """Return the view of a kind of record."""
    return importlib.import_module(f"kernelfit.report.views.{kind}")


def show_record(record, view, json):
    """Show a record as JSON, with its warnings on the other stream, or as its table, which holds them."""
    if json:
        show_json(record)
        for warning in record.warnings:
            print(f"kernelfit: warning: {warning}", file=sys.stderr)
    else:
        show_table(view.table, record)


def files(out, view, shown):
    """Return functions that write the files of --out: each returns a sentence."""
    return [lambda path=path: _write(path, view, shown) for path in out]


def _write(path, view, shown):
    from kernelfit.common.files import write_text
    from kernelfit.report.render.markdown import markdown
    from kernelfit.report.render.matplotlib import draw

    if path.suffix == ".md":
        return f"table written to {write_text(path, markdown(view.table(shown)))}"
    return f"figure written to {draw(view.figure(shown), path)}"


def check_out(out, view):
    """Refuse files of --out that cannot be made, before the work."""
    from kernelfit.report.render.matplotlib import check_figure

    for path in out:
        if path.suffix == ".md":
            if not path.absolute().parent.is_dir():
                raise InputError(f"--out {path}: there is no folder {path.absolute().parent}")
        elif hasattr(view, "figure"):
            check_figure(path)
        else:
            raise InputError(f"--out {path}: this command has no figure; name a .md file for its table")


def check_targets(runs, save=None, scratch=None):
    """Refuse what cannot be written before the work, not after it."""
    if save is not None and save.suffix != ".npz":
        raise InputError(f"--save {save}: the name of a model file ends in .npz")
    if save is not None and save.is_dir():
        raise InputError(f"--save {save} is a folder")
    folders = {"--runs": runs, "--save": save.parent if save else Path(), "--scratch": Path(scratch or ".")}
    for option, folder in folders.items():
        existing = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
        if not existing.is_dir() or not os.access(existing, os.W_OK):
            raise InputError(f"{option} {folder}: {existing} is not a folder that can be written to")


@contextlib.contextmanager
def interruption(how):
    """Let Ctrl-C say how to go on: `how` is a sentence, or a function that returns one, or nothing."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise KeyboardInterrupt(how() if callable(how) else how) from error


def how_to_go_on(spec):
    """Return how to go on after Ctrl-C, or nothing where nothing unfinished was kept."""
    from kernelfit.solvers.checkpoint import has_state
    from kernelfit.solvers.scratch import unfinished

    folder = spec.options().get("scratch")
    for each in [] if folder is None else [Path(folder), *Path(folder).glob("*/")]:  # of one ridge, or pixel setting
        if unfinished(each) or has_state(each):
            what = "factor" if unfinished(each) else "state"
            more = "" if spec.resume else " with --resume"
            return f"the {what} in {each} is kept: repeat the command{more} to go on"
    return ""
