"""The command that compares interpolants of the same labels."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from kernelfit.cli.application import app
from kernelfit.cli.options import (
    Bandwidth,
    BandwidthPoints,
    DataDir,
    DataName,
    FeaturesText,
    Json,
    KernelText,
    Memory,
    NTest,
    NTrain,
    Quiet,
    check_targets,
    in_words,
)
from kernelfit.cli.output import show_json, show_table, write_each
from kernelfit.common.quantities import parse_bytes


@app.command
def interpolants(
    *,
    data: DataName = "digits",
    features: FeaturesText = "pixels",
    kernel: KernelText = "gaussian",
    bandwidth: Bandwidth = "auto",
    bandwidth_points: BandwidthPoints = 3000,
    others: Annotated[
        tuple[str, ...],
        Parameter(
            negative=(),
            consume_multiple=True,
            show_default=in_words,
            help="Interpolants beside the minimum-norm ones. Expansions about other centres: perturbed(0.3) (training "
            "points moved by 0.3 median distances), pairs (random points between two training points), gaussian "
            '(noise); "pairs x 2" has two centres for every training point, and the smallest norm that they allow. '
            "forced: through random labels of the test points too.",
        ),
    ] = ("perturbed(0.3)", "perturbed(1)", "pairs", "pairs x 2", "gaussian", "forced"),
    pixels: Annotated[
        Literal["true", "shuffled", "random", "gaussian"], Parameter(help="Pixels of training and test images.")
    ] = "true",
    seed: Annotated[int, Parameter(help="Seed of centres, random labels, pixels, subsets and synthetic data.")] = 0,
    n_train: NTrain = None,
    n_test: NTest = None,
    memory: Memory = None,
    data_dir: DataDir = None,
    runs: Annotated[Path, Parameter(help="Folder whose interpolants.jsonl gets a line for each of them.")] = Path(
        "runs"
    ),
    json: Json = False,
    quiet: Quiet = False,
):
    """Compare the minimum-norm interpolant with others of the same labels: norms, errors, residuals, conditions."""
    from kernelfit.common.progress import make_progress
    from kernelfit.experiments.interpolants import InterpolantsSpec, append_rows, run_interpolants
    from kernelfit.report.interpolants import interpolants_table

    check_targets(runs, None)
    spec = InterpolantsSpec(
        data=data,
        features=features,
        kernel=kernel,
        bandwidth=None if bandwidth == "auto" else bandwidth,
        bandwidth_points=bandwidth_points,
        others=others,
        pixels=pixels,
        seed=seed,
        n_train=n_train,
        n_test=n_test,
        memory=None if memory is None else parse_bytes(memory),
        data_dir=None if data_dir is None else str(data_dir),
    )
    progress = make_progress(quiet)
    result = run_interpolants(spec, progress=progress)
    if json:
        show_json(result.shared | {"rows": result.rows})
    else:
        show_table(interpolants_table, result)
    write_each(progress, lambda: f"rows appended to {append_rows(runs, result)}")
