"""The C library's allocator: what it does with freed memory."""

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
_LARGEST_FROM_HEAP = 32 * 2**20  # the most that glibc accepts
_KEPT = 512 * 2**20


def keep_freed_memory():
    """Let the process keep up to half a gigabyte of freed memory for itself; return whether the C library can.

    glibc gives large blocks back to the system at once, and the next one of that size costs a page fault for every
    4 KiB again: a third to a half of a training step of a small net, whose gradients and activations come and go with
    every step.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    return mallopt is not None and all(
        mallopt(option, value) == 1
        for option, value in ((_M_TRIM_THRESHOLD, _KEPT), (_M_MMAP_THRESHOLD, _LARGEST_FROM_HEAP))
    )
