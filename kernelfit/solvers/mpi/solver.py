"""One Cholesky factor over all processes of mpiexec: `mpiexec -n 4 kernelfit solve --engine mpi`.

Every process makes its blocks of the Gram matrix from the points. Its part of the work is in share and factor.
The leader solves as on one machine, with a Gram and a factor whose methods are announced to all (team).
"""

import dataclasses

import numpy as np

from kernelfit import backend
from kernelfit.backend.scalapack import open_scalapack
from kernelfit.common.progress import Progress
from kernelfit.common.stopwatch import Stopwatch
from kernelfit.gram.matrix import Gram
from kernelfit.solvers.engine import Answer, Engine
from kernelfit.solvers.measures import Check, check_solution, condition_estimate
from kernelfit.solvers.mixed import solve_mixed
from kernelfit.solvers.mpi.layout import BLOCK, Layout, grid_shape
from kernelfit.solvers.mpi.memory import choose_precision
from kernelfit.solvers.mpi.share import Share
from kernelfit.solvers.mpi.team import Team
from kernelfit.solvers.panel_cholesky import check_pivots
from kernelfit.solvers.regularity import require_regular


class MpiEngine(Engine):
    """All processes that mpiexec started.

    Parameters
    ----------
    precision : str
        "float64"; "mixed", float32 corrected in float64; or "auto": float64 if it fits, else mixed.
    memory : int, optional
        Bytes that the processes of one host use at most, together.
    grid : str, optional
        As in "2x2"; near a square unless given.
    block : int, optional
        Rows and columns of a block.
    """

    def __init__(self, *, precision="auto", memory=None, grid=None, block=None):
        self.precision, self.memory, self.grid, self.block = precision, memory, grid, block or BLOCK

    def __enter__(self):
        self.team = Team(Share)
        self.is_root, self.launcher = self.team.is_root, f"mpiexec -n {self.team.size} "
        self.shape = grid_shape(self.team.size, self.grid)
        self.team.agree(open_scalapack)
        backend.limit_threads(self.team.cores())
        if not self.is_root:
            self.team.follow()
        return self

    def __exit__(self, kind, error, traceback):
        if self.is_root:
            self.team.stop(error)

    def solve(self, K, K_test, Y, *, ridge, progress=None):
        progress, team, (n, r) = progress or Progress(), self.team, Y.shape
        layout = Layout(n, min(self.block, n), self.shape)
        team.begin(layout=layout)
        precision, reason = choose_precision(team, K.points, layout, r=r, asked=self.precision, limit=self.memory)
        where = f"{team.size} process{'es' * (team.size > 1)} as {self.shape[0]} x {self.shape[1]}"
        what = "float64" if precision == "float64" else "float32 corrected to float64"
        method = f"block Cholesky in {what} over {where}"
        machine = team.call("machine", dtype=np.dtype(np.float64 if precision == "float64" else np.float32))
        rate = sum(rate for *_, rate in machine) / 1e9
        progress.note(f"{method}, {n**3 / 3e12:.3g} TFLOP at {rate:.0f} GFLOP/s")

        watch = Stopwatch()
        with watch("gram"):
            shared = TeamGram(K, team)
        solved = (_float64 if precision == "float64" else _mixed)(shared, Y, ridge, progress)
        with watch("predict"):
            scores = shared.predict(K_test.left, solved.coef, progress)
        peaks = team.call("peaks")
        seconds = dict(solved.seconds)
        for name, value in watch.seconds.items():
            seconds[name] = seconds.get(name, 0.0) + value
        return Answer(
            coef=solved.coef,
            check=solved.check,
            energy=solved.energy,
            scores=scores,
            condition_estimate=solved.condition_estimate,
            smallest_pivot=solved.factor.smallest_pivot(),
            ridge=solved.factor.ridge,
            method=method,
            precision=precision,
            report=solved.report
            | {
                "engine": "mpi",
                "precision": precision,
                "reason": reason,
                "grid": list(self.shape),
                "block": layout.block,
                "mpi": team.library,
                "hosts": [host for host, *_ in machine],
                "threads": [threads for _, threads, _ in machine],
                "peaks": peaks,
                "shift": solved.factor.shift,
                "fallback": None,
            },
            seconds=seconds,
            gflops=n**3 / 3 / seconds["factor"] / 1e9,
            gemm_gflops=rate,
            peak_bytes=max(peaks),
        )


@dataclasses.dataclass(frozen=True)
class _Solved:
    coef: np.ndarray
    check: Check
    energy: tuple
    condition_estimate: float
    factor: object
    report: dict
    seconds: dict


