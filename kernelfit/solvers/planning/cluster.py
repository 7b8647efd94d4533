"""What a solve over several machines would take: memory, traffic and time, from constants that one machine measures.

Nothing here was measured on a cluster. The closed form adds up what every process computes and what every machine
receives; the simulation follows each process through each block column, so that waiting and uneven shares count.
"""

import dataclasses
import math

import numpy as np

from kernelfit.solvers.mpi.layout import BLOCK, Layout, grid_shape
from kernelfit.solvers.mpi.memory import bytes_needed
from kernelfit.solvers.planning.plan import PRECISIONS
from kernelfit.solvers.planning.problem import Problem
from kernelfit.solvers.planning.rates import Rates

_SHARE = 0.85  # of the matrix-product rate, that the products of a factorisation reach; benchmarks/results/mpi.md
_SMALL = 0.5  # and the triangular solve of a panel, whose blocks are small
_BROADCAST = 2.0  # of a long message: it is cut up, and the pieces are passed round (van de Geijn's algorithm in MPICH)


@dataclasses.dataclass(frozen=True)
class Cluster:
    """Machines of one kind on one network, a process of one thread for each core.

    Attributes
    ----------
    machines, cores : int
        Machines, and cores of each.
    memory : int
        Bytes of each machine that may be used.
    bandwidth, latency : float
        Bytes per second that a machine receives, and seconds that a message takes at least.
    rates : Rates
        Of one core while the others of its machine work too.
    """

    machines: int
    cores: int
    memory: int
    bandwidth: float
    rates: Rates
    latency: float = 5e-5

    @property
    def processes(self) -> int:
        return self.machines * self.cores


@dataclasses.dataclass(frozen=True)
class Forecast:
    """One way to solve over a Cluster.

    Attributes
    ----------
    engine, precision : str
    memory : int
        Bytes needed of the machine that needs most.
    fits : bool
    traffic : float
        Bytes that a machine receives in all.
    seconds : dict
        By phase: what it computes, and "network".
    what : str
        For people: the shape of the work.
    """

    engine: str
    precision: str
    memory: int
    fits: bool
    traffic: float
    seconds: dict[str, float]
    what: str

    @property
    def total(self) -> float:
        """Seconds of the whole solve."""
        return sum(self.seconds.values())


def forecast_mpi(problem: Problem, cluster: Cluster, *, block: int = BLOCK, steps: int = 5) -> list[Forecast]:
    """Return the Forecasts of the engine over MPI, in float64 and mixed precision.

    With P processes on a grid of R x C, b the block, g the rate of matrix products, e the seconds per entry:

        factor:  n^3 / (3 P g share) + n^2 b / (2 R) / (g small) + n b^2 / (3 g small)
        entries: n^2 / (2 P) e for the factor, and as much for each product with K: 1 in float64, 1 + steps in mixed
        solves:  2 n^2 r / (P g64) for each, and as much for each product
        network: the bytes of panel_bytes, of points (n d) and of right-hand sides (n r), over the bandwidth, and the
                 latency of n / b panels of about 3 log2(P) messages each

    The second term of the factor is the solve on the panels, which one column of the grid does while the rest waits;
    the third the diagonal blocks, one after the other.

    Parameters
    ----------
    problem : kernelfit.solvers.planning.plan.Problem
    cluster : Cluster
    steps : int
        Corrections in mixed precision.
    """
    layout = Layout(problem.n, min(block, problem.n), grid_shape(cluster.processes))
    return [_forecast_mpi(problem, cluster, layout, precision, steps) for precision in PRECISIONS]


