"""The command line: parse -> spec -> run -> print. Results go to standard output, everything else to standard error."""

import os
import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, CycloptsError, Parameter

from kernelfit import __version__
from kernelfit.errors import InputError, KernelfitError

_EXAMPLES = """
Exact kernel interpolation and the study of implicit regularization.

    kernelfit solve                                the embedded digits, in seconds
    kernelfit solve --data mnist --bandwidth 5     the paper's section 5
    kernelfit solve --data mnist --kernel quartic  (<x,z> / |x||z|)^4
    kernelfit solve --labels random --loo          random labels, leave-one-out
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


@app.command
def solve(
    *,
    data: Annotated[
        str, Parameter(help="digits, mnist, cifar10, synthetic[:D], an .npz file, or class folders.")
    ] = "digits",
    kernel: Annotated[
        str,
        Parameter(
            help="gaussian, laplacian, linear, cosine, quartic, polynomial, arccosine, ntk, precomputed; with options "
            'as in "polynomial(degree=3)"; combined as in "gaussian + 0.1 * linear"; or module:function for your own.'
        ),
    ] = "gaussian",
    bandwidth: Annotated[
        float | Literal["auto"],
        Parameter(help="In units of pixels / 255; auto: by leave-one-out on up to 3,000 training points."),
    ] = "auto",
    labels: Annotated[
        str, Parameter(help="Training labels: true, random, or the probability of replacement.")
    ] = "true",
    pixels: Annotated[
        Literal["true", "shuffled", "random", "gaussian"], Parameter(help="Pixels of training and test images.")
    ] = "true",
    ridge: Annotated[float, Parameter(help="Added to the diagonal of K.")] = 0.0,
    seed: Annotated[int, Parameter(help="Seed of corruption, subsets and synthetic data.")] = 0,
    n_train: Annotated[
        int | None, Parameter(help="Stratified subset of the training set, or size of synthetic.")
    ] = None,
    n_test: Annotated[int | None, Parameter(help="The same for the test set.")] = None,
    loo: Annotated[bool, Parameter(negative=(), help="Closed-form leave-one-out error; doubles the time.")] = False,
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

    _check_targets(runs, save)
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
        data_dir=None if data_dir is None else str(data_dir),
    )
    progress = make_progress(quiet)
    record, model = run_solve(spec, progress=progress)
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
    except KeyboardInterrupt:
        print("kernelfit: interrupted; nothing was written half", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of our output has gone, as in `kernelfit data list | head -1`; Python flushes once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (OSError, MemoryError) as error:
        print(f"kernelfit: {type(error).__name__}: {error}", file=sys.stderr)
        return 1


def _check_targets(runs, save):
    """Refuse what cannot be written before the work, not after it."""
    if save is not None and save.suffix != ".npz":
        raise InputError(f"--save {save}: the name of a model file ends in .npz")
    if save is not None and save.is_dir():
        raise InputError(f"--save {save} is a folder")
    for option, folder in (("--runs", runs), ("--save", save.parent if save else Path())):
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
