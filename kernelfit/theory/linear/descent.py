"""Gradient descent, SGD and Kaczmarz on least squares: the path to the minimum-norm solution, and its predicted rate.

Every step adds a combination of training points, so that P_null W_k = P_null W_0 for all k, with P_null the projection
onto the orthogonal complement of their span. From zero the limit is hence the minimum-norm solution; a start elsewhere
adds exactly its null-space part: limit = W_min + P_null W_0 (Zhang et al., section 5).
"""

import dataclasses
import math
import numbers

import numpy as np
import numpy.typing as npt

from kernelfit.common.errors import InputError
from kernelfit.common.rng import generator
from kernelfit.common.validation import check_integer
from kernelfit.solvers.scaling import column_norms
from kernelfit.theory.linear.least_squares import LeastSquares, minimum_norm, prepare
from kernelfit.theory.linear.loops import row_steps

# Rounding stops a descent at about eps times the condition number, relative to |W|. The rate is observed above that.
_OBSERVED_DOWN_TO = 1e-10


@dataclasses.dataclass(frozen=True)
class Path:
    """A descent, recorded at p of its steps; norms are Frobenius norms.

    Attributes
    ----------
    steps : int array, shape (p,)
        Steps taken before each record: 0 first.
    distance, limit_distance, norm, span_residual : float64 array, shape (p,)
        |W_k - W_min|, |W_k - limit|, |W_k|, and |P_null W_k|, the part outside the span of the training points.
    weights, limit : float64 array, shape (d,) or (d, r)
        The last W_k, and W_min + P_null W_0.
    solution : LeastSquares
        Holds W_min.
    predicted_factor : float
        q with |W_k - limit|^2 <= q^k |W_0 - limit|^2, in expectation over the rows drawn.
    observed_factor : float
        The same from the record, down to 1e-10 of the first distance; NaN if the start is the limit.
    """

    steps: np.ndarray
    distance: np.ndarray
    limit_distance: np.ndarray
    norm: np.ndarray
    span_residual: np.ndarray
    weights: np.ndarray
    limit: np.ndarray
    solution: LeastSquares
    predicted_factor: float
    observed_factor: float


def gradient_descent(
    X: npt.ArrayLike,
    Y: npt.ArrayLike,
    *,
    start: npt.ArrayLike | None = None,
    rate: float | None = None,
    steps: int = 1000,
) -> Path:
    """Return the Path of W <- W - rate X^T (X W - Y) / n, recorded at every step.

    With lambda the nonzero eigenvalues of X^T X / n, predicted_factor = max (1 - rate lambda)^2. It converges for any
    Y, interpolated or not.

    Parameters
    ----------
    X : array, shape (n, ...)
        uint8 stands for pixels / 255.
    Y : array, shape (n,) or (n, r)
    start : array, shape (d,) or (d, r)
        Zero by default.
    rate : float
        In (0, 2 / lambda_max); by default the one with the best factor, 2 / (lambda_max + lambda_min).

    Examples
    --------
    >>> import numpy as np
    >>> path = gradient_descent(np.array([[1.0, 1.0, 0.0], [0.0, 0.0, 2.0]]), np.array([2.0, 2.0]), steps=200)
    >>> path.weights.round(9).tolist()  # from zero, to the solution of least norm
    [1.0, 1.0, 1.0]
    """
    run = _Run(X, Y, start)
    eigenvalues = run.solution.singular_values**2 / len(run.X)
    rate = _check_rate(rate, 2 / (eigenvalues[0] + eigenvalues[-1]), 2 / eigenvalues[0], "2 / lambda_max(X^T X / n)")
    factor = float(np.max((1 - rate * eigenvalues) ** 2))

    def step(W):
        W -= rate * ((W @ run.X.T - run.Y.T) @ run.X) / len(run.X)

    return run.follow(step, steps, 1, factor)


def stochastic_gradient_descent(
    X: npt.ArrayLike,
    Y: npt.ArrayLike,
    *,
    start: npt.ArrayLike | None = None,
    rate: float | None = None,
    epochs: int = 100,
    seed: int = 0,
) -> Path:
    """Return the Path of W <- W - rate x_i (x_i^T W - y_i), i drawn uniformly, recorded once an epoch of n steps.

    The rate stays constant: rows that can all be interpolated leave no gradient noise at the solution. With
    R = max |x_i| and lambda_min the smallest nonzero eigenvalue of X^T X / n,

        E |W_k+1 - limit|^2 <= (1 - rate (2 - rate R^2) lambda_min) |W_k - limit|^2,

    from |e - rate x x^T e|^2 = |e|^2 - rate (2 - rate |x|^2) (x^T e)^2 for the error e, in the span of the rows.
    Arguments as in gradient_descent, but rate in (0, 2 / R^2), 1 / R^2 by default.

    Raises
    ------
    InputError
        No W interpolates Y, so that the steps would wander for ever.
    """
    run = _Run(X, Y, start)
    run.check_solvable("stochastic gradient descent with a constant rate")
    n, largest = len(run.X), float(np.einsum("ij,ij->i", run.X, run.X).max())
    rate = _check_rate(rate, 1 / largest, 2 / largest, "2 / max |x_i|^2")
    factor = 1 - rate * (2 - rate * largest) * run.solution.singular_values[-1] ** 2 / n
    rng, gains = generator(seed, "rows of gradient descent"), np.full(n, rate)
    return run.follow(run.rows_in_turn(gains, lambda: rng.integers(n, size=n)), epochs, n, float(factor))


