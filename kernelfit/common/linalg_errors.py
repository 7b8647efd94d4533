"""Failures of linear algebra; import them from kernelfit.common.errors."""

import numpy as np

from kernelfit.common.errors import KernelfitError


class NotConvergedError(KernelfitError, np.linalg.LinAlgError):
    """An iteration ended before the residual was as small as asked for."""


class SingularMatrixError(KernelfitError, np.linalg.LinAlgError):
    """The Gram matrix is not positive definite to working precision.

    Attributes
    ----------
    row : int
        Index of the first training point whose pivot vanished.
    pivot : float
        The pivot found there (NaN where the factorisation stopped before it was known).
    duplicate : int or None
        Index of an earlier training point that is identical to it.
    """

    def __init__(self, message: str, *, row: int, pivot: float = float("nan"), duplicate: int | None = None) -> None:
        super().__init__(message)
        self.row = row
        self.pivot = pivot
        self.duplicate = duplicate
