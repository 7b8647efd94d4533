"""Measures of complexity of a kernel: alignment, Rademacher complexities, effective dimension, a margin bound.

For a kernel the exact values are sums over Gram blocks and solves with one factor. H is the RKHS of K, c the number of
outputs, |f|^2 the sum of their squared norms, and K is seen through its blocks and products alone.
"""

import copy
import dataclasses
import math
from typing import Any

import numpy as np
import numpy.typing as npt

from kernelfit import backend
from kernelfit.common.errors import InputError
from kernelfit.common.progress import Progress
from kernelfit.common.rng import generator
from kernelfit.common.validation import check_integer, check_number
from kernelfit.grams.matrix import Gram
from kernelfit.solvers.scaling import exponent_of

_TILE = 1024  # rows and columns that one thread sums at a time
_SMALLEST = 1e-146  # its square has sixteen digits above the smallest number


@dataclasses.dataclass(frozen=True)
class GramSums:
    """What one pass over the blocks of a symmetric K (n, n) tells.

    Attributes
    ----------
    trace, largest_diagonal : float
        Sum and maximum of k(x_i, x_i).
    frobenius, centred_frobenius : float
        |K|_F and |H K H|_F with H = I - 1 1^T / n.
    row_sums : array, shape (n,)
        K 1.
    """

    trace: float
    largest_diagonal: float
    frobenius: float
    centred_frobenius: float
    row_sums: npt.NDArray[np.float64]


def gram_sums(K: Gram, *, progress: Progress | None = None) -> GramSums:
    """Return the GramSums of a symmetric Gram object; each block of its lower triangle is made once.

    |H K H|_F^2 = |M|_F^2 - 2 |M 1|^2 / n + (1^T M 1)^2 / n^2 for M = K - a 1 1^T with any a. With a = 0 the terms
    cancel where K is nearly constant (a wide bandwidth); a is the mean of the first block instead.
    """
    n = K.shape[0]
    starts = range(0, n, _TILE)
    shift = float(K.block((0, min(n, _TILE)), (0, min(n, _TILE))).mean())
    diagonal, rows = np.empty(n), np.zeros(n)
    squares = shifted_squares = 0.0

    def share(corner):
        """Return a tile's squared norm, that of the shifted tile, its row and column sums, and its diagonal."""
        (i, j), (k, last) = ((start, min(start + _TILE, n)) for start in corner)
        tile = np.array(K.device.host(K.block((i, j), (k, last))))
        square, own = np.vdot(tile, tile), tile.diagonal().copy()
        tile -= shift
        return square, np.vdot(tile, tile), tile.sum(axis=1), tile.sum(axis=0), own

    entries = [(n - k) * min(_TILE, n - k) for k in starts]
    with (progress or Progress()).phase("kernel sums", sum(entries)) as advance:
        for k, made in zip(starts, entries, strict=True):
            corners = [(i, k) for i in range(k, n, _TILE)]
            for (i, _), (square, shifted, own, mirrored, tile_diagonal) in zip(
                corners, backend.parallel_map(share, corners), strict=True
            ):
                times = 1 if i == k else 2
                squares, shifted_squares = squares + times * square, shifted_squares + times * shifted
                rows[i : i + _TILE] += own
                if i == k:
                    diagonal[i : i + _TILE] = tile_diagonal
                else:
                    rows[k : k + _TILE] += mirrored
            advance(made)
    if not math.isfinite(squares) or 0 < diagonal.max() < _SMALLEST:
        raise InputError(
            f"the largest entry on the diagonal of K is {diagonal.max():.1e}; squares of entries beyond 1e154 or below "
            f"{_SMALLEST:g} are no numbers. Multiply the kernel by a constant"
        )
    centred = shifted_squares - 2 * rows @ rows / n + (rows.sum() / n) ** 2
    return GramSums(
        trace=float(diagonal.sum()),
        largest_diagonal=float(diagonal.max()),
        frobenius=math.sqrt(squares),
        centred_frobenius=math.sqrt(max(centred, 0.0)),  # a square: below 0 by rounding alone, when K is constant
        row_sums=rows + n * shift,
    )


