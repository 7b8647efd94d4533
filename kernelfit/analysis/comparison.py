"""Which measure of complexity tells true labels from random ones?

Zhang et al., section 2.2: a model that fits random labels has the same VC dimension, Rademacher complexity and uniform
stability as before, so none of these can explain why it generalises on true labels. Here every measure is taken on true
labels and on several random labellings, by one factor, and asked.
"""

import dataclasses
import math
from typing import Any

import numpy as np
import numpy.typing as npt

from kernelfit.analysis.complexity import (
    Alignment,
    alignment_of,
    averaged,
    correlation,
    effective_dimension,
    gram_sums,
    margin_bound,
    rademacher_bound,
    rademacher_of,
    random_signs,
)
from kernelfit.analysis.leaving_out import Stability, margins, memorisation, require_one_ridge, unit_changes
from kernelfit.common.errors import InputError
from kernelfit.common.progress import Progress
from kernelfit.common.validation import check_labels
from kernelfit.datasets.labels import error_rate, one_hot
from kernelfit.grams.matrix import Gram
from kernelfit.models.posterior import log_marginal_likelihood
from kernelfit.solvers.protocol import Factor
from kernelfit.solvers.solution import doubts

# What "tells apart" means: chance hardly leads so far from the random labellings, and less would predict little.
_DEVIATIONS, _DIFFERENCE = 3, 0.1  # standard deviations of them; of the larger value


