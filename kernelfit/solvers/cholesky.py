"""A panel Cholesky factorisation that holds half the matrix and overwrites it as it is made.

The matrix is cut into column panels of `width`: panel j holds rows j*width.. of columns j*width..(j+1)*width-1,
row-major, so that its rows are one contiguous piece of memory. All panels together take 4 n^2 + 4 n width bytes in
float64. For each panel in turn (left-looking; Golub and Van Loan, "Matrix Computations", 4th ed., section 4.2.6): make
its Gram entries, subtract the products with all earlier panels (GEMM, nearly all of the work), factor its top block,
and solve for the rest. No BLAS call sees more than one panel, so no 32-bit index overflows past n = 46,340.
"""

import dataclasses
import time

import numpy as np

from kernelfit import backend
from kernelfit.errors import InputError, SingularMatrixError
from kernelfit.progress import Progress

INVERSE_WIDTH = 512  # right-hand sides at a time in inverse_diagonal: wide enough for GEMM, 4 MB per 1,000 rows


@dataclasses.dataclass(frozen=True)
class CholeskyFactor:
    """L with L L^T = K + ridge I, in panels; solves for any number of right-hand sides.

    Attributes
    ----------
    panels : list of (int, array)
        First row (= first column) of each panel, and its rows from there on, shape (n - start, width), row-major.
        The strict upper triangle of each top block is not part of L.
    ridge : float
        What was added to the diagonal.
    seconds : dict
        Time spent in "allocate" (first touch of the memory), "gram" and "factor".
    """

    panels: list
    ridge: float
    seconds: dict

    @property
    def n(self):
        """Order of the matrix."""
        return len(self.panels[0][1])

    def half_solve(self, Y):
        """Return L^-1 Y, shape (n, r); its squared column norms are Y^T (K + ridge I)^-1 Y."""
        Z = self._right_hand_sides(Y)
        self._forward(Z)
        return Z

    def half_solve_transposed(self, Z):
        """Return L^-T Z, shape (n, r)."""
        X = self._right_hand_sides(Z)
        for start, panel in reversed(self.panels):
            width = panel.shape[1]
            stop = start + width
            backend.gemm(panel[width:], X[stop:], X[start:stop], alpha=-1.0, beta=1.0, transpose_a=True)
            backend.trsm(panel[:width], X[start:stop], transpose=True)
        return X

    def solve(self, Y):
        """Return (K + ridge I)^-1 Y, shape (n, r)."""
        return self.half_solve_transposed(self.half_solve(Y))

    def inverse_diagonal(self, *, progress=None):
        """Return the diagonal of (K + ridge I)^-1, shape (n,): squared column norms of L^-1, n^3 / 3 operations."""
        progress = progress or Progress()
        diagonal = np.empty(self.n)
        with progress.phase("leave-one-out", self.n**3 / 3) as advance:
            for k in range(0, self.n, INVERSE_WIDTH):
                width = min(INVERSE_WIDTH, self.n - k)
                Z = np.zeros((self.n - k, width))
                np.fill_diagonal(Z, 1.0)
                self._forward(Z, first_row=k)
                diagonal[k : k + width] = np.einsum("ij,ij->j", Z, Z)
                advance(width * (self.n - k) ** 2)
        return diagonal

    def smallest_pivot(self):
        """Return the smallest squared diagonal entry of L: an upper bound on the smallest eigenvalue of K + ridge I."""
        return min(float(np.square(panel.diagonal()).min()) for _, panel in self.panels)

    def _forward(self, Z, first_row=0):
        """Overwrite Z, rows first_row.. of a matrix that is zero above, with the same rows of L^-1 Z."""
        for start, panel in self.panels:
            stop = start + panel.shape[1]
            if stop <= first_row:
                continue
            top = max(start, first_row)
            block, inside = Z[top - first_row : stop - first_row], top - start
            backend.trsm(panel[inside : stop - start, inside:], block)
            backend.gemm(panel[stop - start :, inside:], block, Z[stop - first_row :], alpha=-1.0, beta=1.0)

    def _right_hand_sides(self, Y):
        Y = np.asarray(Y)
        if Y.ndim != 2 or len(Y) != self.n:
            raise InputError(f"right-hand sides have shape {Y.shape}; expected ({self.n}, r)")
        return np.array(Y, dtype=self.panels[0][1].dtype, order="C")


