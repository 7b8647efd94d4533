"""One Cholesky factor over all processes of mpiexec: `mpiexec -n 4 kernelfit solve --engine mpi`.

Every process makes its blocks of the Gram matrix from the points. Its part of the work is in share and factor.
The leader solves as on one machine, with a Gram and a factor whose methods are announced to all (team).
"""

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Self

import numpy as np
import numpy.typing as npt

from kernelfit import backend
from kernelfit.backend.scalapack import open_scalapack
from kernelfit.common.errors import InputError
from kernelfit.common.progress import Progress
from kernelfit.common.stopwatch import Stopwatch
from kernelfit.common.validation import check_integer, check_number
from kernelfit.grams.base import Points
from kernelfit.grams.matrix import Gram
from kernelfit.solvers.cholesky import CholeskyFactor
from kernelfit.solvers.mixed import MixedFactor
from kernelfit.solvers.mpi.layout import BLOCK, Layout, grid_shape
from kernelfit.solvers.mpi.memory import choose_precision
from kernelfit.solvers.mpi.share import Share
from kernelfit.solvers.mpi.team import Shares, Team
from kernelfit.solvers.planning.plan import check_precision
from kernelfit.solvers.protocol import Factor, Solver, check_system, memory_explained
from kernelfit.solvers.regularity import check_pivots, require_regular


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mpi(Solver):
    """One Cholesky factor over all processes that mpiexec started.

    All of them open it; the first one goes on alone, and the others do what it announces:

        with kernelfit.Mpi().opened() as solver:
            if solver.is_root:
                fit = kernelfit.fit(X, Y, "gaussian", solver)

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
    outputs : int
        Right-hand sides to come, which memory is reckoned for.
    loo : bool
        Whether the inverse diagonal will be asked for, which takes a float64 factor.
    team : Team or None
        The processes, where the solver is open.
    """

    precision: str = "auto"
    memory: int | None = None
    grid: str | None = None
    block: int | None = None
    outputs: int = 10
    loo: bool = False
    team: Team | None = dataclasses.field(default=None, repr=False, compare=False)

    def __post_init__(self):
        check_precision(self.precision, self.loo)
        for name, least in (("memory", 0), ("block", 1), ("outputs", 0)):
            if (value := getattr(self, name)) is not None:
                check_integer(name, value, least)
        if not isinstance(self.grid, str | None):
            raise InputError(f"grid = {self.grid!r}; it is a text such as '2x4'")

    def __getstate__(self):
        return vars(self) | {"team": None}  # processes are not pickled

    @property
    def is_root(self) -> bool:
        return self.team is None or self.team.is_root

    @property
    def launcher(self) -> str:
        return f"mpiexec -n {self.team.size} " if self.team else ""

    @contextlib.contextmanager
    def opened(self) -> Iterator[Self]:
        team = Team(Share)
        try:
            grid_shape(team.size, self.grid)
            team.agree(open_scalapack)
            backend.limit_threads(team.cores())
            if team.is_root:
                yield from self._led(team)
            else:
                team.follow()
        finally:
            team.leave()
        if not team.is_root:
            yield dataclasses.replace(self, team=team)

    def _led(self, team):
        try:
            yield dataclasses.replace(self, team=team)
        except BaseException as error:
            team.stop(error)
            raise
        team.stop()

    @memory_explained()
    def factor(self, K: Gram, *, ridge: float = 0.0, progress: Progress | None = None) -> Factor:
        if self.team is None:
            raise InputError(
                "Mpi() solves with all processes of mpiexec: let each enter `with Mpi().opened() as solver:`, and the "
                "first alone, `if solver.is_root:`, go on"
            )
        ridge = check_system(K, ridge, elsewhere=True)
        progress, team, n = progress or Progress(), self.team, K.shape[0]
        shape = grid_shape(team.size, self.grid)
        layout = Layout(n, min(self.block or BLOCK, n), shape)
        shares = team.begin(layout=layout)
        try:
            return self._factor(K, shares, layout, ridge, progress)
        except BaseException:
            shares.end()
            raise

    def _factor(self, K, shares, layout, ridge, progress):
        team, n, shape = shares.team, layout.n, layout.grid
        asked = "float64" if self.loo else self.precision
        precision, reason = choose_precision(shares, K.points, layout, r=self.outputs, asked=asked, limit=self.memory)
        where = f"{team.size} process{'es' * (team.size > 1)} as {shape[0]} x {shape[1]}"
        what = "float64" if precision == "float64" else "float32 corrected to float64"
        method = f"block Cholesky in {what} over {where}"
        machine = shares.call("machine", dtype=np.dtype(np.float64 if precision == "float64" else np.float32))
        rate = sum(rate for *_, rate in machine) / 1e9
        progress.note(f"{method}, {n**3 / 3e12:.3g} TFLOP at {rate:.0f} GFLOP/s")
        report = {
            "engine": "mpi",
            "precision": precision,
            "reason": "leave-one-out needs it" if self.loo and self.precision == "auto" else reason,
            "grid": list(shape),
            "block": layout.block,
            "mpi": team.library,
            "hosts": [host for host, *_ in machine],
            "threads": [threads for _, threads, _ in machine],
            "shift": 0.0,
            "breakdowns": [],
            "steps": 0,
            "residuals": [],
            "fallback": None,
        }
        watch = Stopwatch()
        with watch("gram"):
            shared = TeamGram(K, shares)
        factor: Factor
        if precision == "float64":
            L = factorise(shared, ridge=ridge, panels=TeamMatrix(shares, np.float64), progress=progress)
            factor = TeamCholeskyFactor(shared, L, ridge=ridge, method=method, report=report)
        else:
            factor = TeamMixedFactor.of(
                shared,
                lambda shift: TeamMatrix(shares, np.float32),
                ridge=ridge,
                factorise=factorise,
                method=method,
                progress=progress,
            )
            factor.report = report | {name: factor.report[name] for name in ("shift", "breakdowns")}
        watch.add(factor.seconds)
        factor.seconds, factor.gemm_gflops = watch.seconds, rate
        factor.gflops = n**3 / 3 / factor.seconds["factor"] / 1e9
        return factor


