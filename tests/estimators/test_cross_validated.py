"""Cross-validation in closed form: the scores and the choice of GridSearchCV, which refits for every one of them."""

import pickle
import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import FitFailedWarning
from sklearn.metrics import mean_squared_error
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    LeaveOneOut,
    PredefinedSplit,
    RepeatedKFold,
    ShuffleSplit,
)
from sklearn.utils.estimator_checks import parametrize_with_checks

from kernelfit import (
    Gaussian,
    KernelInterpolationClassifier,
    KernelInterpolationClassifierCV,
    KernelInterpolator,
    KernelInterpolatorCV,
    Matern,
    load_model,
)
from kernelfit.common.errors import InputError, SingularMatrixError

BANDWIDTHS, RIDGES = (0.5, 1.5, 4.0), (1e-4, 1e-2, 0.3)
RNG = np.random.default_rng(0)
X = RNG.standard_normal((230, 3))
Y = np.column_stack([np.sin(2 * X[:, 0]), X[:, 1] * X[:, 2]]) + 0.1 * RNG.standard_normal((230, 2))
LABELS = np.array(["a", "b", "c"])[np.digitize(Y[:, 0], (-0.4, 0.4))]
GROUPS = RNG.integers(0, 20, 230)


def searched(model, plain, X, y, cv, scoring=None, groups=None):
    """Check a fitted choice against GridSearchCV over the plain estimator."""
    grid = {"bandwidth": BANDWIDTHS, "ridge": RIDGES}
    search = GridSearchCV(plain, grid, cv=cv, scoring=scoring, error_score="raise").fit(X, y, groups=groups)
    assert model.best_params_ == {"kernel": plain.kernel} | search.best_params_
    np.testing.assert_allclose(model.best_score_, search.best_score_, rtol=1e-8, atol=1e-8)
    for name, column in search.cv_results_.items():
        if name.endswith("_score"):
            np.testing.assert_allclose(model.cv_results_[name], column, rtol=1e-8, atol=1e-8, err_msg=name)
    for ours, theirs in zip(model.cv_results_["params"], search.cv_results_["params"], strict=True):
        assert ours == {"kernel": plain.kernel} | theirs
    np.testing.assert_allclose(model.predict(X[:9]), search.predict(X[:9])) if y.dtype.kind == "f" else None
    assert model.n_splits_ == search.n_splits_ and model.best_index_ == search.best_index_
    return search


@pytest.mark.parametrize(
    "cv",
    [
        3,
        KFold(4, shuffle=True, random_state=0),
        ShuffleSplit(3, random_state=0),
        RepeatedKFold(n_splits=3, n_repeats=2),
    ],
    ids=lambda cv: type(cv).__name__,
)
def test_scores_and_choice_are_those_of_a_grid_search(cv):
    if isinstance(cv, RepeatedKFold):
        cv = list(cv.split(X))  # an iterable of splits, the same for both
    model = KernelInterpolatorCV(bandwidths=BANDWIDTHS, ridges=RIDGES, cv=cv).fit(X, Y)
    searched(model, KernelInterpolator("gaussian"), X, Y, cv)


@pytest.mark.parametrize("scoring", [None, "balanced_accuracy"])
def test_classes_are_stratified_and_scored_as_in_scikit_learn(scoring):
    model = KernelInterpolationClassifierCV(bandwidths=BANDWIDTHS, ridges=RIDGES, cv=5, scoring=scoring).fit(X, LABELS)
    search = searched(model, KernelInterpolationClassifier("gaussian"), X, LABELS, 5, scoring)
    assert np.array_equal(model.predict(X), search.predict(X))
    np.testing.assert_allclose(model.decision_function(X), search.decision_function(X))


def test_two_classes_have_the_decision_function_that_ranks_them():
    y, cv = LABELS == "a", KFold(3)
    model = KernelInterpolationClassifierCV(bandwidths=BANDWIDTHS, ridges=RIDGES, cv=cv, scoring="roc_auc").fit(X, y)
    searched(model, KernelInterpolationClassifier("gaussian"), X, y, cv, "roc_auc")


