"""The one way to solve (K + ridge I) coef = Y: a Solver makes a Factor of K, and the Factor answers for any targets."""

import contextlib
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt

from kernelfit import backend
from kernelfit.backend.device import Array
from kernelfit.common.errors import (
    InputError,
    NotConvergedError,
    NotEnoughMemoryError,
    SingularMatrixError,
    UnsupportedError,
)
from kernelfit.common.progress import Progress
from kernelfit.common.spans import spans
from kernelfit.common.stopwatch import Stopwatch
from kernelfit.common.validation import check_number
from kernelfit.grams.matrix import Gram
from kernelfit.solvers.planning.problem import Problem
from kernelfit.solvers.scaling import exponents_of, in_units
from kernelfit.solvers.solution import Solution

_WIDTH = 512  # unit vectors solved for at a time: wide enough for GEMM, 4 MB per 1,000 rows


class Solver:
    """How to solve: an immutable object with one method, `factor`.

    Attributes
    ----------
    device : str or device
        Where K is to be made: "cpu", "cuda", or "auto" for the GPU where there is one.
    is_root : bool
        Whether this process reads the data, prints and writes; see `opened`.
    launcher : str
        What stands before a command line that solves in the same way.
    """

    device: backend.Device | str = "cpu"

    def __deepcopy__(self, memo: dict) -> Self:
        return self  # immutable, and what it has open cannot be copied

    @property
    def is_root(self) -> bool:
        return True

    @property
    def launcher(self) -> str:
        return ""

    def factor(self, K: Gram, *, ridge: float = 0.0, progress: Progress | None = None) -> "Factor":
        """Return the Factor of K + ridge I.

        Parameters
        ----------
        K : Gram
            Symmetric, shape (n, n), on the device of the solver.
        ridge : float
            Added to the diagonal; 0 unless given, and never changed.

        Raises
        ------
        SingularMatrixError
            K + ridge I is singular to working precision; nothing is ever added to it.
        NotEnoughMemoryError, NotEnoughDiskError, ScratchError, NotConvergedError, InputError
        """
        raise NotImplementedError

    def require(self, problem: Problem) -> None:
        """Raise NotEnoughMemoryError if a Problem cannot fit, where that is known before anything is made."""

    @contextlib.contextmanager
    def opened(self) -> Iterator[Self]:
        """Enter what the solver works with beyond this process; yields the Solver to use inside.

        Every process of a run enters. Those that do not lead follow the one that does until it leaves; what is yielded
        to them has is_root False, and there is nothing left to do.
        """
        yield self


