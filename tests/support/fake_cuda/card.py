"""The memory of the card."""

import weakref

import numpy as np

TOTAL_MEMORY = 2**34
HANDLE = 12345


class CUDARuntimeError(RuntimeError):
    """What cupy_backends.cuda.api.runtime raises."""


class OutOfMemoryError(MemoryError):
    """What cupy.cuda.memory raises."""


class Card:
    """The memory of the card and what happened to it.

    Attributes
    ----------
    limit : int
        Of the memory pool, in bytes; 0 for none.
    used, peak : int
        Bytes allocated, now and at most.
    to_host : list of int
        Bytes of each copy from the card.
    fail_after : int or None
        Allocations until one fails for lack of memory.
    present, gpus : bool, int
        Whether there is a GPU, and how many.
    locked, pinned_limit : int, int or None
        Bytes of page-locked host memory, now, and at most.
    synchronised : int
        How often the host waited for the default stream.
    """

    def __init__(self):
        self.blocks = {}
        self.used = self.locked = 0
        self.reset()

    def reset(self):
        self.limit, self.peak, self.to_host, self.fail_after, self.present = 0, self.used, [], None, True
        self.gpus = 1
        self.pinned_limit, self.synchronised = None, 0
        self.pending = set()  # blocks that the default stream works with
        self.pointer_mode = self.math_mode = 0

    def allocate(self, shape, dtype):
        """Return a host array that stands for device memory."""
        dtype, shape = np.dtype(dtype), (shape,) if np.ndim(shape) == 0 else tuple(shape)
        wanted = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        size = max(512, -(-wanted // 512) * 512)
        room = (self.limit or TOTAL_MEMORY) - self.used
        if self.fail_after is not None:
            self.fail_after -= 1
        if size > room or self.fail_after == 0:
            raise OutOfMemoryError(f"Out of memory allocating {size:,} bytes (allocated so far: {self.used:,} bytes).")
        memory = np.full(size, 0xFF, np.uint8)
        address = memory.ctypes.data
        self.blocks[address] = size
        self.used += size
        self.peak = max(self.peak, self.used)
        weakref.finalize(memory, self._free, address, size)
        return memory[:wanted].view(dtype).reshape(shape)

    def _free(self, address, size):
        del self.blocks[address]
        self.used -= size

    def lock(self, size):
        """Return page-locked memory of the host."""
        if self.pinned_limit is not None and self.locked + size > self.pinned_limit:
            raise CUDARuntimeError("cudaErrorMemoryAllocation: out of memory")
        memory = np.full(size, 0xFF, np.uint8)
        self.locked += size
        weakref.finalize(memory, self._unlock, size)
        return memory

    def _unlock(self, size):
        self.locked -= size

    def waited(self):
        """Note that the host waited until all that the default stream was asked for is done."""
        self.pending.clear()
        self.synchronised += 1

    def block_of(self, pointer, size):
        """Return the address of the living block that holds `size` bytes at a pointer."""
        for address, length in list(self.blocks.items()):
            if address <= pointer and pointer + size <= address + length:
                return address
        raise CUDARuntimeError(f"cudaErrorIllegalAddress: {size} bytes at {pointer} are not all device memory")


CARD = Card()
