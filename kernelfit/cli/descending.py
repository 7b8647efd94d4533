"""The command that crosses the interpolation threshold with random features."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from kernelfit.cli.application import app
from kernelfit.cli.options import DataDir, DataName, Json, NTest, NTrain, Quiet, check_targets
from kernelfit.cli.output import show_json, show_table, write_each


@app.command
def descent(
    *,
    data: DataName = "digits",
    features: Annotated[
        Literal["fourier", "relu"],
        Parameter(help="fourier: cosines, which tend to the Gaussian kernel; relu: a random hidden layer."),
    ] = "fourier",
    bandwidth: Annotated[
        float | Literal["auto"],
        Parameter(help="Of fourier features, in units of pixels / 255; auto: the median distance of training points."),
    ] = "auto",
    label_noise: Annotated[
        float, Parameter(help="Probability with which a training label is replaced; without any the peak is low.")
    ] = 0.2,
    grid: Annotated[
        tuple[int, ...],
        Parameter(
            negative=(),
            consume_multiple=True,
            show_default=lambda grid: " ".join(map(str, grid)) or "15 from n / 8 to 8 n",
            help="Numbers of features, increasing.",
        ),
    ] = (),
    seeds: Annotated[int, Parameter(help="How many seeds of the features and the label noise.")] = 3,
    n_train: NTrain = 1000,
    n_test: NTest = None,
    data_dir: DataDir = None,
    runs: Annotated[Path, Parameter(help="Folder whose descent.jsonl gets a line.")] = Path("runs"),
    plot: Annotated[
        Path | None, Parameter(help="Write errors and norm against the features to this figure; default: none.")
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
):
    """Show double descent: minimum-norm fits on few to many random features, through the point where they fit all."""
    from kernelfit.common.progress import make_progress
    from kernelfit.experiments.descent import DescentSpec, append_result, run_descent
    from kernelfit.report.descent import descent_table, plot_descent
    from kernelfit.report.figures import check_figure

    check_targets(runs, None)
    if plot is not None:
        check_figure(plot)
    spec = DescentSpec(
        data=data,
        features=features,
        bandwidth=None if bandwidth == "auto" else bandwidth,
        label_noise=label_noise,
        grid=grid,
        seeds=seeds,
        n_train=n_train,
        n_test=n_test,
        data_dir=None if data_dir is None else str(data_dir),
    )
    progress = make_progress(quiet)
    result = run_descent(spec, progress=progress)
    if json:
        show_json(result)
    else:
        show_table(descent_table, result)
    writes = [lambda: f"curves appended to {append_result(runs, result)}"]
    if plot is not None:
        writes.append(lambda: f"figure written to {plot_descent(result, plot)}")
    write_each(progress, *writes)
