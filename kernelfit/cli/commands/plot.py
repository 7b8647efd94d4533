"""Draw one figure of what a folder holds, in the size of a paper's column or page; or show it in the terminal."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from kernelfit.cli.options import OUTPUT, Json, Quiet
from kernelfit.cli.output import show_json, show_table, show_text
from kernelfit.common.errors import InputError
from kernelfit.common.progress import make_progress
from kernelfit.experiments.registry import read_records
from kernelfit.report.plots import PLOTS, find_plot, shown_by
from kernelfit.report.render.matplotlib import check_figure, draw


def command(
    name: Annotated[str | None, Parameter(help="Which figure; default: all names are listed.")] = None,
    runs: Annotated[Path, Parameter(help="Folder whose .jsonl files are read.")] = Path("runs"),
    *,
    number: Annotated[
        int | None, Parameter(help="Which, of several runs in the folder, from 1 on; default: the last.")
    ] = None,
    out: Annotated[
        Path | None,
        Parameter(
            name=["--out", "-o"], group=OUTPUT, help="Figure to write: .svg, .png or .pdf; default: a table is printed."
        ),
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
):
    """Draw a figure, print its table, or list what there is."""
    if name is None:
        if out is not None or number is not None:
            raise InputError("name a figure; `kernelfit plot` lists them")
        if json:
            show_json({name: {"about": each.about, "made_by": each.made_by} for name, each in PLOTS.items()})
            return
        for each, found in PLOTS.items():
            show_text(f"{each:14} {found.about} Made by: {found.made_by}")
        return
    chosen = find_plot(name)
    if out is not None:
        check_figure(out)
    shown, count = shown_by(chosen, read_records(runs, progress=make_progress(quiet)), runs, number)
    if out is not None:
        draw(chosen.figure(shown), out)
    if json:
        show_json({"figure": name, "number": number or count, "of": count, "out": None if out is None else str(out)})
    elif out is not None:
        show_text(out)
    else:
        show_table(chosen.table, shown)
        if count > 1:
            make_progress(quiet).note(f"{number or count} of {count}; --number shows another")
