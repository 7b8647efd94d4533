"""Interpolate the training labels with a kernel: solve K coef = Y exactly and report errors, norm and residual."""

import dataclasses
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from kernelfit.cli.options import OUTPUT, Json, Out, Quiet, Runs, in_words, of_spec
from kernelfit.cli.running import run_and_show
from kernelfit.common.errors import InputError
from kernelfit.experiments.parts import RIDGE, Data
from kernelfit.experiments.ridge import RidgeSpec, run_ridge
from kernelfit.experiments.solve import SolveSpec, run_solve

Ridge = Annotated[
    tuple[float, ...],
    Parameter(negative=(), consume_multiple=True, show_default=in_words, group=Data.group, help=RIDGE),
]
Save = Annotated[
    Path | None,
    Parameter(
        group=OUTPUT, help="Write the fitted model to this .npz, for kernelfit predict; default: it is not kept."
    ),
]


@of_spec(SolveSpec)
def command(
    spec,
    *,
    ridge: Ridge = (0.0,),
    runs: Runs = Path("runs"),
    save: Save = None,
    out: Out = (),
    json: Json = False,
    quiet: Quiet = False,
):
    """Run a solve; several ridges are a path, as they once were here."""
    shown = {"runs": runs, "out": out, "json": json, "quiet": quiet}
    if len(ridge) == 1:
        run_and_show(dataclasses.replace(spec, ridge=ridge[0]), run_solve, "solve", save=save, **shown)
        return
    if save is not None or spec.resume:
        what = "--resume" if spec.resume else f"--save {save}"
        raise InputError(f"{what}: there is a factor and a model for each of {len(ridge)} ridges; give one --ridge")
    print("kernelfit: several ridges are a path: the command is `kernelfit ridge` now", file=sys.stderr)
    given = {field.name: getattr(spec, field.name) for field in dataclasses.fields(RidgeSpec) if field.name != "ridges"}
    run_and_show(RidgeSpec(**given, ridges=ridge), run_ridge, "ridge", **shown)
