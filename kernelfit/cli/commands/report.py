"""Write one self-contained HTML page of every Record in a folder: tables, figures, pictures, commands."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from kernelfit.cli.options import OUTPUT, Json, Quiet
from kernelfit.cli.output import show_json, show_text
from kernelfit.common.errors import InputError
from kernelfit.common.files import write_text
from kernelfit.common.progress import make_progress
from kernelfit.experiments.registry import kinds, read_records
from kernelfit.report.page import report_page


def command(
    runs: Annotated[Path, Parameter(help="Folder whose .jsonl files are read.")] = Path("runs"),
    *,
    out: Annotated[Path, Parameter(name=["--out", "-o"], group=OUTPUT, help="HTML file to write.")] = Path(
        "report.html"
    ),
    json: Json = False,
    quiet: Quiet = False,
):
    """Write the page, and name it."""
    if out.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"--out {out}: the report is a web page; end its name in .html")
    found = read_records(runs, progress=make_progress(quiet))
    write_text(out, report_page(found))
    if json:
        counts = {kind: len(found.of(kind)) for kind in kinds() if found.of(kind)}
        unread = [{"file": each.file, "line": each.number, "reason": each.reason} for each in found.unread]
        show_json({"report": str(out), "bytes": out.stat().st_size, "records": counts, "unread": unread})
    else:
        show_text(out)
