"""What kernels and points refuse, and what they take at the ends of their range."""

import numpy as np
import pytest

from kernelfit.common.errors import InputError
from kernelfit.kernels import (
    ArcCosine,
    Constant,
    Cosine,
    Gaussian,
    Laplacian,
    Linear,
    NeuralTangent,
    Polynomial,
    Precomputed,
)
from tests.support.kernels import EPS, dense

QUARTIC = Cosine(4)


@pytest.mark.parametrize("kernel", [QUARTIC, Cosine(1), ArcCosine(), NeuralTangent(2)], ids=str)
@pytest.mark.parametrize("dtype", [np.uint8, float])
def test_kernels_of_the_angle_are_zero_at_zero(kernel, dtype):
    """|x| |z| f(angle) is continuous there; the cosine is not, and 0 is scikit-learn's convention."""
    X = np.random.default_rng(0).integers(1, 9, (6, 4)).astype(dtype)
    X[4] = 0
    K, others = dense(kernel, X), np.delete(np.arange(6), 4)
    assert not K[4].any() and not K[:, 4].any()
    assert np.array_equal(K[np.ix_(others, others)], dense(kernel, X[others]))
    assert not dense(kernel, X[4:5], X[:3]).any() and not dense(kernel, X[:3], X[4:5]).any()


@pytest.mark.parametrize("kernel", [QUARTIC, ArcCosine(), NeuralTangent(2)], ids=str)
def test_norms_that_underflow_are_refused_where_they_are_divided_by(kernel):
    X = np.ones((5, 3))
    X[3] = 1e-150
    with pytest.raises(InputError, match="point 3 is too small"):
        dense(kernel, X)
    assert np.array_equal(dense(Gaussian(1.0), X)[3, :2], np.exp([-1.5, -1.5]))
    with pytest.raises(InputError, match=r"no coordinate is larger than 1.0e-160"):
        dense(Gaussian(1.0), X * 1e-160)


@pytest.mark.parametrize("scale", [1e-120, 1e-79, 1e-40, 1e70, 1e140])
def test_cosines_do_not_depend_on_the_scale(scale):
    X = np.random.default_rng(0).normal(size=(9, 3))
    for kernel in (Cosine(3), Cosine(1)):
        # |x|, |z| and their product are rounded, where the square of the product is out of range.
        np.testing.assert_allclose(dense(kernel, X * scale), dense(kernel, X), rtol=0, atol=20 * EPS)


@pytest.mark.parametrize(
    ("X", "Z"),
    [
        (np.ones((3, 4), np.uint8), np.ones((2, 4))),
        (np.ones((3, 4)), np.ones((2, 4), np.uint8)),
        (np.ones((3, 4)), np.ones((2, 5))),
        (np.ones((3, 4), np.uint8), np.ones((2, 2, 3), np.uint8)),
    ],
)
def test_points_of_two_kinds_do_not_meet(X, Z):
    with pytest.raises(InputError, match="one shape and one kind"):
        dense(Linear(), X, Z)


@pytest.mark.parametrize(
    "X",
    [
        np.ones((3, 4), complex),
        np.array([["a", "b"]]),
        np.array([[None]]),
        np.ones(5),
        np.ones((0, 4)),
        np.ones((4, 0), np.uint8),
    ],
    ids=lambda X: f"{X.dtype}{X.shape}",
)
def test_what_cannot_be_points_is_refused(X):
    with pytest.raises(InputError, match="points"):
        dense(Linear(), X)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("kernel", [Gaussian(1.0), Linear()], ids=str)
def test_points_that_are_not_finite_are_refused(kernel, value):
    X = np.random.default_rng(0).normal(size=(5, 3))
    X[3, 1] = value
    for side in [(X, None), (X[:2], X)]:
        with pytest.raises(InputError):
            dense(kernel, *side)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (Gaussian, {"bandwidth": 0.0}),
        (Gaussian, {"bandwidth": -1.0}),
        (Gaussian, {"bandwidth": float("nan")}),
        (Gaussian, {"bandwidth": float("inf")}),
        (Gaussian, {"bandwidth": "wide"}),
        (Laplacian, {"bandwidth": -1}),
        (Polynomial, {"degree": 0}),
        (Polynomial, {"degree": -2}),
        (Polynomial, {"degree": 2.5}),
        (Polynomial, {"degree": True}),
        (Polynomial, {"gamma": 0.0}),
        (Polynomial, {"gamma": float("nan")}),
        (Polynomial, {"gamma": float("inf")}),
        (Polynomial, {"coef0": -0.1}),
        (Polynomial, {"coef0": float("inf")}),
        (ArcCosine, {"depth": 0}),
        (NeuralTangent, {"depth": 1.5}),
        (Constant, {"value": -1.0}),
        (Constant, {"value": float("nan")}),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_options_that_make_no_kernel_are_refused(kind, options):
    with pytest.raises(InputError):
        kind(**options)


@pytest.mark.parametrize("bandwidth", [1e-200, 1e200])
def test_extreme_bandwidths_fail_by_name_or_give_the_limit(bandwidth):
    X = np.eye(3)
    try:
        K = dense(Gaussian(bandwidth), X)
    except InputError:
        return
    assert np.array_equal(K, np.ones((3, 3)) if bandwidth > 1 else X)


def test_a_precomputed_kernel_is_no_term_of_a_sum():
    with pytest.raises(InputError):
        dense(Precomputed() + Linear(), np.eye(3))
