"""Commands that ask what a machine can do: plan, bench."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from kernelfit.cli.application import app
from kernelfit.cli.options import (
    DataDir,
    Device,
    Json,
    Precision,
    Quiet,
    Scratch,
    check_targets,
    in_words,
    interruption,
)
from kernelfit.cli.output import show_json, show_table, showing, write_each
from kernelfit.common.quantities import parse_bytes


@app.command
def plan(
    *,
    data: Annotated[str | None, Parameter(help="Plan for this dataset; default: for --n points of --d pixels.")] = None,
    n: Annotated[int | None, Parameter(help="Training points; default: those of --data.")] = None,
    n_test: Annotated[int, Parameter(help="Test points.")] = 10_000,
    d: Annotated[int, Parameter(help="Pixels of an image.")] = 784,
    outputs: Annotated[int, Parameter(help="Classes.")] = 10,
    loo: Annotated[bool, Parameter(negative=(), help="With leave-one-out.")] = False,
    precision: Precision = "auto",
    device: Device = "auto",
    memory: Annotated[
        str | None, Parameter(help='Plan for this much memory, as in "24GB"; default: what is free.')
    ] = None,
    tflops: Annotated[
        tuple[float, float] | None,
        Parameter(help="Plan for another machine: TFLOP/s of its products in float64 and float32; default: measured."),
    ] = None,
    machines: Annotated[
        int | None,
        Parameter(
            help="Plan for this many machines on a network, of --cores and --memory each; default: this one alone."
        ),
    ] = None,
    cores: Annotated[int | None, Parameter(help="Cores of each of the machines; no default.")] = None,
    network: Annotated[
        str | None, Parameter(help='What reaches each of them, as in "10Gbit" a second; no default.')
    ] = None,
    scratch: Scratch = None,
    calibrate: Annotated[bool, Parameter(negative=(), help="Measure this machine again.")] = False,
    data_dir: DataDir = None,
    json: Json = False,
    quiet: Quiet = False,
):
    """Show memory, disk and time of every way to solve, and which would be chosen. Measures the machine once."""
    import dataclasses

    from kernelfit.common.progress import make_progress
    from kernelfit.experiments.plan import run_plan

    if (machines, cores, network) != (None, None, None):
        _plan_cluster(n, n_test, d, outputs, machines, cores, memory, network, tflops, json)
        return
    made = run_plan(
        data=data,
        n=n,
        n_test=n_test,
        d=d,
        outputs=outputs,
        loo=loo,
        precision=precision,
        device=device,
        memory=None if memory is None else parse_bytes(memory),
        tflops=tflops,
        scratch=scratch,
        calibrate=calibrate,
        data_dir=data_dir,
        progress=make_progress(quiet),
    )
    if json:
        ways = [dataclasses.asdict(way) | {"chosen": way is made.chosen} for way in made.ways]
        show_json({"n": made.problem.n, "free": made.free, "largest_n": made.largest_n, "ways": ways})
    else:
        from kernelfit.report.table import plan_table

        show_table(plan_table, made)


def _plan_cluster(n, n_test, d, outputs, machines, cores, memory, network, tflops, json):
    """Print what the engines take over several machines."""
    from kernelfit.common.quantities import parse_network_speed
    from kernelfit.experiments.cluster_plan import run_cluster_plan

    made = run_cluster_plan(
        n=n,
        n_test=n_test,
        d=d,
        outputs=outputs,
        machines=machines,
        cores=cores,
        memory=None if memory is None else parse_bytes(memory),
        bandwidth=None if network is None else parse_network_speed(network),
        tflops=tflops,
    )
    if json:
        show_json(made.to_dict())
    else:
        from kernelfit.report.cluster_plan import cluster_plan_table

        show_table(cluster_plan_table, made)


@app.command
def bench(
    *,
    data: Annotated[str, Parameter(help="Dataset of the problem, as for solve.")] = "mnist",
    sizes: Annotated[
        tuple[int, ...],
        Parameter(
            name="--n", negative=(), consume_multiple=True, show_default=in_words, help="Numbers of training points."
        ),
    ] = (2000, 4000, 8000),
    bandwidth: Annotated[float, Parameter(help="Of the Gaussian kernel, in units of pixels / 255.")] = 5.0,
    contender: Annotated[
        tuple[str, ...],
        Parameter(
            negative=(),
            show_default=in_words,
            help='Only this one; repeat for more: "kernelfit float64", "kernelfit mixed", "kernelfit disk", scipy, '
            "numpy, scikit-learn, torch, gpytorch, cuml. By default all that are installed and run on a CPU.",
        ),
    ] = (),
    scratch: Scratch = None,
    data_dir: DataDir = None,
    runs: Annotated[Path, Parameter(help="Folder whose bench.jsonl gets a line for each run.")] = Path("runs"),
    plot: Annotated[
        Path | None, Parameter(help="Write time and memory against n to this figure; default: none.")
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
):
    """Compare exact solvers on one problem: time, peak memory, residual, test error, and the limit of this machine."""
    from kernelfit.common.progress import make_progress
    from kernelfit.experiments.bench import BenchSpec, run_bench
    from kernelfit.report.bench import bench_table, plot_bench
    from kernelfit.report.figures import check_figure

    check_targets(runs, None, scratch)
    if plot is not None:
        check_figure(plot)
    spec = BenchSpec(
        data=data,
        sizes=sizes,
        bandwidth=bandwidth,
        contenders=contender,
        scratch=None if scratch is None else str(scratch),
        data_dir=None if data_dir is None else str(data_dir),
    )
    progress = make_progress(quiet)
    with showing(bench_table, json) as rows, interruption(f"the rows done are in {runs / 'bench.jsonl'}"):
        rows.extend(run_bench(spec, runs=runs, progress=progress))
    if plot is not None:
        write_each(progress, lambda: f"figure written to {plot_bench(rows, plot)}")