def kaczmarz(
    X: npt.ArrayLike, Y: npt.ArrayLike, *, start: npt.ArrayLike | None = None, epochs: int = 100, seed: int = 0
) -> Path:
    """Return the Path of randomized Kaczmarz: W <- W + x_i (y_i - x_i^T W) / |x_i|^2, i drawn in proportion to |x_i|^2.

    SGD with the exact step on one row: each step solves the equation of its row. With kappa_F^2 = |X|_F^2 |X^+|^2,

        E |W_k - limit|^2 <= (1 - 1 / kappa_F^2)^k |W_0 - limit|^2

    (Strohmer and Vershynin, "A randomized Kaczmarz algorithm with exponential convergence", 2009, theorem 2; for rank
    below d the errors stay in the span of the rows, where the proof holds with |X^+|). Recorded once an epoch of n
    steps. Arguments and errors as in stochastic_gradient_descent; rows of zeros are never drawn.
    """
    run = _Run(X, Y, start)
    run.check_solvable("Kaczmarz's method")
    n, squares = len(run.X), np.einsum("ij,ij->i", run.X, run.X)
    factor = 1 - run.solution.singular_values[-1] ** 2 / squares.sum()
    gains = np.divide(1.0, squares, out=np.zeros(n), where=squares > 0)
    rng, probabilities = generator(seed, "rows of Kaczmarz"), squares / squares.sum()
    return run.follow(run.rows_in_turn(gains, lambda: rng.choice(n, n, p=probabilities)), epochs, n, float(factor))


class _Run:
    """One problem with its solution and start; W is held transposed, (r, d), so that rows of W are contiguous."""

    def __init__(self, X, Y, start):
        self.solution = minimum_norm(X, Y)
        self.X, self.Y = prepare(X, Y)
        self.shape = self.solution.weights.shape
        self.start = np.zeros(self.shape) if start is None else np.asarray(start)
        if self.start.dtype.kind not in "fiub":
            raise InputError(f"start holds {self.start.dtype}; give weights, numbers of shape {self.shape}")
        self.start = self.start.astype(np.float64)
        if self.start.shape != self.shape or not np.isfinite(self.start).all():
            raise InputError(f"start has shape {self.start.shape}; give finite weights of shape {self.shape}")

    def check_solvable(self, method):
        # The computed residual of a solvable system: the SVD is exact for X + E, |E| <= about eps max(n, d) |X|, and
        # |W| <= condition |Y| / |X|. Ten times as much leaves room for the constant.
        rounding = 10 * np.finfo(float).eps * max(self.X.shape) * self.solution.condition
        if self.solution.relative_residual > rounding:
            raise InputError(
                f"{method} converges only where X W = Y has a solution; the best W leaves a relative residual of "
                f"{self.solution.relative_residual:.2g}. Likely n = {len(self.X)} exceeds the rank "
                f"{self.solution.rank}, or equal points have different targets. Try gradient_descent, which converges "
                "to the least-squares solution"
            )

    def rows_in_turn(self, gains, draw):
        """Return a function that takes one step along each row of draw(), in place."""
        return lambda W: row_steps(self.X, self.Y, W, gains, draw())

    def follow(self, advance, times, stride, factor):
        """Call advance(W) `times` times, each worth `stride` steps; return the Path."""
        check_integer("steps or epochs", times)
        W_min = self.solution.weights
        limit = W_min + self.solution.outside_row_space(self.start)
        W = self.start.reshape(len(self.start), -1).T.copy()
        table = []
        for k in range(times + 1):
            if k:
                advance(W)
            now = W.T.reshape(self.shape)
            parts = (now - W_min, now - limit, now, self.solution.outside_row_space(now))
            table.append([float(column_norms(part.reshape(-1, 1))[0]) for part in parts])
        distance, limit_distance, norm, span_residual = np.array(table).T
        observed = _observed_factor(limit_distance, stride)
        steps = stride * np.arange(times + 1)
        return Path(steps, distance, limit_distance, norm, span_residual, now, limit, self.solution, factor, observed)


def _check_rate(rate, default, bound, name):
    rate = default if rate is None else rate
    if not isinstance(rate, numbers.Real):
        raise InputError(f"rate = {rate!r}; it must be a number")
    if not 0 < rate < bound:
        raise InputError(
            f"rate = {rate}; the descent converges for 0 < rate < {name} = {bound:.6g}. Leave rate out for a good one"
        )
    return rate


def _observed_factor(distance, stride):
    """Geometric mean of the factor of the squared distance per step, over the part of the path above rounding."""
    if distance[0] == 0:
        return math.nan
    last = max(1, int(np.flatnonzero(distance >= _OBSERVED_DOWN_TO * distance[0])[-1]))
    return float((distance[last] / distance[0]) ** (2 / (last * stride)))
