"""A trend beside a kernel: the saddle-point system of universal kriging, and what does not change it."""

import numpy as np
import pytest
from scipy.linalg import LinAlgWarning

from kernelfit import KernelInterpolator
from kernelfit.common.errors import InputError
from kernelfit.models.fit import fit
from kernelfit.models.trend import Basis, least_squares, trend_values

RNG = np.random.default_rng(0)
X, Z = RNG.standard_normal((40, 3)) + 5, RNG.standard_normal((7, 3)) + 5
Y = RNG.standard_normal((40, 2))
KERNEL = "laplacian(bandwidth=2.0)"


def kernel(A, B):
    return np.exp(-np.linalg.norm(A[:, None] - B[None], axis=2) / 2.0)


def basis_of(trend, X):
    return np.column_stack([np.ones(len(X)), *(X.T if trend == "linear" else ())])


def value(found, Z):
    return found.function(Z) + trend_values(Z, found.basis.centre, found.trend_coef)


@pytest.mark.parametrize("trend", ["constant", "linear"])
@pytest.mark.parametrize("ridge", [0.0, 0.2])
@pytest.mark.parametrize("weighted", [False, True])
def test_it_solves_the_saddle_point_system(trend, ridge, weighted):
    """[A H; H^T 0] [coef; beta] = [Y; 0]: least norm among the functions beside the trend."""
    w = RNG.uniform(0.5, 3, 40) if weighted else None
    H, H_test = basis_of(trend, X), basis_of(trend, Z)
    A = kernel(X, X) + ridge * np.diag(1 / (np.ones(40) if w is None else w))
    p = H.shape[1]
    solved = np.linalg.solve(np.block([[A, H], [H.T, np.zeros((p, p))]]), np.vstack([Y, np.zeros((p, 2))]))
    found = fit(X, Y, KERNEL, ridge=ridge, trend=trend, weights=w)
    np.testing.assert_allclose(found.function.coef, solved[:40], atol=1e-9)
    np.testing.assert_allclose(value(found, Z), kernel(Z, X) @ solved[:40] + H_test @ solved[40:], atol=1e-9)
    np.testing.assert_allclose(H.T @ found.function.coef, 0, atol=1e-9)
    assert found.report.relative_residual < 1e-11 and found.report.norm_disagreement < 1e-9


@pytest.mark.parametrize("trend", ["constant", "linear"])
def test_functions_of_the_trend_are_reproduced_and_adding_one_changes_nothing_else(trend):
    beta = 100 * RNG.standard_normal((basis_of(trend, X).shape[1], 2))
    pure = fit(X, basis_of(trend, X) @ beta, KERNEL, trend=trend)
    np.testing.assert_allclose(value(pure, Z), basis_of(trend, Z) @ beta, rtol=1e-11)
    assert pure.norm == 0 and not pure.function.coef.any()
    for text in (KERNEL, "gaussian"):  # the bandwidth is chosen as if the trend were not there, too
        plain, moved = (fit(X, T, text, ridge=1e-3, trend=trend) for T in (Y, Y + basis_of(trend, X) @ beta))
        assert plain.function.kernel == moved.function.kernel
        np.testing.assert_allclose(moved.function.coef, plain.function.coef, atol=1e-9)
        np.testing.assert_allclose(value(moved, Z) - value(plain, Z), basis_of(trend, Z) @ beta, atol=1e-9)


@pytest.mark.parametrize("trend", ["constant", "linear"])
@pytest.mark.parametrize("ridge", [0.0, 0.3])
def test_leave_one_out_fits_the_trend_again(trend, ridge):
    w = RNG.uniform(0.5, 3, 40)
    closed = fit(X, Y, KERNEL, ridge=ridge, trend=trend, weights=w, loo=True).loo_residuals
    refitted = np.empty_like(Y)
    for i in range(40):
        rest = np.arange(40) != i
        refitted[i] = value(fit(X[rest], Y[rest], KERNEL, ridge=ridge, trend=trend, weights=w[rest]), X[i : i + 1])[0]
    np.testing.assert_allclose(closed, Y - refitted, atol=1e-9)