class _OnTeam(Factor):
    """What a factor does with all processes beside its own work."""

    K: "TeamGram"

    def predict(
        self, K_test: Gram, coef: npt.NDArray[np.float64], *, progress: Progress | None = None
    ) -> npt.NDArray[np.float64]:
        if self.closed or not self.K.is_of(K_test):
            return super().predict(K_test, coef, progress=progress)
        return self.K.predict(K_test.left, coef, progress or Progress())

    def peak_memory(self) -> int:
        self.report["peaks"] = self.K.shares.call("peaks")
        return max(self.report["peaks"])

    def _release(self, error: BaseException | None) -> None:
        super()._release(error)
        self.K.shares.end()


class TeamCholeskyFactor(_OnTeam, CholeskyFactor):
    """A CholeskyFactor whose L is in all processes."""


class TeamMixedFactor(_OnTeam, MixedFactor):
    """A MixedFactor whose L is in all processes."""


class TeamGram(Gram):
    """K, of which every process makes its part; products are shared, blocks are made here."""

    def __init__(self, K: Gram, shares: Shares):
        super().__init__(K.points, K.kernel)
        self.shares = shares
        self.block((0, len(K.points)), (0, 1))  # looks at every point: here an unusable one is told by its own number
        shares.call("take_points", K.points, kernel=str(K.kernel), **self._kind())

    def __reduce__(self):
        return Gram, (self.points, self.kernel)

    def predict(self, points: Points, coef: npt.NDArray[np.float64], progress: Progress) -> npt.NDArray[np.float64]:
        """Return the kernel of other points with those of K, times coef: shape (m, r)."""
        self.points.require_same_kind(points)  # type: ignore[attr-defined]  # points with coordinates alone come here
        sizes = self._kind() | {"m": len(points), "r": coef.shape[1]}
        with progress.phase("predict", len(points)) as advance:
            return self.shares.call("predict", points, coef, advance, **sizes)

    def _product(self, V, progress, with_sums):
        with (progress or Progress()).phase("kernel product", 1.0) as advance:
            return self.shares.call("product", V, advance, r=V.shape[1], with_sums=with_sums)

    def _kind(self):
        points = self.points
        return {"d": points.d, "dtype": points.values.dtype, "unit": points.unit}


class TeamMatrix:
    """The memory of a matrix and of its factor, in all processes; see kernelfit.solvers.panels for the interface."""

    def __init__(self, shares: Shares, dtype: npt.DTypeLike):
        self.shares, self.dtype = shares, np.dtype(dtype)

    def finish(self) -> None:
        if self.shares.team.is_open:
            self.shares.call("drop_factor")

    abandon = finish


@dataclasses.dataclass(frozen=True)
class TeamFactor:
    """L with L L^T = K + (ridge + shift) I, in all processes; see kernelfit.solvers.panel_cholesky.PanelFactor.

    Attributes
    ----------
    panels : TeamMatrix
    roots : array, shape (n,)
        Diagonal of L.
    """

    panels: TeamMatrix
    roots: npt.NDArray
    ridge: float
    shift: float
    seconds: dict[str, float]
    inverse_norm: float | None = None

    @property
    def n(self) -> int:
        return len(self.roots)

    def half_solve(self, Y: npt.NDArray) -> npt.NDArray:
        """Return L^-1 Y, shape (n, r)."""
        return self._half(Y, transpose=False)

    def half_solve_transposed(self, Z: npt.NDArray) -> npt.NDArray:
        """Return L^-T Z, shape (n, r)."""
        return self._half(Z, transpose=True)

    def solve(self, Y: npt.NDArray) -> npt.NDArray:
        """Return (L L^T)^-1 Y, shape (n, r)."""
        return self.half_solve_transposed(self.half_solve(Y))

    def pivots(self) -> npt.NDArray[np.float64]:
        """Return the squared diagonal of L, float64 of shape (n,)."""
        return self.roots.astype(np.float64) ** 2

    def release(self, go_on: bool = False) -> None:
        """Free the matrix in all processes."""
        self.panels.finish()

    def _half(self, Y, *, transpose):
        return self.panels.shares.call("half_solve", Y, r=Y.shape[1], transpose=transpose)


def factorise(
    shared: TeamGram, *, ridge: float, shift: float = 0.0, panels: TeamMatrix, progress: Progress
) -> TeamFactor:
    """Factor K + (ridge + shift) I = L L^T in all processes; see kernelfit.solvers.panel_cholesky.cholesky."""
    check_number("ridge", ridge)
    shares, n, watch = shared.shares, shared.shape[0], Stopwatch()
    with watch("gram"), progress.phase("kernel matrix", 1.0) as advance:
        shares.call("make_matrix", advance, dtype=panels.dtype, added=ridge + shift)
        diagonal = shares.call("diagonal")
    with watch("factor"), progress.phase("factor", n**3 / 6) as advance:
        failed = shares.call("factorise", advance)
    roots = shares.call("diagonal")
    check_pivots(shared, ridge, 0, roots, diagonal, failed)
    factor, found = TeamFactor(panels, roots, float(ridge), float(shift), watch.seconds), None
    with watch("condition"):
        if panels.dtype == np.float64:
            found = require_regular(shared, factor, np.sqrt(diagonal), np.square(roots))
    return dataclasses.replace(factor, inverse_norm=found)