def _forecast_mpi(problem, cluster, layout, precision, steps):
    n, r, P, b = problem.n, problem.outputs, cluster.processes, layout.block
    size = 8 if precision == "float64" else 4
    rate, products = cluster.rates.gemm(precision), 2 if precision == "float64" else 1 + steps
    solves = products - 1
    exact = problem.dtype == np.uint8
    entry = cluster.rates.entry + 2 * problem.d / (cluster.rates.float32 if exact else cluster.rates.float64)
    along, down = panel_bytes(cluster, layout, size)
    messages = n / b * 3 * max(1.0, math.log2(P))
    points = (n + problem.n_test) * problem.d * (4 if exact else 8)
    vectors = (solves + products) * 2 * 8 * n * r
    far = cluster.machines > 1
    seconds = {
        "entries": products * n * n / (2 * P) * entry + n * problem.n_test / P * entry,
        "factor": n**3 / (3 * P * rate * _SHARE)
        + n * n * b / (2 * layout.grid_rows * rate * _SMALL)
        + n * b * b / (3 * rate * _SMALL),
        "solve": (solves + products) * 2 * n * n * r / (P * cluster.rates.float64),
        "network": far * (_BROADCAST * along + down + points + vectors) / cluster.bandwidth
        + far * messages * cluster.latency,
    }
    coordinate = 4 if exact else 8
    need = bytes_needed(layout, 0, size=size, d=problem.d, coordinate=coordinate, r=r)
    need += (cluster.cores - 1) * bytes_needed(layout, 1 % P, size=size, d=problem.d, coordinate=coordinate, r=r)
    need += 2 * coordinate * n * problem.d  # the data of the leader, as they are and as points
    what = f"{P} processes as {layout.grid_rows} x {layout.grid_columns}, blocks of {b}"
    traffic = far * (along + down + points + vectors)
    return Forecast("mpi", precision, int(need), need <= cluster.memory, float(traffic), seconds, what)


def panel_bytes(cluster: Cluster, layout: Layout, size: int) -> tuple[float, float]:
    """Return the bytes of panels that a machine receives, along its rows and down its columns, in a factorisation.

    A panel of which l rows are left has l b entries; over all panels that adds up to n^2 / 2. A machine that holds
    processes of h rows of the grid gets h / R of each panel along them, once for all its processes (broadcasts within a
    machine go through its memory). Each of its processes gets l / C rows of it down its column, less the 1 / R that it
    has.
    """
    (R, C), half = layout.grid, size * layout.n**2 / 2
    return half * _rows_touched(cluster, C) / R * (C > 1), half * cluster.cores / C * (1 - 1 / R)


def simulate_mpi(problem: Problem, cluster: Cluster, *, precision: str = "float64", block: int = BLOCK) -> float:
    """Return the seconds of a factorisation in which every process is followed through every block column.

    A process begins what it can when it has ended what it did, and when what it needs is there: the solve on the panel
    after the diagonal block has come down its column; the subtraction after the panel has come along its row, and all
    of its column have exchanged theirs. Nothing is computed ahead. Shares are those of the layout, even or not.
    """
    n, layout = problem.n, Layout(problem.n, min(block, problem.n), grid_shape(cluster.processes))
    (R, C), b, rate = layout.grid, layout.block, cluster.rates.gemm(precision)
    size, steps = (8 if precision == "float64" else 4), -(-n // layout.block)
    h = _rows_touched(cluster, C)

    def message(group, count):
        """Seconds until `count` bytes for each machine have come to all processes of a group of this size."""
        if cluster.machines == 1 or group == 1:
            return 0.0 * count
        return math.log2(group) * cluster.latency + count / cluster.bandwidth

    clock = np.zeros((R, C))
    for J in range(steps):
        home = J % C
        rows, columns = _left(n, b, J, R), _left(n, b, J, C)
        column = max(clock[:, home].max(), clock[J % R, home] + b**3 / 3 / (rate * _SMALL))
        column = column + message(R, size * b * b) + rows * b * b / (rate * _SMALL)
        clock[:, home] = column
        along = column + message(C, _BROADCAST * size * h * rows * b)
        clock = np.maximum(clock, along[:, None])
        down = clock.max(axis=0) + message(R, size * cluster.cores * columns * b * (1 - 1 / R))
        clock = down[None] + rows[:, None] * columns[None] * b / (rate * _SHARE)
    return float(clock.max())


def _rows_touched(cluster, C):
    """Return the rows of the grid, C processes each, that a machine in the middle has processes of."""
    first = cluster.cores * (cluster.machines // 2)
    return (first + cluster.cores - 1) // C - first // C + 1


def _left(n, b, J, count):
    """Return how many indices after block J each of `count` rows (or columns) of the grid holds."""
    blocks = np.arange(count)
    total = -(-n // b)
    later = np.maximum(0, (total - 1 - blocks) // count - (J - blocks) // count)  # blocks I > J with I = its number
    rest = later * float(b)
    rest[(total - 1) % count] -= (total * b - n) * (later[(total - 1) % count] > 0)
    return rest
