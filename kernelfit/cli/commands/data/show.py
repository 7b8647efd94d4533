"""Write a grid of training images, one class per row, as a PNG."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from kernelfit import datasets
from kernelfit.cli.options import DataDir, DataName, Json, Quiet
from kernelfit.cli.output import show_json, show_text
from kernelfit.common.progress import make_progress


def command(
    data: DataName,
    *,
    out: Annotated[
        Path | None, Parameter(name=["--out", "-o"], help="PNG file to write; default: the dataset's name with .png.")
    ] = None,
    rows: Annotated[int, Parameter(help="Classes shown.")] = 10,
    columns: Annotated[int, Parameter(help="Images of each class.")] = 10,
    data_dir: DataDir = None,
    json: Json = False,
    quiet: Quiet = False,
):
    """Write the picture, and name it."""
    loaded = datasets.load(data, data_dir=data_dir, progress=make_progress(quiet))
    path = datasets.picture_grid(loaded, out or Path(f"{loaded.name}.png"), rows=rows, columns=columns)
    told = {"name": loaded.name, "picture": str(path), "classes": list(loaded.classes)}
    show_json(told) if json else show_text(path)
