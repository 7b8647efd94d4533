"""fit takes what NumPy users have: lists, one output, functions as kernels."""

import numpy as np
import pytest

import kernelfit as kf
from kernelfit.common.errors import InputError

X = np.random.default_rng(0).random((20, 2))
Y = np.sin(6 * X[:, 0])


def test_lists_are_arrays():
    copies = np.vstack([X, X[:3]]), np.append(Y, Y[:3])
    for kernel in (kf.Gaussian(), kf.Laplacian(bandwidth=0.5)):
        fitted, same = kf.fit(*copies, kernel), kf.fit(*[part.tolist() for part in copies], kernel)
        assert same.report.merged == 3 and same.norm == fitted.norm
        assert np.array_equal(same.function(X), fitted.function(X))


def test_a_kernel_is_a_kernel_a_text_or_a_function():
    from scipy.spatial.distance import cdist

    def laplacian(A, B):
        return np.exp(-cdist(A, B) / 0.5)

    right = kf.fit(X, Y, kf.Laplacian(bandwidth=0.5)).norm
    for kernel in ("laplacian(bandwidth=0.5)", laplacian):
        assert kf.fit(X, Y, kernel).norm == pytest.approx(right, rel=1e-9)
        assert kf.gram(X, kernel).shape == (20, 20)
    for kernel in (None, 3, kf.Gaussian, X):
        for ask in (lambda: kf.fit(X, Y, kernel), lambda: kf.gram(X, kernel)):  # noqa: B023
            with pytest.raises(InputError, match="kernel"):
                ask()


@pytest.mark.parametrize("points", [3, None, "a", [], [[1.0, 2.0], [3.0]], [["a", "b"]] * 20, X + 0j])
def test_points_that_are_none_are_refused(points):
    for ridge in (0.0, 0.1):
        with pytest.raises(InputError, match="points"):
            kf.fit(points, Y, kf.Gaussian(bandwidth=1.0), ridge=ridge)
    with pytest.raises(InputError, match="points"):
        kf.gram(points, kf.Gaussian(bandwidth=1.0))
