"""Separating two classes by a hyperplane through the origin: the perceptron, and descent to the maximum margin."""

import dataclasses

import numpy as np
import numpy.typing as npt

from kernelfit.common.errors import InputError
from kernelfit.common.validation import check_integer
from kernelfit.theory.linear.least_squares import prepare
from kernelfit.theory.linear.loops import perceptron_passes


@dataclasses.dataclass(frozen=True)
class Perceptron:
    """What the perceptron found.

    Attributes
    ----------
    weights : float64 array, shape (d,)
    separated : bool
        Whether a whole pass went by without a mistake.
    mistakes, passes : int
    margin : float
        min_i y_i <w, x_i> / |w|; above 0 where the weights separate, as those of a last pass that was not whole may.
    radius : float
        max_i |x_i|.
    mistake_bound : float
        (radius / margin)^2, infinite unless separated.
    """

    weights: np.ndarray
    separated: bool
    mistakes: int
    passes: int
    margin: float
    radius: float
    mistake_bound: float


def perceptron(X: npt.NDArray, y: npt.NDArray, *, max_passes: int = 1000) -> Perceptron:
    """Return the Perceptron after passing over the points until none is on the wrong side.

    w starts at zero, and w <- w + y_i x_i wherever y_i <w, x_i> <= 0. If some hyperplane through the origin has margin
    g, there are at most (radius / g)^2 mistakes (Novikoff, "On convergence proofs on perceptrons", 1962). The bound
    returned takes the margin that was found; it holds, since the largest one can only lower it.

    Parameters
    ----------
    X : array, shape (n, ...)
        uint8 stands for pixels / 255. For a hyperplane off the origin, append a coordinate 1.
    y : array, shape (n,)
        -1 or +1.
    max_passes : int
        Where to give up on points that no hyperplane through the origin separates.
    """
    check_integer("max_passes", max_passes)
    X, y = _two_classes(X, y)
    w, made = np.zeros(X.shape[1]), np.zeros(2, np.int64)
    passes = perceptron_passes(X, y, w, max_passes, made)
    mistakes, separated = int(made[0]), passes > 0 and not made[1]
    margin, radius = normalized_margin(X, y, w), float(np.linalg.norm(X, axis=1).max())
    bound = (radius / margin) ** 2 if separated else float("inf")
    return Perceptron(w, separated, mistakes, passes, margin, radius, bound)


@dataclasses.dataclass(frozen=True)
class MarginPath:
    """A descent on the logistic loss, recorded at p of its steps.

    Attributes
    ----------
    steps : int array, shape (p,)
        Spaced geometrically, since the margin moves with the logarithm of the steps.
    margin, loss, norm : float64 array, shape (p,)
        min_i y_i <w, x_i> / |w|, mean_i log(1 + exp(-y_i <w, x_i>)), and |w|.
    weights : float64 array, shape (d,)
        The last.
    """

    steps: np.ndarray
    margin: np.ndarray
    loss: np.ndarray
    norm: np.ndarray
    weights: np.ndarray


def logistic_descent(X: npt.NDArray, y: npt.NDArray, *, steps: int = 10_000, normalized: bool = False) -> MarginPath:
    """Return the MarginPath of gradient descent from zero on the mean of log(1 + exp(-y_i <w, x_i>)).

    On separable points |w| grows without end and w / |w| tends to the hyperplane of maximum margin (hard-margin support
    vector machine through the origin), but only like 1 / log k (Soudry et al., "The implicit bias of gradient descent
    on separable data", 2018). `normalized` divides the gradient by the mean of s_i = 1 / (1 + exp(y_i <w, x_i>)), which
    vanishes with the loss: the same limit, reached like log k / sqrt(k) or faster (Nacson et al., "Convergence of
    gradient descent on separable data", 2019). Arguments as in perceptron.
    """
    X, y = _two_classes(X, y)
    check_integer("steps", steps)
    signed = X * y[:, None]
    # 1 / L for a loss with second derivatives up to L. Those of log(1 + exp) are at most 1/4. The normalized gradient
    # becomes, as the s_i shrink to exp(-y_i <w, x_i>), that of a logarithm of a sum of exponentials: max |x_i|^2.
    rate = 1 / np.einsum("ij,ij->i", X, X).max() if normalized else 4 * len(X) / np.linalg.norm(X, 2) ** 2
    recorded = np.unique(np.rint(np.geomspace(1, steps, 100)).astype(int))
    w, table, wanted = np.zeros(X.shape[1]), [], set(recorded.tolist())
    margins = np.zeros(len(X))
    for k in range(1, steps + 1):
        log_s = -np.logaddexp(0, margins)
        shares = np.exp(log_s - log_s.max())  # of s_i; the largest is 1, however small s_i has become
        w += rate * (shares @ signed) / shares.sum() if normalized else rate * (np.exp(log_s) @ signed) / len(X)
        margins = signed @ w
        if k in wanted:
            table.append([normalized_margin(X, y, w), np.logaddexp(0, -margins).mean(), np.linalg.norm(w)])
    margin, loss, norm = np.array(table).T
    return MarginPath(recorded, margin, loss, norm, w)


def normalized_margin(X: npt.NDArray[np.float64], y: npt.NDArray[np.float64], w: npt.NDArray[np.float64]) -> float:
    """Return min_i y_i <w, x_i> / |w|: the signed distance of the worst point from the hyperplane; 0 for w = 0."""
    size = np.linalg.norm(w)
    return float(np.min(y * (X @ w)) / size) if size else 0.0


def _two_classes(X, y):
    X, Y = prepare(X, y)
    if not np.isin(Y, (-1, 1)).all() or np.ndim(y) != 1:
        raise InputError(
            f"two classes are labelled -1 and +1, shape ({len(X)},); got values {np.unique(Y)[:5]} of shape "
            f"{np.shape(y)}. Of labels 0 and 1, give 2 * y - 1"
        )
    if not X.any():
        raise InputError("all points are zero; no hyperplane through the origin separates them")
    return X, Y[:, 0]
