"""The device that a user names."""

import functools

from kernelfit.backend.cpu import Cpu
from kernelfit.backend.device import Device
from kernelfit.common.errors import InputError, MissingLibraryError, suggestion

CPU = Cpu()
DEVICES = ("auto", "cpu", "cuda")


def device(wanted: str | Device) -> Device:
    """Return the Device that is given, or that is called "cpu" or "cuda"; "auto" is the GPU if one works, else the CPU.

    Raises
    ------
    InputError, MissingLibraryError
        No such name, or "cuda" without a GPU that CuPy can use, or without CuPy; says what is missing.
    """
    if isinstance(wanted, Device):
        return wanted
    if wanted not in DEVICES:
        raise InputError(f"device {wanted!r}; known are {', '.join(DEVICES)}{suggestion(wanted, DEVICES)}")
    if wanted == "cpu":
        return CPU
    try:
        return _cuda()
    except (InputError, MissingLibraryError):
        if wanted == "cuda":
            raise
        return CPU


def own_device(wanted: str) -> Device:
    """Return the device of a name for one of several processes of this host, which share its GPUs out among them."""
    if wanted == "cpu" or device(wanted).name == "cpu":
        return CPU
    return _own_cuda()


@functools.cache
def _cuda() -> Device:
    from kernelfit.backend.cuda import open_cuda

    return open_cuda()


@functools.cache
def _own_cuda() -> Device:
    from kernelfit.backend.cuda import claim_gpu, open_cuda

    return open_cuda(claim_gpu())
