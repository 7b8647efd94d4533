"""What conjugate gradients over several machines would take: memory, traffic and time.

One worker on each machine has all of its cores; the client and the scheduler are on one of them. Nothing here was
measured on a cluster: the closed form adds up work and bytes, and the simulation follows every share of a product from
the client's link to a worker and back. The number of steps is that of MNIST, see `expected_steps`.
"""

import heapq

import numpy as np

from kernelfit.grams.points import product_dtype
from kernelfit.solvers.dask.shares import cut, rows_touched
from kernelfit.solvers.low_rank import planned_rank
from kernelfit.solvers.planning.cluster import Cluster, Forecast
from kernelfit.solvers.planning.problem import Problem

# benchmarks/results/matrix_free.md
_SHARE = 0.9  # of the rate of matrix products, that inner products of a tile reach
_THIN = 0.35  # and products with few right-hand sides, which read a tile from memory for each
_STEPS, _STEPS_N, _STEPS_SLOPE, _RANK_SLOPE = 260, 20_000, 0.6, 0.3  # MNIST, no ridge, to 1e-8
_FIXED = 300_000_000  # bytes of a process: libraries, compiled passes, tiles


def expected_steps(n: int, d: int, rank: int) -> float:
    """Return the steps that MNIST takes without a ridge to a residual of 1e-8, measured up to n = 20,000.

    They grow about as n^0.6 with the planned rank, sqrt(n d), and as rank^-0.3 below it. Other data and bandwidths
    take others; with a ridge there are fewer.
    """
    planned = max(1.0, min((n * d) ** 0.5, n / 4))
    return _STEPS * (n / _STEPS_N) ** _STEPS_SLOPE * max(1.0, planned / max(rank, 1)) ** _RANK_SLOPE


def forecast_dask(problem: Problem, cluster: Cluster) -> list[Forecast]:
    """Return the Forecasts of the engine over Dask: one, in float64.

    With W machines of c cores each, g the rate of matrix products of a core, e the seconds per entry, k the rank:

        product:      n^2 / (2 W c) (made 2 d / (g32 share) + e + 4 r / (g64 thin)) in each step; made is the part of
                      the inner products that half of the memory cannot keep, and 1 in the first step and the check
        precondition: n k / c (2 d / g32 + e) + 4 n k^2 / (c g64) on one machine, and each step 4 n k r / (c g64 thin)
        network:      16 r (rows of all shares) over the bandwidth of the client, in each step; the points once each
    """
    n, d, r, W, rates = problem.n, problem.d, problem.outputs, cluster.machines, cluster.rates
    size = 1 if problem.dtype == np.uint8 else 8
    held, vectors = (size + 4 if size == 1 else 2 * size) * n * d, 8 * n * r
    worker, client = held + 4 * vectors + _FIXED, held + 12 * vectors + _FIXED
    rank = planned_rank(n, d, max(0, cluster.memory // 2 - client))
    products = product_dtype(d, pixels=size == 1).itemsize * n * n / (2 * W)
    kept = min(products, max(0, cluster.memory // 2 - worker))
    need, made = worker + client + 16 * n * rank + kept, 1 - kept / products
    steps = expected_steps(n, d, rank)
    rows = sum(_share_rows(problem, cluster))
    thin = rates.float64 * _THIN * cluster.cores
    whole = _pass(problem, rates)
    quick = whole - _entry(problem, rates) + rates.entry
    seconds = {
        "precondition": n * rank * _entry(problem, rates) / cluster.cores
        + 4 * n * rank**2 / rates.float64 / cluster.cores,
        "products": n * n / (2 * W) / cluster.cores * (2 * whole + (steps - 1) * (made * whole + (1 - made) * quick)),
        "vectors": steps * (4 * n * rank * r + 10 * n * r * r) / thin,
        "predict": n * problem.n_test * _pass(problem, rates) / cluster.cores / W,
        "network": ((steps + 1) * 16 * r * rows + W * size * n * d) / cluster.bandwidth * (W > 1),
    }
    what = (
        f"{W} workers of {cluster.cores} threads, rank {rank:,}, {steps:.0f} steps (as MNIST "
        f"without a ridge, to 1e-8), {100 * (1 - made):.0f} % of the inner products kept"
    )
    traffic = (steps + 1) * 8 * r * rows * (W > 1)
    return [Forecast("dask", "float64", int(need), need <= cluster.memory, float(traffic), seconds, what)]


def simulate_dask(problem: Problem, cluster: Cluster) -> float:
    """Return the seconds of one product without kept inner products, every share followed.

    The client sends the shares one after the other, round-robin; a worker does those that it has in their order; the
    results queue for the link into the client. Links carry both directions at once.
    """
    bounds, shares = cut(problem.n, cluster.machines)
    rows, entry = _share_rows(problem, cluster), _pass(problem, cluster.rates) / cluster.cores
    sent, free = 0.0, [0.0] * cluster.machines
    ended: list[tuple[float, float]] = []
    far = cluster.machines > 1
    for number, (share, touched) in enumerate(zip(shares, rows, strict=True)):
        worker, message = number % cluster.machines, far * 8 * problem.outputs * touched / cluster.bandwidth
        sent += message
        heights = np.array([stop - start for start, stop in bounds])[share].astype(float)
        entries = float(np.where(share[:, 0] == share[:, 1], 0.5, 1.0) @ heights.prod(axis=1))
        free[worker] = max(free[worker], sent + far * cluster.latency) + entries * entry
        heapq.heappush(ended, (free[worker], message))
    received = 0.0
    while ended:
        time, message = heapq.heappop(ended)
        received = max(received, time + far * cluster.latency) + message
    return received


def _share_rows(problem, cluster):
    bounds, shares = cut(problem.n, cluster.machines)
    return [rows_touched(bounds, share) for share in shares]


def _entry(problem, rates):
    """Seconds that one entry of K takes a core."""
    return 2 * problem.d / ((rates.float32 if problem.dtype == np.uint8 else rates.float64) * _SHARE) + rates.entry


def _pass(problem, rates):
    """Seconds that one entry of K takes a core, made and multiplied from both sides."""
    return _entry(problem, rates) + 4 * problem.outputs / (rates.float64 * _THIN)