def test_weights_of_samples_are_those_of_fits_and_scores():
    weights = RNG.uniform(0.2, 5.0, 230)
    options = {"bandwidths": BANDWIDTHS, "ridges": RIDGES, "scoring": "neg_mean_squared_error"}
    model = KernelInterpolatorCV(**options, cv=4).fit(X, Y, sample_weight=weights)
    for parameters, found in zip(model.cv_results_["params"], model.cv_results_["mean_test_score"], strict=True):
        scores = []
        for train, test in KFold(4).split(X):
            plain = KernelInterpolator(**parameters).fit(X[train], Y[train], sample_weight=weights[train])
            scores.append(-mean_squared_error(Y[test], plain.predict(X[test]), sample_weight=weights[test]))
        np.testing.assert_allclose(found, np.mean(scores), rtol=1e-8)
    plain = KernelInterpolator(**model.best_params_).fit(X, Y, sample_weight=weights)
    assert np.array_equal(model.predict(X), plain.predict(X))
    single = clone(model).set_params(cv=None).fit(X, Y, sample_weight=weights)
    plain = KernelInterpolator(**single.best_params_, loo=True).fit(X, Y, sample_weight=weights)
    expected = np.average(np.mean(plain.loo_residuals_**2, axis=1), weights=weights)
    np.testing.assert_allclose(-single.best_score_, expected, rtol=1e-9)
    with pytest.raises(InputError, match="takes no sample_weight"):
        clone(model).set_params(scoring=lambda model, X, y: 0.0).fit(X, Y, sample_weight=weights)
    weights[::3] = 0.0
    kept = np.flatnonzero(weights)
    some = clone(model).fit(X, Y, sample_weight=weights)
    place = [(np.searchsorted(kept, np.intersect1d(part, kept)) for part in split) for split in KFold(4).split(X)]
    without = clone(model).set_params(cv=place).fit(X[kept], Y[kept], sample_weight=weights[kept])
    np.testing.assert_allclose(some.cv_results_["mean_test_score"], without.cv_results_["mean_test_score"], rtol=1e-12)


def test_a_saved_choice_is_its_best_estimator(tmp_path):
    model = KernelInterpolationClassifierCV(bandwidths=BANDWIDTHS, ridges=RIDGES).fit(X, LABELS)
    model.save(tmp_path / "model.npz")
    loaded = load_model(tmp_path / "model.npz")
    assert isinstance(loaded, KernelInterpolationClassifier) and loaded.ridge == model.best_params_["ridge"]
    assert np.array_equal(loaded.predict(X), model.predict(X))


def test_groups_stay_together():
    cv = GroupKFold(4)
    model = KernelInterpolatorCV(bandwidths=BANDWIDTHS, ridges=RIDGES, cv=cv, scoring="neg_mean_absolute_error")
    model.fit(X, Y, groups=GROUPS)
    searched(model, KernelInterpolator("gaussian"), X, Y, cv, "neg_mean_absolute_error", GROUPS)
    with pytest.raises(ValueError, match="groups"):
        clone(model).fit(X, Y)
    with pytest.raises(InputError, match="groups were given"):
        clone(model).set_params(cv=None).fit(X, Y, groups=GROUPS)


def test_points_in_no_fold_are_always_trained_on():
    cv = PredefinedSplit(np.where(np.arange(230) % 3 == 0, -1, np.arange(230) % 4))
    model = KernelInterpolatorCV(bandwidths=BANDWIDTHS, ridges=RIDGES, cv=cv).fit(X, Y)
    searched(model, KernelInterpolator("gaussian"), X, Y, cv)


