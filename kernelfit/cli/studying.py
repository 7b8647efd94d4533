"""Commands that study: sweep, measures, randomize."""

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from kernelfit.cli.application import app
from kernelfit.cli.options import (
    HERE,
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
from kernelfit.cli.output import show_json, show_table, write_each
from kernelfit.common.errors import UnwrittenError
from kernelfit.common.quantities import parse_bytes, parse_range


@app.command
def sweep(
    *,
    data: DataName = "digits",
    features: FeaturesText = "pixels",
    kernel: KernelText = "gaussian",
    bandwidth: Bandwidth = "auto",
    bandwidth_points: BandwidthPoints = 3000,
    levels: Annotated[
        tuple[str, ...],
        Parameter(
            negative=(),
            consume_multiple=True,
            show_default=in_words,
            help="Probabilities with which a training label is replaced; 0:1:0.1 stands for 0, 0.1, ..., 1.",
        ),
    ] = ("0:1:0.1",),
    seeds: Annotated[int, Parameter(help="How many seeds of the labels at each level.")] = 5,
    pixels: Annotated[
        tuple[Literal["true", "shuffled", "random", "gaussian"], ...],
        Parameter(
            negative=(),
            consume_multiple=True,
            show_default=in_words,
            help="Pixels of all images; each setting is a solve of its own.",
        ),
    ] = ("true",),
    ridge: Annotated[float, Parameter(help="Added to the diagonal of K.")] = 0.0,
    seed: Annotated[int, Parameter(help="Seed of pixels, subsets and synthetic data.")] = 0,
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
    runs: Annotated[Path, Parameter(help="Folder whose sweep.jsonl gets a line for each set of labels.")] = Path(
        "runs"
    ),
    plot: Annotated[
        Path | None, Parameter(help="Write errors and norm against the level to this figure; default: none.")
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
):
    """Sweep label corruption on one factor: errors, norm and margins at every level, for the price of one solve."""
    from kernelfit.common.progress import make_progress
    from kernelfit.experiments.sweep import SweepSpec, append_rows, run_sweep
    from kernelfit.report.figures import check_figure
    from kernelfit.report.sweep import plot_sweep, sweep_table

    check_targets(runs, None, scratch)
    if plot is not None:
        check_figure(plot)
    spec = SweepSpec(
        data=data,
        features=features,
        kernel=kernel,
        bandwidth=None if bandwidth == "auto" else bandwidth,
        bandwidth_points=bandwidth_points,
        levels=tuple(level for text in levels for level in parse_range(text)),
        seeds=seeds,
        pixel_settings=pixels,
        ridge=ridge,
        seed=seed,
        n_train=n_train,
        n_test=n_test,
        loo=loo,
        precision=precision,
        device=device,
        memory=None if memory is None else parse_bytes(memory),
        scratch=None if scratch is None else str(scratch),
        resume=resume,
        **dataclasses.asdict(where),
        data_dir=None if data_dir is None else str(data_dir),
    )
    progress = make_progress(quiet)
    with interruption(lambda: next(filter(None, map(how_to_go_on, spec.settings())), "")):
        result = run_sweep(spec, progress=progress)
    if result is None:  # this process followed another, which shows and writes
        return
    if json:
        show_json(result.shared | {"rows": result.rows})
    else:
        show_table(sweep_table, result)
    writes = [lambda: f"rows appended to {append_rows(runs, result)}"]
    if plot is not None:
        writes.append(lambda: f"figure written to {plot_sweep(result, plot)}")
    write_each(progress, *writes)


@app.command
def measures(
    *,
    data: DataName = "digits",
    features: FeaturesText = "pixels",
    kernel: KernelText = "gaussian",
    bandwidth: Bandwidth = "auto",
    bandwidth_points: BandwidthPoints = 3000,
    ridge: Annotated[float, Parameter(help="Added to the diagonal of K.")] = 0.0,
    seed: Annotated[int, Parameter(help="Seed of the random labels and signs, subsets and synthetic data.")] = 0,
    n_train: NTrain = None,
    n_test: NTest = None,
    device: Device = "cpu",
    memory: Memory = None,
    scratch: Scratch = None,
    where: Where = HERE,
    data_dir: DataDir = None,
    json: Json = False,
    quiet: Quiet = False,
):
    """Show every measure of complexity on true and on random labels, and whether it can tell them apart."""
    from kernelfit.common.progress import make_progress
    from kernelfit.experiments.measures import run_measures
    from kernelfit.experiments.solve import SolveSpec

    spec = SolveSpec(
        data=data,
        features=features,
        kernel=kernel,
        bandwidth=None if bandwidth == "auto" else bandwidth,
        bandwidth_points=bandwidth_points,
        ridge=ridge,
        seed=seed,
        n_train=n_train,
        n_test=n_test,
        device=device,
        memory=None if memory is None else parse_bytes(memory),
        scratch=None if scratch is None else str(scratch),
        **dataclasses.asdict(where),
        data_dir=None if data_dir is None else str(data_dir),
    )
    made, title = run_measures(spec, progress=make_progress(quiet))
    if made is None:  # this process followed another, which shows
        return
    if json:
        show_json(made)
    else:
        from kernelfit.report.measures import measures_report

        show_table(measures_report, made, title)


@app.command
def randomize(
    *,
    estimator: Annotated[
        str, Parameter(help="Import path of a class with fit and predict, or of a function that makes one.")
    ] = "sklearn.ensemble.RandomForestClassifier",
    param: Annotated[
        list[str] | None,
        Parameter(negative=(), help="name=value, once for each argument: a Python literal, or text; default: none."),
    ] = None,
    data: DataName = "digits",
    levels: Annotated[
        tuple[str, ...],
        Parameter(
            negative=(),
            consume_multiple=True,
            show_default=in_words,
            help="Probabilities with which a training label is replaced; 0:1:0.25 stands for 0, 0.25, ..., 1.",
        ),
    ] = ("0:1:0.5",),
    seeds: Annotated[int, Parameter(help="How many seeds are run at each level.")] = 3,
    jobs: Annotated[int, Parameter(help="Fits at a time; -1 for all cores.")] = 1,
    n_train: NTrain = None,
    n_test: NTest = None,
    data_dir: DataDir = None,
    runs: Annotated[Path, Parameter(help="Folder whose fits.jsonl keeps every fit, so that none is repeated.")] = Path(
        "runs"
    ),
    plot: Annotated[Path | None, Parameter(help="Write the error curves to this figure; default: none.")] = None,
    json: Json = False,
    quiet: Quiet = False,
):
    """Test whether a classifier can fit random labels: train it on labels replaced at random, more and more of them."""
    from kernelfit.common.progress import make_progress
    from kernelfit.experiments.randomize import RandomizeSpec, run_randomize
    from kernelfit.report.figures import check_figure
    from kernelfit.report.randomization import plot_randomization, randomization_table

    check_targets(runs, None)
    if plot is not None:
        check_figure(plot)
    spec = RandomizeSpec(
        estimator=estimator,
        param=tuple(param or ()),
        data=data,
        levels=tuple(level for text in levels for level in parse_range(text)),
        seeds=seeds,
        jobs=jobs,
        n_train=n_train,
        n_test=n_test,
        data_dir=None if data_dir is None else str(data_dir),
        runs=str(runs),
    )
    progress = make_progress(quiet)
    unwritten = None
    with interruption(f"fits that are done are in {runs / 'fits.jsonl'}: repeat the command to go on"):
        try:
            result = run_randomize(spec, progress=progress)
        except UnwrittenError as error:
            result, unwritten = error.result, error
    if json:
        show_json(result)
    else:
        show_table(randomization_table, result)
    if plot is not None:
        write_each(progress, lambda: plot_randomization(result, plot) or f"figure written to {plot}")
    if unwritten:
        raise unwritten
    progress.note(f"fits are kept in {runs / 'fits.jsonl'}")
