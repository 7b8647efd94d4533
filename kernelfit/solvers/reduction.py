"""K = Q B Q^T with a band B: the reduction that solvers.band solves by.

The first half of an eigendecomposition, 4/3 n^3 operations nearly all in matrix products, where the reduction to
tridiagonal form spends most of its time at the speed of memory (Bischof, Lang and Sun, "A framework for symmetric band
reduction", ACM TOMS 26(4), 2000, section 3; reflections are blocked as by Schreiber and Van Loan, 1989). Q stays a
product of reflections unless it is asked for, which takes 4/3 n^3 operations more.
"""

import dataclasses
import functools
import itertools

import numpy as np
import numpy.typing as npt

from kernelfit import backend
from kernelfit.backend.threads import single_threaded_blas
from kernelfit.common.spans import spans

# Of the band. At n = 3,000 on one thread widths of 64, 96, 128 and 192 took 2.3, 2.0, 2.0 and 1.9 s, and half solves of
# all columns for one ridge 0.2, 0.1, 0.1 and 0.2 s; matrix products alone would take 1.4 s for the former.
WIDTH = 96
STRIP = 384  # rows of the lower triangle that one thread updates together

Reflections = tuple[int, npt.NDArray[np.float64], npt.NDArray[np.float64]]


@dataclasses.dataclass(frozen=True, eq=False)
class Band:
    """Q and the blocks of B.

    Attributes
    ----------
    n : int
    diagonal, below : lists of arrays
        B[p, p] and B[p + 1, p] for blocks of WIDTH coordinates; all other blocks are 0, or those above the diagonal.
    steps : list of (top, V, T)
        Q is the product of I - V T V^T, in this order, of which each acts on rows top.. alone.
    """

    n: int
    diagonal: list[npt.NDArray[np.float64]]
    below: list[npt.NDArray[np.float64]]
    steps: list[Reflections]
    device: backend.Device = backend.CPU

    @property
    def norm(self) -> float:
        """The largest absolute column sum of B: at least its largest eigenvalue, that of K."""
        sums = [np.abs(block).sum(axis=0) for block in self.diagonal]
        for p, block in enumerate(self.below):
            sums[p] += np.abs(block).sum(axis=0)
            sums[p + 1] += np.abs(block).sum(axis=1)
        return float(max(each.max() for each in sums))

    def turn(self, Y: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return Q^T Y, shape (n, r), in 2 n^2 r operations."""
        Z = np.array(Y, dtype=np.float64, order="C")
        for top, V, T in self.steps:
            self._reflect(Z[top:], V, T.T)
        return Z

    def turn_back(self, Z: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return Q Z, shape (n, r), in 2 n^2 r operations."""
        Y = np.array(Z, dtype=np.float64, order="C")
        for top, V, T in reversed(self.steps):
            self._reflect(Y[top:], V, T)
        return Y

    def _reflect(self, rows, V, T):
        W = np.empty((len(T), rows.shape[1]))
        self.device.gemm(V, rows, W, transpose_a=True)
        self.device.gemm(V, T @ W, rows, alpha=-1.0, beta=1.0)

    @functools.cached_property
    def turned(self) -> npt.NDArray[np.float64]:
        """Q^T, shape (n, n): row k is the k-th new coordinate of all points."""
        turned = self.device.touched((self.n, self.n))
        turned[...] = 0.0
        np.fill_diagonal(turned, 1.0)
        for top, V, T in reversed(self.steps):

            def reflect(strip, top=top, V=V, T=T):
                part = turned[slice(*strip), top:]
                W = np.empty((len(part), len(T)))
                self.device.gemm(part, V, W)
                self.device.gemm(W @ T.T, V, part, alpha=-1.0, beta=1.0, transpose_b=True)

            self.device.map(reflect, _strips(top, self.n))
        return turned


def band(K: npt.NDArray[np.float64], device: backend.Device = backend.CPU) -> Band:
    """Return the Band of a symmetric K (n, n), which is overwritten."""
    n, steps = len(K), []
    X, VW = np.empty((n, WIDTH)), np.empty((n, 2 * WIDTH))
    for top in range(WIDTH, n, WIDTH):
        V, T, R = _reflections(K[top:, top - WIDTH : top])
        K[top : top + len(R), top - WIDTH : top] = R
        m, count = V.shape
        _apply_on_both_sides(K, top, V, T, X[:m, :count], VW[:m, : 2 * count], device)
        steps.append((top, V, T))
    blocks = [slice(*span) for span in spans(0, n, WIDTH)]
    diagonal = [K[block, block].copy() for block in blocks]
    below = [K[b, a].copy() for a, b in itertools.pairwise(blocks)]
    return Band(n, diagonal, below, steps, device)


def _reflections(panel):
    """Return (V, T, R): panel = (I - V T V^T) R, V of unit lower and R of upper trapezoidal form, without rows of 0.

    By the recursive routine of LAPACK: at 3,000 rows it takes half the time of geqrf with a T made from its tau.
    """
    from scipy.linalg.lapack import dgeqrt

    count = min(panel.shape)
    with single_threaded_blas():
        packed, T, _ = dgeqrt(count, panel)
    V = np.array(packed[:, :count], order="C")
    V[:count] = np.tril(V[:count], -1)
    np.fill_diagonal(V, 1.0)
    return V, np.triu(T), np.triu(packed[:count])


def _apply_on_both_sides(K, top, V, T, X, VW, device):
    """Overwrite the lower triangle of M = K[top:, top:], by strips, with that of H^T M H, H = I - V T V^T.

    That is M - W V^T - V W^T for W = M V T - V T^T V^T M V T / 2. X and VW are memory of the shapes of V and [V, W].
    """
    strips, count = _strips(top, len(K)), len(T)
    VW[:, :count], W, S = V, VW[:, count:], np.empty((count, count))

    def multiply(strip):  # rows of M V, from the lower triangle and whole squares on the diagonal
        a, b = strip
        out = X[a - top : b - top]
        device.gemm(K[a:b, top:b], V[: b - top], out)
        device.gemm(K[b:, a:b], V[b - top :], out, beta=1.0, transpose_a=True)

    device.map(multiply, strips)
    device.gemm(X, T, W)
    device.gemm(V, W, S, transpose_a=True)
    device.gemm(V, T.T @ S, W, alpha=-0.5, beta=1.0)

    def update(strip):
        a, b = strip
        WV = np.hstack([W[a - top : b - top], V[a - top : b - top]])
        device.gemm(WV, VW[: b - top], K[a:b, top:b], alpha=-1.0, beta=1.0, transpose_b=True)

    device.map(update, strips)


def _strips(top, n):
    """Return (first, last) of rows from `top` on; the longest first, so that threads end together."""
    edges = [top, *range((top // STRIP + 1) * STRIP, n, STRIP), n]
    return list(itertools.pairwise(edges))[::-1]
