"""The plan: every way to solve a problem, what each needs and about how long it takes, before anything is allocated."""

import bisect
import dataclasses
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from kernelfit import backend
from kernelfit.common.errors import InputError, NotEnoughMemoryError
from kernelfit.common.progress import duration
from kernelfit.common.quantities import format_bytes
from kernelfit.common.spans import spans
from kernelfit.grams.inner_products import InnerProducts
from kernelfit.grams.points import product_dtype
from kernelfit.solvers.cholesky import PRECISIONS, Cholesky, described
from kernelfit.solvers.out_of_core import buffer_sizes
from kernelfit.solvers.panel_cholesky import INVERSE_WIDTH
from kernelfit.solvers.panels import panel_width
from kernelfit.solvers.planning.problem import Problem
from kernelfit.solvers.planning.rates import Rates, existing_folder, measure_rates, probe_of
from kernelfit.solvers.scratch import bytes_taken

STEPS = 5  # corrections in mixed precision, until the matrix is looked at
# What kernelfit.grams.points makes of a coordinate that is no pixel: float64 of a float32, nothing of a float64.
_COPIED_BYTES = {"float32": 8, "float64": 0}
_SHARE = 0.95  # of the matrix-product rate, that the panels reach
_STREAMED_SHARE = 0.85  # and that wide panels reach, whose inner updates and triangular solves weigh more
# A product or a triangular solve with few right-hand sides waits for memory as long as so many more of them would take:
# with ten it was measured at a tenth to a fifth of the matrix-product rate.
_WAITING = 50
# Ways that take no longer are as good as each other, and float64 is the first: it has more digits, and answers more.
SOON = 2.0
_FEWEST_PANELS = 10  # on disk: what a killed run loses at most is one of them


@dataclasses.dataclass(frozen=True)
class Way:
    """One way to solve the problem.

    Attributes
    ----------
    precision : str
        "float64", or "mixed": a float32 factor, corrected in float64.
    storage : str
        Where the factor lies: "memory" of the device, "host" memory beside a GPU, or "disk".
    device : str
    width : int
        Columns per panel.
    memory, host, disk : int
        Bytes needed of the device, of the host beside a GPU, and of the scratch disk.
    seconds : float
        Estimate of the whole solve.
    missing : tuple of str
        What there is too little of: "memory", "host memory", "disk"; empty if it fits.
    cached_bytes : int
        Bytes of `memory` that hold inner products, so that corrections need not make them again.
    halves : bool
        Whether products of float16 halves, which are quicker on this device than those of float32, make a mixed factor.
    phases : tuple of (str, float)
        What the seconds consist of, in order, by the names that the solve tells to a Progress.
    """

    precision: str
    storage: str
    device: str
    width: int
    memory: int
    host: int
    disk: int
    seconds: float
    missing: tuple[str, ...] = ()
    cached_bytes: int = 0
    phases: tuple[tuple[str, float], ...] = ()
    halves: bool = False

    def __str__(self):
        return described(self.precision, self.storage, cached=bool(self.cached_bytes), halves=self.halves)

    def solver(self, **options: Any) -> Cholesky:
        """Return the Cholesky solver that goes this way."""
        same = {name: getattr(self, name) for name in ("precision", "storage", "device", "width", "halves")}
        return Cholesky(**same, cached=bool(self.cached_bytes), **options)


@dataclasses.dataclass(frozen=True)
class Plan:
    """All ways to solve a Problem on a device, and the one to take.

    Attributes
    ----------
    problem : Problem
    rates : Rates
    free : dict
        Bytes free of "memory" (of the device), "host" and "disk".
    ways : tuple of Way
    chosen : Way or None
        The quickest of those that fit; float64 where it takes no more than `SOON` seconds.
    largest_n : int
        The problem's n if a way fits, else about the largest n for which one does; 0 if there is none.
    """

    problem: Problem
    rates: Rates
    free: dict[str, int]
    ways: tuple[Way, ...]
    chosen: Way | None
    largest_n: int

    def __str__(self):
        way, n = self.chosen, self.problem.n
        if way is None:
            return f"plan: n = {n:,} does not fit"
        rate = self.rates.gemm(way.precision, halves=way.halves) / 1e9
        disk = f" and {format_bytes(way.disk)} of {format_bytes(self.free['disk'])} disk" if way.disk else ""
        return (
            f"plan: {way}, n = {n:,}: {format_bytes(way.memory)} of {format_bytes(self.free['memory'])} free{disk}, "
            f"{operations(self.problem) / 1e12:.3g} TFLOP at {rate:.0f} GFLOP/s, about "
            f"{duration(way.seconds)}"
        )

    def require(self) -> Way:
        """Return the chosen Way; raises NotEnoughMemoryError that says what would fit if there is none."""
        if self.chosen:
            return self.chosen
        n = self.problem.n
        bytes_of = {"memory": "memory", "host memory": "host", "disk": "disk"}
        needs = "; ".join(
            f"{way} needs "
            + " and ".join(
                f"{format_bytes(getattr(way, bytes_of[name]))} of {format_bytes(self.free[bytes_of[name]])} free {name}"
                for name in way.missing
            )
            for way in self.ways
            if way.missing
        )
        disk = ""
        if not any(way.storage == "disk" for way in self.ways):
            disk = ", name a folder on a large disk with `scratch`"
        smaller = f"About n = {self.largest_n:,} would: try `n_train={self.largest_n}`, f" if self.largest_n else "F"
        raise NotEnoughMemoryError(
            f"n = {n:,} training points do not fit in what this machine, its control group or `memory` allow: {needs}. "
            f"{smaller}ree memory or allow more{disk}"
        )

    def fallback(self, way: Way) -> "Way | None":
        """Return the float64 Way to take if the mixed one fails, or None: the quickest that fits."""
        others = [other for other in self.ways if other.precision == "float64" and not other.missing]
        return min(others, key=lambda other: other.seconds) if way.precision == "mixed" and others else None


