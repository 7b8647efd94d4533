"""The float64 answer from a float32 factor, in half the memory and about half the time of a float64 one.

The panel Cholesky runs in float32, and its factor M solves for corrections, coef += M^-1 (Y - K coef), of which the
residual is in float64 against the exact K, made again block by block, or from inner products that are cached where
memory allows. The residual that ends it is the check of the solution, always from blocks that are made again. Where a
correction gains too little, M preconditions block conjugate gradients instead. Where float32 finds a pivot that is not
positive, a multiple of the identity is added to the matrix that is factored, never to the problem.
"""

from collections.abc import Callable
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from kernelfit.common.errors import NotConvergedError, SingularMatrixError, UnsupportedError
from kernelfit.common.progress import Progress
from kernelfit.common.stopwatch import Stopwatch
from kernelfit.grams.matrix import Gram
from kernelfit.solvers.cg import block_cg
from kernelfit.solvers.panel_cholesky import cholesky
from kernelfit.solvers.protocol import Factor, Triangular, goes_on
from kernelfit.solvers.regularity import judged
from kernelfit.solvers.solution import ACCURATE, Solution, residuals

TOLERANCE = 1e-10
STEPS = 30
_GAIN = 10.0  # by which a correction must reduce the residual; below it conjugate gradients gain more
_MARGIN = 3.0  # by which the residual that the last gain promises must be below the tolerance to be relied on
_SHIFTS = 3