def test_coordinates_that_never_vary_and_pixels():
    wide = np.column_stack([X, np.full(40, 0.1), np.zeros(40)])
    found, plain = fit(wide, Y, KERNEL, trend="linear"), fit(X, Y, KERNEL, trend="linear")
    np.testing.assert_allclose(found.function.coef, plain.function.coef, atol=1e-10)
    assert found.trend_coef.shape == (6, 2) and not found.trend_coef[4:].any()
    pixels = RNG.integers(0, 256, (40, 3), np.uint8)
    for trend in ("constant", "linear"):
        whole, scaled = fit(pixels, Y, KERNEL, trend=trend), fit(pixels / 255, Y, KERNEL, trend=trend)
        np.testing.assert_allclose(whole.trend_coef, scaled.trend_coef, atol=1e-9)


def test_what_is_refused():
    with pytest.raises(InputError, match="'constant' or 'linear'"):
        fit(X, Y, KERNEL, trend="quadratic")
    with pytest.raises(InputError, match="no coordinates"):
        Basis.of("linear", kernel(X, X), of_matrix=True)
    with pytest.raises(InputError, match="only 3 are independent at the n_samples = 3"):
        fit(X[:3], Y[:3], KERNEL, trend="linear")
    with pytest.raises(InputError, match="only 4 are independent"):
        fit(np.column_stack([X, X[:, 0] + X[:, 1]]), Y, KERNEL, trend="linear")
    beta, rest = least_squares(np.empty((40, 0)), Y)
    assert beta.shape == (0, 2) and rest is Y


def test_leave_one_out_is_not_defined_where_the_trend_hangs_on_a_point():
    """A column that is 0 but for one point: without it nothing is known of its slope."""
    rng = np.random.default_rng(3)
    X = np.column_stack([rng.uniform(0, 10, 40), np.zeros(40)])
    X[7, 1] = 1.0
    y = np.sin(X[:, 0]) + 0.1 * rng.standard_normal(40)
    with pytest.warns(LinAlgWarning, match="without 1 point the trend is not determined"):
        model = KernelInterpolator(bandwidth=0.6, ridge=0.01, trend="linear", loo=True).fit(X, y)
    rest = np.delete(np.arange(40), 7)
    alone = KernelInterpolator(bandwidth=0.6, ridge=0.01, trend="linear", loo=True).fit(X[rest, :1], y[rest])
    np.testing.assert_allclose(model.loo_residuals_[rest], alone.loo_residuals_, rtol=1e-7)
    assert np.isnan(model.loo_residuals_[7])
    chosen = KernelInterpolator(ridge=0.01, trend="linear").fit(X, y).kernel_.bandwidth
    assert 0.5 < chosen / KernelInterpolator(ridge=0.01, trend="linear").fit(X[rest, :1], y[rest]).kernel_.bandwidth < 2
    with pytest.raises(InputError, match="needs each of the 3"):
        KernelInterpolator(trend="linear").fit(X[[0, 1, 7]], y[[0, 1, 7]])


@pytest.mark.parametrize(("offset", "unit"), [(0.0, 0.1), (1.7e9, 0.1), (0.0, 1e-90)])
def test_a_coordinate_that_varies_little_varies(offset, unit):
    t = offset + np.linspace(0, unit, 2000)[:, None]
    y = 30 * (t[:, 0] - offset) / unit
    model = KernelInterpolator(bandwidth=unit / 10, ridge=1e-2, trend="linear").fit(t, y)
    np.testing.assert_allclose(model.predict([[offset + 2 * unit]]), 60, rtol=1e-5)
    assert Basis.of("linear", t * 0 + 0.1).scale == 0
