"""A panel Cholesky factorisation that holds half the matrix and overwrites it as it is made.

The matrix is cut into column panels (kernelfit.solvers.panels). All panels together take n^2 / 2 + n width / 2 entries.
For each panel in turn (left-looking; Golub and Van Loan, "Matrix Computations", 4th ed., section 4.2.6): make its Gram
entries, subtract the products with all earlier panels (GEMM, nearly all of the work), factor its top block, and solve
for the rest. No BLAS call sees more than one panel, so no 32-bit index overflows past n = 46,340. The same lines run in
float64 and float32, on a CPU and on a GPU, with panels in memory or elsewhere.
"""

import dataclasses
import time
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from kernelfit import backend
from kernelfit.backend.device import Array
from kernelfit.common.errors import InputError, UnsupportedError
from kernelfit.common.progress import Progress
from kernelfit.common.spans import spans
from kernelfit.common.validation import check_number
from kernelfit.grams.matrix import Gram
from kernelfit.solvers.out_of_core import OutOfCorePanels
from kernelfit.solvers.panels import MemoryPanels, panel_width
from kernelfit.solvers.regularity import added_to_inverse, check_pivots, require_regular, rounding

Panels = MemoryPanels | OutOfCorePanels
_TELLING = 0.1  # seconds between two reports of progress within the products of a panel
_HARMLESS = 0.01  # of the largest norm of an inverse that is still regular, that further points may add unlooked at
INVERSE_WIDTH = 512  # right-hand sides at a time in inverse_diagonal: wide enough for GEMM, 4 MB per 1,000 rows


