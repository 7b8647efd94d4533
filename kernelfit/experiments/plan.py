"""What a solve would take: on this machine from a calibration that is kept, or on another from rates that are given."""

import contextlib
import dataclasses
import json
import math
from pathlib import Path

import numpy as np

from kernelfit import backend, datasets
from kernelfit.backend.cuda import Cuda
from kernelfit.common.errors import InputError
from kernelfit.common.files import atomic_write, user_cache
from kernelfit.solvers.planning.plan import plan_solve
from kernelfit.solvers.planning.problem import Problem
from kernelfit.solvers.planning.rates import Rates, measure_rates

_MOST = 10**8  # every panel is counted: seconds


def run_plan(
    *,
    data=None,
    n=None,
    n_test=10_000,
    d=784,
    outputs=10,
    loo=False,
    precision="auto",
    device="auto",
    memory=None,
    tflops=None,
    scratch=None,
    calibrate=False,
    data_dir=None,
    progress=None,
):
    """Return the Plan of a dataset, or of n pixel images of d coordinates.

    Parameters
    ----------
    memory : int, optional
        Bytes to plan with, instead of what is free here.
    tflops : (float, float), optional
        Matrix-product rates in float64 and float32 of another machine, in 10^12 operations per second.
    calibrate : bool
        Measure this machine again, instead of reading what an earlier plan measured.
    """
    problem = Problem(n, n_test, d, outputs, np.uint8, loo)
    if data is not None:
        loaded = datasets.load(data, n_train=n, data_dir=data_dir, progress=progress)
        shape = loaded.X_train.shape
        problem = Problem(
            shape[0], len(loaded.X_test), int(np.prod(shape[1:])), len(loaded.classes), loaded.X_train.dtype, loo
        )
    elif n is None:
        raise InputError("plan needs the number of training points, `n`, or a dataset, `data`")
    if min(problem.n, problem.outputs) < 1 or min(problem.n_test, problem.d) < 0:
        raise InputError(
            f"n = {problem.n}, outputs = {problem.outputs}, n_test = {problem.n_test}, d = {problem.d}: n and outputs "
            "are at least 1, the others 0"
        )
    if problem.n > _MOST:
        raise InputError(f"n = {problem.n:,}; plan reckons with at most {_MOST:,} points, for which K takes 80 PB")
    if tflops is not None and not all(0 < rate < math.inf for rate in tflops):
        raise InputError(f"tflops = {tflops}; rates are positive")
    if tflops is not None:
        rates = Rates(float64=tflops[0] * 1e12, float32=tflops[1] * 1e12, entry=5e-11 if device == "cuda" else 1e-9)
        target = Cuda(None, None, None) if device == "cuda" else backend.CPU
        if device == "cuda" and memory is None:
            raise InputError("a GPU that is not here needs its `memory` beside its `tflops`")
    else:
        target = backend.device(device)
        rates = calibrated(target, scratch, calibrate)
    if memory is not None:
        target = _WithMemory(target, memory)
    return plan_solve(problem, device=target, precision=precision, scratch=scratch, rates=rates)


class _WithMemory:
    """A device with another amount of free memory."""

    def __init__(self, device, memory):
        self._device, self._memory = device, memory

    def __getattr__(self, name):
        return getattr(self._device, name)

    def free_memory(self):
        return self._memory


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