def plan_solve(
    problem: Problem,
    *,
    device: backend.Device = backend.CPU,
    precision: str = "auto",
    storage: str = "auto",
    scratch: str | Path | None = None,
    width: int | None = None,
    memory: int | None = None,
    rates: Rates | None = None,
    steps: int | None = STEPS,
) -> Plan:
    """Return the Plan of a Problem.

    Parameters
    ----------
    problem : Problem
    device : device
    precision : str
        "float64", "mixed", or "auto" for both. Leave-one-out needs the float64 factor.
    storage : str
        "memory", "host" or "disk" alone, or "auto".
    scratch : path, optional
        Folder on the disk where panels may go. What an unfinished factor there takes counts as free.
    width : int, optional
        Columns of the panels on disk: an unfinished factor that is gone on with has them already.
    memory : int, optional
        Bytes to use at most, of those that are free.
    rates : Rates, optional
        Measured unless given (half a second, and about a second for a disk).
    steps : int or None
        Corrections that mixed precision takes; None if it would not work, so that "auto" avoids it.

    Raises
    ------
    InputError
        See check_precision; or a storage that there is not.
    ScratchError
        The scratch folder cannot be written.
    """
    check_precision(precision, problem.loo)
    rates = rates or measure_rates(device, scratch, probe_of(problem.n, device))
    free = {"memory": device.free_memory(), "host": backend.free_memory(), "disk": 0}
    free["memory"] = min(free["memory"], memory or free["memory"])
    if scratch is not None:
        free["disk"] = shutil.disk_usage(existing_folder(scratch)).free + bytes_taken(scratch)
    storages = ["memory"] + ["host"] * (device.name != "cpu") + ["disk"] * (scratch is not None)
    if storage not in ("auto", *storages):
        raise InputError(f"storage {storage!r}; there are auto, {', '.join(storages)}, and disk with a scratch folder")
    storages = [name for name in storages if storage in (name, "auto")]
    precisions = [name for name in PRECISIONS if precision in (name, "auto")]
    if precision == "auto" and (problem.loo or steps is None):
        precisions = ["float64"]

    def ways(n):
        sized = dataclasses.replace(problem, n=n)
        return tuple(_way(sized, p, s, device, free, rates, steps, width) for s in storages for p in precisions)

    all_ways = ways(problem.n)
    fitting = [way for way in all_ways if not way.missing]
    largest = problem.n
    if not fitting:
        sizes = range(100, largest, 100)
        largest = 100 * bisect.bisect(sizes, False, key=lambda n: all(way.missing for way in ways(n)))
    chosen = min(fitting, key=lambda way: max(way.seconds, SOON), default=None)  # the first of those that take no time
    return Plan(problem, rates, free, all_ways, chosen, largest)


def check_precision(precision: str, loo: bool) -> None:
    """Raise InputError for a precision that there is not, and for leave-one-out in mixed precision."""
    if precision not in ("auto", *PRECISIONS):
        raise InputError(f"precision {precision!r}; known are auto, {', '.join(PRECISIONS)}")
    if loo and precision == "mixed":
        raise InputError('leave-one-out needs the float64 factor; leave out `loo`, or take `precision="float64"`')


def operations(problem: Problem) -> float:
    """Return the floating-point operations of the factorisation, and of leave-one-out if asked for."""
    return problem.n**3 / 3 * (2 if problem.loo else 1)


