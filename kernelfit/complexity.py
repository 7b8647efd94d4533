"""Measures of complexity, and the table that asks of each whether it tells true labels from random ones.

Zhang et al., section 2.2: a model that fits random labels has the same VC dimension, Rademacher complexity and uniform
stability as before, so none of these can explain why it generalises on true labels. For a kernel the exact values are
sums over Gram blocks and solves with one factor. H is the RKHS of K, c the number of outputs, |f|^2 the sum of their
squared norms, and K is seen through its blocks and products alone.
"""

import copy
import dataclasses
import math

import numpy as np

from kernelfit import backend, measures
from kernelfit.errors import InputError
from kernelfit.leaving_out import margins, memorisation, stability
from kernelfit.progress import Progress
from kernelfit.randomness import generator

_TILE = 1024  # rows and columns that one thread sums at a time
_DIFFERENCE = 0.1  # of the larger value: what "tells apart" means; a measure that moves less predicts little


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
    row_sums: np.ndarray


def gram_sums(K, *, progress=None):
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
        tile = K.block((i, j), (k, last))
        square, own = np.vdot(tile, tile), tile.diagonal().copy()
        tile -= shift
        return square, np.vdot(tile, tile), tile.sum(axis=1), tile.sum(axis=0), own

    with (progress or Progress()).phase("kernel sums", n * (n + _TILE) / 2) as advance:
        for k in starts:
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
            advance((n - k) * min(_TILE, n - k))
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


def alignment(K, Y, *, progress=None):
    """Return the Alignment of K with targets Y (n, c).

    Cristianini, Shawe-Taylor, Elisseeff and Kandola, "On kernel-target alignment", 2001; centred: Cortes, Mohri and
    Rostamizadeh, "Algorithms for learning kernels based on centered alignment", 2012. Two passes over the blocks.
    """
    return _alignment(gram_sums(K, progress=progress), Y, K.product(Y, progress=progress))


def _alignment(sums, Y, KY):
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


def effective_dimension(inverse_diagonal, ridge):
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


def rademacher_complexity(K, *, radius=1.0, outputs=1, draws=20, seed=0, progress=None):
    """Return the RademacherComplexity of the ball {f = (f_1, ..., f_c): |f| <= radius} on the points of K.

    The supremum is attained at f_c proportional to sum_i sigma_ic k(x_i, .), so that nothing is searched:

        E sup_f 1/n sum_ic sigma_ic f_c(x_i) = radius/n E sqrt(sum_c sigma_c^T K sigma_c) <= radius/n sqrt(c tr K).

    Bartlett and Mendelson, "Rademacher and Gaussian complexities", 2002 (whose definition carries a factor of 2).
    """
    signs = _signs(K.shape[0], draws, seed, outputs)
    return _rademacher(signs, K.product(signs, progress=progress), radius, draws)


def rademacher_bound(radius, trace, n, *, outputs=1):
    """Return radius sqrt(c tr K) / n, which Jensen's inequality puts above rademacher_complexity."""
    return float(radius * math.sqrt(outputs * trace) / n)


def _rademacher(signs, K_signs, radius, draws):
    squares = np.einsum("ij,ij->j", signs, K_signs).reshape(draws, -1).sum(axis=1)
    return _averaged(radius / len(signs) * np.sqrt(squares))


def sign_correlation(estimator, X, *, draws=10, seed=0):
    """Return the RademacherComplexity that an estimator shows by fitting random signs.

    E 1/n sum_i sigma_i h(x_i), h fitted to (X, sigma) and cut to [-1, 1]: a lower bound of the empirical Rademacher
    complexity of all h that it can return, which is at most 1. Zhang et al., section 2.2: a model that fits random
    labels gets about 1, and a bound built on that says nothing.

    Parameters
    ----------
    estimator : object
        With fit(X, y) and predict(X) as in scikit-learn; a copy is fitted for each draw, with labels -1 and +1.
    """
    signs = _signs(len(X), draws, seed)
    return _averaged([_correlation(s, copy.deepcopy(estimator).fit(X, s.astype(int)).predict(X)) for s in signs.T])


def _correlation(signs, predictions):
    predictions = np.asarray(predictions, dtype=np.float64).reshape(-1)
    if predictions.shape != signs.shape or not np.isfinite(predictions).all():
        raise InputError(
            f"the estimator predicted {predictions.shape} values for {len(signs)} points, or some that are not finite; "
            "expected one number for each point, fitted to labels -1 and +1"
        )
    return float(np.mean(signs * np.clip(predictions, -1, 1)))