def test_leaving_out_one_at_a_time_is_the_grid_search_over_single_points():
    few, targets = X[:60], Y[:60, 0]
    model = KernelInterpolatorCV(bandwidths=BANDWIDTHS, ridges=RIDGES).fit(few, targets)
    grid = {"bandwidth": BANDWIDTHS, "ridge": RIDGES}
    search = GridSearchCV(KernelInterpolator(), grid, cv=LeaveOneOut(), scoring="neg_mean_squared_error")
    search.fit(few, targets)
    np.testing.assert_allclose(model.cv_results_["mean_test_score"], search.cv_results_["mean_test_score"], rtol=1e-8)
    assert model.best_params_ == {"kernel": "gaussian"} | search.best_params_
    by_folds = clone(model).set_params(cv=LeaveOneOut(), scoring="neg_mean_squared_error").fit(few, targets)
    np.testing.assert_allclose(by_folds.best_score_, model.best_score_, rtol=1e-9)
    plain = KernelInterpolator(**{k: v for k, v in model.best_params_.items()}, loo=True).fit(few, targets)
    np.testing.assert_allclose(-model.best_score_, np.mean(plain.loo_residuals_**2), rtol=1e-9)


def test_kernels_are_chosen_among_and_closed_ones_have_no_bandwidth():
    kernels = ["gaussian", Matern(nu=1.5), Gaussian(bandwidth=1.0) + 0.1, "0.5 * polynomial(degree=2) + laplacian"]
    model = KernelInterpolatorCV(kernels, bandwidths=BANDWIDTHS, ridges=(0.01, 0.1), cv=3).fit(X, Y)
    assert len(model.cv_results_["params"]) == (3 + 3 + 1 + 3) * 2
    assert [p["bandwidth"] for p in model.cv_results_["params"] if p["kernel"] is kernels[2]] == [None, None]
    for parameters, score in zip(model.cv_results_["params"], model.cv_results_["mean_test_score"], strict=True):
        plain = KernelInterpolator(**{name: value for name, value in parameters.items() if value is not None})
        search = GridSearchCV(plain, {"ridge": [parameters["ridge"]]}, cv=3).fit(X, Y)
        np.testing.assert_allclose(score, search.best_score_, rtol=1e-8)


def test_a_precomputed_kernel_has_ridges_to_choose():
    K = np.exp(-((X[:, None] - X[None]) ** 2).sum(axis=2) / 4)
    model = KernelInterpolatorCV("precomputed", ridges=RIDGES, cv=3).fit(K, Y)
    search = GridSearchCV(KernelInterpolator("precomputed"), {"ridge": RIDGES}, cv=3).fit(K, Y)
    np.testing.assert_allclose(model.cv_results_["mean_test_score"], search.cv_results_["mean_test_score"], rtol=1e-8)
    np.testing.assert_allclose(model.predict(K[:5]), search.predict(K[:5]))
    assert model.__sklearn_tags__().input_tags.pairwise


def test_pixels_are_pixels():
    from sklearn.datasets import load_digits

    images, y = load_digits(return_X_y=True)
    images = (images[:200] * 15).astype(np.uint8)
    model = KernelInterpolationClassifierCV(bandwidths=BANDWIDTHS, ridges=RIDGES, cv=3).fit(images, y[:200])
    searched(model, KernelInterpolationClassifier("gaussian"), images, y[:200], 3)


def test_the_final_model_is_the_plain_one_and_its_options_are_passed_on():
    model = KernelInterpolatorCV(bandwidths=BANDWIDTHS, ridges=RIDGES, loo=True).fit(X, Y)
    plain = KernelInterpolator(**model.best_params_, loo=True).fit(X, Y)
    assert model.norm_ == plain.norm_
    assert np.array_equal(model.predict(X), plain.predict(X)) and np.array_equal(model.dual_coef_, plain.dual_coef_)
    np.testing.assert_allclose(-model.best_score_, np.mean(model.loo_residuals_**2), rtol=1e-7)
    mixed = clone(model).set_params(precision="mixed", loo=False).fit(X, Y)
    assert mixed.report_.precision == "mixed" and mixed.best_params_ == model.best_params_
    again = pickle.loads(pickle.dumps(model))
    assert np.array_equal(again.predict(X), model.predict(X))


def test_automatic_bandwidths_surround_the_median_distance():
    model = KernelInterpolatorCV(ridges=(0.01, 0.1)).fit(X, Y)
    chosen = sorted({each["bandwidth"] for each in model.cv_results_["params"]})
    assert len(chosen) == 11 and chosen[0] < 1 < chosen[-1]
    assert model.score(X, Y) > 0.8