@dataclasses.dataclass(frozen=True)
class Measure:
    """One measure on true and on random labels.

    Attributes
    ----------
    name, formula, source : str
    role : str
        "truth": the test error itself. "error": a number that claims to say how large the test error is.
        "quantity": one with no such claim. "label-free": one that does not see the labels.
    true, random : float or None
        On the true labels, and the mean over the random labellings; None where rounding left no number.
    tells_apart : bool
        Whether the two differ by more than three times random_sd, and by more than 10 % of the larger: of a logarithm,
        of what it is the logarithm of.
    vacuous : bool or None
        Of an "error": whether on true labels it is no better than chance, so that it tells apart and yet explains
        nothing.
    random_sd : float or None
        Standard deviation over the random labellings; None in early records, of one labelling.
    """

    name: str
    formula: str
    source: str
    role: str
    true: float | None
    random: float | None
    tells_apart: bool
    vacuous: bool | None
    random_sd: float | None = None


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
    norm_disagreement : float or None
        Largest relative difference of the norms between two routes (Solution.norm); None where there is none.
    measures : list of Measure
    warnings : list of str
        What Solution.doubts has to say about residuals, norms and condition.
    labellings : int
        Random labellings.
    """

    n: int
    classes: int
    ridge: float
    chance: float
    draws: int
    seed: int
    norm_disagreement: float | None
    measures: list[Measure]
    warnings: list[str] = dataclasses.field(default_factory=list)
    labellings: int = 1


def measures_table(
    factor: Factor,
    y_true: npt.NDArray[np.integer],
    y_random: npt.NDArray[np.integer],
    *,
    n_classes: int,
    K_test: Gram | None = None,
    y_test: npt.NDArray[np.integer] | None = None,
    draws: int = 20,
    seed: int = 0,
    progress: Progress | None = None,
) -> MeasuresTable:
    """Return the MeasuresTable of a kernel, with 0/1 one-hot targets; the factor serves all labellings.

    Beyond the factor it costs its inverse diagonal (as much again), a few passes over the blocks of K, and with a ridge
    2 n^3 operations for the stability.

    Parameters
    ----------
    factor : Factor
        Of K + ridge I in float64.
    y_true : int array, shape (n,)
        Labels 0 .. n_classes - 1.
    y_random : int array, shape (labellings, n)
        Two random labellings or more, which say how much chance does to each measure; e.g. from
        corruption.corrupt_labels with probability 1 and several seeds.
    K_test : Gram, optional
        Test points against training points, with their labels y_test (m,): adds the real test errors.
    """
    require_one_ridge(factor)
    K, n, ridge = factor.K, factor.n, factor.ridge
    if np.ndim(y_random) != 2 or len(y_random) < 2:
        raise InputError(
            f"y_random has shape {np.shape(y_random)}; give two random labellings or more, (labellings, n)"
        )
    labels = [check_labels(y, n, n_classes) for y in (y_true, *y_random)]
    if (K_test is None) != (y_test is None):
        raise InputError(
            "a test error needs both the Gram object of the test points, `K_test`, and their labels y_test"
        )
    if K_test is not None:
        assert y_test is not None
        y_test = check_labels(y_test, K_test.shape[0], n_classes)
    targets = [one_hot(y, n_classes) for y in labels]
    every = factor.solve(np.hstack(targets), progress=progress)
    solutions = [every.combined(pick) for pick in np.hsplit(np.eye(len(labels) * n_classes), len(labels))]
    signs = random_signs(n, draws, seed, n_classes)
    sums = gram_sums(K, progress=progress)
    products = K.product(np.hstack([*targets, signs]), progress=progress)
    *K_targets, K_signs = np.split(products, n_classes * np.arange(1, len(labels) + 1), axis=1)
    diagonal, log_determinant = factor.inverse_diagonal(progress=progress), factor.log_determinant()
    changes = unit_changes(factor, diagonal, progress=progress)
    tests: list[Any] = [None] * len(labels)
    if K_test is not None:
        tests = np.hsplit(factor.predict(K_test, every.coef, progress=progress), len(labels))
    free = {
        "effective dimension": effective_dimension(diagonal, ridge),
        "fit of random signs": _fit_of_signs(factor, signs[:, :draws]),
    }
    columns = []
    for y, Y, solution, KY, scores in zip(labels, targets, solutions, K_targets, tests, strict=True):
        coef, norm = solution.coef, solution.norm.total
        rademacher = rademacher_of(signs, K_signs, norm, draws).value
        moved = Stability.of(coef, changes, sums.largest_diagonal)
        left_out = solution.left_out(diagonal)
        try:
            aligned = alignment_of(sums, Y, KY)
        except InputError:  # labels of one class, as few random ones may be
            aligned = Alignment(np.nan, np.nan)
        columns.append(
            {
                **({} if scores is None or y_test is None else {"test error": error_rate(scores, y_test)}),
                "training error": error_rate(solution.fitted, y),
                "leave-one-out error": error_rate(left_out, y),
                "margin bound": margin_bound(margins(solution.fitted, y), rademacher),
                "norm": norm,
                "log marginal likelihood": log_marginal_likelihood(solution, log_determinant),
                "Rademacher complexity": rademacher,
                "Rademacher bound": rademacher_bound(norm, sums.trace, n, outputs=n_classes),
                "mean stability": float(moved.norms.mean()),
                "worst stability": float(moved.sup_norms.max()),
                "memorisation": float(memorisation(solution.fitted, left_out, y).scores.mean()),
                "leave-one-out margin": float(np.median(margins(left_out, y))),
                "alignment": aligned.uncentred,
                "centred alignment": aligned.centred,
                **free,
            }
        )
    chance = 1 - float(np.bincount(labels[0]).max()) / n
    true, *random = columns
    rows = [_measure(name, true[name], [each[name] for each in random], chance) for name in true]
    disagreement = max(solution.norm.disagreement for solution in solutions)
    found = doubts(every.relative_residual, norm_disagreement=disagreement, condition_estimate=every.condition_estimate)
    return MeasuresTable(n, n_classes, ridge, chance, draws, seed, disagreement, rows, found, len(random))


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
    "log marginal likelihood": ("quantity", "log N(Y; 0, K + ridge I)", "Rasmussen and Williams 2006, eq. 2.30"),
    "Rademacher complexity": ("quantity", "R = |f|/n E sqrt(sum_c s_c^T K s_c)", "Bartlett and Mendelson 2002"),
    "Rademacher bound": ("quantity", "|f| sqrt(c tr K) / n", "Bartlett and Mendelson 2002"),
    "mean stability": ("quantity", "mean_i |f - f^(-i)|", "Bousquet and Elisseeff 2002"),
    "worst stability": ("quantity", "max_i |f - f^(-i)| max_j sqrt(k(x_j, x_j))", "Bousquet and Elisseeff 2002"),
    "memorisation": ("quantity", "mean_i 1[f(x_i) = y_i] - 1[f^(-i)(x_i) = y_i]", "Feldman and Zhang 2020"),
    "leave-one-out margin": ("quantity", "median_i own score - largest other of f^(-i)(x_i)", ""),
    "alignment": ("quantity", "<K, YY^T> / (|K| |YY^T|)", "Cristianini et al. 2001"),
    "centred alignment": ("quantity", "the same of HKH and HY, H = I - 11^T/n", "Cortes et al. 2012"),
    "effective dimension": ("label-free", "tr K (K + ridge I)^-1", "Zhang 2005; Caponnetto and De Vito 2007"),
    "fit of random signs": ("label-free", "E 1/n sum_i s_i f_s(x_i)", f"{_PAPER}, section 2.2"),
}
_LOGARITHMS = ("log marginal likelihood",)


def _measure(name, true, random, chance):
    role, formula, source = _ABOUT[name]
    around = np.subtract(random, random[0])  # equal values have their mean and no deviation, to the last bit
    mean, deviation = random[0] + float(np.mean(around)), float(np.std(around, ddof=1))
    enough = _DIFFERENCE * max(abs(true), abs(mean)) if name not in _LOGARITHMS else -math.log1p(-_DIFFERENCE)
    tells_apart = abs(true - mean) > enough and abs(true - mean) > _DEVIATIONS * deviation
    vacuous = true >= chance if role == "error" else None
    return Measure(name, formula, source, role, true, mean, tells_apart, vacuous, deviation)


def _fit_of_signs(factor, signs):
    """sign_correlation of the kernel model itself: K coef = signs - ridge coef, no K needed."""
    fitted = signs - factor.ridge * factor.apply_inverse(signs)
    return averaged([correlation(s, f) for s, f in zip(signs.T, fitted.T, strict=True)]).value
