"""Weights of samples and classes, and a trend, on the estimators."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.kernel_ridge import KernelRidge
from sklearn.utils.class_weight import compute_sample_weight

from kernelfit.common.errors import InputError, SingularMatrixError, UnsupportedError
from kernelfit.estimators import KernelInterpolationClassifier, KernelInterpolator
from kernelfit.solvers import Auto, Banded, Cholesky, ConjugateGradients, Eigen

RNG = np.random.default_rng(0)
X, Z = RNG.standard_normal((60, 4)), RNG.standard_normal((20, 4))
Y, W = RNG.standard_normal((60, 3)), RNG.uniform(0.1, 5, 60)
GAMMA = 1 / (2 * 1.5**2)
OPTIONS = {"bandwidth": 1.5, "ridge": 0.1}


def rbf(A, B):
    return np.exp(-GAMMA * cdist(A, B, "sqeuclidean"))


@pytest.mark.parametrize("solver", [None, Cholesky(), Auto(), Eigen(), ConjugateGradients(tolerance=1e-11)], ids=str)
@pytest.mark.parametrize("weights", [W, 2.5, np.where(W > 2, W, 0.0)], ids=["each", "number", "zeros"])
def test_weighted_kernel_ridge_regression_is_scikit_learns(solver, weights):
    for targets in (Y, Y[:, 0]):
        peer = KernelRidge(alpha=0.1, kernel="rbf", gamma=GAMMA).fit(X, targets, sample_weight=weights)
        model = KernelInterpolator(solver=solver, **OPTIONS).fit(X, targets, sample_weight=weights)
        # Of conjugate gradients the relative residual, times a condition of 1e4.
        atol = 1e-7 if isinstance(solver, ConjugateGradients) else 1e-12
        np.testing.assert_allclose(model.dual_coef_, peer.dual_coef_, atol=atol)
        np.testing.assert_allclose(model.predict(Z), peer.predict(Z), atol=atol)


@pytest.mark.parametrize("ridge", [0.0, 0.1])
def test_a_number_of_copies_and_none(ridge):
    """Weight k is k copies; weight 0 is as good as not there."""
    counts = RNG.integers(0, 4, 60)
    options = {"bandwidth": 1.5, "ridge": ridge, "loo": True}
    weighted = KernelInterpolator(**options).fit(X, Y, sample_weight=counts)
    copied = KernelInterpolator(**options).fit(np.repeat(X, counts, axis=0), np.repeat(Y, counts, axis=0))
    np.testing.assert_allclose(weighted.predict(Z), copied.predict(Z), atol=1e-10)
    np.testing.assert_allclose(weighted.norm_, copied.norm_, rtol=1e-10)
    there = counts > 0
    assert not weighted.dual_coef_[~there].any() and (weighted.support_ == np.flatnonzero(there)).all()
    np.testing.assert_allclose(weighted.loo_residuals_[~there], (Y - weighted.predict(X))[~there], atol=1e-12)
    given = KernelInterpolator("precomputed", ridge=ridge, loo=True).fit(rbf(X, X), Y, sample_weight=counts)
    np.testing.assert_allclose(given.predict(rbf(Z, X)), weighted.predict(Z), atol=1e-10)
    np.testing.assert_allclose(given.loo_residuals_, weighted.loo_residuals_, atol=1e-9)


def test_without_a_ridge_no_positive_weight_changes_anything_which_is_the_limit():
    plain = KernelInterpolator(bandwidth=1.5).fit(X, Y)
    weighted = KernelInterpolator(bandwidth=1.5).fit(X, Y, sample_weight=W)
    assert (weighted.dual_coef_ == plain.dual_coef_).all() and weighted.sample_weight_ is None
    nearly = KernelInterpolator(bandwidth=1.5, ridge=1e-11).fit(X, Y, sample_weight=W)
    np.testing.assert_allclose(nearly.predict(Z), plain.predict(Z), atol=1e-5)
    # Of two copies with other targets one may weigh 0.
    twice, targets = np.vstack([X, X[:1]]), np.vstack([Y, Y[:1] + 1])
    with pytest.raises(SingularMatrixError):
        KernelInterpolator(bandwidth=1.5).fit(twice, targets, sample_weight=np.r_[W, 1.0])
    model = KernelInterpolator(bandwidth=1.5).fit(twice, targets, sample_weight=np.r_[W, 0.0])
    np.testing.assert_allclose(model.predict(Z), plain.predict(Z), atol=1e-12)


def test_weighted_leave_one_out_against_really_leaving_one_out():
    closed = KernelInterpolator(loo=True, **OPTIONS).fit(X[:25], Y[:25], sample_weight=W[:25]).loo_residuals_
    for i in range(25):
        rest = np.arange(25) != i
        left = KernelInterpolator(**OPTIONS).fit(X[:25][rest], Y[:25][rest], sample_weight=W[:25][rest])
        np.testing.assert_allclose(closed[i], Y[i] - left.predict(X[i : i + 1])[0], atol=1e-11)


@pytest.mark.parametrize("trend", [None, "linear"])
def test_the_automatic_bandwidth_minimises_the_weighted_leave_one_out_error(trend):
    y = np.sin(X @ [1.0, 0.5, 0.0, 0.0]) + 0.1 * Y[:, 0]
    choice = KernelInterpolator(ridge=1e-2, trend=trend).fit(X, y, sample_weight=W).report_.bandwidth_choice
    H = np.c_[np.ones(60), X] if trend else np.empty((60, 0))
    scale = y - H @ np.linalg.lstsq(H, y, rcond=None)[0]
    for candidate in choice.candidates:
        options = {"bandwidth": candidate["bandwidth"], "ridge": 1e-2, "trend": trend, "loo": True}
        residuals = KernelInterpolator(**options).fit(X, y, sample_weight=W).loo_residuals_
        expected = np.sum(W * residuals**2) / np.sum(W * scale**2)
        np.testing.assert_allclose(candidate["loo_squared_error"], expected, rtol=1e-7)
    errors = {candidate["bandwidth"]: candidate["loo_squared_error"] for candidate in choice.candidates}
    assert len(errors) > 4 and errors[choice.bandwidth] == min(errors.values())


def test_a_gaussian_process_with_noise_of_each_point_and_a_trend():
    for trend, H, H_test in ((None, None, None), ("linear", np.c_[np.ones(60), X], np.c_[np.ones(20), Z])):
        model = KernelInterpolator(trend=trend, **OPTIONS).fit(X, Y[:, 0], sample_weight=W)
        A, k = rbf(X, X) + 0.1 * np.diag(1 / W), rbf(Z, X)
        expected, rest = rbf(Z, Z) - k @ np.linalg.solve(A, k.T), Y[:, 0]
        if trend:
            Q, U = H.T @ np.linalg.solve(A, H), H_test - k @ np.linalg.solve(A, H)
            expected += U @ np.linalg.solve(Q, U.T)
            rest = rest - H @ np.linalg.solve(Q, H.T @ np.linalg.solve(A, rest))
        _, covariance = model.predict(Z, return_cov=True)
        _, deviation = model.predict(Z, return_std=True)
        np.testing.assert_allclose(covariance, expected, atol=1e-11)
        np.testing.assert_allclose(deviation, np.sqrt(expected.diagonal()), atol=1e-10)
        likelihood = -0.5 * (rest @ np.linalg.solve(A, rest) + np.linalg.slogdet(A)[1] + 60 * np.log(2 * np.pi))
        assert model.log_marginal_likelihood_ == pytest.approx(likelihood)


@pytest.mark.parametrize("kernel", ["gaussian(bandwidth=1.5)", "precomputed"])
def test_a_trend_takes_over_far_from_the_data(kernel):
    given = kernel == "precomputed"
    far = Z + 1e3
    model = KernelInterpolator(kernel, trend="constant").fit(rbf(X, X) if given else X, Y + 7.0)
    zero = KernelInterpolator(kernel, trend="constant").fit(rbf(X, X) if given else X, Y)
    np.testing.assert_allclose(model.predict(rbf(far, X) if given else far), np.tile(model.trend_coef_[0], (20, 1)))
    np.testing.assert_allclose(model.predict(rbf(X, X) if given else X), Y + 7, atol=1e-10)
    np.testing.assert_allclose(model.dual_coef_, zero.dual_coef_, atol=1e-9 * np.abs(zero.dual_coef_).max())
    assert model.trend_centre_.shape == (0,)


def test_scores_of_a_classifier_with_a_constant_sum_to_one():
    y = Y.argmax(axis=1)
    model = KernelInterpolationClassifier(trend="constant", **OPTIONS).fit(X, y, sample_weight=W)
    np.testing.assert_allclose(model.decision_function(Z).sum(axis=1), 1, atol=1e-12)
    assert (KernelInterpolationClassifier(bandwidth=1.5, trend="linear").fit(X, y).predict(X) == y).all()


@pytest.mark.parametrize("class_weight", ["balanced", {"ape": 3.0, "bee": 0.2}])
def test_class_weights_are_sample_weights(class_weight):
    y = np.array(["ape", "bee"])[(Y[:, 0] > 0.5).astype(int)]
    for sample_weight in (None, 2 * np.ones(60), W):
        weights = compute_sample_weight(class_weight, y) * (1 if sample_weight is None else sample_weight)
        if sample_weight is W and class_weight == "balanced":
            totals = {name: W[y == name].sum() for name in set(y)}
            weights = W * [W.sum() / 2 / totals[name] for name in y]
        one = KernelInterpolationClassifier(class_weight=class_weight, **OPTIONS).fit(X, y, sample_weight)
        two = KernelInterpolationClassifier(**OPTIONS).fit(X, y, sample_weight=weights)
        np.testing.assert_allclose(one.decision_function(Z), two.decision_function(Z), atol=1e-12)
    with pytest.raises(InputError, match="without a ridge"):
        KernelInterpolationClassifier(bandwidth=1.5, class_weight=class_weight).fit(X, y)


def test_what_is_refused():
    for weights in (-W, np.zeros(60), W[:5], np.where(W > 4, np.nan, W)):
        with pytest.raises(ValueError):
            KernelInterpolator(**OPTIONS).fit(X, Y, sample_weight=weights)
    for weight in (-1.0, np.nan):
        with pytest.raises(InputError, match=r"class_weight = .* none negative"):
            KernelInterpolationClassifier(class_weight={0: weight}, **OPTIONS | {"ridge": 0.1}).fit(
                X, np.arange(60) % 2
            )
    with pytest.raises(InputError, match="trend = 'cubic'"):
        KernelInterpolator(trend="cubic", **OPTIONS).fit(X, Y)
    with pytest.raises(InputError, match="no coordinates"):
        KernelInterpolator("precomputed", trend="linear").fit(rbf(X, X), Y)
    with pytest.raises(UnsupportedError):
        KernelInterpolator(solver=ConjugateGradients(), loo=True, **OPTIONS).fit(X, Y, sample_weight=W)


def test_a_saved_estimator_has_its_trend_and_its_weights(tmp_path):
    from kernelfit.estimators import load_model

    model = KernelInterpolator(trend="linear", **OPTIONS).fit(X, Y, sample_weight=W)
    model.save(tmp_path / "model.npz")
    loaded = load_model(tmp_path / "model.npz")
    for options in ({}, {"return_std": True}):
        assert np.array_equal(loaded.predict(Z, **options), model.predict(Z, **options))
    y = np.where(Y[:, 0] > 0, "a", "b")
    one = KernelInterpolationClassifier(class_weight={"a": 2.0, "b": 1.0}, **OPTIONS).fit(X, y)
    one.save(tmp_path / "classes.npz")
    again = load_model(tmp_path / "classes.npz")
    assert again.class_weight == {"a": 2.0, "b": 1.0}
    assert np.array_equal(again.decision_function(Z), one.decision_function(Z))


def test_classes_that_are_texts_of_digits_have_weights_too():
    """scikit-learn takes "0" for 0 where it looks a class up."""
    X, y = np.random.default_rng(0).standard_normal((60, 3)), np.arange(60) % 3
    for weight in ("balanced", {0: 2.0, 1: 1.0}):
        given = weight if isinstance(weight, str) else {str(name): value for name, value in weight.items()}
        as_texts = KernelInterpolationClassifier(class_weight=given, **OPTIONS).fit(X, y.astype(str))
        as_numbers = KernelInterpolationClassifier(class_weight=weight, **OPTIONS).fit(X, y)
        assert np.array_equal(as_texts.dual_coef_, as_numbers.dual_coef_)
    with pytest.raises(InputError, match="names 'x', which is none of the classes"):
        KernelInterpolationClassifier(class_weight={"x": 1.0}, **OPTIONS).fit(X, y)


@pytest.mark.parametrize("solver", [Eigen(), Banded(), Cholesky()], ids=str)
@pytest.mark.parametrize("small", [1e-12, 1e-30])
def test_points_of_hardly_any_weight_are_left_out_exactly(solver, small):
    rng = np.random.default_rng(0)
    points, weights = rng.standard_normal((150, 3)), np.where(np.arange(150) % 10 == 0, small, 1.0)
    targets = np.sin(points[:, 0]) + 0.1 * rng.standard_normal(150)
    options = {"bandwidth": 1.5, "ridge": 1e-3, "solver": solver}
    model = KernelInterpolator(loo=True, **options).fit(points, targets, sample_weight=weights)
    for i in (0, 10, 11):
        rest = np.delete(np.arange(150), i)
        without = KernelInterpolator(**options).fit(points[rest], targets[rest], sample_weight=weights[rest])
        own = targets[i] - without.predict(points[[i]])[0]
        np.testing.assert_allclose(model.loo_residuals_[i], own, rtol=1e-7)
