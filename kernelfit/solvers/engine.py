"""The contract of engines: the same question and the same answer, wherever the work is done."""

import dataclasses

import numpy as np

from kernelfit.solvers.measures import Check


@dataclasses.dataclass(frozen=True, kw_only=True)
class Answer:
    """coef with (K + ridge I) coef = Y, what was measured of it, and what it predicts.

    Attributes
    ----------
    coef : float64 array, shape (n, r)
    check : Check
        Residual, fitted values and norm of the matrix, from recomputed Gram blocks.
    energy : (array, array)
        Two arrays (n, r) whose columns' inner products are Y^T (K + ridge I)^-1 Y without use of `check`: L^-1 Y twice
        from a float64 factor, Y and coef otherwise.
    scores : float64 array, shape (m, r)
        Predictions at the test points.
    inverse_diagonal : array, shape (n,), or None
        Of (K + ridge I)^-1, where leave-one-out was asked for.
    condition_estimate : float or None
        Of K + ridge I in the 1-norm, a lower bound; None where it would cost too much, or there is no factor.
    smallest_pivot : float
        Of the factor; NaN where there is none.
    ridge : float
        On the diagonal of the system that was solved.
    method : str
        For people: what was done, and where.
    precision : str
        "float64" or "mixed".
    report : dict
        JSON-ready, Record.solver: precision, reason, shift, breakdowns, steps, residuals, fallback, and what else the
        engine has to say.
    seconds : dict
        By phase: allocate, gram, precondition, factor, solve, refine, check, condition, leave_one_out, predict.
    gflops, gemm_gflops : float or None
        Of the factorisation and of matrix products, all processes together, in 10^9 operations per second.
    peak_bytes : int
        Largest resident memory of any process up to the end.
    device : str
        "cpu" or "cuda".
    """

    coef: np.ndarray
    check: Check
    energy: tuple
    scores: np.ndarray
    inverse_diagonal: np.ndarray | None = None
    condition_estimate: float | None = None
    smallest_pivot: float = float("nan")
    ridge: float
    method: str
    precision: str
    report: dict
    seconds: dict
    gflops: float | None = None
    gemm_gflops: float | None = None
    peak_bytes: int
    device: str = "cpu"


class Engine:
    """Where a problem is solved, beyond one process: a context that every process of the run enters.

    Attributes
    ----------
    is_root : bool
        Whether this process reads the data, prints and writes. Those that do not follow the one that does inside of
        __enter__, which returns when the run has ended.
    launcher : str
        What stands before the command line that repeats the run.
    """

    is_root, launcher = True, ""

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        """Free everything; `error` is what went wrong, or None."""

    def solve(self, K, K_test, Y, *, ridge, progress):
        """Return the Answer of (K + ridge I) coef = Y.

        Parameters
        ----------
        K : KernelGram
            Of the training points, K.points, and K.kernel.
        K_test : KernelGram
            Of the test points, K_test.left, against the training points.
        Y : float64 array, shape (n, r)

        Raises
        ------
        SingularMatrixError, NotConvergedError, NotEnoughMemoryError
        """
        raise NotImplementedError
