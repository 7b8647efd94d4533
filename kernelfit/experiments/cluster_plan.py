"""`kernelfit plan --machines 16 ...`: what every engine would take on machines that are not here."""

import dataclasses

import numpy as np

from kernelfit import backend
from kernelfit.common.errors import InputError
from kernelfit.common.validation import check_positive
from kernelfit.experiments.plan import calibrated
from kernelfit.solvers.planning.cluster import Cluster, Forecast, forecast_mpi, simulate_mpi
from kernelfit.solvers.planning.cluster_dask import forecast_dask, simulate_dask
from kernelfit.solvers.planning.problem import Problem
from kernelfit.solvers.planning.rates import Rates


@dataclasses.dataclass(frozen=True)
class ClusterPlan:
    """All ways to solve a Problem over a Cluster.

    Attributes
    ----------
    problem : Problem
    cluster : Cluster
    ways : list of Forecast
    simulated : dict
        Seconds with their network, from simulations: of the factor over MPI by precision, of one product over Dask.
    chosen : Forecast or None
        The quickest that fits.
    """

    problem: Problem
    cluster: Cluster
    ways: list
    simulated: dict
    chosen: Forecast | None

    def to_dict(self):
        """Return the plan as a JSON-ready dict."""
        ways = [dataclasses.asdict(way) | {"total": way.total, "chosen": way is self.chosen} for way in self.ways]
        return {"n": self.problem.n, "simulated": self.simulated, "ways": ways}


def run_cluster_plan(*, n, n_test, d, outputs, machines, cores, memory, bandwidth, tflops=None):
    """Return the ClusterPlan of n pixel images of d coordinates.

    Parameters
    ----------
    memory : int
        Bytes of each machine.
    bandwidth : float
        Bytes per second into each machine.
    tflops : (float, float), optional
        Matrix-product rates of one machine in float64 and float32, in 10^12 operations per second; unless given, that
        of a core of this machine for each core.
    """
    asked = {"n": n, "machines": machines, "cores": cores, "memory": memory, "network": bandwidth}
    if missing := [f"`{name}`" for name, value in asked.items() if value is None]:
        raise InputError(f"a plan for several machines needs {', '.join(missing)} too")
    for name, value in (asked | {"n_test": n_test, "d": d, "outputs": outputs}).items():
        check_positive(name, value)
    if tflops is None:
        rates, share = calibrated(backend.CPU, None, False), 1 / backend.num_threads()
        core = dataclasses.replace(
            rates, float64=rates.float64 * share, float32=rates.float32 * share, entry=rates.entry / share
        )
    else:
        core = Rates(float64=tflops[0] * 1e12 / cores, float32=tflops[1] * 1e12 / cores, entry=1.2e-9)
    problem, cluster = Problem(n, n_test, d, outputs, np.uint8), Cluster(machines, cores, memory, bandwidth, core)
    direct, matrix_free = forecast_mpi(problem, cluster), forecast_dask(problem, cluster)
    ways = direct + matrix_free
    simulated = {f"factor, {way.precision}": simulate_mpi(problem, cluster, precision=way.precision) for way in direct}
    simulated["product"] = simulate_dask(problem, cluster)
    fitting = [way for way in ways if way.fits]
    return ClusterPlan(problem, cluster, ways, simulated, min(fitting, key=lambda way: way.total, default=None))
