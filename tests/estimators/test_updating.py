"""Points that come and go: the estimator is the one that is fitted to what is there, but for rounding."""

import pickle

import numpy as np
import pytest
from scipy.linalg import LinAlgWarning

from kernelfit import KernelInterpolationClassifier, KernelInterpolator, load_dataset, load_model
from kernelfit.common.errors import InputError, SingularMatrixError, UnsupportedError
from kernelfit.solvers import Cholesky, ConjugateGradients

BANDWIDTH = 0.5


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((90, 4))
    return X, np.column_stack([np.sin(X[:, 0]), X[:, 1] ** 2])


def same(model, whole, tolerance=1e-11):
    """The condition of K is below 1e3 here: two factors of one matrix give coefficients that agree to 1e-12."""
    scale = abs(whole.dual_coef_).max()
    np.testing.assert_allclose(model.dual_coef_, whole.dual_coef_, atol=tolerance * scale)
    assert model.norm_ == pytest.approx(whole.norm_, rel=1e-10)
    assert (model.support_ == whole.support_).all() and (model.first_ == whole.first_).all()
    ours, theirs = model.report_, whole.report_
    assert (ours.n, ours.merged, ours.kernel) == (theirs.n, theirs.merged, theirs.kernel)
    assert ours.smallest_pivot == pytest.approx(theirs.smallest_pivot)
    assert ours.log_marginal_likelihood == pytest.approx(theirs.log_marginal_likelihood)
    assert ours.relative_residual < 1e-12 and ours.norm_disagreement < 1e-10 and not ours.warnings


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("ridge", [0.0, 0.1])
@pytest.mark.parametrize("width", [None, 16, 7])
def test_updates_are_a_fit_to_all(data, ridge, width, keep):
    X, y = data
    options = {
        "bandwidth": BANDWIDTH,
        "ridge": ridge,
        "keep_factor": keep,
        "solver": Cholesky(width=width),
        "loo": True,
    }
    model = KernelInterpolator(**options).fit(X[:50], y[:50])
    for start, stop in ((50, 51), (51, 52), (52, 80), (80, 90)):
        assert model.update(X[start:stop], y[start:stop]) is model
    whole = KernelInterpolator(**options).fit(X, y)
    same(model, whole)
    np.testing.assert_allclose(model.loo_residuals_, whole.loo_residuals_, atol=1e-10)
    np.testing.assert_allclose(model.predict(X[:5] + 0.1), whole.predict(X[:5] + 0.1), atol=1e-10)
    for mine, its in zip(model.predict(X + 0.1, return_std=True), whole.predict(X + 0.1, return_std=True), strict=True):
        np.testing.assert_allclose(mine, its, atol=1e-8)
    single = KernelInterpolator(bandwidth=BANDWIDTH, ridge=ridge).fit(X[:50], y[:50, 0]).update(X[50:], y[50:, 0])
    np.testing.assert_allclose(single.dual_coef_, whole.dual_coef_[:, 0], atol=1e-10)


def test_pixels_and_labels_of_any_name():
    data = load_dataset("digits", n_train=120)
    X, y = data.X_train.reshape(120, -1), np.array(list("abcdefghij"))[data.y_train]
    assert X.dtype == np.uint8
    model = KernelInterpolationClassifier(bandwidth=1.0, keep_factor=True).fit(X[:90], y[:90])
    assert not model._factor.closed
    model.update(X[90:], y[90:])
    same(model, KernelInterpolationClassifier(bandwidth=1.0).fit(X, y))
    assert model.score(X, y) == 1.0
    with pytest.raises(InputError, match="none of the classes"):
        model.update(X[:1], ["z"])
    with pytest.raises(InputError, match="pixels or"):
        model.update(X[:1] / 255 + 0.5, y[:1])