@dataclasses.dataclass(frozen=True)
class PanelFactor:
    """L with L L^T = K + (ridge + shift) I, in panels; solves for any number of right-hand sides.

    Right-hand sides are NumPy arrays, or arrays of the factor's device; results are of the same kind, in the factor's
    precision.

    Attributes
    ----------
    panels : MemoryPanels or another storage
        The strict upper triangle of each top block is not part of L.
    ridge, shift : float
        What was added to the diagonal: what the problem asks for, and what a preconditioner needs beyond it.
    seconds : dict
        Time spent in "allocate" (first touch of the memory), "gram", "factor" and "condition".
    inverse_norm : float or None
        Estimate of |(L L^T)^-1|_1, from below, where the test for a singular matrix has found it.
    diagonal : float64 array, shape (n,), or None
        Of L L^T, on the host, where the factor is one in float64 and in memory.
    """

    panels: Panels
    ridge: float
    shift: float
    seconds: dict[str, float]
    inverse_norm: float | None = None
    diagonal: npt.NDArray[np.float64] | None = None

    @property
    def n(self) -> int:
        """Order of the matrix."""
        return self.panels.n

    def half_solve(self, Y: Array) -> Array:
        """Return L^-1 Y, shape (n, r); its squared column norms are Y^T (L L^T)^-1 Y."""
        return self._on_device(Y, self._forward)

    def half_solve_transposed(self, Z: Array) -> Array:
        """Return L^-T Z, shape (n, r)."""
        return self._on_device(Z, self._backward)

    def solve(self, Y: Array) -> Array:
        """Return (L L^T)^-1 Y, shape (n, r)."""
        return self.half_solve_transposed(self.half_solve(Y))

    def inverse_diagonal(self, *, progress: Progress | None = None) -> npt.NDArray[np.float64]:
        """Return the diagonal of (L L^T)^-1, shape (n,): squared column norms of L^-1, n^3 / 3 operations."""
        progress = progress or Progress()
        device = self.panels.device
        diagonal = np.empty(self.n)
        # Panels that are not at hand are read once for every set of columns: the wider the sets, the fewer.
        columns = max(INVERSE_WIDTH, 0 if isinstance(self.panels, MemoryPanels) else self.panels.width)
        bounds = spans(0, self.n, columns)
        with progress.phase("leave-one-out", sum((stop - k) * (self.n - k) ** 2 for k, stop in bounds)) as advance:
            for k, stop in bounds:
                width = stop - k
                Z = device.xp.zeros((self.n - k, width), self.panels.dtype)
                device.xp.fill_diagonal(Z, 1.0)
                self._forward(Z, first_row=k)
                Z *= Z  # in place: the plan counts one such array
                diagonal[k : k + width] = device.host(Z.sum(axis=0, dtype=np.float64))
                del Z  # before the next is made
                advance(width * (self.n - k) ** 2)
        return diagonal

    def extended(
        self, gram: Gram, Y: npt.NDArray[np.float64], *, progress: Progress | None = None
    ) -> "tuple[PanelFactor, npt.NDArray[np.float64]]":
        """Return (factor, its half_solve(Y)) for a larger matrix that begins with this one; both factors share memory.

        By bordering, K = [[K11, K12], [K12^T, K22]]: L21^T = L11^-1 K12 and L22 L22^T = K22 + (ridge + shift) I - L21
        L21^T (Golub and Van Loan, section 4.2.9), for at most a panel's width of points at a time. For m new points n^2
        m operations, where a new factor takes n^3 / 3. L11 is read once, for K12 and Y together, and once more to see
        what the new points add to the inverse, which tells whether the whole is regular.

        Parameters
        ----------
        gram : Gram
            Symmetric, shape (n + m, n + m), on the device of the panels.
        Y : array, shape (n + m, r)

        Raises
        ------
        UnsupportedError
            The panels are not in memory.
        SingularMatrixError
            A new point depends on the others to working precision, by the rule of kernelfit.solvers.regularity.
        """
        panels, progress, device, N = self.panels, progress or Progress(), self.panels.device, gram.shape[0]
        if not isinstance(panels, MemoryPanels) or self.diagonal is None:
            raise UnsupportedError(
                "only a float64 factor in memory can be extended; this is none. Take `Cholesky()`, or fit again"
            )
        begin, factor, half = time.perf_counter(), self, device.xp.array(device.array(Y), dtype=panels.dtype, order="C")
        bounds = [(self.n + start, self.n + stop) for start, stop in spans(0, N - self.n, panels.width)]
        whole, added = self.diagonal, 0.0
        with progress.phase("extend", sum((stop - n) * n**2 for n, stop in bounds)) as advance:
            for n, stop in bounds:
                m, above = stop - n, half[:n, : None if n == self.n else 0]  # which is solved for once
                both = device.empty((m + above.shape[1], n), panels.dtype)
                border, both[m:] = both[:m], above.T
                gram.block((n, stop), (0, n), out=border)
                factor._forward_rows(both)
                above[...] = both[m:].T
                corner = device.empty((m, m), panels.dtype)
                gram.block((n, stop), (n, stop), out=corner)
                device.xp.fill_diagonal(corner, corner.diagonal() + (self.ridge + self.shift))
                diagonal = device.host(corner.diagonal().copy())
                device.syrk(border, corner, alpha=-1.0, beta=1.0)
                failed = _factor_panel(device, corner, lambda *count, **kind: None)
                check_pivots(gram, self.ridge, n, device.host(corner.diagonal().copy()), diagonal, failed)
                device.gemm(border, half[:n], half[n:stop], alpha=-1.0, beta=1.0)
                device.trsm(corner, half[n:stop])
                panels = panels.grown(border, corner)
                whole = np.append(whole, diagonal)
                factor = dataclasses.replace(self, panels=panels, inverse_norm=None, diagonal=whole)
                added += added_to_inverse(factor, m, whole)
                advance(m * n**2)
        if not added * rounding(N) < _HARMLESS:
            require_regular(gram, factor, np.sqrt(whole), factor.pivots())
        device.synchronize()
        factor = dataclasses.replace(factor, seconds={"extend": time.perf_counter() - begin})
        return factor, device.host(half)

    def pivots(self) -> npt.NDArray[np.float64]:
        """Return the squared diagonal of L, float64 of shape (n,)."""
        tops = (next(self.panels.read(j, start))[1] for j, (start, _) in enumerate(self.panels.bounds))
        host = self.panels.device.host
        return np.concatenate(
            [
                np.square(host(top.diagonal().copy())[: stop - start], dtype=np.float64)
                for top, (start, stop) in zip(tops, self.panels.bounds, strict=True)
            ]
        )

    def release(self, go_on: bool = False) -> None:
        """Free the panels; those on a disk are left there where a later run can `go_on` with them."""
        self.panels.abandon() if go_on else self.panels.finish()

    def _forward(self, Z, first_row=0):
        """Overwrite Z, rows first_row.. of a matrix that is zero above, with the same rows of L^-1 Z."""
        device = self.panels.device
        for j, (start, stop) in enumerate(self.panels.bounds):
            if stop <= first_row:
                continue
            top = max(start, first_row)
            block, inside = Z[top - first_row : stop - first_row], top - start
            for row, rows in self.panels.read(j, start):
                if row == start:
                    device.trsm(rows[inside : stop - start, inside:], block)
                    row, rows = stop, rows[stop - start :]
                below = Z[row - first_row : row - first_row + len(rows)]
                device.gemm(rows[:, inside:], block, below, alpha=-1.0, beta=1.0)

    def _forward_rows(self, B):
        """Overwrite B with B L^-T, the transpose of L^-1 B^T: with as many rows, a sixth quicker than the latter."""
        device = self.panels.device
        for j, (start, stop) in enumerate(self.panels.bounds):
            block = B[:, start:stop]
            for row, rows in self.panels.read(j, start):
                if row == start:
                    device.trsm(rows[: stop - start], block, right=True, transpose=True)
                    row, rows = stop, rows[stop - start :]
                below = B[:, row : row + len(rows)]
                device.gemm(block, rows, below, alpha=-1.0, beta=1.0, transpose_b=True)

    def _backward(self, X):
        """Overwrite X with L^-T X."""
        device = self.panels.device
        for j, (start, stop) in reversed(list(enumerate(self.panels.bounds))):
            block = X[start:stop]
            for row, rows in self.panels.read(j, start):
                if row == start:
                    top = rows[: stop - start]
                    row, rows = stop, rows[stop - start :]
                device.gemm(rows, X[row : row + len(rows)], block, alpha=-1.0, beta=1.0, transpose_a=True)
            device.trsm(top, block, transpose=True)

    def _on_device(self, Y, overwrite):
        """Apply `overwrite` to a copy of Y on the device, and return it as the kind of array that came."""
        if Y.ndim != 2 or len(Y) != self.n:
            raise InputError(f"right-hand sides have shape {Y.shape}; expected ({self.n}, r)")
        device = self.panels.device
        copy = device.xp.array(device.array(Y), dtype=self.panels.dtype, order="C")
        overwrite(copy)
        return device.host(copy) if isinstance(Y, np.ndarray) else copy


