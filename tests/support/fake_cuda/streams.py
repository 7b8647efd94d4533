"""Streams, devices, and the memory pool."""

import threading

from tests.support.fake_cuda.card import CARD, TOTAL_MEMORY, CUDARuntimeError
from tests.support.fake_cuda.signatures import like_cupys

_LOCAL = threading.local()  # .streams, .devices


@like_cupys("cuda.Stream")
class Stream:
    """The default stream works at once; what is copied on another one has happened when that is synchronized."""

    def __init__(self, null=False, non_blocking=False):
        self.null, self._waiting = null, []

    def __enter__(self):
        _LOCAL.streams = [*getattr(_LOCAL, "streams", []), self]
        return self

    def __exit__(self, *_):
        _LOCAL.streams.pop()

    def synchronize(self):
        if self.null:
            CARD.waited()
        while self._waiting:
            self._waiting.pop(0)()


_NULL = Stream(null=True)


def get_current_stream():
    return (getattr(_LOCAL, "streams", None) or [_NULL])[-1]


def copy(stream, block, action, *, wait):
    stream = stream or get_current_stream()
    if stream.null:
        action()
        CARD.waited()  # the copy came after all that was asked before
        return
    if block in CARD.pending:
        raise CUDARuntimeError("a copy on a stream of its own races with what the default stream was asked for")
    stream._waiting.append(action)
    if wait:
        stream.synchronize()


@like_cupys("cuda.Device")
class Device:
    """One of the GPUs, all of which have the memory of the card; every thread begins with the first."""

    def __init__(self, device=None):
        self._number = _current()[-1] if device is None else device

    def __enter__(self):
        _current().append(self._number)
        return self

    def __exit__(self, *_):
        _current().pop()

    @property
    def id(self):
        return self._number

    @property
    def pci_bus_id(self):
        return f"0000:{self._number:02x}:00.0"

    @property
    def mem_info(self):
        return TOTAL_MEMORY - CARD.used, TOTAL_MEMORY


def _current():
    if not hasattr(_LOCAL, "devices"):
        _LOCAL.devices = [0]
    return _LOCAL.devices


@like_cupys("cuda.MemoryPool")
class Pool:
    def get_limit(self):
        return CARD.limit

    def set_limit(self, size=None, fraction=None):
        CARD.limit = size or 0

    def free_bytes(self):
        return 0

    def used_bytes(self):
        return CARD.used

    def total_bytes(self):
        return CARD.used

    def free_all_blocks(self):
        pass


@like_cupys("cuda.PinnedMemoryPool")
class PinnedPool:
    def free_all_blocks(self):
        pass


@like_cupys("cuda.PinnedMemory")
class PinnedMemory:
    """Page-locked memory of exactly this size, given back with the last array that looks into it."""

    def __init__(self, size, flags=0):
        self._memory = CARD.lock(size)


def PinnedMemoryPointer(mem, offset):  # noqa: N802 (CuPy's name); a buffer
    return mem._memory[offset:]


def get_device_count():
    if not CARD.present:
        raise CUDARuntimeError("cudaErrorInsufficientDriver: CUDA driver version is insufficient for CUDA runtime")
    return CARD.gpus
