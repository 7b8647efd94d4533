"""What a Gaussian process says of the same factor: how far predictions may deviate, how likely the targets were.

With the kernel as covariance and noise of variance `ridge`, the mean of f given Y is the function that is fitted
anyway; its variance and the likelihood of Y need nothing but the factor of A = K + ridge I (Rasmussen and Williams,
"Gaussian processes for machine learning", 2006, algorithm 2.1). Test points are taken in blocks.
"""

import math
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from kernelfit.common.errors import InputError, UnsupportedError
from kernelfit.common.progress import Progress
from kernelfit.common.spans import spans
from kernelfit.grams.matrix import Gram
from kernelfit.kernels import Kernel
from kernelfit.solvers.protocol import Factor
from kernelfit.solvers.solution import Solution

T = TypeVar("T", float, npt.NDArray[np.float64])

_WIDTH = 512  # test points at a time: wide enough for GEMM, 4 MB per 1,000 training points


def log_marginal_likelihood(solution: Solution, log_determinant: float | None) -> float | None:
    """Return log p(Y) = -1/2 tr(Y^T A^-1 Y) - r/2 log det A - n r/2 log 2 pi, all r outputs together.

    Rasmussen and Williams, 2006, equation 2.30, summed over outputs that are independent given the kernel.

    Parameters
    ----------
    solution : Solution
        Of A coef = Y for targets Y (n, r), A = K + ridge I.
    log_determinant : float or None
        log det A, as the factor's log_determinant() gives it, which raises UnsupportedError where it cannot, and
        `log_determinant_of`, which gives None. One serves all targets. Of None nothing is known.

    Examples
    --------
    >>> import numpy as np
    >>> import kernelfit as kf
    >>> K = kf.gram(np.array([[0.0], [1.0]]), kf.Gaussian(bandwidth=1.0))
    >>> with kf.Cholesky().factor(K, ridge=0.1) as factor:
    ...     solution, log_determinant = factor.solve(np.array([[1.0], [0.5]])), factor.log_determinant()
    >>> round(log_marginal_likelihood(solution, log_determinant), 4)
    -2.2082
    """
    if log_determinant is None:
        return None
    return likelihood_of(float(np.trace(solution.quadratic)), log_determinant, *solution.targets.shape)


def likelihood_of(quadratic: T, log_determinant: float, n: int, r: int) -> T:
    """Return the log marginal likelihood from tr(Y^T A^-1 Y), or that of several Y, log det A, and the shape of Y."""
    return -quadratic / 2 - r * log_determinant / 2 - n * r * math.log(2 * math.pi) / 2


def log_determinant_of(factor: Factor) -> float | None:
    """Return log det(K + ridge I) of a Factor, or None where it gives none."""
    try:
        return factor.log_determinant()
    except UnsupportedError:
        return None


def predictive_variance(factor: Factor, K_test: Gram, *, progress: Progress | None = None) -> npt.NDArray[np.float64]:
    """Return the variance of f at each test point, the diagonal of K** - K*x A^-1 Kx*, shape (m,).

    Rasmussen and Williams, 2006, equation 2.26: |L^-1 k(x)|^2 is subtracted, n^2 operations for a point. It is that of
    f, without the noise. What rounding leaves below 0 is 0.

    Parameters
    ----------
    factor : Factor
        Of A = K + ridge I, shape (n, n), with triangular solves.
    K_test : Gram
        Test points against those of the factor, shape (m, n): gram(X_test, kernel, factor.K.points).

    Raises
    ------
    UnsupportedError
        The factor has no triangular solves; the kernel is precomputed, so that k(x, x) is not known.
    InputError
        K_test has another number of training points.

    Examples
    --------
    >>> import numpy as np
    >>> import kernelfit as kf
    >>> K = kf.gram(np.array([[0.0], [1.0]]), kf.Gaussian(bandwidth=1.0))
    >>> K_test = kf.gram(np.array([[0.0], [0.5], [9.0]]), K.kernel, K.points)
    >>> with kf.Cholesky().factor(K) as factor:
    ...     predictive_variance(factor, K_test).round(4)
    array([0.    , 0.0305, 1.    ])
    """
    prior, device = _prior(factor, K_test), K_test.device
    variance = prior.diagonal()
    with (progress or Progress()).phase("deviation", len(variance)) as advance:
        for start, stop in spans(0, K_test.shape[0], _WIDTH):
            half = factor.half_solve(K_test.block((start, stop), (0, factor.n)).T)
            half *= half  # in place: no third array of this size
            variance[start:stop] -= device.host(half.sum(axis=0))
            advance(stop - start)
    return np.maximum(variance, 0.0)


def predictive_covariance(
    factor: Factor, K_test: Gram, prior: Gram | None = None, *, progress: Progress | None = None
) -> npt.NDArray[np.float64]:
    """Return the covariance of f at the test points, K** - K*x A^-1 Kx*, shape (m, m).

    Rasmussen and Williams, 2006, equation 2.24. Each block of A^-1 Kx* meets blocks of K*x that are made again, so that
    no array (n, m) is held.

    Parameters
    ----------
    factor, K_test
        As of `predictive_variance`, which also says what is raised.
    prior : Gram, optional
        K**, gram(X_test, kernel); unless given it is of the points as K_test has them, which lose digits if they lie
        very far from training points that are shifted to be near 0.

    Examples
    --------
    >>> import numpy as np
    >>> import kernelfit as kf
    >>> K = kf.gram(np.array([[0.0], [1.0]]), kf.Gaussian(bandwidth=1.0))
    >>> K_test = kf.gram(np.array([[0.5], [9.0]]), K.kernel, K.points)
    >>> with kf.Cholesky().factor(K) as factor:
    ...     predictive_covariance(factor, K_test).round(4) + 0.0
    array([[0.0305, 0.    ],
           [0.    , 1.    ]])
    """
    own, device, m = _prior(factor, K_test), K_test.device, K_test.shape[0]
    prior = own if prior is None else prior
    covariance = device.host(prior.block((0, m), (0, m)))
    with (progress or Progress()).phase("covariance", m) as advance:
        for start, stop in spans(0, K_test.shape[0], _WIDTH):
            coef = factor.apply_inverse(K_test.block((start, stop), (0, factor.n)).T)
            rest = Gram(K_test.left.part(start, m), K_test.kernel, K_test.points)
            covariance[start:, start:stop] -= device.host(rest.product(coef))
            corner = covariance[start:stop, start:stop]
            corner[...] = np.tril(corner) + np.tril(corner, -1).T
            covariance[start:stop, stop:] = covariance[stop:, start:stop].T
            advance(stop - start)
    return covariance


def _prior(factor, K_test):
    """Return the Gram of the test points among each other."""
    if K_test.shape[1] != factor.n:
        raise InputError(
            f"test points against {K_test.shape[1]} others meet a factor of order {factor.n}; give "
            "gram(X_test, kernel, factor.K.points)"
        )
    require_kernel_of_points(K_test.kernel)
    return Gram(K_test.left, K_test.kernel)


def require_kernel_of_points(kernel: Kernel) -> None:
    """Raise UnsupportedError for a kernel that is a matrix, which does not hold k(x, x) of new points."""
    if kernel.of_matrix:
        raise UnsupportedError(
            f"kernel {kernel}: a variance needs k(x, x) of test points, which no matrix (m, n) holds. Give a kernel on "
            "points, or a function of two matrices"
        )