def cholesky(
    gram: Gram,
    *,
    ridge: float = 0.0,
    shift: float = 0.0,
    width: int | None = None,
    panels: Panels | None = None,
    halves: bool = False,
    progress: Progress | None = None,
) -> PanelFactor:
    """Factor K + (ridge + shift) I = L L^T on the device of `gram`.

    Parameters
    ----------
    gram : Gram
        Symmetric K, shape (n, n), asked once for each block of its lower triangle.
    ridge, shift : float
        Added to the diagonal; 0 unless given, and never changed.
    width : int, optional
        Columns per panel in memory; panel_width(n) unless given.
    panels : storage, optional
        Where the factor goes; float64 panels in memory unless given. Its finished panels are kept.
    halves : bool
        Multiply with earlier panels, float32 in memory, as three products of float16 halves: see `subtract_halves` of
        a device. Rows and columns are scaled by powers of two, so that no entry of the factor is above 2.

    Raises
    ------
    SingularMatrixError
        The rows depend on each other to working precision, so that no digit of a solution would mean anything; see
        kernelfit.solvers.regularity. A pivot that is rounding of its K_ii + ridge shows it at once; of a factor in
        memory the inverse is estimated too. A float32 factor is only ever corrected by float64 steps, so there only a
        pivot that is not positive counts.

    Examples
    --------
    >>> import numpy as np
    >>> from kernelfit.grams.matrix import gram
    >>> from kernelfit.kernels import Gaussian
    >>> X = np.linspace(0, 1, 8)[:, None]
    >>> K, Y = gram(X, Gaussian(bandwidth=0.2)), np.sin(6 * X)
    >>> bool(np.allclose(K.product(cholesky(K).solve(Y)), Y))
    True
    """
    check_number("ridge", ridge)
    progress = progress or Progress()
    n, device = gram.shape[0], gram.device
    panels = panels or MemoryPanels(n, width or panel_width(n, device), device=device)
    if halves and not (isinstance(panels, MemoryPanels) and panels.dtype == np.float32):
        raise InputError("`halves` are of float32 panels in memory")
    scale = _scale(gram, ridge + shift) if halves else None
    seconds = dict.fromkeys(("allocate", "gram", "factor", "condition"), 0.0)
    diagonals, roots = np.empty(n), np.empty(n)

    waiting, last = 0.0, time.perf_counter()

    def timed(name, function, *arguments, **options):
        start = time.perf_counter()
        result = function(*arguments, **options)
        device.synchronize()
        seconds[name] += time.perf_counter() - start
        return result

    def tell(amount, *, now=False):
        """Tell of products that were asked for, after they are done; a GPU is not to stand still for it often."""
        nonlocal waiting, last
        waiting += amount
        if now or time.perf_counter() > last + _TELLING:
            device.synchronize()
            advance(waiting, kind="products")
            waiting, last = 0.0, time.perf_counter()

    def subtract(panel, j):
        for earlier in range(j):
            _subtract_product(device, panel, panels.read(earlier, panels.bounds[j][0]), tell, halves)
        tell(0.0, now=True)

    with progress.phase("allocate", sum((n - start) * (stop - start) for start, stop in panels.bounds)) as advance:
        timed("allocate", panels.allocate, advance)
    finished = work_of_panels(n, panels.bounds[: panels.finished], device)
    with progress.phase("factor", work_of_panels(n, panels.bounds, device), done=finished) as advance:
        for j, (start, stop) in enumerate(panels.bounds):
            if j < panels.finished:
                continue
            panel = timed("factor", panels.open, j)
            timed("gram", gram.block, (start, n), (start, stop), out=panel)
            advance(panel.size, kind="entries")
            top = panel[: stop - start]
            device.xp.fill_diagonal(top, top.diagonal() + (ridge + shift))
            if scale is not None:
                panel *= scale[start:, None]
                panel *= scale[start:stop]
            before = top.diagonal().copy()
            timed("factor", subtract, panel, j)
            failed = timed("factor", _factor_panel, device, panel, advance)
            units = 1.0 if scale is None else device.host(scale[start:stop])
            both = device.host(device.xp.stack([before, top.diagonal()]))
            diagonals[start:stop], roots[start:stop] = both[0] / units**2, both[1] / units
            check_pivots(gram, ridge, start, (both[1] / units).astype(panel.dtype), diagonals[start:stop], failed)
            timed("factor", panels.close, j, panel)
        if scale is not None:
            for j, (start, _) in enumerate(panels.bounds):
                whole = panels.open(j)
                whole /= scale[start:, None]
    factor = PanelFactor(panels, float(ridge), float(shift), seconds)
    # Panels elsewhere would be read whole for every solve.
    if panels.dtype != np.float64 or not isinstance(panels, MemoryPanels):
        return factor
    found = timed("condition", require_regular, gram, factor, np.sqrt(diagonals), roots**2)
    return dataclasses.replace(factor, inverse_norm=found, diagonal=diagonals)


