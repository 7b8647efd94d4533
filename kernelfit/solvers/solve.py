"""Solving (K + ridge I) coef = Y in the Way that a plan chose."""

import contextlib
import dataclasses

import numpy as np

from kernelfit import backend
from kernelfit.common.errors import InputError, NotConvergedError, NotEnoughMemoryError, SingularMatrixError
from kernelfit.common.progress import Progress
from kernelfit.common.stopwatch import Stopwatch
from kernelfit.solvers.measures import Check, check_solution, condition_estimate
from kernelfit.solvers.mixed import solve_mixed
from kernelfit.solvers.out_of_core import HostStore, OutOfCorePanels
from kernelfit.solvers.panel_cholesky import CholeskyFactor, cholesky
from kernelfit.solvers.panels import MemoryPanels
from kernelfit.solvers.planning.plan import Way
from kernelfit.solvers.scratch import Scratch, unfinished


@dataclasses.dataclass(frozen=True)
class Solution:
    """coef with (K + ridge I) coef = Y, and the means to judge it.

    Attributes
    ----------
    coef : float64 array, shape (n, r)
    check : Check
        Residual, fitted values and norm of the matrix, from recomputed Gram blocks.
    energy : (array, array)
        Two arrays (n, r) whose columns' inner products are Y^T (K + ridge I)^-1 Y without use of `check`: L^-1 Y twice
        from a float64 factor, Y and coef otherwise.
    condition_estimate : float or None
        Of K + ridge I in the 1-norm, a lower bound; None where the factor is on disk, and read twice in every solve.
    factor : CholeskyFactor
        Of K + (ridge + shift) I, in the precision of the way. Use it in a block `with solution:`, after which it is
        gone, or kept where a later run can go on with it if the block ended with an error.
    way : Way
        The way that led to the solution in the end.
    report : dict
        JSON-ready: precision, storage, panel_width, kept_bytes, shift, breakdowns, steps, residuals, fallback,
        resumed_panels.
    seconds : dict
    """

    coef: np.ndarray
    check: Check
    energy: tuple
    condition_estimate: float | None
    factor: CholeskyFactor
    way: Way
    report: dict
    seconds: dict

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        panels = self.factor.panels
        panels.finish() if kind is None else panels.abandon()


@contextlib.contextmanager
def memory_explained():
    """Turn a MemoryError in the middle of a run that a plan let begin into one that says what to try."""
    try:
        yield
    except NotEnoughMemoryError:
        raise  # by a plan, which says more
    except MemoryError as error:
        raise NotEnoughMemoryError(
            f"memory ran out in the middle of a run that should have fitted: {error}. Likely causes: (a) another "
            "process took memory of this machine or of its GPU meanwhile; (b) a GPU's free memory is in pieces. Repeat "
            "with less --memory than was planned with, so that the factor is streamed where it can be, with "
            "--precision mixed, a --scratch folder, or fewer points, --n-train"
        ) from error


@memory_explained()
def solve(gram, Y, way, *, ridge=0.0, fallback=None, scratch=None, resume=False, progress=None):
    """Return the Solution of (K + ridge I) coef = Y, Y of shape (n, r) in float64.

    Parameters
    ----------
    gram : Gram
        Symmetric K on the device of the way.
    way : Way
    fallback : Way, optional
        The float64 way to take where float32 fails.
    scratch : path
        Folder for panels, where the way stores them on disk; with `resume`, an unfinished factor there is gone on with.

    Raises
    ------
    SingularMatrixError, NotConvergedError, ScratchError, NotEnoughDiskError, NotEnoughMemoryError
    """
    progress = progress or Progress()
    options = {"ridge": ridge, "scratch": scratch, "resume": resume, "progress": progress}
    if way.precision == "float64":
        return _float64(gram, Y, way, **options)
    try:
        return _mixed(gram, Y, way, **options)
    except NotConvergedError as error:
        if fallback is None:
            raise
        failure = str(error)
    # Out of the except block: the error holds the frames that hold the float32 panels, whose memory is needed now.
    progress.note(f"{failure}; going on with a {fallback}")
    solution = _float64(gram, Y, fallback, **options)
    return dataclasses.replace(solution, report=solution.report | {"fallback": failure})


def _float64(gram, Y, way, *, ridge, scratch, resume, progress):
    progress.expect("solve", way.phases)
    watch = Stopwatch()
    panels = _panels(gram, way, ridge, 0.0, scratch, resume, progress)
    resumed = panels.finished
    try:
        factor = cholesky(gram, ridge=ridge, panels=panels, progress=progress)
        watch.add(factor.seconds)
        with watch("solve"):
            half = factor.half_solve(Y)
            coef = factor.half_solve_transposed(half)
        with watch("check"):
            check = check_solution(gram, Y, coef, ridge=ridge, progress=progress)
        with watch("condition"):
            condition = None if way.storage == "disk" else condition_estimate(factor, check.norm_1)
    except (SingularMatrixError, InputError):
        panels.finish()  # it would fail again
        raise
    except BaseException:
        panels.abandon()
        raise
    report = _report(way, factor, resumed)
    return Solution(coef, check, (half, half), condition, factor, way, report, watch.seconds)


def _mixed(gram, Y, way, *, ridge, scratch, resume, progress):
    progress.expect("solve", way.phases)
    found = unfinished(scratch) if way.storage == "disk" and resume else None
    resumed = 0

    def make_panels(shift):
        nonlocal resumed
        panels = _panels(gram, way, ridge, shift, scratch, resume, progress)
        resumed = panels.finished
        return panels

    done = solve_mixed(
        gram,
        Y,
        make_panels,
        ridge=ridge,
        first_shift=found.get("shift", 0.0) if found else 0.0,
        keep=bool(way.cached_bytes),
        estimate=way.storage != "disk",
        progress=progress,
    )
    report = _report(way, done.factor, resumed) | {
        "breakdowns": done.breakdowns,
        "steps": len(done.residuals),
        "residuals": done.residuals,
    }
    energy = Y, done.coef
    return Solution(done.coef, done.check, energy, done.condition_estimate, done.factor, way, report, done.seconds)


def _panels(gram, way, ridge, shift, scratch, resume, progress):
    """Return a storage for the panels of a factor of K + (ridge + shift) I."""
    n, device = gram.shape[0], gram.device
    dtype = np.dtype(np.float64 if way.precision == "float64" else np.float32)
    if way.storage == "memory":
        return MemoryPanels(n, way.width, dtype, device)
    if way.storage == "host":
        return OutOfCorePanels(n, way.width, dtype, device, HostStore(dtype, device))
    environment = backend.describe()
    identity = {
        "n": n,
        "width": way.width,
        "dtype": dtype.name,
        "ridge": ridge,
        "shift": shift,
        "matrix": gram.fingerprint(),
        # What rounding depends on: other libraries or threads would go on correctly, but not with the same bits.
        "arithmetic": [device.name, *environment["blas"], environment["threads"]],
    }
    return OutOfCorePanels(
        n, way.width, dtype, device, Scratch(scratch, identity, device, resume=resume, progress=progress)
    )


def _report(way, factor, resumed):
    return {
        "precision": way.precision,
        "storage": way.storage,
        "panel_width": factor.panels.width,
        "kept_bytes": way.cached_bytes,
        "shift": factor.shift,
        "breakdowns": [],
        "steps": 0,
        "residuals": [],
        "fallback": None,
        "resumed_panels": resumed,
    }
