"""The parts that specs of kernel experiments are put together from: what is fitted, how, and where.

A spec names its parts as base classes, the last first in --help. What a part does not offer has its plain value in
Data: a study without an option `ridge` has none.
"""

import dataclasses
from typing import Literal

from kernelfit import datasets
from kernelfit.common.errors import InputError
from kernelfit.common.quantities import parse_bytes, parse_range
from kernelfit.common.spec import Spec, option
from kernelfit.corruption import label_probability
from kernelfit.solvers.planning.plan import check_precision

PixelSetting = Literal["true", "shuffled", "random", "gaussian"]
PIXELS = "Pixels of training and test images."
RIDGE = "Added to the diagonal of K."
LABELS = "Training labels: true, random, or the probabilities of replacement; 0:1:0.1 stands for 0, 0.1, ..., 1."
LOO = "Closed-form leave-one-out error; doubles the time."


def label_levels(text: str) -> tuple[float, ...]:
    """Return the probabilities of replacement that a text stands for: true, random, a number, or a range."""
    return (label_probability(text),) if text in ("true", "random") else parse_range(text)


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataFolder(Spec):
    """Where data lie."""

    group = "What is fitted"

    data_dir: str | None = option(
        None,
        "Folder to look for data in before all others, and to download to; default: the usual places.",
        path=True,
        incidental=True,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Data(DataFolder):
    """Training and test examples."""

    labels = pixels = "true"
    augment = "none"
    ridge = 0.0
    loo = resume = False
    precision, device, engine = "auto", "auto", "local"
    memory = scratch = None

    data: str = option("digits", "digits, mnist, cifar10, synthetic[:D], an .npz file, or class folders.", shown=True)
    n_train: int | None = option(
        None, "Stratified subset of the training set, or size of synthetic; default: all, or 2000.", least=1
    )
    n_test: int | None = option(None, "The same for the test set; default: all, or 1000.", least=1)
    seed: int = option(0, "Of subsets, corruption, and all else that is drawn.")

    def load(self, progress=None):
        """Return the Dataset."""
        sizes = {"n_train": self.n_train, "n_test": self.n_test, "seed": self.seed}
        return datasets.load(self.data, data_dir=self.data_dir, progress=progress, **sizes)


@dataclasses.dataclass(frozen=True, kw_only=True)
class KernelOptions(Spec):
    """Features, and the kernel on them."""

    group = Data.group

    features: str = option(
        "pixels",
        "What the kernel sees: pixels, gabor, scattering, wavelet, randomconv; with options as in "
        '"randomconv(filters=2048)".',
    )
    kernel: str = option(
        "gaussian",
        "gaussian, laplacian, matern, linear, cosine, quartic, polynomial, arccosine, ntk, precomputed; with options "
        'as in "polynomial(degree=3)"; combined as in "gaussian + 0.1 * linear"; or module:function for your own.',
        shown=True,
    )
    bandwidth: float | Literal["auto"] = option(
        "auto", "In units of pixels / 255, or of the features; auto: by leave-one-out on training points."
    )
    bandwidth_points: int = option(
        3000, "Training points, at most, on which an automatic bandwidth is chosen; each try takes 2 n^3 / 3.", least=2
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Factor(Spec):
    """How the matrix is factored in this process."""

    group = "How it is solved"

    precision: Literal["auto", "float64", "mixed"] = option(
        "auto",
        "mixed: a float32 factor corrected to the float64 answer; auto: whichever is quicker and fits, float64 where "
        "that takes a second or two.",
    )

    def check(self):
        check_precision(self.precision, self.loo)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Memory(Spec):
    """How much memory may be used."""

    group = Factor.group

    memory: int | None = option(
        None,
        'Use at most this much memory, as in "12GB"; default: all that is free.',
        parse=parse_bytes,
        incidental=True,
        least=1,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Machine(Memory):
    """What of this machine may be used."""

    device: Literal["auto", "cpu", "cuda"] = option("auto", "auto: the GPU where CuPy finds one.", incidental=True)
    scratch: str | None = option(
        None,
        "Folder on a disk for what is too large for memory: a factor, the products of random features, the state of "
        "--engine dask; default: none.",
        path=True,
        incidental=True,
    )
    resume: bool = option(
        False, "Go on with what is unfinished in the --scratch folder, if there is something.", incidental=True
    )

    def check(self):
        if self.resume and self.scratch is None:
            raise InputError("`resume` goes on with the factor in a `scratch` folder; name that folder")


@dataclasses.dataclass(frozen=True, kw_only=True)
class MpiEngine(Spec):
    """This process, or all processes of mpiexec."""

    group = "Where"

    engine: Literal["local", "mpi"] = option(
        "local", "local: in this process; mpi: one Cholesky factor over all processes of mpiexec."
    )
    grid: str | None = option(
        None, "Processes of --engine mpi, rows x columns, as in 2x4; default: near a square.", incidental=True
    )
    block: int | None = option(
        None, "Rows and columns of a block of --engine mpi; default: 256.", least=1, incidental=True
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Engine(MpiEngine):
    """The same, or the workers of a Dask cluster."""

    engine: Literal["local", "mpi", "dask"] = option(  # type: ignore[assignment]  # one choice more
        "local",
        "local: in this process; mpi: one Cholesky factor over all processes of mpiexec; dask: conjugate gradients "
        "over the workers of a Dask cluster, none of which holds K.",
    )
    scheduler: str | None = option(
        None,
        "Of --engine dask: tcp://host:8786 or a scheduler file; default: worker processes on this machine.",
        incidental=True,
    )
    workers: int | None = option(
        None,
        "Workers of --engine dask: processes here, or to wait for; default: up to 4 here, 1 of a scheduler.",
        least=1,
        incidental=True,
    )
    tolerance: float | None = option(None, "Relative residual of --engine dask, of every output; default: 1e-8.")
    rank: int | None = option(None, "Of the preconditioner of --engine dask; 0 for none; default: planned.")
    steps: int | None = option(None, "Of --engine dask, at most; default: 1000.", least=1)

    def check(self):
        if self.tolerance is not None and not 0 < self.tolerance < 1:
            raise InputError(f"tolerance = {self.tolerance!r}; it is a relative residual, between 0 and 1")