class MixedFactor(Factor):
    """L with L L^T = K + (ridge + shift) I in float32; solutions are corrected to float64 accuracy.

    Attributes
    ----------
    L : PanelFactor, or another with its contract
    cached : Gram
        The same matrix as K, with inner products at hand where they are kept.
    otherwise : callable or None
        failure -> the Factor that takes over, once and for all, where corrections do not converge.
    """

    precision: str = "mixed"
    L: Triangular
    cached: Gram
    otherwise: Callable[[str], Factor] | None = None
    _instead: Factor | None = None

    def __init__(self, K: Gram, cached: Gram, L: Triangular, *, estimate: bool = True, **facts: Any):
        super().__init__(K, **facts)
        self.cached, self.L = cached, L
        self._estimate, self._condition, self._judged = estimate, None, False

    @classmethod
    def of(
        cls,
        K: Gram,
        make_panels: Callable[[float], Any],
        *,
        ridge: float = 0.0,
        first_shift: float = 0.0,
        cached: bool = False,
        factorise: Callable[..., Triangular] = cholesky,
        method: str = "",
        progress: Progress | None = None,
        **options: Any,
    ) -> Self:
        """Return the MixedFactor of K + ridge I.

        Parameters
        ----------
        make_panels : callable
            shift -> a new float32 storage for the factor with that shift.
        first_shift : float
            Where to begin among shifts(K, ridge): an earlier run got this far. Any other value is ignored.
        cached : bool
            Keep inner products, see Gram.cached.
        factorise : callable
            kernelfit.solvers.panel_cholesky.cholesky, or another with its contract.
        estimate : bool
            Whether to estimate the condition where float32 did not break down, by a few solves; where it did, products
            with K tell what is singular.

        Raises
        ------
        NotConvergedError
            float32 broke down with every shift, or cannot hold the entries of K.
        """
        progress, watch, quick, kept = progress or Progress(), Stopwatch(), K, 0
        with watch("keep"):
            if cached and K.kernel.of_products:
                quick = K.cached(progress=progress)
                kept = sum(panel.nbytes for panel in quick.points.products.panels)
                K.device.synchronize()
        L, breakdowns = _factored(quick, make_panels, factorise, ridge, first_shift, progress)
        watch.add(L.seconds)
        report = {"kept_bytes": kept, "shift": L.shift, "breakdowns": breakdowns}
        return cls(K, quick, L, ridge=ridge, method=method, report=report, seconds=watch.seconds, **options)

    def solve(self, Y: npt.ArrayLike, *, progress: Progress | None = None) -> Solution:
        if self._instead is not None:
            return self._instead.solve(Y, progress=progress)
        try:
            return super().solve(Y, progress=progress)
        except NotConvergedError as error:
            if self.otherwise is None:
                raise
            failure = str(error)
        # Out of the except block: the error holds the frames that hold the float32 panels, whose memory is needed now.
        self._release(None)
        self.L = None  # type: ignore[assignment]
        self._instead = other = self.otherwise(failure)
        for name in ("method", "precision", "report", "seconds", "gflops", "gemm_gflops"):
            setattr(self, name, getattr(other, name))
        return other.solve(Y, progress=progress)

    def half_solve(self, Y: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return self._float64("triangular solves").half_solve(Y)

    def half_solve_transposed(self, Z: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return self._float64("triangular solves").half_solve_transposed(Z)

    def inverse_diagonal(self, *, progress: Progress | None = None) -> npt.NDArray[np.float64]:
        return self._float64("inverse diagonal").inverse_diagonal(progress=progress)

    def log_determinant(self) -> float:
        return self._float64("determinant").log_determinant()

    def smallest_pivot(self) -> float:
        return float(self.L.pivots().min()) if self._instead is None else self._instead.smallest_pivot()

    def _release(self, error: BaseException | None) -> None:
        if self._instead is not None:
            self._instead.close(error)
        elif self.L is not None:  # else what was to take over has failed
            self.L.release(goes_on(error))
            self.cached = None  # type: ignore[assignment]

    def _float64(self, what):
        """Return the float64 factor that has taken over, if there is one."""
        if self._instead is None:
            raise self._cannot(what)
        return self._instead

    def _cannot(self, what):
        return UnsupportedError(
            f'a float32 factor has no {what} to float64 accuracy, which leave-one-out needs. Take `precision="float64"`'
        )

    def _solve(self, Y, watch, progress):
        """Return the Solution of targets of size 1: corrections while they gain, then conjugate gradients.

        Raises NotConvergedError where the steps stopped gaining before the residual was below the tolerance or what
        rounding in float64 allows; SingularMatrixError where K + ridge I is singular to float64
        (kernelfit.solvers.regularity), whether or not Y has a solution.
        """
        try:
            coef, fitted, found = self._corrected(Y, watch, progress)
        except NotConvergedError:
            self._judge(watch, progress)  # the cause may be that K + ridge I is singular
            raise
        self._judge(watch, progress)
        report = {"steps": len(found), "residuals": found}
        return self._solution(Y, coef, fitted, Y.T @ coef, watch, condition=self._condition, **report)

    def _judge(self, watch, progress):
        if not self._judged:
            with watch("condition"):
                self._condition = judged(self.cached, self.L, self._norm_1, estimate=self._estimate, progress=progress)
                self._judged = True

    def _corrected(self, Y, watch, progress):
        """Return (coef, K coef, relative residuals by step)."""
        device, xp, ridge = self.K.device, self.K.device.xp, self.ridge
        sizes = np.linalg.norm(Y, axis=0)
        sizes[sizes == 0] = 1.0

        def multiply(V):
            return self.cached.product(V, progress=progress) + ridge * V

        def precondition(R):
            scale = xp.abs(R).max(axis=0)
            scale[scale == 0] = 1.0  # columns are brought to one size, so that float32 neither overflows nor loses them
            return self.L.solve(R / scale).astype(np.float64) * scale

        def checked(K, coef):
            """Return (K coef, residual by output, whether each is small), with K as given."""
            if self._norm_1 is None:
                fitted, norm = K.product_and_norm(coef, progress=progress)
                self._norm_1 = norm + ridge
            else:
                fitted = K.product(coef, progress=progress)
            by_output = residuals(Y, coef, fitted, ridge)
            # Every output by itself. A backward error of half an eps: where that is more than the tolerance, no float64
            # solver promises less. Large coefficients alone must not do: what is not solved to 8 digits is not solved.
            attainable = np.finfo(np.float64).eps / 2 * self._norm_1 * np.linalg.norm(coef, axis=0) / sizes
            small = (by_output <= np.maximum(TOLERANCE, np.minimum(attainable, ACCURATE))).all()
            return fitted, float(by_output.max(initial=0.0)), bool(small)

        coef, residual, relative, expected, steps, gaining = np.zeros_like(Y), Y, 1.0, np.inf, [], True
        kept = self.cached is not self.K
        for _ in range(STEPS):
            with watch("refine"):
                if gaining:
                    change, reached = precondition(device.array(residual)), True
                else:
                    goal = 0.7 * TOLERANCE / relative
                    done = block_cg(multiply, precondition, device.array(residual), xp=xp, tolerance=goal, steps=STEPS)
                    steps += [relative * value for value in done.residuals]
                    change, reached = done.X, done.residuals[-1] <= goal
                candidate = coef + device.host(change)
            # What is kept tells how far this is, the points whether it is enough; these are asked at once where the
            # last gain promises it.
            promised = kept and expected <= TOLERANCE / _MARGIN
            if not promised:
                with watch("refine"):
                    fitted, worst, small = checked(self.cached, candidate)
                steps.append(worst)
            if promised or (kept and small):
                with watch("check"):
                    fitted, worst, small = checked(self.K, candidate)
                steps += [worst] * promised
            if small:
                return candidate, fitted, steps
            if not reached:
                break
            gaining = gaining and worst <= relative / _GAIN
            expected = worst * (worst / relative) if gaining else np.inf
            if worst < relative:
                coef, residual, relative = candidate, Y - fitted - ridge * candidate, worst
        raise NotConvergedError(
            f"the float32 factor is too coarse a preconditioner: after {len(steps)} steps the relative residual is "
            f'{worst:.1e}, not {TOLERANCE:.0e}. Take `precision="float64"`'
        )


def shifts(gram: Gram, ridge: float) -> list[float]:
    """Return what to add to the matrix before it is factored in float32: nothing, then more with every breakdown.

    A pivot of a float32 factor is off by up to a few times sqrt(n) eps K_ii; beyond 4 of these (less the ridge, which
    does the same) it should stay positive.
    """
    n = gram.shape[0]
    unit = 4 * np.sqrt(n) * np.finfo(np.float32).eps / 2 * float(gram.diagonal().mean())
    larger = [max(0.0, 4**k * unit - ridge) for k in range(_SHIFTS)]
    return [0.0, *(float(shift) for shift in larger if shift > 0)]


def _factored(gram, make_panels, factorise, ridge, first_shift, progress):
    largest, float32 = float(np.max(gram.diagonal())), np.finfo(np.float32)
    # Entries of L L^T are no larger than those of the diagonal, and those of eps times it are digits as well.
    if float(float32.max) < largest < np.inf or 0 < largest + ridge < float(float32.tiny / float32.eps):
        raise NotConvergedError(
            f'float32 cannot hold a kernel whose diagonal reaches {largest:.1e}. Take `precision="float64"`'
        )
    tried = shifts(gram, ridge)
    first = tried.index(first_shift) if first_shift in tried else 0
    breakdowns = tried[:first]
    for shift in tried[first:]:
        panels = make_panels(shift)
        try:
            factor = factorise(gram, ridge=ridge, shift=shift, panels=panels, progress=progress)
        except SingularMatrixError as error:
            panels.finish()
            breakdowns.append(shift)
            progress.note(f"float32 breaks down at training point {error.row} with a shift of {shift:.1e}")
        except BaseException as error:
            panels.abandon() if goes_on(error) else panels.finish()
            raise
        else:
            return factor, breakdowns
    raise NotConvergedError(
        f"float32 cannot factor K + {ridge:g} I, not even with {breakdowns[-1]:.1e} on its diagonal. Take "
        '`precision="float64"`, a smaller bandwidth, or a ridge'
    )