def test_what_is_singular_has_no_score_and_is_never_chosen():
    twice = np.vstack([X[:50], X[:50]])
    model = KernelInterpolatorCV(bandwidths=(1.0,), ridges=(0.0, 0.1), cv=3)
    with pytest.warns(FitFailedWarning, match="1 of 2 candidates are singular"):
        model.fit(twice, np.tile(Y[:50, 0], 2))
    scores = model.cv_results_["mean_test_score"]
    assert np.isnan(scores).tolist() == [True, False] and model.best_params_["ridge"] == 0.1
    assert model.cv_results_["rank_test_score"].tolist() == [2, 1]
    with pytest.raises(SingularMatrixError, match="identical"):
        model.set_params(ridges=(0.0,)).fit(twice, np.tile(Y[:50, 0], 2))


@pytest.mark.parametrize(
    "options, message",
    [
        ({"bandwidths": "wide"}, "bandwidths = 'wide'"),
        ({"bandwidths": ()}, "bandwidths is empty"),
        ({"bandwidths": 1.0}, r"bandwidths = 1.0; give a list"),
        ({"bandwidths": iter((1.0, 2.0))}, "more than once"),
        ({"kernels": iter(("gaussian", "laplacian"))}, "more than once"),
        ({"bandwidths": (1.0, -1.0)}, "bandwidth = -1.0"),
        ({"ridges": ()}, "ridges is empty"),
        ({"ridges": (-1.0,)}, "ridge = -1"),
        ({"kernels": []}, "kernels is empty"),
        ({"scoring": ["r2"]}, "one score"),
        ({"cv": [(np.arange(230), np.arange(20))]}, "must be left out of training"),
        ({"cv": [(np.zeros(9, int), np.arange(20, 40))]}, "twice"),
    ],
)
def test_wrong_parameters_say_so(options, message):
    with pytest.raises(InputError, match=message):
        KernelInterpolatorCV(**options).fit(X, Y)


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*candidates are singular", category=FitFailedWarning)
        yield


@parametrize_with_checks(
    [
        KernelInterpolatorCV(bandwidths=(1.0, 3.0), ridges=(1e-3, 0.1)),
        KernelInterpolationClassifierCV(bandwidths=(1.0, 3.0), ridges=(1e-3, 0.1), cv=2),
    ]
)
def test_checks_of_scikit_learn(estimator, check):
    check(estimator)


def test_without_a_ridge_weights_change_scores_alone():
    """Scaled by weights of 1e-6, K would be singular to working precision; as it is, it is not."""
    P, w = X[:60, :2], np.where(np.arange(60) < 30, 1.0, 1e-6)
    y = np.sin(P[:, 0])
    found = KernelInterpolatorCV(bandwidths=[0.7], ridges=[0.0, 0.1]).fit(P, y, sample_weight=w)
    for ridge, score in zip((0.0, 0.1), found.cv_results_["mean_test_score"], strict=True):
        plain = KernelInterpolator(bandwidth=0.7, ridge=ridge, loo=True).fit(P, y, sample_weight=w)
        assert score == pytest.approx(-np.average(plain.loo_residuals_**2, weights=w), rel=1e-6)


@pytest.mark.parametrize(
    ("weights", "cv"),
    [
        (np.arange(60) >= 7, LeaveOneOut()),
        (np.arange(60) >= 7, [(np.arange(7), np.arange(7, 60))]),
        (np.arange(60) < 20, 3),
        (np.arange(60) < 1, None),
    ],
)
@pytest.mark.parametrize("estimator", [KernelInterpolatorCV, KernelInterpolationClassifierCV])
def test_a_split_of_points_that_weigh_nothing_says_so(estimator, weights, cv):
    model = estimator(bandwidths=[1.0], ridges=[0.1], cv=cv)
    with pytest.raises(InputError, match="weight"):
        model.fit(X[:60], np.arange(60) % 2, sample_weight=weights.astype(float))


