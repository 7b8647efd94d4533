"""A preconditioner from few columns of K: randomly pivoted Cholesky, and the inverse of what it approximates.

K is approximated by F F^T, F of shape (n, rank), which takes n rank entries of K. The remainder E = K - F F^T is
positive semi-definite and its trace is known, so M = F F^T + (ridge + shift) I is near K + ridge I where the
eigenvalues of E are small against the ridge, or near each other.
"""

import dataclasses

import numpy as np
import numpy.typing as npt

from kernelfit.backend import CPU
from kernelfit.common.progress import Progress
from kernelfit.grams.matrix import Gram

_PROPOSED = 256  # pivots at a time: wide enough for GEMM
_SMALLEST = 1e-10  # shift, relative to the mean of the diagonal of K
_ROWS = 4096  # of F that are multiplied at a time, in place


@dataclasses.dataclass(frozen=True)
class Preconditioner:
    """M = U diag(values) U^T + (ridge + shift) I.

    Attributes
    ----------
    U : float64 array, shape (n, rank)
        Orthonormal columns.
    values : float64 array, shape (rank,)
    ridge : float
        That of the problem.
    shift : float
        The mean of the diagonal of K - F F^T: what the rest of K is taken for. Never part of the problem.
    """

    U: npt.NDArray[np.float64]
    values: npt.NDArray[np.float64]
    ridge: float
    shift: float

    @property
    def rank(self) -> int:
        return len(self.values)

    def solve(self, R: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return M^-1 R for R of shape (n, r)."""
        level = self.ridge + self.shift
        if not self.rank:
            return R / level
        # Right-hand sides as rows: with few of them, a product with U is then about twice as quick.
        inner = np.ascontiguousarray(R.T) @ self.U
        return ((inner * (1 / (self.values + level) - 1 / level)) @ self.U.T).T + R / level


def precondition(
    K: Gram, rank: int, *, ridge: float = 0.0, seed: int = 0, progress: Progress | None = None
) -> Preconditioner:
    """Return the Preconditioner of K + ridge I with at most `rank` columns of a symmetric Gram on the CPU.

    With rank 0 it is a multiple of the identity.
    """
    F, left = pivoted_cholesky(K, rank, seed=seed, progress=progress)
    n, k = F.shape
    # Where nothing is left, M^-1 would be 1 / 0 but for rounding: its condition is kept within float64.
    shift = max(float(left.mean()), _SMALLEST * (float(left.mean()) + np.vdot(F, F) / n))
    if k == 0:
        return Preconditioner(F, np.zeros(0), ridge, shift)
    squares = np.empty((k, k))
    CPU.gemm(F, F, squares, transpose_a=True)
    values, vectors = np.linalg.eigh(squares)
    kept = values > k * np.finfo(np.float64).eps * values[-1]  # the others are rounding
    values, turned = values[kept], vectors[:, kept] / np.sqrt(values[kept])
    for start in range(0, n, _ROWS):
        F[start : start + _ROWS, : len(values)] = F[start : start + _ROWS] @ turned
    return Preconditioner(F[:, : len(values)], values, ridge, shift)


def pivoted_cholesky(
    K: Gram, rank: int, *, seed: int = 0, progress: Progress | None = None
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return (F, the diagonal of K - F F^T), with F of shape (n, at most rank).

    Pivots are drawn with probabilities proportional to the diagonal of what is left (Chen, Epperly, Tropp and Webber,
    "Randomly pivoted Cholesky", 2023); many are proposed at a time and accepted so that they have the same distribution
    (Epperly, Tropp and Webber, "Embrace rejection: kernel matrix approximation by accelerated randomly pivoted
    Cholesky", 2024). Ends earlier where nothing but rounding is left.
    """
    rng = np.random.default_rng(seed)
    left = K.diagonal()
    n, total, done = len(left), left.sum(), 0
    F = np.zeros((n, min(rank, n)))
    work: dict[str, float] = {"columns": F.shape[1], "products": F.shape[1] ** 2}
    with (progress or Progress()).phase("preconditioner", work) as advance:
        while done < F.shape[1] and left.sum() > n * np.finfo(np.float64).eps * total:
            drawn = rng.choice(n, size=_PROPOSED, p=left / left.sum())
            part = F[drawn, :done]
            H = K.subset(drawn).block((0, len(drawn)), (0, len(drawn))) - part @ part.T
            taken, L = _accepted(H, left[drawn], rng, F.shape[1] - done)
            if not len(taken):
                continue
            pivots, new = drawn[taken], done + len(taken)
            columns = K.columns(pivots)
            advance(len(pivots), kind="columns")
            columns -= F[:, :done] @ F[pivots, :done].T
            CPU.trsm(L, columns, right=True, transpose=True)
            F[:, done:new] = columns
            left = np.maximum(left - np.einsum("ij,ij->i", columns, columns), 0.0)
            left[pivots] = 0.0
            advance(new**2 - done**2, kind="products")
            done = new
    return F[:, :done], left


def _accepted(H, proposed, rng, most):
    """Return indices of accepted rows of H, and the Cholesky factor of H restricted to them.

    Row i is accepted with probability H_ii / proposed_i, where H is what is left after the rows accepted before it.
    """
    H, taken, columns = H.copy(), [], []
    for i in range(len(H)):
        if len(taken) < most and H[i, i] > rng.random() * proposed[i]:
            column = H[:, i] / np.sqrt(H[i, i])
            H -= np.outer(column, column)
            taken.append(i)
            columns.append(column)
    L = np.array(columns).T[taken] if taken else np.zeros((0, 0))
    return np.array(taken, int), np.ascontiguousarray(np.tril(L))


def planned_rank(n: int, d: int, memory: float) -> int:
    """Return the rank of a preconditioner for n points of d coordinates, made in `memory` bytes.

    F takes 8 n rank bytes, and as much again is left for what is made beside it. The 4 n rank^2 operations that it and
    U take are those of a few products with K, n^2 d each, where rank^2 = n d; the steps that are saved by a larger one
    (they fell as rank^-0.3 on MNIST) would hardly pay for it.
    """
    return max(0, min(int(memory / (16 * n)), int((n * d) ** 0.5), n // 4))
