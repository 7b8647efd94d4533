"""The CPU as a device: NumPy arrays, and SciPy's BLAS and LAPACK through their C function pointers.

Called through ctypes they work in place, release the GIL, and take leading dimensions and accumulation factors, none of
which SciPy's Python wrappers do.
"""

import contextlib
import ctypes
import functools
import math
import mmap

import numpy as np

from kernelfit.backend.blas import Blas, common_prefix, leading
from kernelfit.backend.machine import describe, free_memory
from kernelfit.backend.threads import num_threads, parallel_map

_PRIVATE = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
_REAL = {"s": ctypes.c_float, "d": ctypes.c_double}


class Cpu(Blas):
    """The device of NumPy arrays. Every device has the attributes and methods of this class.

    Attributes
    ----------
    name : str
    xp : module
        The array namespace.
    tile : int
        Rows and columns of a Gram tile that are made at a time: large enough for GEMM, small enough for a core's cache;
        on a CPU half of a panel: panels are then made of whole tiles that are kept, and of these less lies above the
        diagonal.
    panel : int
        Widest panel that is factored as one: a multiple of 384, the depth of the blocks in which OpenBLAS multiplies
        float64, on a CPU.
    probe : int
        Rows of a matrix product that shows the full rate.
    fixed_bytes : int
        What a solve needs whatever the size of the problem. Here compiled passes, BLAS buffers and the tiles of a
        product, measured at about 150 MB.
    """

    name = "cpu"
    xp = np
    tile = 576
    panel = 1152
    probe = 2048
    fixed_bytes = 200_000_000

    def empty(self, shape, dtype=np.float64):
        """Return a new array on this device."""
        return np.empty(shape, dtype)

    def touched(self, shape, dtype=np.float64):
        """Return a new array whose pages are already the process's own.

        The operating system hands out memory at the first write to each page. Doing that here, with all threads,
        keeps its cost (seconds per GB on some virtual machines) out of the arithmetic that follows.
        """
        array = np.empty(shape, dtype)
        pages = array.reshape(-1).view(np.uint8)[::4096]
        parallel_map(lambda part: part.fill(0), np.array_split(pages, num_threads()))
        return array

    def reserved(self, shape, dtype=np.float64):
        """Return a new row-major array of zeros of which only what is written takes memory, page by page.

        Huge pages, 2 MB each, are asked not to be used: they would span rows of which a part is never written.
        """
        try:
            memory = mmap.mmap(-1, max(1, math.prod(shape) * np.dtype(dtype).itemsize), flags=_PRIVATE)
        except OSError as error:
            raise MemoryError(f"an array of shape {shape} and {np.dtype(dtype).name} cannot be had: {error}") from error
        if hasattr(mmap, "MADV_NOHUGEPAGE"):
            with contextlib.suppress(OSError):  # a system without huge pages
                memory.madvise(mmap.MADV_NOHUGEPAGE)
        return np.frombuffer(memory, dtype, math.prod(shape)).reshape(shape)

    def array(self, host):
        """Return a host array as an array of this device (the same one where that is possible)."""
        return np.asarray(host)

    def host(self, array):
        """Return an array of this device as a NumPy array."""
        return array

    def fetch(self, array, host):
        """Overwrite a host array with an array of this device of its shape."""
        host[...] = array

    def fill(self, array, host):
        """Overwrite an array of this device with a host array of its shape."""
        array[...] = host

    def transfer_buffer(self, count, dtype=np.float64):
        """Return a flat host array from which and to which copies are fast."""
        return self.touched(count, dtype)

    def map(self, function, items):
        """Return [function(item) for item in items], on all threads where that is worth it."""
        return parallel_map(function, items)

    def free_memory(self):
        """Return the bytes of this device that the process may still use."""
        return free_memory()

    def synchronize(self):
        """Wait until all work handed to the device is done."""

    def describe(self):
        """Return what the numbers of a run on this device depend on, as a JSON-ready dict."""
        return describe()

    def potrf(self, A):
        """Overwrite the lower triangle of A with its Cholesky factor; return 0, or the 1-based row that failed."""
        prefix = common_prefix(A)
        info = _routine(prefix + "potrf")[1](0)
        self.call(prefix + "potrf", "U", len(A), A, leading(A), ctypes.byref(info))
        return info.value

    def call(self, name, *arguments):
        """Call a routine of BLAS or LAPACK; Fortran takes every argument by reference."""
        function, integer = _routine(name)
        real = _REAL[name[0]]
        pointers, alive = [], []  # `alive` holds the scalars until the call has returned
        for argument in arguments:
            if isinstance(argument, np.ndarray):
                pointers.append(argument.ctypes.data)
                continue
            if isinstance(argument, str):
                argument = ctypes.byref(ctypes.c_char(argument.encode()))
            elif isinstance(argument, int):
                argument = ctypes.byref(integer(argument))
            elif isinstance(argument, float):
                argument = ctypes.byref(real(argument))
            alive.append(argument)
            pointers.append(ctypes.cast(argument, ctypes.c_void_p))
        function(*pointers)


@functools.cache
def _routine(name):
    """Return (ctypes function, integer type) of a BLAS or LAPACK routine, e.g. "dgemm"."""
    from scipy.linalg import cython_blas, cython_lapack

    module = cython_lapack if name.endswith("potrf") else cython_blas
    capsule = module.__pyx_capi__[name]
    get_name, get_pointer = ctypes.pythonapi.PyCapsule_GetName, ctypes.pythonapi.PyCapsule_GetPointer
    get_name.restype, get_name.argtypes = ctypes.c_char_p, [ctypes.py_object]
    get_pointer.restype, get_pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    signature = get_name(capsule)
    # The capsule's name is the C signature; an LP64 build says "int *", an ILP64 build names a 64-bit type.
    integer = ctypes.c_int if b" int *" in signature else ctypes.c_int64
    prototype = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * (signature.count(b",") + 1))
    return prototype(get_pointer(capsule, signature)), integer