def test_a_zero_matrix_is_singular_without_a_ridge_and_nothing_waits_for_ever():
    with pytest.warns(FitFailedWarning, match="singular"):
        found = KernelInterpolatorCV("linear", ridges=(0.0, 1.0)).fit(np.zeros((5, 2)), np.arange(5.0))
    assert found.best_params_["ridge"] == 1.0


def test_a_score_of_probabilities_is_not_to_be_had():
    with pytest.raises(InputError, match=r"neg_log_loss.*predict_proba"):
        KernelInterpolationClassifierCV(bandwidths=[1.0], scoring="neg_log_loss").fit(X, LABELS)


@pytest.mark.parametrize("cv", [None, 3])
def test_scores_that_are_no_numbers_choose_nothing(cv):
    for scale in (1e-170, 1e160):
        with pytest.raises(InputError, match="squares of that are no numbers"):
            KernelInterpolatorCV(bandwidths=BANDWIDTHS, ridges=RIDGES, cv=cv).fit(X, scale * Y)
    with pytest.raises(InputError, match="no candidate a finite score"):
        KernelInterpolatorCV(bandwidths=BANDWIDTHS, cv=cv, scoring=lambda model, X, y: np.nan).fit(X, Y)


@pytest.mark.parametrize("cv", [KFold(3), KFold(6), LeaveOneOut()])
def test_a_class_that_a_fold_does_not_train_on_is_never_predicted(cv):
    """Its function is 0 there, which is the largest wherever those of all others are negative."""
    X = np.concatenate([1 + 0.1 * np.arange(6), 2 + 0.1 * np.arange(6), -1 - 0.1 * np.arange(6)])[:, None]
    y = np.repeat(["a", "b", "c"], 6)
    if isinstance(cv, LeaveOneOut):
        X, y = X[:13], y[:13]  # one point of class c
    options = {"cv": cv, "scoring": "accuracy"}
    theirs = GridSearchCV(KernelInterpolationClassifier("linear"), {"ridge": [0.1, 1.0]}, **options).fit(X, y)
    ours = KernelInterpolationClassifierCV("linear", ridges=[0.1, 1.0], **options).fit(X, y)
    for name in (name for name in theirs.cv_results_ if name.endswith("test_score")):
        assert np.array_equal(ours.cv_results_[name], theirs.cv_results_[name])
    if isinstance(cv, LeaveOneOut):
        alone = KernelInterpolationClassifierCV("linear", ridges=[0.1, 1.0]).fit(X, y)
        np.testing.assert_allclose(alone.cv_results_["mean_test_score"], theirs.cv_results_["mean_test_score"])


@pytest.mark.parametrize(("cv", "message"), [(KFold(2), "split 0 of cv"), (None, "without one of the points")])
def test_a_fold_that_trains_on_one_class_is_refused(cv, message):
    X = np.arange(6.0)[:, None]
    y = ["a", "a", "a", "b", "b", "b"] if cv else ["a", "a", "a", "a", "a", "b"]
    with pytest.raises(InputError, match=message):
        KernelInterpolationClassifierCV(bandwidths=[1.0], ridges=[0.1], cv=cv).fit(X, y)


def test_the_bandwidths_that_are_tried_do_not_depend_on_the_order_of_the_points():
    rng = np.random.default_rng(0)
    points = np.vstack([1e-3 * rng.standard_normal((500, 2)), rng.standard_normal((300, 2))])
    targets = np.sin(2 * points[:, 0]) + points[:, 1]
    tried = []
    for rows in (np.arange(800), rng.permutation(800)):
        model = KernelInterpolatorCV(ridges=(1e-3,), cv=KFold(3, shuffle=True, random_state=0))
        model.fit(points[rows], targets[rows])
        tried.append([each["bandwidth"] for each in model.cv_results_["params"]])
    np.testing.assert_allclose(*tried, rtol=0.5)  # by order it would be a hundred times as much
    equal = np.vstack([np.zeros((500, 2)), points[500:]])
    assert KernelInterpolatorCV(ridges=(1e-3,)).fit(equal, equal[:, 0]).best_score_ > -0.1
