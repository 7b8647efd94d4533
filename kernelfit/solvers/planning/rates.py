"""What this machine can do: rates of matrix products, of Gram entries, of a disk and of a GPU's bus."""

import dataclasses
import math
import os
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt

from kernelfit import backend
from kernelfit.common.errors import ScratchError
from kernelfit.solvers.planning.problem import eighth


@dataclasses.dataclass(frozen=True)
class Rates:
    """Speed of this machine: operations per second of matrix products, seconds per Gram entry, bytes per second.

    read and write are those of the scratch disk, upload that from the host to a GPU; halves is the rate of products of
    float32 as float16 halves (`Device.subtract_halves`), counted as if they were one, and 0 where no units are for it.
    """

    float64: float
    float32: float
    entry: float
    read: float = math.inf
    write: float = math.inf
    upload: float = math.inf
    halves: float = 0.0

    def gemm(self, precision: str, *, halves: bool = False) -> float:
        """Return the rate at which a factor of this precision is multiplied."""
        return self.float64 if precision == "float64" else self.halves if halves else self.float32


_SMALLEST_PROBE = 256


def probe_of(n: int, device: backend.Device) -> int:
    """Return the order of a matrix product that tells the rate for n points; the full one from 16,384 on a CPU."""
    return eighth(n, _SMALLEST_PROBE, device.probe)


def measure_rates(
    device: backend.Device = backend.CPU, scratch: str | Path | None = None, probe: int | None = None
) -> Rates:
    """Return the Rates of this machine, from a few products of order `probe`, and of a file of 256 MB in `scratch`."""
    probe = probe or device.probe
    rates = Rates(
        float64=measure_gemm(probe, device=device),
        float32=measure_gemm(probe, dtype=np.float32, device=device),
        entry=1.2e-9 / backend.num_threads() if device.name == "cpu" else 5e-11,  # one pass, see kernels.compiled
    )
    if device.name != "cpu":
        halves = measure_gemm(device.probe, dtype=np.float32, device=device, halves=True)
        rates = dataclasses.replace(rates, upload=_measure_upload(device), halves=halves)
    if scratch is not None:
        rates = dataclasses.replace(rates, **_measure_disk(existing_folder(scratch)))
    return rates


def measure_gemm(
    n: int = 2048,
    repeats: int = 5,
    dtype: npt.DTypeLike = np.float64,
    device: backend.Device = backend.CPU,
    *,
    halves: bool = False,
) -> float:
    """Return the operations per second of matrix products on a device: the best of `repeats`, or of at most 0.3 s."""
    # Made on the device: 67 million numbers from the host take seconds. Of equal ones a GPU multiplies more a second.
    A = device.xp.sin(device.xp.arange(n * n, dtype=dtype)).reshape(n, n)
    C = device.touched((n, n), dtype)
    best, begin, patience = math.inf, time.perf_counter(), 0.3 * min(1.0, (n / 2048) ** 3)
    for done in range(repeats):
        if done > 1 and time.perf_counter() - begin > patience:
            break
        device.synchronize()
        start = time.perf_counter()
        device.subtract_halves(A, A, C) if halves else device.gemm(A, A, C)
        device.synchronize()
        best = min(best, time.perf_counter() - start)
    return 2 * n**3 / best


def _measure_upload(device, count=2**25):
    host, array = device.transfer_buffer(count), device.empty(count)
    device.fill(array, host)
    start = time.perf_counter()
    device.fill(array, host)
    return 8 * count / (time.perf_counter() - start)


def _measure_disk(folder, size=2**28):
    """Return the bytes per second at which a file in `folder` is written to the disk, and read back."""
    size = min(size, max(2**20, shutil.disk_usage(folder).free // 2))
    try:
        return _timed_file(folder, size)
    except OSError as error:
        raise ScratchError(f"{folder} cannot be written: {error.strerror}. Name another `scratch` folder") from error


def _timed_file(folder, size):
    block = np.random.default_rng(0).bytes(min(size, 2**24))  # no disk compresses it
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".kernelfit-rate-", buffering=0) as file:
        start = time.perf_counter()
        size = sum(file.write(block) for _ in range(size // len(block)))
        os.fsync(file.fileno())
        written = time.perf_counter()
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)  # from the disk, not from memory
        begin = time.perf_counter()
        file.seek(0)
        while file.read(len(block)):
            pass
        return {"write": size / (written - start), "read": size / (time.perf_counter() - begin)}


def existing_folder(folder: str | Path) -> Path:
    """Return the folder, or the nearest one above it that is there."""
    folder = Path(folder).absolute()
    return next(place for place in (folder, *folder.parents) if place.exists())
