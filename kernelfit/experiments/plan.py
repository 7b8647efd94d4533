"""What a solve would take: on this machine from a calibration that is kept, or on another from rates that are given."""

import contextlib
import copy
import dataclasses
import json
import math
from pathlib import Path
from typing import Literal

import numpy as np

from kernelfit import backend, datasets
from kernelfit.backend.cuda import Cuda
from kernelfit.common.errors import InputError
from kernelfit.common.files import atomic_write, user_cache
from kernelfit.common.quantities import parse_bytes, parse_network_speed
from kernelfit.common.spec import option
from kernelfit.common.validation import check_positive
from kernelfit.experiments.parts import DataFolder
from kernelfit.solvers.planning.plan import plan_solve
from kernelfit.solvers.planning.problem import Problem
from kernelfit.solvers.planning.rates import Rates, measure_rates

_MOST = 10**8  # every panel is counted: seconds
_MNIST = {"n_test": 10_000, "d": 784, "outputs": 10}  # what is planned for unless told otherwise


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Sizes(DataFolder):
    """How large the problem is."""

    data: str | None = option(None, "Plan for this dataset; default: for --n points of --d pixels.")
    n: int | None = option(None, "Training points; default: those of --data.", least=1)
    n_test: int | None = option(None, "Test points; default: those of --data, or 10000.")
    d: int | None = option(None, "Pixels of an image; default: those of --data, or 784.")
    outputs: int | None = option(None, "Classes; default: those of --data, or 10.", least=1)
    loo: bool = option(False, "With leave-one-out.")

    def check(self):
        if self.data is not None:
            self._refuse(("n_test", "d", "outputs"), "that of `data`; leave it out")
        if self.n is not None and self.n > _MOST:
            raise InputError(f"n = {self.n:,}; plan reckons with at most {_MOST:,} points, for which K takes 80 PB")

    def _refuse(self, names, why):
        for field in dataclasses.fields(self):
            if field.name in names and getattr(self, field.name) != field.default:
                raise InputError(f"`{field.name}` is {why}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlanSpec(_Sizes):
    """What to plan, and for which machine: this one, another, or several on a network."""

    words = ("plan",)
    group = "On what machine"

    precision: Literal["auto", "float64", "mixed"] = option("auto", "Of the factor; auto: whichever is quicker.")
    device: Literal["auto", "cpu", "cuda"] = option("auto", "auto: the GPU where CuPy finds one.")
    memory: int | None = option(
        None, 'Plan for this much memory, as in "24GB"; default: what is free.', parse=parse_bytes
    )
    tflops: tuple[float, ...] = option(
        (), "Plan for another machine: TFLOP/s of its products in float64 and float32; default: measured."
    )
    machines: int | None = option(
        None,
        "Plan for this many machines on a network, of --cores and --memory each; default: this one alone.",
        least=1,
    )
    cores: int | None = option(None, "Cores of each of the machines; no default.", least=1)
    network: float | None = option(
        None, 'What reaches each of them, as in "10Gbit" a second; no default.', parse=parse_network_speed
    )
    scratch: str | None = option(None, "Folder on a disk for a factor too large for memory; default: none.", path=True)
    calibrate: bool = option(False, "Measure this machine again, instead of reading what an earlier plan measured.")

    @property
    def several(self) -> bool:
        """Whether it is for several machines."""
        return (self.machines, self.cores, self.network) != (None, None, None)

    def check(self):
        if self.tflops and (len(self.tflops) != 2 or min(self.tflops) <= 0):
            raise InputError(f"tflops = {self.tflops}; give two positive rates, of float64 and of float32")
        if self.several:
            own = ("data", "loo", "scratch", "calibrate", "precision", "data_dir", "device")
            self._refuse(own, "for one machine; leave it out beside `machines`")
            needed = ("n", "machines", "cores", "memory", "network")
            if missing := [f"`{name}`" for name in needed if getattr(self, name) is None]:
                raise InputError(f"a plan for several machines needs {', '.join(missing)} too")
            for name in ("n_test", "d", "memory", "network"):
                if (value := getattr(self, name)) is not None:
                    check_positive(name, value)
        elif self.n is None and self.data is None:
            raise InputError("plan needs the number of training points, `n`, or a dataset, `data`")
        elif self.tflops and self.device == "cuda" and self.memory is None:
            raise InputError("a GPU that is not here needs its `memory` beside its `tflops`")

    def problem(self, progress=None):
        """Return the Problem: that of the dataset, or of n pixel images."""
        if self.data is None:
            given = {name: getattr(self, name) for name in _MNIST}
            sizes = _MNIST | {name: value for name, value in given.items() if value is not None}
            return Problem(self.n, **sizes, dtype=np.uint8, loo=self.loo)
        loaded = datasets.load(self.data, n_train=self.n, data_dir=self.data_dir, progress=progress)
        n, *image = loaded.X_train.shape
        return Problem(n, len(loaded.X_test), math.prod(image), len(loaded.classes), loaded.X_train.dtype, self.loo)


def run_plan(spec, *, progress=None):
    """Return the Plan of a PlanSpec for one machine."""
    problem = spec.problem(progress)
    if spec.tflops:
        absent = spec.device == "cuda"
        target = Cuda(None, None, None) if absent else copy.copy(backend.CPU)
        rates = Rates(*(rate * 1e12 for rate in spec.tflops), entry=5e-11 if absent else 1e-9)
    else:
        target = copy.copy(backend.device(spec.device))
        rates = calibrated(target, spec.scratch, spec.calibrate)
    if spec.memory is not None:
        target.free_memory = lambda: spec.memory
    return plan_solve(problem, device=target, precision=spec.precision, scratch=spec.scratch, rates=rates)


def calibrated(device, scratch, calibrate):
    """Return the Rates of this machine, measured now or by an earlier plan with the same libraries and folder."""
    cache = user_cache()
    key = json.dumps([device.describe(), str(scratch and Path(scratch).absolute())], sort_keys=True)
    known, place = {}, cache and cache / "rates.json"
    if place:
        with contextlib.suppress(OSError, ValueError, TypeError):  # none yet, or damaged
            known = dict(json.loads(place.read_text(encoding="utf-8")))
    if key in known and not calibrate:
        with contextlib.suppress(TypeError):  # a damaged entry
            rates = Rates(**known[key])
            if all(value > 0 or name == "halves" for name, value in dataclasses.asdict(rates).items()):
                return rates
    rates = measure_rates(device, scratch)
    fields = {name: value for name, value in dataclasses.asdict(rates).items() if np.isfinite(value)}
    if place:
        with contextlib.suppress(OSError), atomic_write(place) as file:  # a home that is read-only costs the time again
            file.write(json.dumps(known | {key: fields}).encode())
    return rates
