"""`kernelfit plan --machines 16 ...`: what every engine would take on machines that are not here."""

import dataclasses

from kernelfit import backend
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


def run_cluster_plan(spec):
    """Return the ClusterPlan of a PlanSpec for several machines, whose rates are given, or those of a core here."""
    if spec.tflops:
        core = Rates(*(rate * 1e12 / spec.cores for rate in spec.tflops), entry=1.2e-9)
    else:
        rates, share = calibrated(backend.CPU, None, False), 1 / backend.num_threads()
        core = dataclasses.replace(
            rates, float64=rates.float64 * share, float32=rates.float32 * share, entry=rates.entry / share
        )
    problem, cluster = spec.problem(), Cluster(spec.machines, spec.cores, spec.memory, spec.network, core)
    direct, matrix_free = forecast_mpi(problem, cluster), forecast_dask(problem, cluster)
    ways = direct + matrix_free
    simulated = {f"factor, {way.precision}": simulate_mpi(problem, cluster, precision=way.precision) for way in direct}
    simulated["product"] = simulate_dask(problem, cluster)
    fitting = [way for way in ways if way.fits]
    return ClusterPlan(problem, cluster, ways, simulated, min(fitting, key=lambda way: way.total, default=None))
