"""The plan: what a solve will need, whether it fits, and about how long it takes, before anything is allocated."""

import dataclasses
import math
import time

import numpy as np

from kernelfit import backend
from kernelfit.errors import NotEnoughMemoryError
from kernelfit.progress import duration
from kernelfit.solvers.cholesky import INVERSE_WIDTH, panel_width

# Compiled passes, BLAS buffers and the tiles of a product: measured at about 150 MB, whatever the size of the problem.
_FIXED_BYTES = 200e6
# What kernelfit.points makes of a coordinate: float32 of a pixel, float64 of a float32, nothing of a float64.
_COPIED_BYTES = {np.dtype(np.uint8): 4, np.dtype(np.float32): 8, np.dtype(np.float64): 0}
# Panels run at about 90 % of the GEMM rate and everything but the factor costs about a tenth more.
_TIME_FACTOR = 1.15


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a solve will take.

    Attributes
    ----------
    n, n_test, d, outputs : int
    method : str
    bytes_needed, bytes_free : int
        Memory beyond what is in use now, and what is free within all limits.
    operations : float
        Floating-point operations of the factorisation (and of leave-one-out).
    gemm_gflops : float
        float64 matrix-product rate measured just now.
    seconds : float
        Estimate of the whole solve.
    largest_n : int
        About the largest n, up to the one asked for, whose solve would fit.
    """

    n: int
    n_test: int
    d: int
    outputs: int
    method: str
    bytes_needed: int
    bytes_free: int
    operations: float
    gemm_gflops: float
    seconds: float
    largest_n: int

    @property
    def fits(self):
        """Whether the memory needed is free."""
        return self.bytes_needed <= self.bytes_free

    def __str__(self):
        return (
            f"plan: {self.method}, n = {self.n:,}: {_gb(self.bytes_needed)} of {_gb(self.bytes_free)} free, "
            f"{self.operations / 1e12:.3g} TFLOP at {self.gemm_gflops:.0f} GFLOP/s, about {duration(self.seconds)}"
        )

    def require(self):
        """Raise NotEnoughMemoryError, naming the largest n that would fit, unless the plan fits."""
        if self.fits:
            return
        raise NotEnoughMemoryError(
            f"n = {self.n:,} training points need {_gb(self.bytes_needed)} (half the matrix in float64: "
            f"{_gb(4 * self.n**2)}), but {_gb(self.bytes_free)} are free within the limits of this machine and its "
            f"control group. About n = {self.largest_n:,} would fit: try --n-train {self.largest_n}, or free memory"
        )


def plan_solve(n, n_test, d, outputs, *, dtype=np.uint8, loo=False):
    """Return the Plan of a float64 panel Cholesky for n points of d coordinates given as `dtype`.

    d = 0 stands for a precomputed kernel.
    """
    gemm_gflops = measure_gemm(min(2048, max(256, n))) / 1e9  # half a second at most
    operations = n**3 / 3 * (2 if loo else 1)
    free = backend.free_memory()
    largest = n
    while largest > 100 and bytes_needed(largest, n_test, d, outputs, dtype=dtype, loo=loo) > free:
        largest = int(largest * 0.99) // 100 * 100
    products = 2 * (n * n + n_test * n) * d / (2 if dtype == np.uint8 else 1)  # float32 runs at twice the rate
    return Plan(
        n=n,
        n_test=n_test,
        d=d,
        outputs=outputs,
        method="panel Cholesky in float64, in memory",
        bytes_needed=bytes_needed(n, n_test, d, outputs, dtype=dtype, loo=loo),
        bytes_free=free,
        operations=operations,
        gemm_gflops=gemm_gflops,
        seconds=_TIME_FACTOR * (operations + products) / (gemm_gflops * 1e9) + 1.0,
        largest_n=largest,
    )


def bytes_needed(n, n_test, d, outputs, *, dtype=np.uint8, loo=False):
    """Return the bytes that a solve allocates at its peak.

    Panels of width w hold sum_j (n - j w) w <= n^2 / 2 + n w / 2 float64 entries; points are copied unless they are
    float64 already; targets, coefficients, half-solved and fitted values are n x outputs each, and a few more in
    passing.
    """
    width = min(panel_width(n), n)
    panels = 8 * (n * n / 2 + n * width / 2)
    coordinates = _COPIED_BYTES[np.dtype(dtype)] * d * (n + n_test)
    inverse = 8 * n * min(INVERSE_WIDTH, n) if loo else 0
    return int(panels + coordinates + 8 * 8 * (n + n_test) * outputs + inverse + _FIXED_BYTES)


def measure_gemm(n=2048, repeats=5):
    """Return the float64 matrix-product rate of this machine in operations per second: the best of `repeats`."""
    A = np.random.default_rng(0).standard_normal((n, n))
    C = backend.touched((n, n))
    best = math.inf
    for _ in range(repeats):
        start = time.perf_counter()
        backend.gemm(A, A, C)
        best = min(best, time.perf_counter() - start)
    return 2 * n**3 / best


def _gb(count):
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.0f} MB"
