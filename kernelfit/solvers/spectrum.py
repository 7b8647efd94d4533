"""The eigendecomposition K = Q diag(lambda) Q^T, from which (K + ridge I)^-1 follows for every ridge.

    coef(ridge) = Q (lambda + ridge)^-1 Q^T Y,        [(K + ridge I)^-1]_ii = sum_k Q_ik^2 / (lambda_k + ridge)

(Rifkin and Lippert, "Notes on regularized least squares", MIT-CSAIL-TR-2007-025, 2007, section 4).
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from kernelfit.common.errors import InputError, NotConvergedError, SingularMatrixError
from kernelfit.grams.matrix import Gram

LARGEST = 32_000  # n: LAPACK's 32-bit integers hold n^2 up to 46,340, some of its workspaces 2 n^2
_ROWS = 1024  # squared at a time, 8 MB per 1,000 columns
_SUSPECTS = 5  # rows of the worst eigenvector that are looked at for duplicates


@dataclasses.dataclass(frozen=True)
class Spectrum:
    """Eigenvalues and eigenvectors of a symmetric K.

    Attributes
    ----------
    values : float64 array, shape (n,)
        In increasing order.
    vectors : float64 array, shape (n, n)
        Column k belongs to values[k].
    """

    values: npt.NDArray[np.float64]
    vectors: npt.NDArray[np.float64]

    def resolves(self, ridge: float) -> bool:
        """Whether the smallest eigenvalue of K + ridge I is above the rounding error of all, n eps lambda_max.

        Computed eigenvalues are those of a matrix within about n eps |K|_2 of K (Golub and Van Loan, "Matrix
        Computations", 4th ed., section 8.3.1), so below that no digit of the smallest one means anything.
        """
        smallest, largest = self.values[0] + ridge, self.values[-1] + ridge
        return bool(smallest > len(self.values) * np.finfo(float).eps * largest)

    def inverse_diagonals(self, ridges: Sequence[float]) -> npt.NDArray[np.float64]:
        """Return the diagonal of (K + ridge I)^-1 for each ridge, shape (len(ridges), n): 2 n^2 operations each."""
        weights = 1.0 / (self.values[:, None] + np.asarray(ridges))
        parts = [
            np.square(self.vectors[start : start + _ROWS]) @ weights for start in range(0, len(self.vectors), _ROWS)
        ]
        return np.concatenate(parts).T


def spectrum(gram: Gram) -> Spectrum:
    """Return the Spectrum of a symmetric Gram on the CPU; two arrays (n, n) of float64 are held, one in the end.

    Raises
    ------
    InputError
        The matrix is on a GPU, too large for LAPACK's integers, or not finite.
    NotConvergedError
    """
    from scipy.linalg import eigh

    n = gram.shape[0]
    if gram.device.name != "cpu" or n > LARGEST:
        raise InputError(
            f"the eigendecomposition of n = {n:,} points on {gram.device.name} was asked for; it is done on the cpu up "
            f"to n = {LARGEST:,}. Take Cholesky(), or refactor for each ridge"
        )
    K = filled(gram)
    try:
        # The transpose of a symmetric matrix is itself, and column-major: only then does SciPy make no copy. "evr"
        # needs one more array of its size, "evd" two. Measured (`python -m benchmarks eigendecomposition`), evd was a
        # third quicker at n = 2,000 and a fifth at 4,000, evr a fifth at 8,000; residuals were the same.
        values, vectors = eigh(K.T, overwrite_a=True, check_finite=False, driver="evr")
    except np.linalg.LinAlgError as error:
        raise NotConvergedError(f"the eigendecomposition of {n:,} points failed: {error}. Refactor instead") from error
    return Spectrum(values, vectors)


def filled(gram: Gram) -> npt.NDArray[np.float64]:
    """Return all of K, shape (n, n); raises InputError unless it is finite."""
    n = gram.shape[0]
    K = gram.device.touched((n, n))
    gram.block((0, n), (0, n), out=K)
    for start in range(0, n, _ROWS):
        bad = ~np.isfinite(K[start : start + _ROWS]).all(axis=1)
        if bad.any():
            raise InputError(f"the kernel is not finite at training point {start + int(np.argmax(bad))}")
    return K


def require_regular(spectrum: Spectrum, ridge: float, gram: Gram) -> None:
    """Raise SingularMatrixError unless the spectrum resolves K + ridge I."""
    if not spectrum.resolves(ridge):
        raise singular(spectrum.vectors[:, 0], spectrum.values[0] + ridge, spectrum.values[-1] + ridge, ridge, gram)


def singular(
    vector: npt.NDArray[np.float64], smallest: float, largest: float, ridge: float, gram: Gram
) -> SingularMatrixError:
    """Return the error of K + ridge I from its extreme eigenvalues and the eigenvector (n,) of the smallest."""
    # It says which rows depend on each other; its largest entry, where.
    n, weights = len(vector), np.abs(vector)
    suspects = sorted(np.argsort(-weights)[:_SUSPECTS].tolist())
    twins = ((gram.duplicate_of(row), row) for row in suspects)
    twin, row = next((pair for pair in twins if pair[0] is not None), (None, int(np.argmax(weights))))
    cause = (
        f"Training points {twin} and {row} are identical"
        if twin is not None
        else f"Training point {row} has the largest part in the eigenvector. Likely causes: (a) the bandwidth is too "
        "wide; (b) the kernel has finite rank below n; (c) equal or nearly equal points; (d) the kernel is not "
        "positive definite"
    )
    return SingularMatrixError(
        f"K + {ridge:g} I is numerically singular: its smallest eigenvalue is {smallest:.1e}, not above the rounding "
        f"error of the largest, n eps times {largest:.1e} or {n * np.finfo(float).eps * largest:.1e}. {cause}. Leave "
        "this ridge out of the path, or solve it alone: a Cholesky factor may still resolve it",
        row=row,
        pivot=float(smallest),
        duplicate=twin,
    )
