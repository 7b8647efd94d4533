"""A fitted estimator stays what was fitted, whatever becomes of the caller's arrays and of its parameters."""

import numpy as np
import pytest
from sklearn.model_selection import cross_val_score
from sklearn.utils import get_tags

import kernelfit as kf
from kernelfit.common.errors import InputError, SingularMatrixError, UnsupportedError
from kernelfit.estimators import KernelInterpolationClassifier, KernelInterpolator, KernelInterpolatorCV
from kernelfit.kernels import Gaussian, Precomputed
from kernelfit.solvers.conjugate_gradients import ConjugateGradients
from kernelfit.solvers.eigen import Eigen


def problem(n=40):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, 3))
    return X, np.sin(X[:, 0]), rng.standard_normal((7, 3))


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shift", [0.0, 9.0])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_points_that_are_changed_later_change_nothing(dtype, shift, order):
    X, y, Z = problem()
    X, y, Z = np.array(X + shift, dtype=dtype, order=order), y.astype(dtype), Z + shift
    whole = kf.fit(X, y, Gaussian(2.0)).function
    models = [
        KernelInterpolator(bandwidth=2.0, keep_factor=True).fit(X, y),
        KernelInterpolator(bandwidth=2.0).fit(X, y),
        KernelInterpolatorCV(bandwidths=[2.0], ridges=[1e-3, 1e-2], cv=3).fit(X, y),
        KernelInterpolationClassifier(bandwidth=2.0).fit(X, y > 0),
    ]
    before = [*(model.predict(Z) for model in models), whole(Z)]
    X *= 0.5
    y[:] = 0
    after = [*(model.predict(Z) for model in models), whole(Z)]
    assert all(np.array_equal(one, other) for one, other in zip(before, after, strict=True))
    assert models[0].predict(Z, return_std=True)[1] == pytest.approx(models[1].predict(Z, return_std=True)[1], abs=1e-9)


@pytest.mark.parametrize("trend", ["constant", "linear"])
def test_the_trend_is_that_of_the_fit(trend):
    X, y, Z = problem()
    y = y + 100 + X[:, 1]
    model = KernelInterpolator(bandwidth=1.0, trend=trend).fit(X, y)
    mean, deviation = model.predict(Z, return_std=True)
    model.set_params(trend=None)
    again = model.predict(Z, return_std=True)
    assert np.array_equal(again[0], mean) and np.array_equal(again[1], deviation)
    with pytest.raises(UnsupportedError, match=f"trend '{trend}'"):
        model.remove([0])
    model.fit(X, y)
    assert not hasattr(model, "trend_coef_") and not hasattr(model, "trend_centre_")
    plain = model.predict(Z)
    assert np.array_equal(model.set_params(trend=trend).predict(Z), plain)
    assert np.array_equal(model.remove([]), model.dual_coef_)


def test_what_was_optimized_is_gone_with_the_next_fit():
    X, y, _ = problem()
    model = KernelInterpolator(optimize="loo", ridge=0.1).fit(X, y)
    assert model.optimization_.objective == "loo"
    assert not hasattr(model.set_params(optimize=None).fit(X, y), "optimization_")


@pytest.mark.parametrize("kernel", ["precomputed", "precomputed()", "2.0 * precomputed", 2.0 * Precomputed()])
def test_a_precomputed_kernel_under_every_name(kernel):
    X, y, Z = problem()
    factor = 1.0 if str(kernel).startswith("precomputed") else 2.0
    K, cross = (np.exp(-((P[:, None] - X) ** 2).sum(2) / 2) for P in (X, Z))
    model, plain = KernelInterpolator(kernel, ridge=0.2), KernelInterpolator(bandwidth=1.0, ridge=0.2 / factor)
    assert get_tags(model).input_tags.pairwise
    np.testing.assert_allclose(cross_val_score(model, K, y, cv=3), cross_val_score(plain, X, y, cv=3), rtol=1e-9)
    weights = np.ones(len(y))
    weights[[3, 5]] = 0
    ours, theirs = (each.fit(A, y, sample_weight=weights) for each, A in ((model, K), (plain, X)))
    np.testing.assert_allclose(ours.predict(cross), theirs.predict(Z), atol=1e-10)
    assert model.fit(K.astype(np.float32), y).n_features_in_ == len(y)
    with pytest.raises(UnsupportedError, match="keep_factor=True"):
        model.remove([0])
    kept = KernelInterpolator(kernel, ridge=0.2, keep_factor=True).fit(K, y)
    np.testing.assert_allclose(kept.remove([0]), plain.fit(X, y).remove([0]) / factor, atol=1e-10)


def test_factors_that_take_up_no_points_name_the_one_that_does():
    X, y, Z = problem()
    for solver in (Eigen(), ConjugateGradients()):
        with pytest.raises(UnsupportedError, match=r"Take Cholesky\(\)"):
            KernelInterpolator(bandwidth=1.0, ridge=0.1, solver=solver, keep_factor=True).fit(X, y).update(Z, Z[:, 0])


@pytest.mark.parametrize("wrong", [{"ridge": -1.0}, {"ridge": "x"}, {"bandwidth": 1e9}], ids=str)
def test_a_fit_that_fails_leaves_the_earlier_one(wrong):
    rng = np.random.default_rng(1)
    X = rng.random((20, 2))
    model = KernelInterpolator(bandwidth=0.1, trend="constant").fit(X, X[:, 0] + 100)
    classifier = KernelInterpolationClassifier(bandwidth=0.1).fit(X, np.where(X[:, 0] > 0.5, "a", "b"))
    before, labels = model.predict(X), classifier.predict(X)
    for each, y in ((model, X[:, 1]), (classifier, np.where(X[:, 1] > 0.5, "yak", "zebra"))):
        with pytest.raises((InputError, SingularMatrixError)):
            each.set_params(**wrong).fit(X, y)
    assert np.array_equal(model.predict(X), before) and np.array_equal(classifier.predict(X), labels)