def panel_width(n):
    """Return the columns per panel for order n: wide enough for GEMM, at most n / 16 to bound the unused memory.

    The top block of a panel is square, and its upper triangle is not part of L: n width / 2 entries in all.
    """
    widest = 1152  # a multiple of 384, the depth of the blocks in which OpenBLAS multiplies float64
    return min(widest, max(128, n // 16 // 128 * 128))


def cholesky(gram, *, ridge=0.0, width=None, progress=None):
    """Factor K + ridge I = L L^T.

    Parameters
    ----------
    gram : Gram
        Symmetric K, shape (n, n), asked once for each block of its lower triangle.
    ridge : float
        Added to the diagonal; 0 unless given, and never changed.
    width : int, optional
        Columns per panel; panel_width(n) unless given.

    Raises
    ------
    SingularMatrixError
        A pivot is not above n eps (K_ii + ridge), the rounding error of a pivot, so the row depends on earlier rows to
        working precision and no digit of the solution would mean anything.
    """
    if not (np.isfinite(ridge) and ridge >= 0):
        raise InputError(f"ridge = {ridge}; it must be 0 or a positive number")
    progress = progress or Progress()
    n = gram.shape[0]
    width = width or panel_width(n)
    panels, seconds = [], dict.fromkeys(("allocate", "gram", "factor"), 0.0)

    def timed(name, function, *arguments, **options):
        start = time.perf_counter()
        result = function(*arguments, **options)
        seconds[name] += time.perf_counter() - start
        return result

    starts = range(0, n, width)
    with progress.phase("allocate", n * n / 2) as advance:  # all of it, so that memory runs out now or never
        unused = []
        for start in starts:
            unused.append(timed("allocate", backend.touched, (n - start, min(width, n - start))))
            advance(unused[-1].size)
    with progress.phase("factor", n**3 / 6) as advance:  # in multiplications
        for start, panel in zip(starts, unused, strict=True):
            stop = min(start + width, n)
            timed("gram", gram.block, (start, n), (start, stop), out=panel)
            top = panel[: stop - start]
            np.fill_diagonal(top, top.diagonal() + ridge)
            diagonal = top.diagonal().copy()
            for done, earlier in panels:
                timed("factor", _subtract_product, panel, earlier[start - done :])
                advance((n - start) * (stop - start) * earlier.shape[1])
            info = timed("factor", backend.potrf, top)
            _check_pivots(gram, ridge, start, top, diagonal, info)
            timed("factor", backend.trsm, top, panel[stop - start :], right=True, transpose=True)
            panels.append((start, panel))
            advance((n - start) * (stop - start) ** 2 / 2)
    return CholeskyFactor(panels, float(ridge), seconds)


def _subtract_product(panel, earlier):
    """panel -= earlier earlier[:width]^T, only the lower triangle of the top block."""
    width = panel.shape[1]
    backend.syrk(earlier[:width], panel[:width], alpha=-1.0, beta=1.0)
    backend.gemm(earlier[width:], earlier[:width], panel[width:], alpha=-1.0, beta=1.0, transpose_b=True)


def _check_pivots(gram, ridge, start, top, diagonal, info):
    n = gram.shape[0]
    pivots = np.square(top.diagonal())
    # Backward error of a pivot: |delta| <= about n eps K_ii (Higham, "Accuracy and Stability", 2nd ed., theorem 10.3).
    bad = ~(pivots > n * np.finfo(top.dtype).eps * np.abs(diagonal))
    if info > 0:
        bad[info - 1 :] = True
    if not bad.any():
        return
    local = int(np.argmax(bad))
    row = start + local
    if not np.isfinite(diagonal[local]):
        raise InputError(f"the kernel is not finite at training point {row}: K[{row}, {row}] = {diagonal[local]}")
    pivot = float("nan") if info == local + 1 else float(pivots[local])
    seen = "its pivot is not positive" if np.isnan(pivot) else f"its pivot is {pivot:.1e} of {diagonal[local]:.1e}"
    twin = gram.duplicate_of(row)
    if twin is not None:
        cause = f"Training points {twin} and {row} are identical. Remove one, or give a ridge, e.g. 1e-6"
    else:
        cause = (
            "No earlier point is identical to it. Likely causes: (a) the bandwidth is too wide: try a smaller one; "
            "(b) the kernel has finite rank (linear, low-degree polynomial) below n: use fewer points, or another "
            "kernel; (c) nearly equal points; (d) the kernel is not positive definite. A ridge, e.g. 1e-6, makes the "
            "problem regular"
        )
    raise SingularMatrixError(
        f"K + {ridge:g} I is numerically singular at training point {row} of {n}: {seen}, below the rounding error. "
        f"{cause}",
        row=row,
        pivot=pivot,
        duplicate=twin,
    )