def _way(problem, precision, storage, device, free, rates, steps, width):
    n, size = problem.n, 8 if precision == "float64" else 4
    if storage == "memory":
        width = panel_width(n, device)
    elif storage == "host" or width is None:
        width = _streamed_width(problem, size, free["memory"], device)
    width = min(width, n)
    half = size * sum((n - start) * (stop - start) for start, stop in spans(0, n, width))
    inverse = max(INVERSE_WIDTH, width if storage != "memory" else 0)
    memory = _other_bytes(problem, inverse, device) + (
        half if storage == "memory" else size * sum(buffer_sizes(n, width))
    )
    host, disk = half if storage == "host" else 0, half if storage == "disk" else 0
    kept = _kept_bytes(problem, device, rates) if precision == "mixed" and storage == "memory" else 0
    kept = kept if memory + kept <= free["memory"] else 0
    memory += kept
    halves = (precision, storage) == ("mixed", "memory") and rates.halves > rates.float32
    phases = _phases(problem, precision, storage, width, rates, steps, bool(kept), halves)
    bounds = {"memory": (memory, "memory"), "host memory": (host, "host"), "disk": (disk, "disk")}
    short = tuple(name for name, (needed, where) in bounds.items() if needed > free[where])
    return Way(
        precision,
        storage,
        device.name,
        width,
        int(memory),
        int(host),
        int(disk),
        sum(seconds for _, seconds in phases),
        short,
        kept,
        phases,
        halves,
    )


def _kept_bytes(problem, device, rates):
    """Return the bytes of all inner products, or 0 where they are not worth keeping: one is as cheap as the rest."""
    if not problem.of_products or _product_seconds(problem, rates) <= rates.entry:
        return 0
    dtype = product_dtype(problem.d, pixels=problem.dtype == np.uint8, device=device)
    return InnerProducts.bytes_needed(problem.n, problem.n, device, dtype)


def _product_seconds(problem, rates):
    """Return the seconds of one inner product."""
    return 2 * problem.d / (rates.float32 if problem.dtype == np.uint8 else rates.float64)


def _phases(problem, precision, storage, width, rates, steps, kept, halves):
    n, m = problem.n, problem.n_test
    share = _SHARE if storage == "memory" else _STREAMED_SHARE
    half = (8 if precision == "float64" else 4) * n * n / 2
    factor = operations(problem) / (share * rates.gemm(precision, halves=halves))
    if storage != "memory":  # reading and writing go on beside the arithmetic
        read, write = (rates.read, rates.write) if storage == "disk" else (rates.upload, rates.upload)
        factor = max(factor, half * n / (3 * width) / read, half / write)
    product = _product_seconds(problem, rates)
    making = (rates.entry + product) * n * n / 2  # all of the matrix
    from_kept = rates.entry * n * n / 2 if kept else making
    vectors = 2 * n * n * (problem.outputs + _WAITING)  # operations of one product or one solve, and what they wait for
    solve = vectors / rates.gemm(precision) + (2 * half / rates.read if storage == "disk" else 0)
    corrections = 0 if precision == "float64" else steps or STEPS
    # The factor; the check, or one for each correction, and one more from the points where inner products are kept.
    checks = [from_kept + solve] * corrections + [making] * kept if corrections else [making + solve]
    left_out = factor / 2 if problem.loo else 0.0
    return (
        *([("inner products", product * n * n / 2)] if kept else []),
        ("factor", 1.0 + factor - left_out + from_kept),
        *(("kernel product", check + vectors / rates.float64) for check in checks),
        *([("leave-one-out", left_out)] if problem.loo else []),
        ("kernel product", (rates.entry + product) * n * m),
    )


def _streamed_width(problem, size, free, device):
    """Return the columns per panel when panels are streamed: as wide as memory allows, to read them rarely."""
    step = 384
    width = max(step, problem.n // _FEWEST_PANELS // step * step)
    while (
        width > step
        and _other_bytes(problem, max(INVERSE_WIDTH, width), device) + size * sum(buffer_sizes(problem.n, width))
        > 0.9 * free
    ):
        width -= step
    return width


def _other_bytes(problem, inverse_width, device):
    """Return the bytes that a solve allocates at its peak beside the factor.

    Points are copied unless they are float64 already; targets, coefficients, half-solved and fitted values and the
    vectors of an iteration are n x outputs each.
    """
    n, rows = problem.n, problem.n + problem.n_test
    copied = {"uint8": device.pixel.itemsize} | _COPIED_BYTES
    coordinates = 0 if problem.held else copied[np.dtype(problem.dtype).name] * problem.d * rows
    inverse = 8 * n * min(inverse_width, n) if problem.loo else 0
    return coordinates + 8 * 12 * rows * problem.outputs + inverse + device.fixed_bytes
