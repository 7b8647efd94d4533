"""The command line: parse -> spec -> run -> print. Results go to standard output, everything else to standard error."""

import os
import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, CycloptsError, Parameter

from kernelfit import __version__
from kernelfit.errors import InputError, KernelfitError
from kernelfit.units import parse_bytes, parse_range

_EXAMPLES = """
Exact kernel interpolation and the study of implicit regularization.

    kernelfit solve                                the embedded digits, in seconds
    kernelfit solve --data mnist --bandwidth 5     the paper's section 5
    kernelfit solve --data mnist --kernel quartic  (<x,z> / |x||z|)^4
    kernelfit solve --labels random --loo          random labels, leave-one-out
    kernelfit sweep --data mnist --bandwidth 5     label corruption from 0 to 1 on one factor
    kernelfit measures                             which measure tells true from random labels
    kernelfit randomize --estimator sklearn.svm.SVC   can it fit random labels?
    kernelfit plan --n 120000 --scratch /data      memory, disk and time, before anything runs
    kernelfit data list                            what can be loaded by name
"""

app = App(
    name="kernelfit",
    help=_EXAMPLES,
    help_format="plaintext",
    version=__version__,
    result_action="return_value",
    suppress_keyboard_interrupt=False,
)
data_app = App(name="data", help="Datasets: list, fetch, verify, show.", help_format="plaintext")
app.command(data_app)

DataDir = Annotated[Path | None, Parameter(help="Folder to look for data in before all others, and to download to.")]
Quiet = Annotated[bool, Parameter(negative=(), help="No plan and no progress on standard error.")]
Json = Annotated[bool, Parameter(name="--json", negative=(), help="Print JSON alone on standard output.")]
DataName = Annotated[str, Parameter(help="digits, mnist, cifar10, synthetic[:D], an .npz file, or class folders.")]
KernelText = Annotated[
    str,
    Parameter(
        help="gaussian, laplacian, linear, cosine, quartic, polynomial, arccosine, ntk, precomputed; with options "
        'as in "polynomial(degree=3)"; combined as in "gaussian + 0.1 * linear"; or module:function for your own.'
    ),
]
Bandwidth = Annotated[
    float | Literal["auto"],
    Parameter(help="In units of pixels / 255; auto: by leave-one-out on up to 3,000 training points."),
]
NTrain = Annotated[int | None, Parameter(help="Stratified subset of the training set, or size of synthetic.")]
NTest = Annotated[int | None, Parameter(help="The same for the test set.")]
Loo = Annotated[bool, Parameter(negative=(), help="Closed-form leave-one-out error; doubles the time.")]
Resume = Annotated[
    bool, Parameter(negative=(), help="Go on with the unfinished factor in the --scratch folder, if there is one.")
]
Precision = Annotated[
    Literal["auto", "float64", "mixed"],
    Parameter(help="mixed: a float32 factor corrected to the float64 answer; auto: whichever is quicker and fits."),
]
Device = Annotated[Literal["auto", "cpu", "cuda"], Parameter(help="auto: the GPU where CuPy finds one.")]
Memory = Annotated[str | None, Parameter(help='Use at most this much of the free memory, as in "12GB".')]
Scratch = Annotated[Path | None, Parameter(help="Folder on a disk for the factor, where memory is too small for it.")]


@app.command
def solve(
    *,
    data: DataName = "digits",
    kernel: KernelText = "gaussian",
    bandwidth: Bandwidth = "auto",
    labels: Annotated[
        str, Parameter(help="Training labels: true, random, or the probability of replacement.")
    ] = "true",
    pixels: Annotated[
        Literal["true", "shuffled", "random", "gaussian"], Parameter(help="Pixels of training and test images.")
    ] = "true",
    ridge: Annotated[float, Parameter(help="Added to the diagonal of K.")] = 0.0,
    seed: Annotated[int, Parameter(help="Seed of corruption, subsets and synthetic data.")] = 0,
    n_train: NTrain = None,
    n_test: NTest = None,
    loo: Loo = False,
    precision: Precision = "auto",
    device: Device = "auto",
    memory: Memory = None,
    scratch: Scratch = None,
    resume: Resume = False,
    data_dir: DataDir = None,
    runs: Annotated[Path, Parameter(help="Folder whose records.jsonl gets the Record.")] = Path("runs"),
    save: Annotated[Path | None, Parameter(help="Write the fitted model to this .npz, for kernelfit predict.")] = None,
    json: Json = False,
    quiet: Quiet = False,
):
    """Interpolate the training labels with a kernel: solve K coef = Y exactly and report errors, norm and residual."""
    from kernelfit.experiments.solve import SolveSpec, run_solve
    from kernelfit.progress import make_progress
    from kernelfit.records import append_record

    _check_targets(runs, save, scratch)
    spec = SolveSpec(
        data=data,
        kernel=kernel,
        bandwidth=None if bandwidth == "auto" else bandwidth,
        labels=labels,
        pixels=pixels,
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
        data_dir=None if data_dir is None else str(data_dir),
    )
    progress = make_progress(quiet)
    try:
        record, model = run_solve(spec, progress=progress)
    except KeyboardInterrupt as error:
        raise KeyboardInterrupt(_how_to_go_on(spec)) from error
    # Printed first: what was computed must not be lost to a disk that has filled up meanwhile.
    if json:
        print(record.to_json(), flush=True)
        for warning in record.warnings:
            print(f"kernelfit: warning: {warning}", file=sys.stderr)
    else:
        from kernelfit.report.table import solve_table

        _print(solve_table(record))  # holds the warnings
    path = append_record(runs, record)
    if save is not None:
        model.save(save)
    progress.note(f"Record appended to {path}" + (f", model saved to {save}" if save else ""))


