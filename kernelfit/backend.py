"""The machine: BLAS and LAPACK on row-major blocks in place, threads, memory. The only module with ctypes in it.

SciPy exports its BLAS and LAPACK as C function pointers. Called through ctypes they work in place, release the GIL,
and take leading dimensions and accumulation factors, none of which SciPy's Python wrappers do. A row-major matrix is
the transpose of a column-major one, so a row-major lower factor L is handed over as the upper factor U = L^T.
"""

import contextlib
import ctypes
import functools
import importlib.metadata
import os
import platform
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np

_PREFIX = {np.dtype(np.float32): "s", np.dtype(np.float64): "d"}
_REAL = {"s": ctypes.c_float, "d": ctypes.c_double}
_THREAD = threading.local()
_ONE_AT_A_TIME = threading.RLock()  # parallel_map changes the threads of BLAS, which the whole process shares


def gemm(A, B, C, *, alpha=1.0, beta=0.0, transpose_a=False, transpose_b=False):
    """Overwrite C with alpha op(A) op(B) + beta C, where op is the identity or the transpose.

    A, B and C are float32 or float64 matrices of one dtype with contiguous rows (any row stride).
    """
    prefix = _common_prefix(A, B, C)
    m, k = A.shape[::-1] if transpose_a else A.shape
    k_b, n = B.shape[::-1] if transpose_b else B.shape
    if k != k_b or C.shape != (m, n):
        raise ValueError(f"gemm of shapes {(m, k)} and {(k_b, n)} into {C.shape}")
    alpha, beta = float(alpha), float(beta)
    if n == 1 and k > 0:  # GEMV reads A at the speed of memory, GEMM with one column at a third of it
        _call(
            prefix + "gemv",
            _flag(not transpose_a),
            *A.shape[::-1],
            alpha,
            A,
            _ld(A),
            B,
            1 if transpose_b else _ld(B),
            beta,
            C,
            _ld(C),
        )
    elif C.size:
        # In column-major terms: C^T = op(B)^T op(A)^T.
        b, a = _flag(transpose_b), _flag(transpose_a)
        _call(prefix + "gemm", b, a, n, m, k, alpha, B, _ld(B), A, _ld(A), beta, C, _ld(C))


def syrk(A, C, *, alpha=1.0, beta=0.0):
    """Overwrite the lower triangle of C with that of alpha A A^T + beta C; the upper one keeps what it holds."""
    prefix = _common_prefix(A, C)
    n, k = A.shape
    if C.shape != (n, n):
        raise ValueError(f"syrk of shape {A.shape} into {C.shape}")
    _call(prefix + "syrk", "U", "T", n, k, float(alpha), A, _ld(A), float(beta), C, _ld(C))


def potrf(A):
    """Overwrite the lower triangle of A with its Cholesky factor; return LAPACK's info (0, or the 1-based bad row)."""
    prefix = _common_prefix(A)
    info = _integer(prefix + "potrf")(0)
    _call(prefix + "potrf", "U", len(A), A, _ld(A), ctypes.byref(info))
    return info.value


def trsm(L, B, *, right=False, transpose=False):
    """Overwrite B with op(L)^-1 B, or with B op(L)^-1 if `right`; L is lower triangular, op may transpose it."""
    prefix = _common_prefix(L, B)
    if L.shape[0] != L.shape[1] or L.shape[0] != B.shape[1 if right else 0]:
        raise ValueError(f"trsm of a factor {L.shape} with a block {B.shape}, right={right}")
    if B.size:
        side = "L" if right else "R"  # transposing the equation swaps the sides
        _call(prefix + "trsm", side, "U", _flag(transpose), "N", *B.shape[::-1], 1.0, L, _ld(L), B, _ld(B))


def num_threads():
    """Return the number of threads that BLAS uses (set it with OMP_NUM_THREADS or threadpoolctl)."""
    return max((pool.num_threads for pool in _blas_pools()), default=1)


