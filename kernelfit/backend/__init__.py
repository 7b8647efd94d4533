"""Devices: the CPU, and one GPU through CuPy. The only package with ctypes or cupy in it.

A device is an object with a few array routines, `gemm`, `syrk`, `trsm` and `potrf` in place on row-major blocks, and
the memory that is free. `device_of(array)` is the device that an array lives on, so that code
which gets arrays need not be told.
"""

from kernelfit.backend.cpu import Cpu
from kernelfit.backend.machine import describe, free_memory, keep_freed_memory, peak_memory
from kernelfit.backend.select import CPU, DEVICES, device, device_of
from kernelfit.backend.threads import limit_threads, num_threads, parallel_map, set_threads

__all__ = [
    "CPU",
    "DEVICES",
    "Cpu",
    "describe",
    "device",
    "device_of",
    "free_memory",
    "keep_freed_memory",
    "limit_threads",
    "num_threads",
    "parallel_map",
    "peak_memory",
    "set_threads",
]
