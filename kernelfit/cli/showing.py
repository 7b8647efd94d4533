"""Commands that show what runs have written: report, plot."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from kernelfit.cli.application import app
from kernelfit.cli.options import Json, Quiet
from kernelfit.cli.output import show_json, show_table, show_text


@app.command
def report(
    runs: Annotated[Path, Parameter(help="Folder whose .jsonl files are read.")] = Path("runs"),
    *,
    out: Annotated[Path, Parameter(name=["--out", "-o"], help="HTML file to write.")] = Path("report.html"),
    json: Json = False,
    quiet: Quiet = False,
):
    """Write one self-contained HTML page of every Record in a folder: tables, figures, pictures, commands."""
    from kernelfit.common.errors import InputError
    from kernelfit.common.files import write_text
    from kernelfit.common.progress import make_progress
    from kernelfit.report.page import report_page
    from kernelfit.report.runs import read_runs

    if out.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"--out {out}: the report is a web page; end its name in .html")
    found = read_runs(runs, progress=make_progress(quiet))
    write_text(out, report_page(found))
    if json:
        unread = [{"file": each.file, "line": each.number, "reason": each.reason} for each in found.unread]
        show_json({"report": str(out), "bytes": out.stat().st_size, "records": found.lines, "unread": unread})
    else:
        show_text(out)


@app.command
def plot(
    name: Annotated[str | None, Parameter(help="Which figure; default: all names are listed.")] = None,
    runs: Annotated[Path, Parameter(help="Folder whose .jsonl files are read.")] = Path("runs"),
    *,
    out: Annotated[
        Path | None,
        Parameter(name=["--out", "-o"], help="Figure to write: .svg, .png or .pdf; default: a table is printed."),
    ] = None,
    number: Annotated[
        int | None, Parameter(help="Which, of several runs in the folder, from 1 on; default: the last.")
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
):
    """Draw one figure of what a folder holds, in the size of a paper's column or page; or show it in the terminal."""
    from kernelfit.common.progress import make_progress
    from kernelfit.report.figures import check_figure
    from kernelfit.report.plots import PLOTS, find_plot, shown_by
    from kernelfit.report.runs import read_runs

    if name is None:
        if json:
            show_json({name: {"about": each.about, "made_by": each.made_by} for name, each in PLOTS.items()})
            return
        for each, found in PLOTS.items():
            show_text(f"{each:14} {found.about}; made by: {found.made_by}")
        return
    chosen = find_plot(name)
    if out is not None:
        check_figure(out)
    shown, count = shown_by(chosen, read_runs(runs, progress=make_progress(quiet)), runs, number)
    if out is not None:
        chosen.draw(shown, out)
    if json:
        show_json({"figure": name, "number": number or count, "of": count, "out": None if out is None else str(out)})
    elif out is not None:
        show_text(out)
    else:
        show_table(chosen.table, shown)
        if count > 1:
            make_progress(quiet).note(f"{number or count} of {count}; --number shows another")
