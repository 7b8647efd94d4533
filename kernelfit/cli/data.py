"""Commands for datasets: data list, data fetch, data verify, data show."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from kernelfit.cli.application import data_app
from kernelfit.cli.options import DataDir, DataName, Json, Quiet
from kernelfit.cli.output import show_json, show_text

Name = Annotated[str, Parameter(help="digits, mnist, cifar10 or synthetic.")]


@data_app.command(name="list")
def list_(*, json: Json = False, quiet: Quiet = False):
    """List what can be loaded by name."""
    from kernelfit import datasets

    entries = datasets.names()
    if json:
        show_json(
            [{key: getattr(entry, key) for key in ("name", "description", "home", "licence")} for entry in entries]
        )
        return
    for entry in entries:
        show_text(f"{entry.name:10} {entry.description}\n{'':10} {entry.home}; licence: {entry.licence}")
    show_text(
        f"{'PATH':10} your own .npz (X_train, y_train, X_test, y_test), class folders train/CLASS/*.png, .zip or .tar"
    )


@data_app.command
def fetch(name: Name, *, data_dir: DataDir = None, json: Json = False, quiet: Quiet = False):
    """Download what is missing of a dataset, verify it, and print its folder."""
    from kernelfit import datasets
    from kernelfit.common.progress import make_progress

    folder = datasets.fetch(name, data_dir=data_dir, progress=make_progress(quiet))
    if json:
        show_json({"name": name, "folder": folder and str(folder)})
    else:
        show_text(f"{name} needs no files" if folder is None else folder)


@data_app.command
def verify(name: Name, *, data_dir: DataDir = None, json: Json = False, quiet: Quiet = False):
    """Check the files of a dataset on this machine against their SHA-256; exit code 1 if one is missing or wrong."""
    from kernelfit import datasets

    checks = datasets.verify(name, data_dir=data_dir)
    if json:
        show_json([vars(check) | {"path": check.path and str(check.path)} for check in checks])
    else:
        for check in checks:
            show_text(f"{'ok ' if check.ok else 'BAD'} {check.path or check.name}: {check.verdict}")
        if not checks:
            show_text(f"{name} needs no files")
    return 0 if all(check.ok for check in checks) else 1


@data_app.command
def show(
    data: DataName,
    *,
    out: Annotated[Path | None, Parameter(help="PNG file to write; default: the dataset's name with .png.")] = None,
    rows: Annotated[int, Parameter(help="Classes shown.")] = 10,
    columns: Annotated[int, Parameter(help="Images of each class.")] = 10,
    data_dir: DataDir = None,
    json: Json = False,
    quiet: Quiet = False,
):
    """Write a grid of training images, one class per row, as a PNG."""
    from kernelfit import datasets
    from kernelfit.common.progress import make_progress

    loaded = datasets.load(data, data_dir=data_dir, progress=make_progress(quiet))
    path = datasets.picture_grid(loaded, out or Path(f"{loaded.name}.png"), rows=rows, columns=columns)
    if json:
        show_json({"name": loaded.name, "picture": str(path), "classes": list(loaded.classes)})
    else:
        show_text(path)