@app.command
def sweep(
    *,
    data: DataName = "digits",
    kernel: KernelText = "gaussian",
    bandwidth: Bandwidth = "auto",
    levels: Annotated[
        tuple[str, ...],
        Parameter(
            negative=(),
            consume_multiple=True,
            help="Probabilities with which a training label is replaced; 0:1:0.1 stands for 0, 0.1, ..., 1.",
        ),
    ] = ("0:1:0.1",),
    seeds: Annotated[int, Parameter(help="How many seeds of the labels at each level.")] = 5,
    pixels: Annotated[
        tuple[Literal["true", "shuffled", "random", "gaussian"], ...],
        Parameter(negative=(), consume_multiple=True, help="Pixels of all images; each setting is a solve of its own."),
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
    data_dir: DataDir = None,
    runs: Annotated[Path, Parameter(help="Folder whose sweep.jsonl gets a line for each set of labels.")] = Path(
        "runs"
    ),
    plot: Annotated[Path | None, Parameter(help="Write errors and norm against the level to this figure.")] = None,
    json: Json = False,
    quiet: Quiet = False,
):
    """Sweep label corruption on one factor: errors, norm and margins at every level, for the price of one solve."""
    import dataclasses

    from kernelfit.experiments.sweep import SweepSpec, run_sweep
    from kernelfit.progress import make_progress
    from kernelfit.report.figures import check_figure
    from kernelfit.report.sweep import plot_sweep, sweep_table

    _check_targets(runs, None, scratch)
    if plot is not None:
        check_figure(plot)
    spec = SweepSpec(
        data=data,
        kernel=kernel,
        bandwidth=None if bandwidth == "auto" else bandwidth,
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
        data_dir=None if data_dir is None else str(data_dir),
    )
    progress = make_progress(quiet)
    result = run_sweep(spec, runs=runs, progress=progress)
    if json:
        _print_json(result.shared | {"rows": [dataclasses.asdict(row) for row in result.rows]})
    else:
        _print(sweep_table(result))
    if plot is not None:
        progress.note(f"figure written to {plot_sweep(result, plot)}")


@app.command
def measures(
    *,
    data: DataName = "digits",
    kernel: KernelText = "gaussian",
    bandwidth: Bandwidth = "auto",
    ridge: Annotated[float, Parameter(help="Added to the diagonal of K.")] = 0.0,
    seed: Annotated[int, Parameter(help="Seed of the random labels and signs, subsets and synthetic data.")] = 0,
    n_train: NTrain = None,
    n_test: NTest = None,
    data_dir: DataDir = None,
    json: Json = False,
    quiet: Quiet = False,
):
    """Show every measure of complexity on true and on random labels, and whether it can tell them apart."""
    import dataclasses

    from kernelfit.experiments.measures import run_measures
    from kernelfit.experiments.solve import SolveSpec
    from kernelfit.progress import make_progress

    spec = SolveSpec(
        data=data,
        kernel=kernel,
        bandwidth=None if bandwidth == "auto" else bandwidth,
        ridge=ridge,
        seed=seed,
        n_train=n_train,
        n_test=n_test,
        device="cpu",
        data_dir=None if data_dir is None else str(data_dir),
    )
    made, title = run_measures(spec, progress=make_progress(quiet))
    if json:
        _print_json(dataclasses.asdict(made))
    else:
        from kernelfit.report.measures import measures_report

        _print(measures_report(made, title))


@app.command
def randomize(
    *,
    estimator: Annotated[
        str, Parameter(help="Import path of a class with fit and predict, or of a function that makes one.")
    ] = "sklearn.ensemble.RandomForestClassifier",
    param: Annotated[
        list[str] | None,
        Parameter(negative=(), help="name=value, once for each of its arguments: a Python literal, or text."),
    ] = None,
    data: DataName = "digits",
    levels: Annotated[
        tuple[str, ...],
        Parameter(
            negative=(),
            consume_multiple=True,
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
    plot: Annotated[Path | None, Parameter(help="Write the error curves to this figure.")] = None,
    json: Json = False,
    quiet: Quiet = False,
):
    """Test whether a classifier can fit random labels: train it on labels replaced at random, more and more of them."""
    from kernelfit.experiments.randomize import RandomizeSpec, run_randomize
    from kernelfit.progress import make_progress
    from kernelfit.report.figures import check_figure
    from kernelfit.report.randomization import plot_randomization, randomization_table

    _check_targets(runs, None)
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
    result = run_randomize(spec, progress=progress)
    if json:
        print(result.to_json(), flush=True)
    else:
        _print(randomization_table(result))
    if plot is not None:
        plot_randomization(result, plot)
    progress.note(f"fits are kept in {runs / 'fits.jsonl'}" + (f", figure written to {plot}" if plot else ""))


@app.command
def plan(
    *,
    data: Annotated[str | None, Parameter(help="Plan for this dataset.")] = None,
    n: Annotated[int | None, Parameter(help="Training points.")] = None,
    n_test: Annotated[int, Parameter(help="Test points.")] = 10_000,
    d: Annotated[int, Parameter(help="Pixels of an image.")] = 784,
    outputs: Annotated[int, Parameter(help="Classes.")] = 10,
    loo: Annotated[bool, Parameter(negative=(), help="With leave-one-out.")] = False,
    precision: Precision = "auto",
    device: Device = "auto",
    memory: Annotated[str | None, Parameter(help='Plan for this much memory of the device, as in "24GB".')] = None,
    tflops: Annotated[
        tuple[float, float] | None,
        Parameter(help="Plan for another machine: its matrix-product rates in float64 and float32, TFLOP/s."),
    ] = None,
    scratch: Scratch = None,
    calibrate: Annotated[bool, Parameter(negative=(), help="Measure this machine again.")] = False,
    data_dir: DataDir = None,
    json: Json = False,
    quiet: Quiet = False,
):
    """Show memory, disk and time of every way to solve, and which would be chosen. Measures the machine once."""
    import dataclasses

    from kernelfit.experiments.plan import run_plan
    from kernelfit.progress import make_progress

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
        _print_json({"n": made.problem.n, "free": made.free, "largest_n": made.largest_n, "ways": ways})
    else:
        from kernelfit.report.table import plan_table

        _print(plan_table(made))


@app.command
def bench(
    *,
    data: Annotated[str, Parameter(help="Dataset of the problem, as for solve.")] = "mnist",
    sizes: Annotated[
        tuple[int, ...], Parameter(name="--n", negative=(), consume_multiple=True, help="Numbers of training points.")
    ] = (2000, 4000, 8000),
    bandwidth: Annotated[float, Parameter(help="Of the Gaussian kernel, in units of pixels / 255.")] = 5.0,
    contender: Annotated[
        tuple[str, ...],
        Parameter(
            negative=(),
            help='Only this one; repeat for more: "kernelfit float64", "kernelfit mixed", "kernelfit disk", scipy, '
            "numpy, scikit-learn, torch, gpytorch, cuml. Default: all that are installed and run on a CPU.",
        ),
    ] = (),
    scratch: Scratch = None,
    data_dir: DataDir = None,
    runs: Annotated[Path, Parameter(help="Folder whose bench.jsonl gets a line for each run.")] = Path("runs"),
    plot: Annotated[Path | None, Parameter(help="Write time and memory against n to this .svg, .png or .pdf.")] = None,
    json: Json = False,
    quiet: Quiet = False,
):
    """Compare exact solvers on one problem: time, peak memory, residual, test error, and the limit of this machine."""
    from kernelfit.experiments.bench import BenchSpec, run_bench
    from kernelfit.progress import make_progress
    from kernelfit.report.bench import bench_table, plot_bench

    _check_targets(runs, None, scratch)
    spec = BenchSpec(
        data=data,
        sizes=sizes,
        bandwidth=bandwidth,
        contenders=contender,
        scratch=None if scratch is None else str(scratch),
        data_dir=None if data_dir is None else str(data_dir),
    )
    progress = make_progress(quiet)
    rows = run_bench(spec, runs=runs, progress=progress)
    if json:
        _print_json(rows)
    else:
        _print(bench_table(rows))
    if plot is not None:
        progress.note(f"figure written to {plot_bench(rows, plot)}")


@app.command
def predict(
    model: Path,
    *,
    data: Annotated[str, Parameter(help="Dataset whose test split is predicted; a name or a path, as for solve.")],
    out: Annotated[
        Path | None, Parameter(help="Write index, predicted class and true class of each example as CSV.")
    ] = None,
    kernel: Annotated[str | None, Parameter(help="Needed only for a model with a kernel of your own.")] = None,
    n_test: Annotated[int | None, Parameter(help="Stratified subset of the test set.")] = None,
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
        _print_json(result)
    else:
        print(f"{result['dataset']}: test error {100 * result['test_error']:.2f} % on {result['n_test']:,} examples")


@data_app.command(name="list")
def list_(*, json: Json = False):
    """List what can be loaded by name."""
    from kernelfit import datasets

    entries = datasets.names()
    if json:
        _print_json(
            [{key: getattr(entry, key) for key in ("name", "description", "home", "licence")} for entry in entries]
        )
        return
    for entry in entries:
        print(f"{entry.name:10} {entry.description}\n{'':10} {entry.home}; licence: {entry.licence}")
    print(
        f"{'PATH':10} your own .npz (X_train, y_train, X_test, y_test), class folders train/CLASS/*.png, .zip or .tar"
    )


@data_app.command
def fetch(name: str, *, data_dir: DataDir = None, quiet: Quiet = False):
    """Download what is missing of a dataset, verify it, and print its folder."""
    from kernelfit import datasets
    from kernelfit.progress import make_progress

    folder = datasets.fetch(name, data_dir=data_dir, progress=make_progress(quiet))
    print(f"{name} needs no files" if folder is None else folder)


@data_app.command
def verify(name: str, *, data_dir: DataDir = None, json: Json = False):
    """Check the files of a dataset on this machine against their SHA-256; exit code 1 if one is missing or wrong."""
    from kernelfit import datasets

    checks = datasets.verify(name, data_dir=data_dir)
    if json:
        _print_json([vars(check) | {"path": check.path and str(check.path)} for check in checks])
    else:
        for check in checks:
            print(f"{'ok ' if check.ok else 'BAD'} {check.path or check.name}: {check.verdict}")
        if not checks:
            print(f"{name} needs no files")
    return 0 if all(check.ok for check in checks) else 1


@data_app.command
def show(
    data: str,
    *,
    out: Annotated[Path | None, Parameter(help="PNG file to write; default: the dataset's name with .png.")] = None,
    rows: Annotated[int, Parameter(help="Classes shown.")] = 10,
    columns: Annotated[int, Parameter(help="Images of each class.")] = 10,
    data_dir: DataDir = None,
    quiet: Quiet = False,
):
    """Write a grid of training images, one class per row, as a PNG."""
    from kernelfit import datasets
    from kernelfit.progress import make_progress

    loaded = datasets.load(data, data_dir=data_dir, progress=make_progress(quiet))
    print(datasets.picture_grid(loaded, out or Path(f"{loaded.name}.png"), rows=rows, columns=columns))


def main(arguments=None):
    """Run the command line; return the exit code: 0, 1 after a failure, 2 after a usage error, 130 after Ctrl-C."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        code = app(arguments, exit_on_error=False) or 0
        sys.stdout.flush()  # so that a reader who has gone, or a full disk, is noticed here
        return code
    except CycloptsError:
        return 2  # cyclopts has printed what is wrong
    except KernelfitError as error:
        print(f"kernelfit: {error}", file=sys.stderr)
        return 2 if isinstance(error, InputError) else 1
    except KeyboardInterrupt as error:
        print(f"kernelfit: interrupted; {error or 'nothing was written half'}", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of our output has gone, as in `kernelfit data list | head -1`; Python flushes once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (OSError, MemoryError) as error:
        print(f"kernelfit: {type(error).__name__}: {error}", file=sys.stderr)
        return 1


def _how_to_go_on(spec):
    """Return how to go on after Ctrl-C, or nothing where there is no unfinished factor."""
    from kernelfit.solvers.scratch import unfinished

    if spec.scratch is None or unfinished(spec.scratch) is None:
        return ""
    return f"the factor in {spec.scratch} is kept: repeat the command{'' if spec.resume else ' with --resume'} to go on"


def _check_targets(runs, save, scratch=None):
    """Refuse what cannot be written before the work, not after it."""
    if save is not None and save.suffix != ".npz":
        raise InputError(f"--save {save}: the name of a model file ends in .npz")
    if save is not None and save.is_dir():
        raise InputError(f"--save {save} is a folder")
    folders = {"--runs": runs, "--save": save.parent if save else Path(), "--scratch": scratch or Path()}
    for option, folder in folders.items():
        existing = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
        if not existing.is_dir() or not os.access(existing, os.W_OK):
            raise InputError(f"{option} {folder}: {existing} is not a folder that can be written to")


def _print(renderable):
    from rich.console import Console

    Console().print(renderable)


def _print_json(value):
    import json

    print(json.dumps(value))


if __name__ == "__main__":
    sys.exit(main())
