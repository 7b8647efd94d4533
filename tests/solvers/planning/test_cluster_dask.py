"""The forecast of conjugate gradients over several machines, against sums that are done by hand."""

import dataclasses
import itertools

import numpy as np
import pytest

from kernelfit.solvers.planning.cluster import Cluster
from kernelfit.solvers.planning.cluster_dask import expected_steps, forecast_dask, simulate_dask
from kernelfit.solvers.planning.problem import Problem
from kernelfit.solvers.planning.rates import Rates

RATES = Rates(float64=3e10, float32=6e10, entry=1e-9)


def problem(n=10**6):
    return Problem(n, 10_000, 784, 10, np.uint8)


def cluster(machines=16, **changes):
    options = {"cores": 24, "memory": 256 * 10**9, "bandwidth": 1.25e9, "rates": RATES}
    return Cluster(machines, **options | changes)


def test_one_machine_has_no_network_and_its_product_is_all_entries_of_half_the_matrix():
    [way] = forecast_dask(problem(), cluster(1))
    assert way.seconds["network"] == 0 and way.traffic == 0
    n = 10**6
    arithmetic = n * n / 2 * (2 * 784 / 6e10 + 1e-9) / 24
    assert arithmetic <= simulate_dask(problem(), cluster(1)) <= 1.6 * arithmetic


@pytest.mark.parametrize("n", [10**6, 10**7])
def test_the_simulation_and_the_sum_agree(n):
    """They differ by what waits: shares are not all equal, and a link carries one after the other."""
    free = cluster(bandwidth=1e15, latency=0.0, memory=9000 * n)  # just enough for the points
    [way] = forecast_dask(problem(n), free)
    work = way.seconds["products"] / (expected_steps(n, 784, 0) + 1)
    assert 0.97 * work <= simulate_dask(problem(n), free) <= 1.2 * work
    assert simulate_dask(problem(n), free) < simulate_dask(problem(n), cluster())


def test_machines_share_the_work():
    seconds = [simulate_dask(problem(), cluster(machines)) for machines in (1, 2, 4, 8, 16)]
    for one, two in itertools.pairwise(seconds):
        assert 1.7 <= one / two <= 2.1


def test_a_slow_network_takes_over():
    fast, slow = (simulate_dask(problem(10**5), cluster(bandwidth=bandwidth)) for bandwidth in (1e10, 1e7))
    assert slow > fast + 8 * (10**5 * 10 * 8) / 1e7  # half a vector for each worker is the least


def test_traffic_is_at_most_three_vectors_per_worker_and_product():
    [way] = forecast_dask(problem(), cluster())
    steps = expected_steps(10**6, 784, 10**6)
    assert way.traffic / 16 / (8 * 10**6 * 10) <= 1.5 * (2 * steps + 1)


def test_memory_decides_the_rank_and_the_rank_the_steps():
    ways = [forecast_dask(problem(), cluster(memory=memory))[0] for memory in (2 * 10**10, 5 * 10**10, 10**12)]
    assert ways[0].total > ways[1].total > ways[2].total
    assert all(way.fits for way in ways)
    assert not forecast_dask(problem(), cluster(memory=10**9))[0].fits
    assert expected_steps(10**6, 784, 10_000) < expected_steps(10**6, 784, 100) < expected_steps(10**6, 784, 1)


def test_floating_point_points_are_larger_and_slower():
    floats = dataclasses.replace(problem(), dtype=np.float64)
    assert simulate_dask(floats, cluster()) > 1.3 * simulate_dask(problem(), cluster())


def test_memory_for_inner_products_saves_most_of_the_time():
    little, much = (forecast_dask(problem(), cluster(64, memory=memory))[0] for memory in (9 * 10**9, 256 * 10**9))
    assert ", 0 % of the inner products kept" in little.what and "100 % of the inner products kept" in much.what
    assert much.seconds["products"] / expected_steps(10**6, 784, 10**9) < 0.5 * simulate_dask(problem(), cluster(64))
