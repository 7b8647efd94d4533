"""Exact solving by a Cholesky factor of half the matrix, in float64 or in float32 with corrections in float64."""

import dataclasses
import functools
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kernelfit import backend
from kernelfit.common.errors import InputError
from kernelfit.common.progress import Progress
from kernelfit.common.validation import check_integer, check_path
from kernelfit.grams.matrix import Gram
from kernelfit.solvers.mixed import MixedFactor
from kernelfit.solvers.out_of_core import HostStore, OutOfCorePanels
from kernelfit.solvers.panel_cholesky import cholesky
from kernelfit.solvers.panels import MemoryPanels, panel_width
from kernelfit.solvers.protocol import Factor, Solver, Triangular, check_system, goes_on, memory_explained
from kernelfit.solvers.regularity import condition_estimate
from kernelfit.solvers.scratch import Scratch, unfinished

PRECISIONS = ("float64", "mixed")
STORAGES = ("memory", "host", "disk")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cholesky(Solver):
    """A panel Cholesky factor; see kernelfit.solvers.panel_cholesky.

    Parameters
    ----------
    precision : str
        "float64", or "mixed": a float32 factor in half the memory, whose solutions are corrected to float64 accuracy.
    storage : str
        Where the factor lies: "memory" of the device, "host" memory beside a GPU, or "disk": in the folder `scratch`.
    device : str or device
    width : int, optional
        Columns per panel; what suits the device unless given.
    cached : bool
        Whether a mixed factor keeps all inner products in memory, so that corrections need not make them again.
    halves : bool
        Whether a mixed factor in memory is multiplied as products of float16 halves, for the tensor cores of a GPU.
    scratch : path, optional
        Folder for panels on disk.
    resume : bool
        Go on with an unfinished factor of the same matrix there.

    Examples
    --------
    >>> import numpy as np
    >>> from kernelfit.grams.matrix import gram
    >>> from kernelfit.kernels import Gaussian
    >>> X = np.linspace(0, 1, 8)[:, None]
    >>> K, Y = gram(X, Gaussian(bandwidth=0.2)), np.sin(6 * X)
    >>> with Cholesky().factor(K) as factor:
    ...     solution = factor.solve(Y)
    >>> bool(np.allclose(K.product(solution.coef), Y)), solution.relative_residual < 1e-10
    (True, True)
    """

    precision: str = "float64"
    storage: str = "memory"
    device: backend.Device | str = "cpu"
    width: int | None = None
    cached: bool = False
    halves: bool = False
    scratch: str | Path | None = None
    resume: bool = False

    def __post_init__(self):
        if self.precision not in PRECISIONS:
            raise InputError(f"precision {self.precision!r}; known are {', '.join(PRECISIONS)}")
        if self.storage not in STORAGES:
            raise InputError(f"storage {self.storage!r}; known are {', '.join(STORAGES)}")
        if self.width is not None:
            check_integer("width", self.width)
        check_path("scratch", self.scratch)
        if self.halves and (self.precision, self.storage) != ("mixed", "memory"):
            raise InputError(
                f"`halves` are for a mixed factor in memory; this one is {self.precision}, storage {self.storage!r}"
            )

    @memory_explained()
    def factor(self, K: Gram, *, ridge: float = 0.0, progress: Progress | None = None) -> Factor:
        progress, ridge = progress or Progress(), check_system(K, ridge)
        if self.storage == "disk" and self.scratch is None:
            raise InputError('`storage="disk"` needs a folder: give `scratch`')
        made = self._float64 if self.precision == "float64" else self._mixed
        return made(K, ridge, progress)

    def __str__(self):
        return described(self.precision, self.storage, cached=self.cached, halves=self.halves)

    def _float64(self, K, ridge, progress):
        panels = self._panels(K, ridge, 0.0, progress)
        report = self._report(panels)
        try:
            L = cholesky(K, ridge=ridge, panels=panels, progress=progress)
        except BaseException as error:
            panels.abandon() if goes_on(error) else panels.finish()
            raise
        return CholeskyFactor(K, L, ridge=ridge, method=str(self), report=report, estimate=self.storage != "disk")

    def _mixed(self, K, ridge, progress):
        found = unfinished(self.scratch) if self.storage == "disk" and self.resume else None
        first, resumed = (found or {}).get("shift", 0.0), {}

        def make_panels(shift):
            panels = self._panels(K, ridge, shift, progress)
            resumed.update(self._report(panels))
            return panels

        factor = MixedFactor.of(
            K,
            make_panels,
            ridge=ridge,
            first_shift=first,
            cached=self.cached,
            factorise=functools.partial(cholesky, halves=self.halves),
            estimate=self.storage != "disk",
            method=str(self),
            progress=progress,
        )
        factor.report = resumed | factor.report
        factor.gflops = gflops(factor)
        return factor

    def _panels(self, K, ridge, shift, progress):
        """Return a storage for the panels of a factor of K + (ridge + shift) I."""
        n, device = K.shape[0], K.device
        dtype = np.dtype(np.float64 if self.precision == "float64" else np.float32)
        width = self.width or panel_width(n, device)
        if self.storage == "memory":
            return MemoryPanels(n, width, dtype, device)
        if self.storage == "host":
            return OutOfCorePanels(n, width, dtype, device, HostStore(dtype, device))
        environment = backend.describe()
        identity = {
            "n": n,
            "width": width,
            "dtype": dtype.name,
            "ridge": ridge,
            "shift": shift,
            "matrix": K.fingerprint(),
            # What rounding depends on: other libraries or threads would go on correctly, but not with the same bits.
            "arithmetic": [device.name, *environment["blas"], environment["threads"]],
        }
        store = Scratch(self.scratch, identity, device, resume=self.resume, progress=progress)
        return OutOfCorePanels(n, width, dtype, device, store)

    def _report(self, panels):
        return {
            "storage": self.storage,
            "panel_width": panels.width,
            "kept_bytes": 0,
            "steps": 0,
            "residuals": [],
            "resumed_panels": panels.finished,
        }