def work_of_panels(n: int, bounds: Sequence[tuple[int, int]], device: backend.Device) -> dict[str, float]:
    """Return what panels of the factor take by kind, each at a speed of its own.

    These are entries of K, and multiplications of matrix products, of factorisations of blocks on the diagonal, and of
    triangular solves with them.
    """
    work = {"entries": 0.0, "products": 0.0, "blocks": 0.0, "solves": 0.0}
    for start, stop in bounds:
        rows, width = n - start, stop - start
        work["entries"] += rows * width
        work["products"] += rows * width * start
        for first, last in spans(0, width, device.panel):
            work["products"] += (rows - last) * (last - first) * (width - last)
            work["blocks"] += (last - first) ** 3 / 6
            work["solves"] += (rows - last) * (last - first) ** 2 / 2
    return work


def _subtract_product(device, panel, pieces, tell, halves):
    """panel -= E E[:width]^T for an earlier panel E that comes in pieces; only the lower triangle of the top block."""
    width, right, at, told = panel.shape[1], None, 0, 0
    for _, rows in pieces:
        if right is None:
            right = rows[:width]
            if not halves:
                device.syrk(right, panel[:width], alpha=-1.0, beta=1.0)
                rows, at = rows[width:], width
        if halves:
            device.subtract_halves(rows, right, panel[at : at + len(rows)])
        else:
            device.gemm(rows, right, panel[at : at + len(rows)], alpha=-1.0, beta=1.0, transpose_b=True)
        tell((at + len(rows) - told) * right.size)
        at = told = at + len(rows)


def _scale(gram, added):
    """Return powers of two, (n,) on the device, that bring the diagonal of K + added I to between 1/2 and 2; or None.

    |L_ij|^2 is at most the sum of squares of row i, which is A_ii: no entry of the factor is above sqrt(2) then.
    """
    scale = np.exp2(-np.round(np.log2(gram.diagonal() + added) / 2)).astype(np.float32)
    return None if (scale == 1).all() else gram.device.array(scale)


def _factor_panel(device, panel, advance):
    """Overwrite a panel, from which all earlier ones are subtracted, with its part of L; return 0 or the failed row.

    A panel wider than suits LAPACK and trsm is cut again, and each part is subtracted from the columns to its right.
    """
    width = panel.shape[1]
    for start, stop in spans(0, width, device.panel):
        block, below = panel[start:stop, start:stop], panel[stop:, start:stop]
        failed = device.potrf(block)
        if failed:
            return start + failed
        advance((stop - start) ** 3 / 6, kind="blocks")
        device.trsm(block, below, right=True, transpose=True)
        device.synchronize()  # so that the time until here is that of the solve
        advance(below.size * (stop - start) / 2, kind="solves")
        if stop < width:
            device.gemm(
                below, panel[stop:width, start:stop], panel[stop:, stop:], alpha=-1.0, beta=1.0, transpose_b=True
            )
            device.synchronize()
            advance(below.size * (width - stop), kind="products")
    return 0
