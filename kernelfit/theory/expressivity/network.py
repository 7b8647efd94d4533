"""Finite-sample expressivity: the ReLU network with 2 n + d weights that fits any labels of n distinct points.

Theorem 1 of Zhang et al. (section 4): c(x) = sum_j w_j relu(<a, x> - b_j). Project on a generic a, sort
z_i = <a, x_i>, and interleave b_1 < z_1 < b_2 < ... < z_n. Then A_ij = relu(z_i - b_j) is lower triangular with a
positive diagonal, and A w = y has a solution for every y. Its smallest eigenvalue is min_i (z_i - b_i) (the lemma).

A is never formed. As a function of z, c is linear between knots: with v_j = c(b_j) and the slope s_j = w_1 + ... + w_j
to the right of b_j, the system is a recursion of two terms,

    s_j = (y_j - v_j) / (z_j - b_j),        v_j+1 = v_j + s_j (b_j+1 - b_j),        v_1 = 0.

The sum over j is a poor way to evaluate c: w alternates in sign and is as large as 1 / min (z_i+1 - z_i), about n^2,
so that its rounding shows. Network.outputs takes v_j + s_j (z - b_j) instead, O(log n) a point; Network.summed_outputs
and depth.deepen use the weights.
"""

import dataclasses

import numpy as np
import numpy.typing as npt

from kernelfit.common.errors import InputError, SingularMatrixError
from kernelfit.common.rng import generator
from kernelfit.common.validation import check_targets

# b_j+1 = z_j + t min(z_j - z_j-1, z_j+1 - z_j). Then |v_j+1 - y_j| <= t / (1 - t) |y_j - v_j|: c runs past a target by
# at most half the largest difference of neighbouring targets. With midpoints the steepest slope, about n^2, would cross
# whole intervals, and return in all that follow.
_KNOT = 0.25
_ROWS = 1024  # projected at a time: bounds the memory of the float64 copy


