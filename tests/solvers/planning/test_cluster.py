"""Plans for several machines: the closed form against the simulation and against counting, and the command."""

import json

import numpy as np
import pytest

from kernelfit import cli
from kernelfit.common.errors import InputError
from kernelfit.common.quantities import parse_network_speed
from kernelfit.solvers.mpi.layout import Layout
from kernelfit.solvers.planning import cluster as module
from kernelfit.solvers.planning.cluster import Cluster, forecast_mpi, panel_bytes, simulate_mpi
from kernelfit.solvers.planning.problem import Problem
from kernelfit.solvers.planning.rates import Rates

RATES = Rates(float64=4e10, float32=8e10, entry=1e-9)


def cluster(machines=16, cores=24, **options):
    return Cluster(machines, cores, 256 * 10**9, 1.25e9, RATES, **options)


@pytest.mark.parametrize(("n", "machines"), [(10**6, 1), (10**6, 16), (4 * 10**6, 16), (200_000, 4)])
def test_the_closed_form_is_what_the_simulation_of_every_step_says(n, machines):
    """They differ by what processes wait for each other: a few per cent where there are many blocks for each."""
    problem = Problem(n, 10_000, 784, 10)
    for way in forecast_mpi(problem, cluster(machines)):
        simulated = simulate_mpi(problem, cluster(machines), precision=way.precision)
        assert 0.97 < simulated / (way.seconds["factor"] + way.seconds["network"]) < 1.1


def test_small_problems_on_many_machines_wait_more_than_the_closed_form_knows():
    problem = Problem(10_000, 100, 784, 10)
    way = forecast_mpi(problem, cluster())[0]
    assert simulate_mpi(problem, cluster()) > 1.2 * (way.seconds["factor"] + way.seconds["network"])


def test_one_process_takes_the_operations_at_the_rate():
    problem = Problem(38_400, 100, 784, 10)
    alone = simulate_mpi(problem, cluster(1, 1))
    ideal = 38_400**3 / 3 / (RATES.float64 * module._SHARE)
    assert ideal < alone < 1.03 * ideal
    assert forecast_mpi(problem, cluster(1, 1))[0].traffic == 0


@pytest.mark.parametrize(("n", "block", "count"), [(100, 7, 3), (50, 10, 4), (9, 10, 2)])
def test_what_is_left_of_every_row_of_the_grid(n, block, count):
    layout = Layout(n, block, (count, 1))
    for J in range(-(-n // block)):
        expected = [int((layout.row_indices(k) >= min(n, (J + 1) * block)).sum()) for k in range(count)]
        assert module._left(n, block, J, count).tolist() == expected


@pytest.mark.parametrize(("machines", "cores", "grid"), [(4, 4, (4, 4)), (3, 8, (6, 4)), (2, 1, (2, 1))])
def test_traffic_is_what_counting_rows_and_columns_gives(machines, cores, grid):
    n, block, places = 1000, 10, cluster(machines, cores)
    layout = Layout(n, block, grid)
    mine = range(cores * (machines // 2), cores * (machines // 2 + 1))
    along = down = 0
    for start in range(0, n, block):
        left = {k: layout.row_indices(k)[layout.row_indices(k) >= start + block] for k in mine}
        # The rows of the grid that this machine has a part of get their rows of the panel, once for the machine.
        along += block * sum(len(rows) for rows in {k // grid[1]: rows for k, rows in left.items()}.values())
        for k in mine:
            columns = layout.column_indices(k)
            down += block * int((~np.isin(columns[columns >= start + block], left[k])).sum())
    found = panel_bytes(places, layout, 8)
    assert found[0] == pytest.approx(8 * along * (grid[1] > 1), rel=0.05)
    assert found[1] == pytest.approx(8 * down, rel=0.05)


def test_memory_falls_with_machines_and_with_precision():
    problem = Problem(10**6, 10_000, 784, 10)
    ways = {count: forecast_mpi(problem, cluster(count)) for count in (16, 64)}
    double, single = ways[64]
    assert 4e12 / 64 < double.memory < 1.3 * 4e12 / 64 + 2e10 and 2e12 / 64 < single.memory < 2e12 / 64 + 3e10
    assert double.fits and single.fits and not ways[16][0].fits


def test_the_command_plans_for_machines_that_are_not_here(capsys):
    options = ["plan", "--n", "1000000", "--machines", "64", "--cores", "24", "--network", "10Gbit"]
    options += ["--tflops", "1", "2", "--memory", "256GB"]
    assert cli.main([*options, "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert [way["chosen"] for way in made["ways"]] == [False, True, False] and made["simulated"]["factor, float64"] > 0
    assert cli.main(options) == 0
    output = capsys.readouterr().out
    assert "64 machines of 24 cores" in output and "Computed, not measured" in output and "chosen" in output
    assert cli.main(options[:5]) == 2
    assert "needs --cores, --memory, --network too" in capsys.readouterr().err


def test_speeds_of_networks():
    texts = ("10Gbit", "100 Mbit", "1.25GB", "8bit")
    assert [parse_network_speed(text) for text in texts] == [1.25e9, 1.25e7, 1.25e9, 1]
    for wrong in ("fast", "10Gbits", "Gbit"):
        with pytest.raises(InputError, match="no speed of a network"):
            parse_network_speed(wrong)