def margin_bound(margin, rademacher, *, rho=1.0, delta=0.05):
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
    ramp = np.clip(1 - np.asarray(margin) / rho, 0, 1)
    return float(ramp.mean() + 4 / rho * rademacher + 3 * math.sqrt(math.log(2 / delta) / (2 * len(ramp))))


# ---- the table -----------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Measure:
    """One measure on true and on random labels.

    Attributes
    ----------
    name, formula, source : str
    role : str
        "truth": the test error itself. "error": a number that claims to say how large the test error is.
        "quantity": one with no such claim. "label-free": one that does not see the labels.
    true, random : float
    tells_apart : bool
        Whether the two differ by more than 10 % of the larger.
    vacuous : bool or None
        Of an "error": whether on true labels it is no better than chance, so that it tells apart and yet explains
        nothing.
    """

    name: str
    formula: str
    source: str
    role: str
    true: float
    random: float
    tells_apart: bool
    vacuous: bool | None


@dataclasses.dataclass(frozen=True)
class MeasuresTable:
    """Every measure of one kernel on true and on random labels; JSON-ready through dataclasses.asdict.

    Attributes
    ----------
    n, classes : int
    ridge : float
    chance : float
        Error of always naming the most frequent true class: what "vacuous" is measured against.
    draws, seed : int
        Random signs of the Rademacher rows; the same for both columns.
    norm_disagreement : float
        Larger relative difference of the norms between two routes (measures.rkhs_norm).
    measures : list of Measure
    """

    n: int
    classes: int
    ridge: float
    chance: float
    draws: int
    seed: int
    norm_disagreement: float
    measures: list


def measures_table(
    K, factor, y_true, y_random, *, n_classes, against=None, y_test=None, draws=20, seed=0, progress=None
):
    """Return the MeasuresTable of a kernel, with 0/1 one-hot targets; the factor serves both labellings.

    Beyond the factor it costs its inverse diagonal (as much again), two passes over the blocks of K, and with a ridge
    2 n^3 operations for the stability.

    Parameters
    ----------
    K : Gram
        Symmetric, shape (n, n).
    factor : CholeskyFactor
        Of K + ridge I.
    y_true, y_random : int array, shape (n,)
        Labels 0 .. n_classes - 1; the random ones e.g. from corruption.corrupt_labels with probability 1.
    against : Gram, optional
        Test points against training points, with their labels y_test (m,): adds the real test errors.
    """
    n = K.shape[0]
    if factor.n != n:
        raise InputError(f"the factor is of order {factor.n}, K of shape {K.shape}; pass the K that was factored")
    labels = [_checked_labels(y, n, n_classes) for y in (y_true, y_random)]
    if (against is None) != (y_test is None):
        raise InputError(
            "a test error needs both the Gram object of the test points, `against`, and their labels y_test"
        )
    if against is not None:
        y_test = _checked_labels(y_test, against.shape[0], n_classes)
    targets = [measures.one_hot(y, n_classes) for y in labels]
    halves = [factor.half_solve(Y) for Y in targets]
    coefs = [factor.half_solve_transposed(half) for half in halves]
    signs = _signs(n, draws, seed, n_classes)
    sums = gram_sums(K, progress=progress)
    products = K.product(np.hstack([*coefs, *targets, signs]), progress=progress)
    parts = np.split(products, n_classes * np.arange(1, 5), axis=1)
    diagonal = factor.inverse_diagonal(progress=progress)
    tests = [None, None] if against is None else np.hsplit(against.product(np.hstack(coefs), progress=progress), 2)
    free = {
        "effective dimension": effective_dimension(diagonal, factor.ridge),
        "fit of random signs": _fit_of_signs(factor, signs[:, :draws]),
    }
    columns, disagreements = [], []
    for y, Y, half, coef, fitted, KY, scores in zip(
        labels, targets, halves, coefs, parts[:2], parts[2:4], tests, strict=True
    ):
        norm = measures.rkhs_norm(coef, fitted, half, factor.ridge)
        disagreements.append(norm.disagreement)
        rademacher = _rademacher(signs, parts[4], norm.total, draws).value
        moved = stability(factor, coef, diagonal, largest_diagonal=sums.largest_diagonal, progress=progress)
        left_out = measures.leave_one_out(Y, coef, diagonal)
        aligned = _alignment(sums, Y, KY)
        columns.append(
            {
                **({} if scores is None else {"test error": measures.error_rate(scores, y_test)}),
                "training error": measures.error_rate(fitted, y),
                "leave-one-out error": measures.error_rate(left_out, y),
                "margin bound": margin_bound(margins(fitted, y), rademacher),
                "norm": norm.total,
                "Rademacher complexity": rademacher,
                "Rademacher bound": rademacher_bound(norm.total, sums.trace, n, outputs=n_classes),
                "mean stability": float(moved.norms.mean()),
                "worst stability": float(moved.sup_norms.max()),
                "memorisation": float(memorisation(Y, y, coef, diagonal, ridge=factor.ridge).scores.mean()),
                "leave-one-out margin": float(np.median(margins(left_out, y))),
                "alignment": aligned.uncentred,
                "centred alignment": aligned.centred,
                **free,
            }
        )
    chance = 1 - float(np.bincount(labels[0]).max()) / n
    rows = [_measure(name, columns[0][name], columns[1][name], chance) for name in columns[0]]
    return MeasuresTable(n, n_classes, factor.ridge, chance, draws, seed, max(disagreements), rows)