def parallel_map(function, items):
    """Return [function(item) for item in items], computed on as many threads as BLAS has.

    Each thread's own BLAS calls run on that thread alone: BLAS workers that wait for their next call would otherwise
    compete with Python's threads for the cores. Worth it where function releases the GIL. Inside of function, another
    parallel_map runs on its own thread.
    """
    if getattr(_THREAD, "is_worker", False):
        return [function(item) for item in items]

    def work(item):
        _THREAD.is_worker = True
        return function(item)

    with _ONE_AT_A_TIME:
        threads = num_threads()
        with _single_threaded_blas(), ThreadPoolExecutor(threads) as pool:
            return list(pool.map(work, items))


def touched(shape, dtype=np.float64):
    """Return a new array whose pages are already the process's own.

    The operating system hands out memory at the first write to each page. Doing that here, with all threads,
    keeps its cost (seconds per GB on some virtual machines) out of the arithmetic that follows.
    """
    array = np.empty(shape, dtype)
    pages = array.reshape(-1).view(np.uint8)[::4096]
    parallel_map(lambda part: part.fill(0), np.array_split(pages, num_threads()))
    return array


def free_memory():
    """Return the bytes that this process may still use: free memory, within cgroup and address-space limits."""
    free = [_available_memory(), *_cgroup_room()]
    with contextlib.suppress(ImportError):
        import resource

        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        if limit != resource.RLIM_INFINITY:
            free.append(limit - _virtual_size())
    return max(0, min(free))


def peak_memory():
    """Return the largest resident memory that this process ever had, in bytes."""
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def describe():
    """Return what the numbers of a run depend on: versions, BLAS, threads and CPU, as a JSON-ready dict."""
    import scipy

    blas = {f"{pool.internal_api} {pool.version} {getattr(pool, 'architecture', '')}".strip() for pool in _blas_pools()}
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


# ---- BLAS through SciPy's function pointers ------------------------------------------------------------------------


@functools.cache
def _routine(name):
    """Return (ctypes function, integer type, signature) of a BLAS or LAPACK routine, e.g. "dgemm"."""
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


@functools.cache
def _blas_pools():
    """Return threadpoolctl's live handles on the BLAS libraries of this process."""
    import threadpoolctl

    _routine("dgemm")  # SciPy's BLAS must be loaded to be found
    return [pool for pool in threadpoolctl.ThreadpoolController().lib_controllers if pool.user_api == "blas"]


@contextlib.contextmanager
def _single_threaded_blas():
    before = [pool.num_threads for pool in _blas_pools()]
    try:
        for pool in _blas_pools():
            pool.set_num_threads(1)
        yield
    finally:
        for pool, threads in zip(_blas_pools(), before, strict=True):
            pool.set_num_threads(threads)


def _integer(name):
    return _routine(name)[1]


def _call(name, *arguments):
    """Call a routine; Fortran takes every argument by reference."""
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


def _common_prefix(*arrays):
    """Check that the arrays are what BLAS can work on in place, and return the letter of their dtype."""
    for array in arrays:
        if array.ndim != 2 or array.dtype not in _PREFIX or array.dtype != arrays[0].dtype:
            raise ValueError(
                f"BLAS needs matrices of one dtype, float32 or float64; got {[(a.dtype, a.shape) for a in arrays]}"
            )
        if (array.shape[1] > 1 and array.strides[1] != array.itemsize) or array.strides[0] % array.itemsize:
            raise ValueError(f"BLAS needs rows without gaps; got strides {array.strides} for {array.dtype}")
    if not arrays[-1].flags.writeable:
        raise ValueError("the matrix to overwrite is read-only")
    return _PREFIX[arrays[0].dtype]


def _ld(A):
    return max(1, A.strides[0] // A.itemsize if len(A) > 1 else A.shape[1])


def _flag(transpose):
    return "T" if transpose else "N"


# ---- memory and CPU ------------------------------------------------------------------------------------------------


def _available_memory():
    try:
        with open("/proc/meminfo") as file:
            fields = dict(line.split(":", 1) for line in file)
        return int(fields["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _cgroup_room(root="/sys/fs/cgroup", membership="/proc/self/cgroup"):
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
