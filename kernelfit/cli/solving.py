"""Commands that solve: solve, predict."""

import dataclasses
import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from kernelfit.cli.application import app
from kernelfit.cli.options import (
    HERE,
    Augment,
    Bandwidth,
    BandwidthPoints,
    DataDir,
    DataName,
    Device,
    FeaturesText,
    Json,
    KernelText,
    Loo,
    Memory,
    NTest,
    NTrain,
    Precision,
    Quiet,
    Resume,
    Scratch,
    Where,
    check_targets,
    how_to_go_on,
    in_words,
    interruption,
)
from kernelfit.cli.output import show_json, show_table, show_text, write_each
from kernelfit.common.errors import InputError
from kernelfit.common.quantities import parse_bytes


@app.command
def solve(
    *,
    data: DataName = "digits",
    features: FeaturesText = "pixels",
    kernel: KernelText = "gaussian",
    bandwidth: Bandwidth = "auto",
    bandwidth_points: BandwidthPoints = 3000,
    labels: Annotated[
        str, Parameter(help="Training labels: true, random, or the probability of replacement.")
    ] = "true",
    pixels: Annotated[
        Literal["true", "shuffled", "random", "gaussian"], Parameter(help="Pixels of training and test images.")
    ] = "true",
    augment: Augment = "none",
    ridge: Annotated[
        tuple[float, ...],
        Parameter(
            negative=(),
            consume_multiple=True,
            show_default=in_words,
            help="Added to the diagonal of K. Several values, as in 0 1e-8 1e-6, are a path: does any of them help?",
        ),
    ] = (0.0,),
    seed: Annotated[int, Parameter(help="Seed of corruption, subsets and synthetic data.")] = 0,
    n_train: NTrain = None,
    n_test: NTest = None,
    loo: Loo = False,
    precision: Precision = "auto",
    device: Device = "auto",
    memory: Memory = None,
    scratch: Scratch = None,
    resume: Resume = False,
    where: Where = HERE,
    data_dir: DataDir = None,
    runs: Annotated[
        Path, Parameter(help="Folder whose records.jsonl gets the Record, or ridge.jsonl a line for each ridge.")
    ] = Path("runs"),
    save: Annotated[
        Path | None,
        Parameter(help="Write the fitted model to this .npz, for kernelfit predict; default: it is not kept."),
    ] = None,
    plot: Annotated[
        Path | None, Parameter(help="Write errors and norm against the ridge to this figure; default: none.")
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
):
    """Interpolate the training labels with a kernel: solve K coef = Y exactly and report errors, norm and residual."""
    from kernelfit.common.progress import make_progress
    from kernelfit.experiments.ridge_path import RidgePathSpec
    from kernelfit.experiments.solve import SolveSpec

    check_targets(runs, save, scratch)
    options = {
        "data": data,
        "features": features,
        "kernel": kernel,
        "bandwidth": None if bandwidth == "auto" else bandwidth,
        "bandwidth_points": bandwidth_points,
        "labels": labels,
        "pixels": pixels,
        "augment": augment,
        "seed": seed,
        "n_train": n_train,
        "n_test": n_test,
        "loo": loo,
        "precision": precision,
        "device": device,
        "memory": None if memory is None else parse_bytes(memory),
        "scratch": None if scratch is None else str(scratch),
        "resume": resume,
        **dataclasses.asdict(where),
        "data_dir": None if data_dir is None else str(data_dir),
    }
    progress = make_progress(quiet)
    if len(ridge) == 1:
        if plot is not None:
            raise InputError(f"--plot {plot}: it draws a path; give several values of --ridge, as in 0 1e-8 1e-6")
        _solve_one(SolveSpec(ridge=ridge[0], **options), runs=runs, save=save, json=json, progress=progress)
        return
    if save is not None:
        raise InputError(f"--save {save}: there is a model for each of {len(ridge)} ridges; give one --ridge")
    _solve_path(RidgePathSpec(ridges=ridge, **options), runs=runs, plot=plot, json=json, progress=progress)


def _solve_one(spec, *, runs, save, json, progress):
    """Run a SolveSpec, show its Record, and keep it."""
    from kernelfit.experiments.solve import run_solve
    from kernelfit.records.record import append_record

    with interruption(lambda: how_to_go_on(spec)):
        record, model = run_solve(spec, progress=progress)
    if record is None:  # this process followed another, which shows and writes
        return
    if json:
        show_json(record)
        _warn(record.warnings)
    else:
        from kernelfit.report.table import solve_table

        show_table(solve_table, record)  # holds the warnings
    writes = [lambda: f"Record appended to {append_record(runs, record)}"]
    if save is not None:
        writes.append(lambda: model.save(save) or f"model saved to {save}")
    write_each(progress, *writes)


def _warn(warnings):
    """Tell warnings where JSON alone stands on standard output."""
    for warning in warnings:
        print(f"kernelfit: warning: {warning}", file=sys.stderr)


def _solve_path(spec, *, runs, plot, json, progress):
    """Run a RidgePathSpec, show its rows, keep and draw them."""
    from kernelfit.experiments.ridge_path import append_rows, run_ridge_path
    from kernelfit.report.figures import check_figure
    from kernelfit.report.ridge_path import plot_ridge_path, ridge_table

    if plot is not None:
        check_figure(plot)
    result = run_ridge_path(spec, progress=progress)
    if result is None:  # this process followed another, which shows and writes
        return
    if json:
        show_json(result)
        _warn(result.shared["warnings"])
    else:
        show_table(ridge_table, result)  # holds the warnings
    writes = [lambda: f"rows appended to {append_rows(runs, result)}"]
    if plot is not None:
        writes.append(lambda: f"figure written to {plot_ridge_path(result, plot)}")
    write_each(progress, *writes)


@app.command
def predict(
    model: Annotated[Path, Parameter(help="File that kernelfit solve --save wrote.")],
    *,
    data: Annotated[str, Parameter(help="Dataset whose test split is predicted; a name or a path, as for solve.")],
    out: Annotated[
        Path | None, Parameter(help="Write index, predicted and true class of each example as CSV; default: not.")
    ] = None,
    kernel: Annotated[
        str | None, Parameter(help="Needed only for a model with a kernel of your own; default: the one in the model.")
    ] = None,
    n_test: Annotated[int | None, Parameter(help="Stratified subset of the test set; default: all of it.")] = None,
    seed: Annotated[int, Parameter(help="Seed of the subset.")] = 0,
    data_dir: DataDir = None,
    json: Json = False,
    quiet: Quiet = False,
):
    """Predict the test split of a dataset with a model that `kernelfit solve --save` wrote."""
    from kernelfit.common.progress import make_progress
    from kernelfit.experiments.predict import run_predict, write_predictions

    progress = make_progress(quiet)
    result, rows = run_predict(
        model, data=data, kernel=kernel, n_test=n_test, seed=seed, data_dir=data_dir, progress=progress
    )
    if json:
        show_json(result)
    else:
        show_text(
            f"{result['dataset']}: test error {100 * result['test_error']:.2f} % on {result['n_test']:,} examples"
        )
    if out is not None:
        write_each(progress, lambda: f"predictions written to {write_predictions(out, rows)}")