def _float64(shared, Y, ridge, progress):
    watch = Stopwatch()
    factor = factorise(shared, ridge=ridge, panels=TeamMatrix(shared.team, np.float64), progress=progress)
    watch.add(factor.seconds)
    with watch("solve"):
        half = factor.half_solve(Y)
        coef = factor.half_solve_transposed(half)
    with watch("check"):
        check = check_solution(shared, Y, coef, ridge=ridge, progress=progress)
    with watch("condition"):
        condition = condition_estimate(factor, check.norm_1)
    report = {"breakdowns": [], "steps": 0, "residuals": []}
    return _Solved(coef, check, (half, half), condition, factor, report, watch.seconds)


def _mixed(shared, Y, ridge, progress):
    done = solve_mixed(
        shared,
        Y,
        lambda shift: TeamMatrix(shared.team, np.float32),
        ridge=ridge,
        factorise=factorise,
        progress=progress,
    )
    report = {"breakdowns": done.breakdowns, "steps": len(done.residuals), "residuals": done.residuals}
    return _Solved(done.coef, done.check, (Y, done.coef), done.condition_estimate, done.factor, report, done.seconds)


class TeamGram(Gram):
    """K, of which every process makes its part; products are shared, blocks are made here."""

    def __init__(self, K, team):
        self.K, self.team, self.points, self.shape, self.symmetric = K, team, K.points, K.shape, True
        K.block((0, len(K.points)), (0, 1))  # looks at every point: here an unusable one is told by its own number
        team.call("take_points", K.points, kernel=str(K.kernel), **self._kind())

    def block(self, rows, columns, out=None):
        return self.K.block(rows, columns, out)

    def duplicate_of(self, row):
        return self.K.duplicate_of(row)

    def predict(self, points, coef, progress):
        """Return the kernel of other points with those of K, times coef: shape (m, r)."""
        sizes = self._kind() | {"m": len(points), "r": coef.shape[1]}
        with progress.phase("predict", len(points)) as advance:
            return self.team.call("predict", points, coef, advance, **sizes)

    def _product(self, V, progress, with_sums):
        with (progress or Progress()).phase("kernel product", 1.0) as advance:
            return self.team.call("product", V, advance, r=V.shape[1], with_sums=with_sums)

    def _kind(self):
        points = self.points
        return {"d": points.d, "dtype": points.values.dtype, "unit": points.unit}


class TeamMatrix:
    """The memory of a matrix and of its factor, in all processes; see kernelfit.solvers.panels for the interface."""

    def __init__(self, team, dtype):
        self.team, self.dtype = team, np.dtype(dtype)

    def finish(self):
        self.team.call("drop_factor")

    abandon = finish


@dataclasses.dataclass(frozen=True)
class TeamFactor:
    """L with L L^T = K + (ridge + shift) I, in all processes; see kernelfit.solvers.panel_cholesky.CholeskyFactor.

    Attributes
    ----------
    panels : TeamMatrix
    roots : array, shape (n,)
        Diagonal of L.
    """

    panels: TeamMatrix
    roots: np.ndarray
    ridge: float
    shift: float
    seconds: dict
    inverse_norm: float | None = None

    @property
    def n(self):
        return len(self.roots)

    def half_solve(self, Y):
        """Return L^-1 Y, shape (n, r)."""
        return self._half(Y, transpose=False)

    def half_solve_transposed(self, Z):
        """Return L^-T Z, shape (n, r)."""
        return self._half(Z, transpose=True)

    def solve(self, Y):
        """Return (L L^T)^-1 Y, shape (n, r)."""
        return self.half_solve_transposed(self.half_solve(Y))

    def smallest_pivot(self):
        """Return the smallest squared diagonal entry of L."""
        return float((self.roots.astype(np.float64) ** 2).min())

    def _half(self, Y, *, transpose):
        return self.panels.team.call("half_solve", Y, r=Y.shape[1], transpose=transpose)


def factorise(shared, *, ridge, shift=0.0, panels, progress):
    """Factor K + (ridge + shift) I = L L^T in all processes; see kernelfit.solvers.panel_cholesky.cholesky."""
    team, n, watch = shared.team, shared.shape[0], Stopwatch()
    with watch("gram"), progress.phase("kernel matrix", 1.0) as advance:
        team.call("make_matrix", advance, dtype=panels.dtype, added=ridge + shift)
        diagonal = team.call("diagonal")
    with watch("factor"), progress.phase("factor", n**3 / 6) as advance:
        failed = team.call("factorise", advance)
    roots = team.call("diagonal")
    check_pivots(shared, ridge, 0, roots, diagonal, failed)
    factor, found = TeamFactor(panels, roots, float(ridge), float(shift), watch.seconds), None
    with watch("condition"):
        if panels.dtype == np.float64:
            found = require_regular(shared, factor, np.sqrt(diagonal), np.square(roots))
    return dataclasses.replace(factor, inverse_norm=found)