@dataclasses.dataclass(frozen=True)
class Network:
    """c(x) = sum_j w_j relu(<a, x> - b_j), one column of w for each output, one a and b for all.

    Attributes
    ----------
    direction : float64 array, shape (d,)
        a, for points x that are pixels / 255 where X is uint8.
    knots : float64 array, shape (n,)
        b, increasing.
    values, slopes : float64 array, shape (n, r)
        c at each knot and to the right of it: an accurate form of the weights.
    smallest_eigenvalue : float
        min_i (z_i - b_i).
    residual : float
        max |c(x_i) - y_i| of `outputs` over the points that were fitted.
    vector : bool
        Whether the targets were a vector, so that outputs are one too.
    """

    direction: np.ndarray
    knots: np.ndarray
    values: np.ndarray
    slopes: np.ndarray
    smallest_eigenvalue: float
    residual: float
    vector: bool

    @property
    def weights(self) -> npt.NDArray[np.float64]:
        """w, shape (n, r): differences of slopes, each rounded once."""
        return np.diff(self.slopes, axis=0, prepend=0.0)

    @property
    def n_weights(self) -> int:
        """d + n + n r: 2 n + d for one output."""
        return len(self.direction) + len(self.knots) + self.slopes.size

    def outputs(self, X: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return c at the points X, shape (m,) or (m, r), as v_j + s_j (z - b_j) with b_j the last knot below z."""
        return self._shaped(_piecewise(project(X, self.direction), self.knots, self.values, self.slopes))

    def summed_outputs(self, X: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return the sum over j as it stands, m n r operations: off by up to n eps sum_j |w_j| relu(z - b_j)."""
        z, weights = project(X, self.direction), self.weights
        sums = [np.maximum(part[:, None] - self.knots, 0) @ weights for part in _cut(z, max(1, 2**22 // len(weights)))]
        return self._shaped(np.concatenate(sums))

    def _shaped(self, outputs):
        return outputs[:, 0] if self.vector else outputs


def fit_network(X: npt.ArrayLike, Y: npt.ArrayLike, *, seed: int = 0) -> Network:
    """Return the Network with c(x_i) = y_i for all n points, in O(n d + n log n + n r) time and O(n r) memory.

    Parameters
    ----------
    X : array, shape (n, ...)
        Distinct points; uint8 stands for pixels / 255.
    Y : array, shape (n,) or (n, r)
        Any targets; of labels, kernelfit.datasets.labels.one_hot makes them.
    seed : int
        Draws the direction a, each coordinate uniform between -1 and 1.

    Raises
    ------
    SingularMatrixError
        Two points have one projection, mostly because they are equal; `row` and `duplicate` name them.
    InputError
        X and Y do not fit each other or are not finite.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> X, y = rng.standard_normal((50, 4)), rng.integers(0, 10, 50)  # labels that mean nothing
    >>> network = fit_network(X, y.astype(float))
    >>> network.n_weights, network.residual < 1e-9  # 2 n + d
    (104, True)
    """
    X = np.asarray(X)
    if X.ndim < 2 or 0 in X.shape:
        raise InputError(f"points need an array of shape (n, ...) with something in it; got {X.shape}")
    targets = check_targets(Y, len(X))
    direction = _direction(int(np.prod(X.shape[1:])), seed)
    z = project(X, direction)
    order = np.argsort(z, kind="stable")
    z, ordered = z[order], targets[order]
    knots = _knots(z)
    values, slopes = _slopes(z, knots, ordered)
    bad = np.flatnonzero((z[1:] == z[:-1]) | ~np.isfinite(slopes[1:]).all(axis=1))
    if len(bad):
        i, j = sorted(order[bad[0] : bad[0] + 2].tolist())
        raise _too_close(X, i, j, seed)
    residual = float(np.abs(_piecewise(z, knots, values, slopes) - ordered).max())
    return Network(direction, knots, values, slopes, float(np.min(z - knots)), residual, np.ndim(Y) == 1)


def project(X: npt.ArrayLike, direction: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return z = <a, x>, shape (m,), with the same bits for a point whatever points stand beside it.

    Slopes are as large as 1 / min (z_i+1 - z_i), so a point must meet at prediction the z that it was fitted with.
    uint8 pixels give exact sums (see _direction); other rows are added up one by one, in one order.
    """
    X = np.asarray(X)
    if X.dtype != np.uint8 and X.dtype.kind != "f":
        raise InputError(
            f"points are uint8 pixels or floating-point numbers; got {X.dtype}. Convert with X.astype(float)"
        )
    if X.ndim < 2 or np.prod(X.shape[1:]) != len(direction):
        raise InputError(f"points of shape {X.shape[1:]} meet a direction of {len(direction)} coordinates")
    X = X.reshape(len(X), len(direction))
    if X.dtype == np.uint8:
        per_pixel = direction / 255  # exact: the direction is made of multiples of 255
        return np.concatenate([part.astype(float) @ per_pixel for part in _cut(X, _ROWS)])
    rows = (np.ascontiguousarray(part, dtype=float) for part in _cut(X, _ROWS))
    with np.errstate(invalid="ignore", over="ignore"):  # reported just below
        z = np.concatenate([(part * direction).sum(axis=1) for part in rows])
    if not np.isfinite(z).all():
        raise InputError(
            f"point {np.flatnonzero(~np.isfinite(z))[0]} holds NaN or infinite values, or its sum overflows"
        )
    return z


def _direction(d, seed):
    """Draw a, each coordinate 255 / 2^(k+8) times an integer between -2^k and 2^k.

    With 2^k <= 2^53 / (255 d), every partial sum of integers times pixels is at most 2^53: <a, pixels / 255> is exact,
    in any order. Two images that differ have equal projections for at most one in 2^(k+1) directions (one value at most
    of the last coordinate in which they differ); k is 33 for d = 3,072.
    """
    bits = 53 - int(255 * d).bit_length()
    return generator(seed, "direction").integers(-(2**bits), 2**bits, d, endpoint=True) * (255.0 * 2.0 ** -(bits + 8))


def _knots(z):
    """Return b with z_j-1 <= b_j < z_j for increasing z; b_1 lies one mean gap below z_1."""
    gaps = np.diff(z)
    first = max(gaps.mean(), 2 * np.spacing(abs(z[0]))) if len(gaps) else max(abs(z[0]), 1.0)
    return np.concatenate([[z[0] - first], z[:-1] + _KNOT * np.minimum(np.append(first, gaps[:-1]), gaps)])


def _slopes(z, knots, Y):
    """Run the recursion of the module's docstring; return (values, slopes), each (n, r)."""
    values, slopes = np.empty(Y.shape), np.empty(Y.shape)
    below, above = z - knots, np.append(knots[1:] - z[:-1], 0.0)
    value = np.zeros(Y.shape[1])
    with np.errstate(all="ignore"):  # equal projections divide by zero; fit_network reports them
        for j, y in enumerate(Y):
            values[j] = value
            slope = slopes[j] = (y - value) / below[j]
            value = y + slope * above[j]  # from y_j rather than v_j: rounding starts afresh at every point
    return values, slopes


def _piecewise(z, knots, values, slopes):
    j = np.searchsorted(knots, z, side="right") - 1
    outputs = values[j] + slopes[j] * (z - knots[j])[:, None]
    outputs[j < 0] = 0.0  # no unit is active left of the first knot
    return outputs


def _cut(array, size):
    return (array[start : start + size] for start in range(0, max(len(array), 1), size))


def _too_close(X, i, j, seed):
    if np.array_equal(X[i], X[j]):
        duplicate, cause = i, "are equal; no network can give them different labels. Remove one of them"
    else:
        duplicate, cause = (
            None,
            f"(nearly) coincide along the direction of seed {seed}. Try another seed, or scale the data",
        )
    message = f"the network of Theorem 1 needs distinct points, but points {i} and {j} {cause}"
    return SingularMatrixError(message, row=j, pivot=0.0, duplicate=duplicate)
