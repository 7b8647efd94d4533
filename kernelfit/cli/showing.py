"""Commands that show what runs have written: report, plot."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from kernelfit.cli.app import app
from kernelfit.cli.options import Json, Quiet, print_json


@app.command
def report(
    runs: Annotated[Path, Parameter(help="Folder whose .jsonl files are read.")] = Path("runs"),
    *,
    out: Annotated[Path, Parameter(name=["--out", "-o"], help="HTML file to write.")] = Path("report.html"),
    json: Json = False,
    quiet: Quiet = False,
):
    """Write one self-contained HTML page of every Record in a folder: tables, figures, pictures, commands."""
    from kernelfit.errors import InputError
    from kernelfit.files import atomic_write
    from kernelfit.progress import make_progress
    from kernelfit.report.page import report_page
    from kernelfit.report.runs import read_runs

    if out.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"--out {out}: the report is a web page; end its name in .html")
    found = read_runs(runs, progress=make_progress(quiet))
    content = report_page(found).encode()
    with atomic_write(out) as file:
        file.write(content)
    if json:
        unread = [{"file": each.file, "line": each.number, "reason": each.reason} for each in found.unread]
        print_json({"report": str(out), "bytes": len(content), "records": found.lines, "unread": unread})
    else:
        print(out)
