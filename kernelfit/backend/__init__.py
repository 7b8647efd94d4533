"""Devices: the CPU, and one GPU through CuPy. The only package with ctypes, cupy or llvmlite in it.

`Device` is the contract: array routines, `gemm`, `syrk`, `trsm` and `potrf` in place on row-major blocks, and the
memory that is free. `device("cuda")` is the device of a name.
"""

from kernelfit.backend.cpu import Cpu
from kernelfit.backend.device import Device
from kernelfit.backend.machine import describe, free_memory, keep_freed_memory, peak_memory
from kernelfit.backend.select import CPU, DEVICES, device, own_device
from kernelfit.backend.threads import limit_threads, num_threads, parallel_map, set_threads

__all__ = [
    "CPU",
    "DEVICES",
    "Cpu",
    "Device",
    "describe",
    "device",
    "free_memory",
    "keep_freed_memory",
    "limit_threads",
    "num_threads",
    "own_device",
    "parallel_map",
    "peak_memory",
    "set_threads",
]
