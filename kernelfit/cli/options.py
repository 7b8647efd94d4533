"""Options that several commands share, and checks before the work.

Every option says what it is, in which unit, and what it is by default: where that is None, in its help.
"""

import contextlib
import dataclasses
import os
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from kernelfit.common.errors import InputError

DataDir = Annotated[
    Path | None,
    Parameter(help="Folder to look for data in before all others, and to download to; default: the usual places."),
]
Quiet = Annotated[bool, Parameter(negative=(), help="No plan and no progress on standard error.")]
Json = Annotated[bool, Parameter(name="--json", negative=(), help="Print JSON alone on standard output.")]
DataName = Annotated[str, Parameter(help="digits, mnist, cifar10, synthetic[:D], an .npz file, or class folders.")]
FeaturesText = Annotated[
    str,
    Parameter(
        name="--features",
        help="What the kernel sees: pixels, gabor, scattering, wavelet, randomconv; with options as in "
        '"randomconv(filters=2048)".',
    ),
]
KernelText = Annotated[
    str,
    Parameter(
        help="gaussian, laplacian, matern, linear, cosine, quartic, polynomial, arccosine, ntk, precomputed; with "
        'options as in "polynomial(degree=3)"; combined as in "gaussian + 0.1 * linear"; or module:function for your '
        "own."
    ),
]
Bandwidth = Annotated[
    float | Literal["auto"],
    Parameter(help="In units of pixels / 255, or of the features; auto: by leave-one-out on training points."),
]
BandwidthPoints = Annotated[
    int,
    Parameter(help="Training points, at most, on which an automatic bandwidth is chosen; each try takes 2 n^3 / 3."),
]
Augment = Annotated[
    str,
    Parameter(
        help='Further training rows: flip (mirror images), shift(k) (moved by 1 to k pixels), "flip + shift(1)".'
    ),
]
NTrain = Annotated[
    int | None, Parameter(help="Stratified subset of the training set, or size of synthetic; default: all, or 2000.")
]
NTest = Annotated[int | None, Parameter(help="The same for the test set; default: all, or 1000.")]
Loo = Annotated[bool, Parameter(negative=(), help="Closed-form leave-one-out error; doubles the time.")]
Resume = Annotated[
    bool, Parameter(negative=(), help="Go on with what is unfinished in the --scratch folder, if there is something.")
]
Precision = Annotated[
    Literal["auto", "float64", "mixed"],
    Parameter(help="mixed: a float32 factor corrected to the float64 answer; auto: whichever is quicker and fits."),
]
Device = Annotated[Literal["auto", "cpu", "cuda"], Parameter(help="auto: the GPU where CuPy finds one.")]
Memory = Annotated[str | None, Parameter(help='Use at most this much memory, as in "12GB"; default: all that is free.')]
Scratch = Annotated[
    Path | None,
    Parameter(
        help="Folder on a disk for a factor too large for memory, or for the state of --engine dask; default: none."
    ),
]


@Parameter(name="*")
@dataclasses.dataclass(frozen=True)
class Where:
    """Where a system is solved: in this process or beyond it."""

    engine: Annotated[
        Literal["local", "mpi", "dask"],
        Parameter(
            help="Where: in this process; mpi: one Cholesky factor over all processes of mpiexec; dask: conjugate "
            "gradients over the workers of a Dask cluster, none of which holds K."
        ),
    ] = "local"
    grid: Annotated[
        str | None, Parameter(help="Processes of --engine mpi, rows x columns, as in 2x4; default: near a square.")
    ] = None
    block: Annotated[int | None, Parameter(help="Rows and columns of a block of --engine mpi; default: 256.")] = None
    scheduler: Annotated[
        str | None,
        Parameter(
            help="Of --engine dask: tcp://host:8786 or a scheduler file; default: worker processes on this machine."
        ),
    ] = None
    workers: Annotated[
        int | None,
        Parameter(
            help="Workers of --engine dask: processes here, or to wait for; default: up to 4 here, 1 of a scheduler."
        ),
    ] = None
    tolerance: Annotated[
        float | None, Parameter(help="Relative residual of --engine dask, of every output; default: 1e-8.")
    ] = None
    rank: Annotated[
        int | None, Parameter(help="Of the preconditioner of --engine dask; 0 for none; default: planned.")
    ] = None
    steps: Annotated[int | None, Parameter(help="Of --engine dask, at most; default: 1000.")] = None


HERE = Where()


def in_words(values):
    """Return several values as they are written on the command line: what help shows as their default."""
    return " ".join(map(str, values)) or "all"


@contextlib.contextmanager
def interruption(how):
    """Let Ctrl-C say how to go on: `how` is a sentence, or a function that returns one, or nothing."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise KeyboardInterrupt(how() if callable(how) else how) from error


def how_to_go_on(spec):
    """Return how to go on after Ctrl-C, or nothing where nothing unfinished was kept."""
    from kernelfit.solvers.checkpoint import has_state
    from kernelfit.solvers.scratch import unfinished

    if spec.scratch is None or not (unfinished(spec.scratch) or has_state(spec.scratch)):
        return ""
    what = "factor" if unfinished(spec.scratch) else "state"
    return f"the {what} in {spec.scratch} is kept: repeat the command{'' if spec.resume else ' with --resume'} to go on"


def check_targets(runs, save, scratch=None):
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