def test_copies_are_merged_and_contradictions_name_both(data):
    X, y = data
    X[52], y[52] = X[3], y[3]  # a copy of an old point, which is merged itself below,
    X[60], y[60] = X[55], y[55]  # one of a new one,
    X[20], y[20] = X[3], y[3]  # and one within the first fit
    model = KernelInterpolator(bandwidth=BANDWIDTH).fit(X[:50], y[:50]).update(X[50:], y[50:])
    whole = KernelInterpolator(bandwidth=BANDWIDTH).fit(X, y)
    assert whole.report_.merged == 3
    same(model, whole)
    coef, factor = model.dual_coef_, model._factor
    assert model.update(X[:2], y[:2]).report_.merged == 5 and model._factor is factor  # nothing but copies
    assert (model.dual_coef_[:90] == coef).all() and (model.dual_coef_[90:] == 0).all()
    with pytest.raises(SingularMatrixError, match="points 7 and 93 are identical") as error:
        model.update(X[[8, 7]], y[[8, 7]] + [[0, 0], [1, 0]])
    assert (error.value.duplicate, error.value.row) == (7, 93)
    with pytest.raises(SingularMatrixError, match="points 92 and 93 are identical"):
        model.update(X[[8, 8]] + 0.1, y[[8, 7]])
    assert len(model.dual_coef_) == 92
    ridged = KernelInterpolator(bandwidth=BANDWIDTH, ridge=0.1).fit(X[:50], y[:50]).update(X[50:], y[50:])
    same(ridged, KernelInterpolator(bandwidth=BANDWIDTH, ridge=0.1).fit(X, y))  # with a ridge copies weigh more


def test_a_point_that_depends_on_others_leaves_the_fit_as_it_was(data):
    X, y = data
    model = KernelInterpolator("linear").fit(X[:4], y[:4])
    coef = model.dual_coef_.copy()
    with pytest.raises(SingularMatrixError, match="pivot"):
        model.update(X[4:6], y[4:6])
    assert (model.dual_coef_ == coef).all() and model.report_.n == 4 and len(model.support_) == 4
    model = KernelInterpolator("linear").fit(X[:3], y[:3])
    same(model.update(X[3:4], y[3:4]), KernelInterpolator("linear").fit(X[:4], y[:4]), tolerance=1e-9)


@pytest.mark.parametrize("ridge", [0.0, 0.1])
def test_removing_is_a_fit_without(data, ridge):
    X, y = data
    options = {"bandwidth": BANDWIDTH, "ridge": ridge}
    model = KernelInterpolator(**options, keep_factor=True).fit(X[:70], y[:70]).update(X[70:], y[70:])
    before = model.dual_coef_.copy()
    for gone in ([5], [0, 71, 33, 5, 5], range(60), np.zeros(0, int)):
        kept = np.delete(np.arange(90), gone)
        expected = KernelInterpolator(**options).fit(X[kept], y[kept]).dual_coef_
        found = model.remove(gone)
        np.testing.assert_allclose(found[kept], expected, atol=1e-11 * abs(expected).max())
        assert (np.delete(found, kept, axis=0) == 0).all() and (model.dual_coef_ == before).all()
    single = KernelInterpolator(**options).fit(X, y[:, 1])
    np.testing.assert_allclose(single.remove([4]), model.remove([4])[:, 1], atol=1e-10)


def test_a_merged_point_stays_while_a_copy_of_it_does(data):
    X, y = data
    X[[10, 20]], y[[10, 20]] = X[3], y[3]
    model = KernelInterpolator(bandwidth=BANDWIDTH).fit(X, y)
    assert (model.remove([10, 20]) == model.dual_coef_).all()
    for gone in ([3], [3, 10, 40], [3, 10, 20]):
        kept = np.delete(np.arange(90), gone)
        expected = KernelInterpolator(bandwidth=BANDWIDTH).fit(X[kept], y[kept]).dual_coef_
        np.testing.assert_allclose(model.remove(gone)[kept], expected, atol=1e-11 * abs(expected).max())


@pytest.mark.parametrize("wrong", [[90], [-1], [0.5], [[1]], range(90)])
def test_indices_that_make_no_sense_are_refused(data, wrong):
    model = KernelInterpolator(bandwidth=BANDWIDTH).fit(*data)
    with pytest.raises(InputError):
        model.remove(wrong)


