"""Predict the test split of a dataset with a model that `kernelfit solve --save` wrote."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from kernelfit.cli.options import OUTPUT, DataDir, Json, Quiet
from kernelfit.cli.output import show_json, show_text, write_each
from kernelfit.common.progress import make_progress
from kernelfit.experiments.predict import run_predict, write_predictions


def command(
    model: Annotated[Path, Parameter(help="File that kernelfit solve --save wrote.")],
    *,
    data: Annotated[str, Parameter(help="Dataset whose test split is predicted; a name or a path, as for solve.")],
    kernel: Annotated[
        str | None, Parameter(help="Needed only for a model with a kernel of your own; default: the one in the model.")
    ] = None,
    n_test: Annotated[int | None, Parameter(help="Stratified subset of the test set; default: all of it.")] = None,
    seed: Annotated[int, Parameter(help="Seed of the subset.")] = 0,
    data_dir: DataDir = None,
    out: Annotated[
        Path | None,
        Parameter(
            name=["--out", "-o"],
            group=OUTPUT,
            help="Write index in the test split, predicted and true class of each example as CSV; default: not.",
        ),
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
):
    """Show the test error, and write the predictions where they are asked for."""
    progress = make_progress(quiet)
    result, rows = run_predict(
        model, data=data, kernel=kernel, n_test=n_test, seed=seed, data_dir=data_dir, progress=progress
    )
    told = f"{result['dataset']}: test error {100 * result['test_error']:.2f} % on {result['n_test']:,} examples"
    show_json(result) if json else show_text("\n".join([told, *map("warning: {}".format, result["warnings"])]))
    if out is not None:
        write_each(progress, lambda: f"predictions written to {write_predictions(out, rows)}")
