"""Download what is missing of a dataset, verify it, and print its folder."""

from typing import Annotated

from cyclopts import Parameter

from kernelfit import datasets
from kernelfit.cli.options import DataDir, Json, Quiet
from kernelfit.cli.output import show_json, show_text
from kernelfit.common.progress import make_progress


def command(
    name: Annotated[str, Parameter(help="digits, mnist, cifar10 or synthetic.")],
    *,
    data_dir: DataDir = None,
    json: Json = False,
    quiet: Quiet = False,
):
    """Download, and print the folder."""
    folder = datasets.fetch(name, data_dir=data_dir, progress=make_progress(quiet))
    told = {"name": name, "folder": folder and str(folder)}
    show_json(told) if json else show_text(folder or f"{name} needs no files")
