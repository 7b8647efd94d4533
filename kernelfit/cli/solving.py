"""Commands that solve: solve, predict."""

import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from kernelfit.cli.app import app
from kernelfit.cli.options import (
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
    check_targets,
    how_to_go_on,
    in_words,
    print_json,
    print_table,
)
from kernelfit.errors import InputError
from kernelfit.units import parse_bytes


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
    engine: Annotated[
        Literal["local", "mpi", "dask"],
        Parameter(
            help="Where: in this process; mpi: one Cholesky factor over all processes of mpiexec; dask: conjugate "
            "gradients over the workers of a Dask cluster, none of which holds K."
        ),
    ] = "local",
    grid: Annotated[
        str | None, Parameter(help="Processes of --engine mpi, rows x columns, as in 2x4; default: near a square.")
    ] = None,
    block: Annotated[int | None, Parameter(help="Rows and columns of a block of --engine mpi; default: 256.")] = None,
    scheduler: Annotated[
        str | None,
        Parameter(
            help="Of --engine dask: tcp://host:8786 or a scheduler file; default: worker processes on this machine."
        ),
    ] = None,
    workers: Annotated[
        int | None,
        Parameter(
            help="Workers of --engine dask: processes here, or to wait for; default: up to 4 here, 1 of a scheduler."
        ),
    ] = None,
    tolerance: Annotated[
        float | None, Parameter(help="Relative residual of --engine dask, of every output; default: 1e-8.")
    ] = None,
    rank: Annotated[
        int | None, Parameter(help="Of the preconditioner of --engine dask; 0 for none; default: planned.")
    ] = None,
    steps: Annotated[int | None, Parameter(help="Of --engine dask, at most; default: 1000.")] = None,
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
    from kernelfit.experiments.ridge_path import RidgePathSpec
    from kernelfit.experiments.solve import SolveSpec
    from kernelfit.progress import make_progress

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
        "engine": engine,
        "grid": grid,
        "block": block,
        "scheduler": scheduler,
        "workers": workers,
        "tolerance": tolerance,
        "rank": rank,
        "steps": steps,
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
    """Run a SolveSpec, print its Record, and keep it."""
    from kernelfit.experiments.solve import run_solve
    from kernelfit.records import append_record

    try:
        record, model = run_solve(spec, progress=progress)
    except KeyboardInterrupt as error:
        raise KeyboardInterrupt(how_to_go_on(spec)) from error
    if record is None:  # this process followed another, which prints and writes
        return
    # Printed first: what was computed must not be lost to a disk that has filled up meanwhile.
    if json:
        print(record.to_json(), flush=True)
        for warning in record.warnings:
            print(f"kernelfit: warning: {warning}", file=sys.stderr)
    else:
        from kernelfit.report.table import solve_table

        print_table(solve_table(record))  # holds the warnings
    path = append_record(runs, record)
    if save is not None:
        model.save(save)
    progress.note(f"Record appended to {path}" + (f", model saved to {save}" if save else ""))


def _solve_path(spec, *, runs, plot, json, progress):
    """Run a RidgePathSpec, print its rows, and draw them."""
    from kernelfit.experiments.ridge_path import append_rows, run_ridge_path
    from kernelfit.report.figures import check_figure

    if plot is not None:
        check_figure(plot)
    result = run_ridge_path(spec, progress=progress)
    if json:
        print(result.to_json(), flush=True)
        for warning in result.shared["warnings"]:
            print(f"kernelfit: warning: {warning}", file=sys.stderr)
    else:
        from kernelfit.report.ridge_path import ridge_table

        print_table(ridge_table(result))  # holds the warnings
    path = append_rows(runs, result)
    if plot is not None:
        from kernelfit.report.ridge_path import plot_ridge_path

        plot_ridge_path(result, plot)
    progress.note(f"Rows appended to {path}" + (f", figure written to {plot}" if plot else ""))


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
    from kernelfit.experiments.predict import run_predict
    from kernelfit.progress import make_progress

    result = run_predict(
        model,
        data=data,
        out=out,
        kernel=kernel,
        n_test=n_test,
        seed=seed,
        data_dir=data_dir,
        progress=make_progress(quiet),
    )
    if json:
        print_json(result)
    else:
        print(f"{result['dataset']}: test error {100 * result['test_error']:.2f} % on {result['n_test']:,} examples")