class Factor:
    """K + ridge I, made ready to be solved for any targets, any number of times; a context that frees it in the end.

    A block that ends with an error which a later run could do without leaves on disk what it can go on with.

    Attributes
    ----------
    K : Gram
    ridge : float
    method : str
        For people: what was done, and where.
    precision : str
        "float64", or "mixed": a float32 factor, corrected in float64.
    report : dict
        JSON-ready: precision, reason, shift, breakdowns, fallback, and what else the solver has to say.
    seconds : dict
        Of the factor by phase: allocate, gram, factor, condition, precondition.
    device : str
        Where it was computed: "cpu" or "cuda".
    gflops, gemm_gflops : float or None
        Of the factorisation and of matrix products, all processes together, in 10^9 operations per second.
    """

    K: Gram
    ridge: float
    method: str
    precision: str = "float64"
    report: dict[str, Any]
    seconds: dict[str, float]
    device: str
    gflops: float | None = None
    gemm_gflops: float | None = None
    _closed = False

    def __init__(self, K: Gram, *, ridge: float, method: str, report: dict[str, Any], seconds: dict[str, float]):
        self.K, self.ridge, self.method = K, check_number("ridge", ridge), method
        common = {"precision": self.precision, "reason": "asked for", "shift": 0.0, "breakdowns": [], "fallback": None}
        for name, value in common.items():  # in place: a factor around another has its report
            report.setdefault(name, value)
        self.report, self.seconds, self.device = report, seconds, K.device.name
        self._norm_1: float | None = None

    @property
    def n(self) -> int:
        """Order of the matrix."""
        return self.K.shape[0]

    @property
    def closed(self) -> bool:
        """Whether its memory is free."""
        return self._closed

    def solve(self, Y: npt.ArrayLike, *, progress: Progress | None = None) -> Solution:
        """Return the Solution of (K + ridge I) coef = Y for Y of shape (n, r), to float64 accuracy.

        Raises
        ------
        NotConvergedError
            An iteration ended before the residual was small.
        SingularMatrixError
            That K + ridge I is singular showed only now.
        InputError
            Y does not fit, is not finite, or is so large that coefficients or norm are beyond the largest number.
        """
        Y, exponents = self._of_size_1(Y)
        with memory_explained():
            solved = self._solve(Y, Stopwatch(), progress or Progress())
        return self._in_units_of(solved, exponents)

    def _of_size_1(self, Y):
        """Return (targets of size 1, exponents that bring them back): no residual or norm depends on their units."""
        Y = self._checked(Y)
        exponents = exponents_of(Y)
        return in_units(Y, -exponents), exponents

    def _in_units_of(self, solution, exponents):
        """Return the Solution of the targets that `_of_size_1` was given; raises InputError where it overflows."""
        solved = solution.in_units(exponents)
        if not (np.isfinite(solved.coef).all() and not np.isinf(solved.norm.total)):
            raise InputError(
                f"targets reach {np.ldexp(1.0, exponents.max()):.1e}, so that coefficients or norm are beyond the "
                "largest number of float64. Divide y by a constant"
            )
        return solved

    def predict(
        self, K_test: Gram, coef: npt.NDArray[np.float64], *, progress: Progress | None = None
    ) -> npt.NDArray[np.float64]:
        """Return K_test coef, shape (m, r), for the Gram of test points against those of K, where K was factored."""
        return K_test.product(coef, progress=progress)

    def half_solve(self, Y: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return S Y, shape (n, r), with S^T S = (K + ridge I)^-1: L^-1 Y of a triangular factor."""
        raise self._cannot("triangular solves")

    def half_columns(self, rows: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return the columns `rows` of S, shape (n, len(rows)): Z with Z^T Z = [(K + ridge I)^-1][rows, rows]."""
        rows = np.asarray(rows)
        columns = np.zeros((self.n, len(rows)))
        columns[rows, np.arange(len(rows))] = 1.0
        return self.half_solve(columns)

    def half_solve_transposed(self, Z: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return S^T Z, shape (n, r)."""
        raise self._cannot("triangular solves")

    def apply_inverse(self, V: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return (K + ridge I)^-1 V, shape (n, r), unchecked."""
        return self.half_solve_transposed(self.half_solve(V))

    def inverse_diagonal(self, *, progress: Progress | None = None) -> npt.NDArray[np.float64]:
        """Return the diagonal of (K + ridge I)^-1, shape (n,)."""
        diagonal = np.empty(self.n)
        with (progress or Progress()).phase("leave-one-out", self.n) as advance:
            for start, stop in spans(0, self.n, _WIDTH):
                Z = self.half_columns(range(start, stop))
                diagonal[start:stop] = np.einsum("ij,ij->j", Z, Z)
                advance(stop - start)
        return diagonal

    def extended(
        self, K: Gram, Y: npt.NDArray[np.float64], *, progress: Progress | None = None
    ) -> "tuple[Factor, npt.NDArray[np.float64]]":
        """Return (factor, its half_solve(Y)) with the same ridge for a K of more points, of which these are the first.

        Both factors can be used, and share memory, which is free when both are closed.

        Raises
        ------
        UnsupportedError
            Only a float64 Cholesky factor in memory can.
        SingularMatrixError
        """
        raise self._cannot_extend()

    def log_determinant(self) -> float:
        """Return log det(K + ridge I)."""
        raise self._cannot("determinant")

    def smallest_pivot(self) -> float:
        """Return the smallest pivot: an upper bound on the smallest eigenvalue of what was factored."""
        raise self._cannot("pivots")

    def peak_memory(self) -> int:
        """Return the largest resident memory so far, in bytes, of any process."""
        return backend.peak_memory()

    def close(self, error: BaseException | None = None) -> None:
        """Free the factor, once and for all; `error`, if any, is what ended its use."""
        if self._closed:
            return
        self._closed = True
        for name in _OF_OPEN:
            if hasattr(self, name):
                setattr(self, name, _refuse)
        self._release(error)

    def _release(self, error: BaseException | None) -> None:
        """Free what `close` is to free."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(n={self.n}, ridge={self.ridge:g}, method={self.method!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close(error)

    def _solve(self, Y, watch, progress):
        """Return the Solution for float64 Y (n, r) whose columns have size 1; phases are added to the Stopwatch."""
        with watch("solve"):
            half = self.half_solve(Y)
            coef = self.half_solve_transposed(half)
        with watch("check"):
            fitted = self._fitted(coef, progress)
        with watch("condition"):
            condition = self._estimate_condition()
        return self._solution(Y, coef, fitted, half.T @ half, watch, condition=condition)

    def _estimate_condition(self) -> float | None:
        """Return the condition number of K + ridge I, whose 1-norm is known by now, or None."""
        return None

    def _solution(self, Y, coef, fitted, quadratic, watch, *, condition=None, **report):
        """Return the Solution with what it has of this factor."""
        return Solution(
            Y,
            coef,
            fitted,
            quadratic,
            self.ridge,
            self._norm_1,
            condition,
            self.method,
            self.report | report,
            watch.seconds,
            self.K,
        )

    def _fitted(self, coef, progress):
        """Return K coef from recomputed blocks, having found |K + ridge I|_1 the first time."""
        if self._norm_1 is not None:
            return self.K.product(coef, progress=progress)
        fitted, norm = self.K.product_and_norm(coef, progress=progress)
        self._norm_1 = norm + self.ridge  # a kernel has a diagonal >= 0, which the ridge adds to
        return fitted

    def _checked(self, Y) -> npt.NDArray[np.float64]:
        Y = np.asarray(Y)
        if Y.ndim != 2 or len(Y) != self.n or Y.dtype.kind not in "fiub":
            raise InputError(f"right-hand sides are {Y.dtype} of shape {Y.shape}; expected numbers ({self.n}, r)")
        if not np.isfinite(Y).all():
            raise InputError("right-hand sides hold NaN or infinite values")
        return np.asarray(Y, dtype=np.float64)

    def _cannot(self, what):
        return UnsupportedError(
            f"{self.method} has no {what}. Take a factor in float64: Cholesky(), or Eigen() up to n = 32,000"
        )

    def _cannot_extend(self):
        return UnsupportedError(
            f"{self.method} has no way to take up further points. Take Cholesky() in float64 and in memory"
        )


class Triangular(Protocol):
    """L with L L^T = K + (ridge + shift) I, wherever it lies: PanelFactor says more of each."""

    @property
    def n(self) -> int: ...
    @property
    def ridge(self) -> float: ...
    @property
    def shift(self) -> float: ...
    @property
    def seconds(self) -> dict[str, float]: ...
    @property
    def inverse_norm(self) -> float | None: ...
    def half_solve(self, Y: Array) -> Array: ...
    def half_solve_transposed(self, Z: Array) -> Array: ...
    def solve(self, Y: Array) -> Array: ...
    def pivots(self) -> npt.NDArray[np.float64]: ...
    def release(self, go_on: bool = False) -> None: ...


_OF_OPEN: tuple[str, ...] = ("solve", "solve_path", "at", "extended", "apply_inverse", "half_columns", "half_solve")
_OF_OPEN += ("half_solve_transposed", "inverse_diagonal", "log_determinant", "smallest_pivot")


def _refuse(*args, **options):
    raise InputError("this factor was closed, and its memory is free; use it inside of its `with` block")


def check_system(K: Any, ridge: Any, *, elsewhere: bool = False) -> float:
    """Return the ridge as a float; raises InputError unless K is a symmetric Gram, and ridge 0 or positive.

    Raises UnsupportedError where blocks are to be made elsewhere, in other processes, of a K that is more than points
    and a kernel.
    """
    if not isinstance(K, Gram):
        raise InputError(f"K is a {type(K).__name__}; give a Gram, such as gram(X, kernel) or gram(K, Precomputed())")
    if not K.symmetric:
        raise InputError(f"K of shape {K.shape} is that of two sets of points; only gram(X, kernel) can be solved")
    if elsewhere and not K.of_points:
        raise UnsupportedError(
            "weighted points are solved in one process, and Mpi and Dask have several. Take Cholesky() or Auto()"
        )
    if elsewhere and not K.points.has_coordinates:
        raise InputError(
            "Mpi and Dask make the entries of K in every process from the points, and this K has none: a precomputed "
            "kernel, or features whose inner products are kept instead. Take Cholesky() or Auto()"
        )
    return check_number("ridge", ridge)


def check_solver(solver: Any) -> None:
    """Raise InputError unless a value is a Solver."""
    if not isinstance(solver, Solver):
        raise InputError(f"solver = {solver!r}; give a Solver such as Cholesky() or Auto(), or None")


def goes_on(error: BaseException | None) -> bool:
    """Return whether a later run could go on after this error, rather than fail again in the same way."""
    return error is not None and not isinstance(error, SingularMatrixError | InputError | NotConvergedError)


@contextlib.contextmanager
def memory_explained() -> Iterator[None]:
    """Turn a MemoryError in the middle of a run that a plan let begin into one that says what to try."""
    try:
        yield
    except NotEnoughMemoryError:
        raise  # by a plan, which says more
    except MemoryError as error:
        raise NotEnoughMemoryError(
            f"memory ran out in the middle of a run that should have fitted: {error}. Likely causes: (a) another "
            "process took memory of this machine or of its GPU meanwhile; (b) a GPU's free memory is in pieces. Repeat "
            "with less `memory` than was planned with, so that the factor is streamed where it can be, with "
            '`precision="mixed"`, a `scratch` folder, or fewer points, `n_train`'
        ) from error
