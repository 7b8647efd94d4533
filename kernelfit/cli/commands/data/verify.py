"""Check the files of a dataset on this machine against their SHA-256; exit code 1 if one is missing or wrong."""

from typing import Annotated

from cyclopts import Parameter

from kernelfit import datasets
from kernelfit.cli.options import DataDir, Json, Quiet
from kernelfit.cli.output import show_json, show_text


def command(
    name: Annotated[str, Parameter(help="digits, mnist, cifar10 or synthetic.")],
    *,
    data_dir: DataDir = None,
    json: Json = False,
    quiet: Quiet = False,
):
    """Check each file, and print what was found."""
    checks = datasets.verify(name, data_dir=data_dir)
    told = [vars(check) | {"path": check.path and str(check.path)} for check in checks]
    lines = [f"{'ok ' if check.ok else 'BAD'} {check.path or check.name}: {check.verdict}" for check in checks]
    show_json(told) if json else show_text("\n".join(lines) or f"{name} needs no files")
    return 0 if all(check.ok for check in checks) else 1
