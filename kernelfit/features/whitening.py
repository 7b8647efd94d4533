"""ZCA whitening: the symmetric linear map that gives data a covariance near the identity."""

import dataclasses
from typing import Self

import numpy as np
import numpy.typing as npt

from kernelfit.common.errors import InputError
from kernelfit.common.validation import check_number

_LARGEST = 8192  # coordinates: an eigendecomposition of d^3 operations, and d^2 numbers


@dataclasses.dataclass(frozen=True)
class Covariance:
    """Mean and eigendecomposition of the covariance of rows, computed once; `whitening` is then cheap.

    Attributes
    ----------
    mean : float64 array, shape (d,)
    values : float64 array, shape (d,)
        Eigenvalues of (X - mean)^T (X - mean) / n, increasing, not below 0.
    vectors : float64 array, shape (d, d)
        Their eigenvectors, in columns.
    """

    mean: np.ndarray
    values: np.ndarray
    vectors: np.ndarray

    @classmethod
    def of(cls, X: npt.NDArray) -> Self:
        """Return the Covariance of the rows of X, (n, d) float32 or float64; sums are in float64, in parts."""
        n, d = X.shape
        if d > _LARGEST:
            raise InputError(f"whitening {d:,} coordinates would take {d:,}^3 operations; at most {_LARGEST:,}")
        mean = X.mean(axis=0, dtype=np.float64)
        total = np.zeros((d, d))
        for start in range(0, n, 4096):
            part = X[start : start + 4096] - mean
            total += part.T @ part
        values, vectors = np.linalg.eigh(total / n)
        return cls(mean, np.maximum(values, 0.0), vectors)

    def whitening(self, epsilon: float) -> npt.NDArray[np.float64]:
        """Return W = V diag((values + epsilon)^-1/2) V^T, (d, d), symmetric: (X - mean) W is whitened.

        Krizhevsky, "Learning multiple layers of features from tiny images", 2009, appendix A; epsilon as in Coates, Lee
        and Ng, "An analysis of single-layer networks in unsupervised feature learning", 2011.
        """
        check_number("epsilon", epsilon)
        shifted = self.values + epsilon
        if shifted[0] <= len(shifted) * np.finfo(float).eps * shifted[-1]:  # 0 but for rounding
            raise InputError(
                "the covariance is singular (some pixels never vary, or there are fewer images than pixels), so "
                f"whitening needs an epsilon above {epsilon:g}"
            )
        return (self.vectors / np.sqrt(shifted)) @ self.vectors.T