@dataclasses.dataclass(frozen=True)
class Alignment:
    """Cosine of the angle between K and the labels' own kernel Y Y^T, from 0 to 1.

    Attributes
    ----------
    uncentred : float
        <K, Y Y^T>_F / (|K|_F |Y Y^T|_F).
    centred : float
        The same of H K H and H Y: what is left when a constant is neither a similarity nor a label.
    """

    uncentred: float
    centred: float


def alignment(K: Gram, Y: npt.NDArray[np.float64], *, progress: Progress | None = None) -> Alignment:
    """Return the Alignment of K with targets Y (n, c).

    Cristianini, Shawe-Taylor, Elisseeff and Kandola, "On kernel-target alignment", 2001; centred: Cortes, Mohri and
    Rostamizadeh, "Algorithms for learning kernels based on centered alignment", 2012. Two passes over the blocks.
    """
    return alignment_of(gram_sums(K, progress=progress), Y, K.product(Y, progress=progress))


def alignment_of(sums: GramSums, Y: npt.NDArray[np.float64], KY: npt.NDArray[np.float64]) -> Alignment:
    exponent = exponent_of(Y)  # an angle has no units
    Y, KY = np.ldexp(Y, -exponent), np.ldexp(KY, -exponent)
    Y_centred = Y - Y.mean(axis=0)
    KY_centred = KY - np.outer(sums.row_sums, Y.mean(axis=0))
    sizes = sums.frobenius * np.linalg.norm(Y.T @ Y), sums.centred_frobenius * np.linalg.norm(Y_centred.T @ Y_centred)
    # Entries of K are rounded by eps each: a centred K below that share of K is their rounding alone.
    if 0 in sizes or sums.centred_frobenius <= np.finfo(float).eps * sums.frobenius:
        raise InputError(
            "alignment is undefined: K or the labels are zero or constant. Are all labels of one class, or is the "
            "bandwidth so wide that every k(x, z) is the same?"
        )
    # H is applied to Y alone: <H K H, Y Y^T> = <K, (H Y)(H Y)^T>.
    return Alignment(float(np.vdot(Y, KY) / sizes[0]), float(np.vdot(Y_centred, KY_centred) / sizes[1]))


def effective_dimension(inverse_diagonal: npt.NDArray[np.float64], ridge: float) -> float:
    """Return tr K (K + ridge I)^-1 = n - ridge tr (K + ridge I)^-1: the degrees of freedom; n without a ridge.

    Zhang, "Learning bounds for kernel regression using effective data dimensionality", 2005; Caponnetto and De Vito,
    "Optimal rates for the regularized least-squares algorithm", 2007.

    Parameters
    ----------
    inverse_diagonal : array, shape (n,)
        Of (K + ridge I)^-1, from the factor of the same ridge.
    """
    return float(len(inverse_diagonal) - ridge * np.sum(inverse_diagonal))


@dataclasses.dataclass(frozen=True)
class RademacherComplexity:
    """Empirical Rademacher complexity, an average over random signs.

    Attributes
    ----------
    value, standard_error : float
    draws : int
        Independent draws of all signs.
    """

    value: float
    standard_error: float
    draws: int


def rademacher_complexity(
    K: Gram, *, radius: float = 1.0, outputs: int = 1, draws: int = 20, seed: int = 0, progress: Progress | None = None
) -> RademacherComplexity:
    """Return the RademacherComplexity of the ball {f = (f_1, ..., f_c): |f| <= radius} on the points of K.

    The supremum is attained at f_c proportional to sum_i sigma_ic k(x_i, .), so that nothing is searched:

        E sup_f 1/n sum_ic sigma_ic f_c(x_i) = radius/n E sqrt(sum_c sigma_c^T K sigma_c) <= radius/n sqrt(c tr K).

    Bartlett and Mendelson, "Rademacher and Gaussian complexities", 2002 (whose definition carries a factor of 2).
    """
    check_number("radius", radius)
    check_integer("draws", draws, 2)
    signs = random_signs(K.shape[0], draws, seed, outputs)
    return rademacher_of(signs, K.product(signs, progress=progress), radius, draws)