_PAPER = "Zhang et al. 2021"
_ABOUT = {  # name: (role, formula, source)
    "test error": ("truth", "share of test points with argmax f(x) != y", ""),
    "training error": ("error", "share of training points with argmax f(x_i) != y_i", f"{_PAPER}, section 2"),
    "leave-one-out error": ("error", "share with argmax f^(-i)(x_i) != y_i", "Rasmussen and Williams 2006, eq. 5.12"),
    "margin bound": (
        "error",
        "ramp loss + 4 R + 3 sqrt(log(2/delta) / 2n), delta = 0.05",
        "Bartlett and Mendelson 2002; Mohri et al. 2018, theorem 3.3; Maurer 2016",
    ),
    "norm": ("quantity", "|f| = sqrt(tr coef^T K coef)", f"{_PAPER}, section 5"),
    "Rademacher complexity": ("quantity", "R = |f|/n E sqrt(sum_c s_c^T K s_c)", "Bartlett and Mendelson 2002"),
    "Rademacher bound": ("quantity", "|f| sqrt(c tr K) / n", "Bartlett and Mendelson 2002"),
    "mean stability": ("quantity", "mean_i |f - f^(-i)|", "Bousquet and Elisseeff 2002"),
    "worst stability": ("quantity", "max_i sup_x |f(x) - f^(-i)(x)|, bounded", "Bousquet and Elisseeff 2002"),
    "memorisation": ("quantity", "mean_i 1[f(x_i) = y_i] - 1[f^(-i)(x_i) = y_i]", "Feldman and Zhang 2020"),
    "leave-one-out margin": ("quantity", "median_i own score - largest other of f^(-i)(x_i)", ""),
    "alignment": ("quantity", "<K, YY^T> / (|K| |YY^T|)", "Cristianini et al. 2001"),
    "centred alignment": ("quantity", "the same of HKH and HY, H = I - 11^T/n", "Cortes et al. 2012"),
    "effective dimension": ("label-free", "tr K (K + ridge I)^-1", "Zhang 2005; Caponnetto and De Vito 2007"),
    "fit of random signs": ("label-free", "E 1/n sum_i s_i f_s(x_i)", f"{_PAPER}, section 2.2"),
}


def _measure(name, true, random, chance):
    role, formula, source = _ABOUT[name]
    tells_apart = abs(true - random) > _DIFFERENCE * max(abs(true), abs(random))
    vacuous = true >= chance if role == "error" else None
    return Measure(name, formula, source, role, true, random, tells_apart, vacuous)


def _fit_of_signs(factor, signs):
    """sign_correlation of the kernel model itself: K coef = signs - ridge coef, no K needed."""
    fitted = signs - factor.ridge * factor.solve(signs)
    return _averaged([_correlation(s, f) for s, f in zip(signs.T, fitted.T, strict=True)]).value


def _signs(n, draws, seed, outputs=1):
    """Random signs (n, draws * outputs); the columns of one draw are neighbours."""
    if draws < 2:
        raise InputError(f"{draws} draws of random signs leave no standard error; ask for at least 2")
    return 2.0 * generator(seed, "random signs").integers(0, 2, (n, draws * outputs)) - 1


def _averaged(values):
    values = np.asarray(values)
    return RademacherComplexity(float(values.mean()), float(values.std(ddof=1) / math.sqrt(len(values))), len(values))


def _checked_labels(y, n, n_classes):
    y = np.asarray(y)
    if y.shape != (n,) or y.dtype.kind not in "iu" or y.min() < 0 or y.max() >= n_classes:
        raise InputError(
            f"labels must be {n} integers from 0 to n_classes - 1 (n_classes = {n_classes}); got {y.dtype} of shape "
            f"{y.shape}: {y}"
        )
    return y