def test_what_cannot_be_extended_says_so(data, tmp_path):
    X, y = data
    for other in ({"solver": Cholesky(storage="host")}, {"solver": ConjugateGradients()}, {"precision": "mixed"}):
        model = KernelInterpolator(bandwidth=BANDWIDTH, ridge=0.1, **other).fit(X[:80], y[:80])
        with pytest.raises(UnsupportedError):
            model.update(X[80:], y[80:])
    K = np.exp(-((X[:, None] - X) ** 2).sum(axis=2))
    model = KernelInterpolator("precomputed").fit(K, y)
    with pytest.raises(UnsupportedError, match="precomputed"):
        model.update(K[:2], y[:2])
    model = KernelInterpolator(bandwidth=BANDWIDTH).fit(X, y)
    model.save(tmp_path / "model.npz")
    loaded = load_model(tmp_path / "model.npz")
    assert (loaded.remove([3]) == model.remove([3])).all()
    with pytest.raises(UnsupportedError, match="targets"):
        loaded.update(X[:1] + 9, y[:1])
    with pytest.raises(InputError, match="targets of the fit"):
        model.update(X[:1] + 9, y[:1, 0])


def test_a_pickle_has_no_factor_and_can_go_on(data):
    X, y = data
    model = KernelInterpolator(bandwidth=BANDWIDTH, keep_factor=True).fit(X[:80], y[:80])
    factor = model._factor
    again = pickle.loads(pickle.dumps(model))
    assert "_factor" not in vars(again)
    again.update(X[80:], y[80:])
    same(again, model.update(X[80:], y[80:]))
    assert factor.closed and not model._factor.closed
    factor = model._factor
    model.fit(X, y)
    assert factor.closed


def test_weights_are_kept_by_removing_and_refused_by_updates(data):
    X, y = data
    weights = np.random.default_rng(1).integers(0, 4, 90)
    options = {"bandwidth": BANDWIDTH, "ridge": 0.1}
    model = KernelInterpolator(**options, keep_factor=True).fit(X, y, sample_weight=weights)
    kept = np.delete(np.arange(90), [3, 4, 50])
    expected = KernelInterpolator(**options).fit(X[kept], y[kept], sample_weight=weights[kept]).dual_coef_
    np.testing.assert_allclose(model.remove([3, 4, 50])[kept], expected, atol=1e-11 * abs(expected).max())
    trended = KernelInterpolator(bandwidth=BANDWIDTH, trend="linear").fit(X, y)
    for each in (model, trended):
        with pytest.raises(UnsupportedError, match="weights"):
            each.update(X[:1] + 9, y[:1])
    with pytest.raises(UnsupportedError, match="trend"):
        trended.remove([1])


def test_points_that_lose_digits_beside_those_of_the_fit_are_refused_and_have_their_covariance():
    X, new = 1e12 + 4.0 * np.arange(8)[:, None], np.array([[0.1], [0.9]])
    model = KernelInterpolator(bandwidth=1.0, keep_factor=True).fit(X, np.sin(X[:, 0]))
    np.testing.assert_allclose(model.predict(new, return_cov=True)[1], np.exp([[0, -0.32], [-0.32, 0]]), rtol=1e-14)
    with pytest.raises(UnsupportedError, match="lose digits"):
        model.update(new, [1.0, -1.0])
    assert len(model.dual_coef_) == 8
    near = KernelInterpolator(bandwidth=1.0, keep_factor=True).fit(X - 1e12 + 40.3, np.sin(X[:, 0])).update(new, [0, 1])
    assert len(near.dual_coef_) == 10
    one = KernelInterpolator(bandwidth=1.0, keep_factor=True).fit([[5.3]], [1.0]).update([[0.3]], [2.0])
    assert len(one.dual_coef_) == 2


def test_what_is_doubtful_of_an_update_is_told():
    X = np.linspace(0, 1, 12)[:, None]
    y = np.cos(20 * X[:, 0])
    model = KernelInterpolator(bandwidth=0.45, keep_factor=True).fit(X[:6], y[:6])
    with pytest.warns(LinAlgWarning, match="not solved to 8 digits") as told:
        for k in range(6, 9):
            model.update(X[k : k + 1], y[k : k + 1])
    assert told[-1].filename == __file__ and model.report_.warnings