def rademacher_bound(radius: float, trace: float, n: int, *, outputs: int = 1) -> float:
    """Return radius sqrt(c tr K) / n, which Jensen's inequality puts above rademacher_complexity."""
    return float(radius * math.sqrt(outputs * trace) / n)


def rademacher_of(
    signs: npt.NDArray[np.float64], K_signs: npt.NDArray[np.float64], radius: float, draws: int
) -> RademacherComplexity:
    squares = np.einsum("ij,ij->j", signs, K_signs).reshape(draws, -1).sum(axis=1)
    return averaged(radius / len(signs) * np.sqrt(np.maximum(squares, 0.0)))  # rounding may leave one below 0


def sign_correlation(estimator: Any, X: npt.NDArray, *, draws: int = 10, seed: int = 0) -> RademacherComplexity:
    """Return the RademacherComplexity that an estimator shows by fitting random signs.

    E 1/n sum_i sigma_i h(x_i), h fitted to (X, sigma) and cut to [-1, 1]: a lower bound of the empirical Rademacher
    complexity of all h that it can return, which is at most 1. Zhang et al., section 2.2: a model that fits random
    labels gets about 1, and a bound built on that says nothing.

    Parameters
    ----------
    estimator : object
        With fit(X, y) and predict(X) as in scikit-learn; a copy is fitted for each draw, with labels -1 and +1.
    """
    signs = random_signs(len(X), draws, seed)
    return averaged([correlation(s, copy.deepcopy(estimator).fit(X, s.astype(int)).predict(X)) for s in signs.T])


def correlation(signs: npt.NDArray[np.float64], predictions: npt.ArrayLike) -> float:
    predictions = np.asarray(predictions, dtype=np.float64).reshape(-1)
    if predictions.shape != signs.shape or not np.isfinite(predictions).all():
        raise InputError(
            f"the estimator predicted {predictions.shape} values for {len(signs)} points, or some that are not finite; "
            "expected one number for each point, fitted to labels -1 and +1"
        )
    return float(np.mean(signs * np.clip(predictions, -1, 1)))


def margin_bound(margin: npt.ArrayLike, rademacher: float, *, rho: float = 1.0, delta: float = 0.05) -> float:
    """Return a bound of the test error that holds with probability 1 - delta for every f in a ball.

        error <= 1/n sum_i min(1, max(0, 1 - m_i / rho)) + 4 / rho R + 3 sqrt(log(2 / delta) / (2 n)),

    R the empirical Rademacher complexity of the ball in all its outputs. The bound is 2 times the complexity of the
    ramp loss (Mohri, Rostamizadeh and Talwalkar, "Foundations of machine learning", 2nd ed., theorem 3.3); the margin
    is sqrt(2)-Lipschitz in the scores, and passing from them to a function of them costs another sqrt(2) (Maurer, "A
    vector-contraction inequality for Rademacher complexities", 2016). Strictly, rho and the ball are named before the
    data are seen: with the norm that the fit turned out to have the bound is somewhat too small, which favours it.

    Parameters
    ----------
    margin : array, shape (n,)
        leaving_out.margins of the training points.
    rademacher : float
    """
    if not (rho > 0 and 0 < delta < 1):
        raise InputError(f"rho = {rho}, delta = {delta}; rho must be positive, and delta a probability between 0 and 1")
    if not np.size(margin):
        raise InputError("there are no margins; a bound needs those of the training points")
    ramp = np.clip(1 - np.asarray(margin) / rho, 0, 1)
    return float(ramp.mean() + 4 / rho * rademacher + 3 * math.sqrt(math.log(2 / delta) / (2 * len(ramp))))


def random_signs(n: int, draws: int, seed: int, outputs: int = 1) -> npt.NDArray[np.float64]:
    """Random signs (n, draws * outputs); the columns of one draw are neighbours."""
    if draws < 2:
        raise InputError(f"{draws} draws of random signs leave no standard error; ask for at least 2")
    return np.where(generator(seed, "random signs").integers(0, 2, (n, draws * outputs)), 1.0, -1.0)


def averaged(values: npt.ArrayLike) -> RademacherComplexity:
    values = np.asarray(values)
    return RademacherComplexity(float(values.mean()), float(values.std(ddof=1) / math.sqrt(len(values))), len(values))
