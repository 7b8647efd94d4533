"""The machine: memory that is free within all limits, and what the numbers of a run depend on."""

import contextlib
import ctypes
import importlib.metadata
import os
import platform
import sys
from collections.abc import Iterator

import numpy as np

from kernelfit.backend.threads import blas_pools, num_threads

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of malloc.h


def free_memory() -> int:
    """Return the bytes that this process may still use: free memory, within cgroup and address-space limits."""
    free = [_available_memory(), *_cgroup_room()]
    with contextlib.suppress(ImportError):
        import resource

        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        if limit != resource.RLIM_INFINITY:
            free.append(limit - _virtual_size())
    return max(0, min(free))


def peak_memory() -> int:
    """Return the largest resident memory that this process ever had, in bytes."""
    with contextlib.suppress(OSError, KeyError), open("/proc/self/status") as file:
        # Unlike what getrusage says, this is not the peak of the parent where that was larger when it started this one.
        fields = dict(line.split(":", 1) for line in file)
        return int(fields["VmHWM"].split()[0]) * 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def keep_freed_memory() -> None:
    """Let the C library keep what arrays free for those that come next, where it is glibc.

    Memory that goes back to the operating system is zeroed page by page when it is taken again, which is as long as a
    quarter of the making of a Gram tile. Dask starts its workers with a setting that gives all of it back at once.
    """
    with contextlib.suppress(OSError, AttributeError):
        tune = ctypes.CDLL(None).mallopt
        tune(_TRIM_THRESHOLD, 2**28)
        tune(_MMAP_THRESHOLD, 2**25)  # the largest that glibc takes


def describe() -> dict:
    """Return what the numbers of a run depend on: versions, BLAS, threads and CPU, as a JSON-ready dict."""
    import scipy

    blas = {f"{pool.internal_api} {pool.version} {getattr(pool, 'architecture', '')}".strip() for pool in blas_pools()}
    return {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "numba": importlib.metadata.version("numba"),
        "scikit_learn": importlib.metadata.version("scikit-learn"),
        "blas": sorted(blas),
        "threads": num_threads(),
        "cpu": _cpu_name(),
        "platform": platform.platform(),
    }


def _available_memory() -> int:
    try:
        with open("/proc/meminfo") as file:
            fields = dict(line.split(":", 1) for line in file)
        return int(fields["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _cgroup_room(root: str = "/sys/fs/cgroup", membership: str = "/proc/self/cgroup") -> Iterator[int]:
    """Yield limit minus use for each memory cgroup that holds this process, version 2 and version 1."""
    try:
        with open(membership) as file:
            lines = [line.rstrip("\n").split(":", 2) for line in file]
    except OSError:
        return
    for _, controllers, path in lines:
        if controllers and "memory" not in controllers.split(","):
            continue
        base = os.path.join(root, "memory") if controllers else root
        limit_name, use_name = (
            ("memory.limit_in_bytes", "memory.usage_in_bytes") if controllers else ("memory.max", "memory.current")
        )
        parts = path.strip("/").split("/") if path.strip("/") else []
        for depth in range(len(parts), -1, -1):  # a limit on any ancestor binds too
            folder = os.path.join(base, *parts[:depth])
            with contextlib.suppress(OSError, ValueError):
                limit = _read_int(os.path.join(folder, limit_name))
                use = _read_int(os.path.join(folder, use_name)) - _reclaimable(folder)
                yield limit - use


def _reclaimable(folder):
    """Bytes of file cache that the kernel gives back before it refuses memory."""
    with contextlib.suppress(OSError), open(os.path.join(folder, "memory.stat")) as file:
        fields = dict(line.split() for line in file)
        return int(fields.get("inactive_file", fields.get("total_inactive_file", 0)))
    return 0


def _read_int(path):
    with open(path) as file:
        return int(file.read())


def _virtual_size():
    with contextlib.suppress(OSError), open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    return 0


def _cpu_name():
    with contextlib.suppress(OSError), open("/proc/cpuinfo") as file:
        for line in file:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
