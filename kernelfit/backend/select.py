"""Which device: by name, or by the array at hand."""

import functools

import numpy as np

from kernelfit.backend.cpu import Cpu
from kernelfit.common.errors import InputError, suggestion

CPU = Cpu()
DEVICES = ("auto", "cpu", "cuda")


def device(name):
    """Return the device "cpu" or "cuda"; "auto" is the GPU where there is one that works, else the CPU.

    Raises
    ------
    InputError
        No such name, or "cuda" without a GPU that CuPy can use; says what is missing.
    """
    if name not in DEVICES:
        raise InputError(f"device {name!r}; known are {', '.join(DEVICES)}{suggestion(name, DEVICES)}")
    if name == "cpu":
        return CPU
    try:
        return _cuda()
    except InputError:
        if name == "cuda":
            raise
        return CPU


def device_of(array):
    """Return the device that an array lives on."""
    return CPU if isinstance(array, np.ndarray) else _cuda()


@functools.cache
def _cuda():
    from kernelfit.backend.cuda import Cuda

    return Cuda.open()