class CholeskyFactor(Factor):
    """L with L L^T = K + ridge I in float64, wherever its panels lie.

    Attributes
    ----------
    L : PanelFactor, or another with half_solve, half_solve_transposed, pivots and release
    """

    L: Triangular

    def __init__(
        self, K: Gram, L: Triangular, *, ridge: float, method: str, report: dict[str, Any], estimate: bool = True
    ):
        super().__init__(K, ridge=ridge, method=method, report=report, seconds=dict(L.seconds))
        self.L, self._estimate = L, estimate
        self.gflops = gflops(self)

    def half_solve(self, Y: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return self.L.half_solve(Y)

    def half_solve_transposed(self, Z: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return self.L.half_solve_transposed(Z)

    def inverse_diagonal(self, *, progress: Progress | None = None) -> npt.NDArray[np.float64]:
        own = getattr(self.L, "inverse_diagonal", super().inverse_diagonal)  # of panels, at half the operations
        return own(progress=progress)

    def extended(
        self, K: Gram, Y: npt.NDArray[np.float64], *, progress: Progress | None = None
    ) -> "tuple[CholeskyFactor, npt.NDArray[np.float64]]":
        grow = getattr(self.L, "extended", None)
        if grow is None:
            raise self._cannot_extend()
        check_system(K, self.ridge)
        if not len(Y) == K.shape[0] > self.n:
            raise InputError(
                f"K of shape {K.shape} and Y of shape {Y.shape} are not those of the {self.n} points and more"
            )
        with memory_explained():
            L, half = grow(K, Y, progress=progress)
        made = CholeskyFactor(K, L, ridge=self.ridge, method=self.method, report=self.report, estimate=self._estimate)
        return made, half

    def log_determinant(self) -> float:
        return float(np.log(self.L.pivots()).sum())

    def smallest_pivot(self) -> float:
        return float(self.L.pivots().min())

    def _release(self, error: BaseException | None) -> None:
        self.L.release(goes_on(error))

    def _estimate_condition(self):
        return condition_estimate(self.L, self._norm_1) if self._estimate else None


def described(precision: str, storage: str, *, cached: bool, halves: bool = False) -> str:
    """Return what a Cholesky solver does, in words."""
    place = {"memory": "in memory", "host": "streamed from host memory", "disk": "on disk"}[storage]
    what = "float64" if precision == "float64" else "float32 corrected to float64"
    more = ", multiplied as halves" * halves + ", with inner products kept" * cached
    return f"panel Cholesky in {what}, {place}{more}"


def gflops(factor: Factor) -> float | None:
    """Return the rate of the columns that were factored in this run, or None if an earlier run had made them all."""
    n = factor.n
    before = min(n, factor.report.get("resumed_panels", 0) * factor.report.get("panel_width", 0))
    # Column k of n takes 2 k (n - k) operations.
    made = (n**3 - 3 * n * before**2 + 2 * before**3) / 3
    return made / factor.seconds["factor"] / 1e9 if made and factor.seconds.get("factor") else None
