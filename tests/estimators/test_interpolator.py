import pickle
import warnings

import numpy as np
import pytest
from scipy.linalg import LinAlgWarning
from scipy.spatial.distance import cdist
from sklearn.base import clone
from sklearn.kernel_ridge import KernelRidge
from sklearn.model_selection import GridSearchCV, KFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import get_tags

from kernelfit import backend
from kernelfit.common.errors import DataError, InputError, NotEnoughMemoryError, SingularMatrixError, UnsupportedError
from kernelfit.datasets import load
from kernelfit.estimators import KernelInterpolationClassifier, KernelInterpolator
from kernelfit.experiments.solve import SolveSpec, run_solve
from kernelfit.kernels import Gaussian, Linear
from kernelfit.solvers.auto import Auto
from kernelfit.solvers.cholesky import Cholesky
from kernelfit.solvers.conjugate_gradients import ConjugateGradients
from kernelfit.solvers.eigen import Eigen
from tests.support.problems import symmetric_matrix

BOTH = (KernelInterpolator, KernelInterpolationClassifier)


def rbf(A, B):
    return np.exp(-cdist(A, B, "sqeuclidean") / (2 * 1.5**2))


@pytest.fixture
def problem():
    rng = np.random.default_rng(0)
    X, Z = rng.standard_normal((60, 4)), rng.standard_normal((20, 4))
    return X, rng.standard_normal((60, 3)), Z


@pytest.fixture
def labelled(problem):
    X, Y, Z = problem
    return X, np.array(["ape", "bee", "cat"])[Y.argmax(axis=1)], Z


def test_interpolation_and_norm_by_another_route(problem):
    X, Y, Z = problem
    model = KernelInterpolator(bandwidth=1.5).fit(X, Y)
    K = rbf(X, X)
    coef = np.linalg.solve(K, Y)
    # Both solve to about n eps cond = 60 * 2e-16 * 5e4 at worst, and far better as a rule.
    np.testing.assert_allclose(model.dual_coef_, coef, atol=1e-10 * np.abs(coef).max())
    np.testing.assert_allclose(K @ model.dual_coef_, Y, atol=1e-11)
    np.testing.assert_allclose(model.predict(X), Y, atol=1e-11)
    np.testing.assert_allclose(model.predict(Z), rbf(Z, X) @ coef, atol=1e-10)
    np.testing.assert_allclose(model.norm_, np.sqrt(np.trace(Y.T @ coef)), rtol=1e-11)
    report = model.report_
    # About n eps |K| |coef| / |Y|, with norms of 20 and 100.
    assert report.relative_residual < 1e-11 and report.norm_disagreement < 1e-11
    assert 0.3 * np.linalg.cond(K, 1) < report.condition_estimate < 1.001 * np.linalg.cond(K, 1)
    assert report.smallest_pivot >= np.linalg.eigvalsh(K)[0] and (report.n, report.merged) == (60, 0)
    assert report.kernel == "gaussian(bandwidth=1.5)" and report.seconds > 0


def test_with_a_ridge_it_is_kernel_ridge_regression(problem):
    X, Y, Z = problem
    X = np.vstack([X, X[:10]])  # a repeated point weighs twice: nothing may be merged
    Y = np.vstack([Y, Y[:10] + 1])
    for targets in (Y, Y[:, 0]):
        model = KernelInterpolator(bandwidth=1.5, ridge=0.1).fit(X, targets)
        peer = KernelRidge(alpha=0.1, kernel="rbf", gamma=1 / (2 * 1.5**2)).fit(X, targets)
        assert model.dual_coef_.shape == peer.dual_coef_.shape and model.report_.merged == 0
        np.testing.assert_allclose(model.dual_coef_, peer.dual_coef_, atol=1e-11)
        np.testing.assert_allclose(model.predict(Z), peer.predict(Z), atol=1e-11)


@pytest.mark.parametrize("kernel", ["gaussian(bandwidth=1.5)", Gaussian(1.5), Gaussian() * 1.0, rbf, "precomputed"])
def test_a_kernel_may_be_named_built_called_or_given(problem, kernel):
    X, Y, Z = problem
    expected = KernelInterpolator("gaussian", bandwidth=1.5).fit(X, Y)
    given = isinstance(kernel, str) and kernel == "precomputed"
    bandwidth = 1.5 if getattr(kernel, "open_bandwidth", False) else "auto"
    model = KernelInterpolator(kernel, bandwidth=bandwidth).fit(rbf(X, X) if given else X, Y)
    np.testing.assert_allclose(model.predict(rbf(Z, X) if given else Z), expected.predict(Z), atol=1e-10)
    np.testing.assert_allclose(model.norm_, expected.norm_, rtol=1e-10)


@pytest.mark.parametrize("ridge", [0.0, 0.3])
def test_leave_one_out_against_really_leaving_one_out(problem, labelled, ridge):
    X, Y = problem[0][:25], problem[1][:25]
    options = {"bandwidth": 1.5, "ridge": ridge}
    for targets in (Y, Y[:, 0]):
        closed = KernelInterpolator(**options, loo=True).fit(X, targets).loo_residuals_
        refitted = np.empty_like(targets)
        for i in range(len(X)):
            rest = np.arange(len(X)) != i
            refitted[i] = KernelInterpolator(**options).fit(X[rest], targets[rest]).predict(X[i : i + 1])[0]
        np.testing.assert_allclose(closed, targets - refitted, atol=1e-10)
    y = labelled[1][:25]
    model = KernelInterpolationClassifier(**options, loo=True).fit(X, y)
    scores = (y[:, None] == model.classes_) - model.loo_residuals_
    left_out = cross_val_predict(
        KernelInterpolationClassifier(**options), X, y, cv=KFold(len(X)), method="decision_function"
    )
    np.testing.assert_allclose(scores, left_out, atol=1e-10)
    assert model.set_params(loo=False).fit(X, y).loo_residuals_ is None, "nothing stale is left"


def test_the_classifier_is_kernelfit_solve():
    """Same images, same bandwidth: the numbers of the Record."""
    results = run_solve(SolveSpec(bandwidth=1.0, n_train=300, n_test=100, loo=True))[0].results
    data = load("digits", n_train=300, n_test=100)
    X, Z = (part.reshape(len(part), -1) for part in (data.X_train, data.X_test))
    model = KernelInterpolationClassifier(bandwidth=1.0, loo=True).fit(X, data.y_train)
    np.testing.assert_allclose(model.norm_, results.norm, rtol=1e-11)
    assert 1 - model.score(Z, data.y_test) == pytest.approx(results.test_error)
    loo_scores = np.eye(10)[data.y_train] - model.loo_residuals_
    assert np.mean(loo_scores.argmax(axis=1) != data.y_train) == pytest.approx(results.loo_error)
    # uint8 stands for pixels / 255, here as everywhere
    scaled = KernelInterpolationClassifier(bandwidth=1.0).fit(X / 255, data.y_train)
    np.testing.assert_allclose(scaled.decision_function(Z / 255), model.decision_function(Z), atol=1e-9)
    with pytest.raises(InputError, match="pixels or floating point"):
        model.predict(Z / 255)


def test_classes_and_scores(labelled):
    X, y, Z = labelled
    model = KernelInterpolationClassifier(bandwidth=1.5).fit(X, y)
    assert model.classes_.tolist() == ["ape", "bee", "cat"] and model.score(X, y) == 1
    assert (model.predict(Z) == model.classes_[model.decision_function(Z).argmax(axis=1)]).all()
    two = KernelInterpolationClassifier(bandwidth=1.5).fit(X, y == "bee")
    signed = KernelInterpolator(bandwidth=1.5).fit(X, np.where(y == "bee", 1.0, -1.0))
    np.testing.assert_allclose(two.decision_function(Z), signed.predict(Z), atol=1e-11)
    assert (two.predict(Z) == (two.decision_function(Z) > 0)).all() and two.dual_coef_.shape == (60, 2)


@pytest.mark.parametrize("precomputed", [False, True])
def test_copies_with_equal_targets_change_nothing(problem, precomputed):
    X, Y, Z = problem
    X[0, 0] = 0.0
    rows = np.r_[0:60, 5, 0, 5]
    repeated = X[rows]
    repeated[61, 0] = -0.0
    kernel = "precomputed" if precomputed else Gaussian(1.5)
    train, test = (rbf(repeated, repeated), rbf(Z, repeated)) if precomputed else (repeated, Z)
    model = KernelInterpolator(kernel, loo=True).fit(train, Y[rows])
    plain = KernelInterpolator(Gaussian(1.5), loo=True).fit(X, Y)
    assert (model.report_.n, model.report_.merged) == (60, 3) and model.support_.tolist() == list(range(60))
    np.testing.assert_allclose(model.predict(test), plain.predict(Z), atol=1e-10)
    np.testing.assert_allclose(model.norm_, plain.norm_, rtol=1e-11)
    np.testing.assert_allclose(rbf(repeated, repeated) @ model.dual_coef_, Y[rows], atol=1e-11)
    # Without one of two twins the other is still fitted; points without a twin do not notice.
    twins = [0, 5, 60, 61, 62]
    assert not model.loo_residuals_[twins].any()
    alone = np.setdiff1d(np.arange(60), twins)
    np.testing.assert_allclose(model.loo_residuals_[alone], plain.loo_residuals_[alone], atol=1e-10)


@pytest.mark.parametrize("estimator", BOTH)
def test_copies_with_other_targets_are_refused(estimator):
    X = np.array([[0.0], [1.0], [2.0], [1.0]])
    with pytest.raises(SingularMatrixError, match="1 and 3 are identical but their targets are not") as caught:
        estimator(bandwidth=0.5).fit(X, [0, 1, 0, 0])
    assert (caught.value.row, caught.value.duplicate) == (3, 1)
    assert np.isfinite(estimator(bandwidth=0.5, ridge=1e-3).fit(X, [0, 1, 0, 0]).dual_coef_).all()


def test_a_singular_matrix_is_an_error_and_says_what_was_merged():
    X = np.vstack([np.random.default_rng(0).standard_normal((10, 3)), np.ones((2, 3))])
    with pytest.raises(SingularMatrixError, match="finite rank") as caught:
        KernelInterpolator("linear").fit(X, np.r_[np.arange(10.0), 7.0, 7.0])
    assert "1 copies of earlier points were merged" in caught.value.__notes__[0]


def test_a_fit_with_few_correct_digits_warns():
    """Of condition 1e12 about 16 - 12 digits are left of a random right-hand side."""
    K, _ = symmetric_matrix(40, 1e12)
    y = np.random.default_rng(0).standard_normal(40)
    with pytest.warns(LinAlgWarning, match="ill-conditioned"):
        model = KernelInterpolator("precomputed").fit(K, y)
    assert model.report_.relative_residual > 1e-8 and model.report_.condition_estimate > 1e11


def test_the_automatic_bandwidth_of_the_regressor_minimises_leave_one_out(problem):
    X, _, _ = problem
    y = np.sin(X @ [1.0, 0.5, 0.0, 0.0])
    model = KernelInterpolator().fit(X, y)
    choice = model.report_.bandwidth_choice
    errors = [candidate["loo_squared_error"] for candidate in choice.candidates]
    assert len(errors) > 5 and model.kernel_.bandwidth == choice.bandwidth
    for candidate in choice.candidates:
        with warnings.catch_warnings():  # the widest may be ill-conditioned, which is told, depending on rounding
            warnings.simplefilter("ignore", LinAlgWarning)
            residuals = KernelInterpolator(bandwidth=candidate["bandwidth"], loo=True).fit(X, y).loo_residuals_
        # The order of the points differs, and cond eps reaches 1e-6.
        np.testing.assert_allclose(
            candidate["loo_squared_error"], np.mean(residuals**2) / np.mean(y**2), rtol=1e-5, atol=1e-14
        )
        if candidate["bandwidth"] == choice.bandwidth:
            assert candidate["loo_squared_error"] == min(errors)


@pytest.mark.parametrize("estimator", BOTH)
@pytest.mark.parametrize("d", [1, 2, 30])
def test_the_automatic_bandwidth_gives_a_system_that_is_solved(estimator, d):
    """Many points in few dimensions: the matrices of all wide bandwidths are singular to working precision."""
    rng = np.random.default_rng(d)
    X = rng.standard_normal((250, d))
    y = (np.sin(X[:, 0]) > 0).astype(int)
    model = estimator().fit(X, y)
    assert model.report_.relative_residual <= 1e-8
    np.testing.assert_allclose(model.predict(X), y, atol=1e-6)


def test_model_selection_and_pipelines(labelled):
    X, y, _ = labelled
    pipeline = make_pipeline(StandardScaler(), KernelInterpolationClassifier(bandwidth=1.0))
    grid = {
        "kernelinterpolationclassifier__bandwidth": [0.5, 1.5, "auto"],
        "kernelinterpolationclassifier__kernel": ["gaussian", "laplacian", Gaussian() + 0.5 * Linear()],
    }
    search = GridSearchCV(pipeline, grid, cv=3, error_score="raise").fit(X, y)
    assert len(search.cv_results_["params"]) == 9 and search.best_estimator_.score(X, y) == 1


def test_a_precomputed_kernel_is_cut_on_both_sides(labelled):
    X, y, _ = labelled
    assert get_tags(KernelInterpolator("precomputed")).input_tags.pairwise
    assert not get_tags(KernelInterpolator(rbf)).input_tags.pairwise
    given, made = (KernelInterpolationClassifier(kernel) for kernel in ("precomputed", rbf))
    assert (cross_val_predict(given, rbf(X, X), y, cv=4) == cross_val_predict(made, X, y, cv=4)).all()


@pytest.mark.parametrize("estimator", BOTH)
def test_clone_pickle_and_read_only_inputs(estimator, labelled):
    X, y, Z = labelled
    y = y if estimator is KernelInterpolationClassifier else np.arange(60.0)
    X.flags.writeable = Z.flags.writeable = y.flags.writeable = False
    model = estimator(Gaussian(), bandwidth=1.5).fit(X, y)
    stored = pickle.dumps(model)
    assert len(stored) < 8 * 60 * 60 / 2, "neither K nor its factor is kept"
    assert (pickle.loads(stored).predict(Z) == model.predict(Z)).all()
    copy = clone(model)
    assert copy.kernel == model.kernel and not hasattr(copy, "dual_coef_")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ridge": -1.0}, "ridge"),
        ({"ridge": "1"}, "ridge"),
        ({"ridge": float("nan")}, "ridge"),
        ({"bandwidth": 0.0}, "bandwidth"),
        ({"bandwidth": None}, "'auto'"),
        ({"bandwidth": "median"}, "'auto'"),
        ({"bandwidth": 1.0, "kernel": "linear"}, "no open bandwidth"),
        ({"bandwidth": 1.0, "kernel": rbf}, "no open bandwidth"),
        ({"kernel": "gausian"}, "did you mean"),
        ({"kernel": None}, "named by a text"),
        ({"kernel": lambda A, B: np.ones(len(A))}, "expected real numbers of shape"),
    ],
)
@pytest.mark.parametrize("estimator", BOTH)
def test_what_is_refused(estimator, options, message):
    with pytest.raises(InputError, match=message):
        estimator(**options).fit(np.eye(4), [0, 1, 0, 1])


def test_targets_that_are_zero_have_a_zero_function():
    model = KernelInterpolator(bandwidth=1.0).fit(np.eye(3), np.zeros(3))
    assert model.norm_ == 0 and not model.dual_coef_.any() and model.report_.relative_residual == 0


def test_the_worst_output_decides_whether_a_fit_warns():
    X = np.linspace(0, 1, 40)[:, None]
    rough = np.random.default_rng(0).standard_normal(40)
    found = []
    for unit in (1, 1e6):
        with pytest.warns(LinAlgWarning, match="relative residual"):
            model = KernelInterpolator(bandwidth=0.07).fit(X, np.c_[unit * np.sin(3 * X[:, 0]), rough])
        found.append(model.report_.relative_residual)
        error = np.linalg.norm(model.predict(X)[:, 1] - rough) / np.linalg.norm(rough)
        assert found[-1] == pytest.approx(error, rel=0.5)
    assert found[0] == pytest.approx(found[1], rel=1e-3)


@pytest.mark.parametrize("unit", [1e-300, 1e-165, 1e155, 1e290])
def test_units_of_the_targets_change_nothing_else(unit):
    rng = np.random.default_rng(1)
    X = rng.standard_normal((60, 8))
    y = np.tanh(3 * X[:, 0]) + rng.standard_normal(60)
    plain, scaled = (KernelInterpolator(loo=True).fit(X, u * y) for u in (1.0, unit))
    assert scaled.kernel_ == plain.kernel_ and scaled.report_.relative_residual < 1e-11
    np.testing.assert_allclose(scaled.norm_ / unit, plain.norm_, rtol=1e-9)
    np.testing.assert_allclose(scaled.dual_coef_ / unit, plain.dual_coef_, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(scaled.loo_residuals_ / unit, plain.loo_residuals_, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(scaled.predict(X) / unit, y, rtol=1e-9, atol=1e-9)


def test_coefficients_beyond_the_largest_number_are_an_error():
    K = np.diag([1e-10, 1.0])
    with pytest.raises(InputError, match=r"targets reach .*e\+299.*Divide y"):
        KernelInterpolator("precomputed").fit(K, [1e300, 1.0])


@pytest.mark.filterwarnings("ignore:the condition number")  # a wider bandwidth predicts better
def test_clusters_have_an_automatic_bandwidth_for_both():
    rng = np.random.default_rng(0)
    X = np.r_[rng.uniform(0, 1, 40), 100 + rng.uniform(0, 1, 40)][:, None]
    y = np.sin(9 * (X[:, 0] % 1))
    for estimator, targets in ((KernelInterpolator, y), (KernelInterpolationClassifier, y > 0)):
        model = estimator().fit(X, targets)
        assert model.kernel_.bandwidth < 0.1 and model.report_.relative_residual <= 1e-8


def test_a_near_twin_costs_what_it_must_and_is_told():
    """It leaves only narrow bandwidths, never silently."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((400, 3))
    y = np.sin(X).sum(axis=1)
    for apart, score in [(1e-5, 0.9), (1e-7, 0.7), (1e-9, -1)]:
        model = KernelInterpolator()
        with pytest.warns(LinAlgWarning, match="condition number|no better than 0"):
            model.fit(np.vstack([X[:200], X[:1] * (1 + apart)]), np.append(y[:200], y[0]))
        assert model.score(X[200:], y[200:]) > score


def test_a_condition_number_that_spoils_coefficients_is_not_chosen_without_gain():
    X = np.linspace(0, 6, 60)[:, None]
    model = KernelInterpolator().fit(X, np.sin(X[:, 0]))  # a warning would be an error
    assert model.report_.condition_estimate < 1e12 and abs(model.predict(X + 0.01)[5] - np.sin(X[5, 0] + 0.01)) < 1e-3


@pytest.mark.parametrize("apart", [1e5, 1e7, 1e9])
def test_clusters_however_far_apart(apart):
    rng = np.random.default_rng(0)
    X = np.r_[rng.uniform(0, 1, 40), apart + rng.uniform(0, 1, 40)][:, None]
    model = KernelInterpolationClassifier().fit(X, np.sin(9 * (X[:, 0] % 1)) > 0)
    assert 1e-4 < model.kernel_.bandwidth < 1 and model.score(X, np.sin(9 * (X[:, 0] % 1)) > 0) == 1


@pytest.mark.parametrize("ridge", [0.0, 1e-3])
def test_many_equal_points_are_no_obstacle(ridge):
    X = np.random.default_rng(1).standard_normal((10, 3))
    y = np.r_[np.zeros(40), np.sin(X).sum(1)]
    model = KernelInterpolator(ridge=ridge).fit(np.vstack([np.zeros((40, 3)), X]), y)
    assert model.kernel_.bandwidth > 0.1 and model.report_.merged == (39 if ridge == 0 else 0)


@pytest.mark.parametrize("cast", [np.float32, np.float64])
def test_a_kernel_made_in_float32_is_judged_by_its_own_rounding(cast):
    rng = np.random.default_rng(0)
    A = rng.standard_normal((80, 200)).astype(np.float32)
    K = np.tril(A @ A.T) / 200
    K = np.tril(K) + np.tril(K, -1).T
    K[3, 60] += 2e-7  # as a product of two factors leaves it
    model = KernelInterpolator("precomputed").fit(K.astype(cast), np.arange(80.0))
    assert model.report_.relative_residual < 1e-10, "one triangle is K, for the factor and for the check"
    lower = np.tril(K).astype(float)
    expected = np.linalg.solve(lower + np.tril(lower, -1).T, np.arange(80.0))
    np.testing.assert_allclose(model.dual_coef_, expected, rtol=1e-8, atol=1e-8)
    K[3, 60] += 1e-3
    with pytest.raises(DataError, match="not symmetric"):
        KernelInterpolator("precomputed").fit(K.astype(cast), np.arange(80.0))


def test_a_norm_with_few_digits_warns():
    """Rank 4, and a ridge so small that coefficients reach 1e7: more digits of the norm are not in the entries of K."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((120, 4))
    y = np.sin(2 * X[:, 0]) + X[:, 1]
    with pytest.warns(LinAlgWarning, match="two routes to the norm differ"):
        model = KernelInterpolator("linear", ridge=1e-6).fit(X, y)
    weights = np.linalg.solve(X.T @ X + 1e-6 * np.eye(4), X.T @ y)
    # Rounding of the entries alone moves it by some per cent, more than the two routes may differ.
    assert abs(model.norm_ / np.linalg.norm(weights) - 1) < 0.05
    assert model.report_.warnings == tuple(model.report_.warnings) != ()


@pytest.mark.parametrize("estimator", BOTH)
def test_small_whole_numbers_are_not_taken_for_pixels_in_silence(estimator):
    X = np.random.default_rng(0).integers(0, 40, (60, 3)).astype(np.uint8)
    y = (X[:, 0] > 20).astype(int)
    with pytest.warns(UserWarning, match=r"divided by 255.*X.astype\(float\)"):
        model = estimator("laplacian", bandwidth=5.0, ridge=1e-3).fit(X, y)
    model.predict(X)  # not told again
    estimator("laplacian", bandwidth=5.0, ridge=1e-3).fit(X.astype(float), y)
    images = np.random.default_rng(0).integers(0, 256, (60, 36)).astype(np.uint8)
    estimator(bandwidth=1.0).fit(images, y)


# ---- solvers ---------------------------------------------------------------------------------------------------------

WAYS = {
    "mixed": {"precision": "mixed"},
    "planned": {"precision": "auto"},
    "cholesky": {"solver": Cholesky(precision="mixed", width=128)},
    "eigen": {"solver": Eigen()},
    "conjugate gradients": {"solver": ConjugateGradients(tolerance=1e-11, rank=30)},
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("ridge", [0.0, 1e-3])
def test_every_solver_gives_the_same_function(labelled, way, ridge):
    X, y, _ = labelled
    plain = KernelInterpolationClassifier(bandwidth=2.0, ridge=ridge).fit(X, y)
    model = KernelInterpolationClassifier(bandwidth=2.0, ridge=ridge, **way).fit(X, y)
    np.testing.assert_allclose(model.norm_, plain.norm_, rtol=1e-8)
    np.testing.assert_allclose(model.decision_function(X), plain.decision_function(X), atol=1e-6)
    assert model.report_.relative_residual < 1e-8


def test_more_than_fits_into_memory_goes_to_a_scratch_folder(tmp_path):
    n, scratch = 5000, tmp_path / "panels"
    X = np.random.default_rng(0).uniform(size=(n, 3))
    y, limit = np.sin(9 * X.sum(axis=1)), backend.CPU.fixed_bytes + 7 * n * n // 2  # half of K alone takes 4 n^2 bytes
    kernel = "laplacian(bandwidth=0.1)"
    with pytest.raises(NotEnoughMemoryError):
        KernelInterpolator(kernel, precision="float64", memory=limit).fit(X, y)
    model = KernelInterpolator(kernel, precision="float64", memory=limit, scratch=scratch).fit(X, y)
    assert "on disk" in model.report_.method and list(scratch.iterdir()) == []
    plain = KernelInterpolator(kernel).fit(X, y)
    np.testing.assert_allclose(model.norm_, plain.norm_, rtol=1e-10)
    np.testing.assert_allclose(model.predict(X[:9]), y[:9], atol=1e-8)


def test_with_a_solver_it_is_searched_cloned_and_pickled(labelled, tmp_path):
    X, y, _ = labelled
    for way in ({"precision": "mixed", "scratch": str(tmp_path)}, {"solver": Auto(scratch=tmp_path, storage="disk")}):
        search = GridSearchCV(KernelInterpolationClassifier(**way), {"bandwidth": [1.0, 2.0]}, cv=3).fit(X, y)
        best = search.best_estimator_
        again = pickle.loads(pickle.dumps(best))
        assert np.array_equal(again.predict(X), best.predict(X))
        assert clone(best).get_params() == best.get_params()


def test_a_solver_beside_its_short_forms_is_refused(problem):
    with pytest.raises(InputError, match="beside memory; give one"):
        KernelInterpolator(solver=Cholesky(), memory=10**9).fit(*problem[:2])
    with pytest.raises(InputError, match="give a Solver"):
        KernelInterpolator(solver="cholesky").fit(*problem[:2])
    with pytest.raises(UnsupportedError, match="no factor of K"):
        KernelInterpolator(bandwidth=2.0, solver=ConjugateGradients(), loo=True).fit(*problem[:2])


def test_progress_is_shown_on_request_only(labelled, capfd):
    X, y, _ = labelled
    KernelInterpolationClassifier(bandwidth=2.0, precision="mixed").fit(X, y)
    assert capfd.readouterr() == ("", "")
    KernelInterpolationClassifier(bandwidth=2.0, precision="mixed", verbose=True).fit(X, y)
    assert "plan: panel Cholesky in float32" in capfd.readouterr().err


def test_a_warning_that_is_an_error_leaves_a_whole_fit():
    """The earlier one or the new one, never the function of one with the classes of the other."""
    X = np.random.default_rng(0).standard_normal((60, 2))
    y, z = (np.where(X[:, k] > 0, *names) for k, names in enumerate((("b", "a"), ("up", "down"))))
    model, alone = KernelInterpolationClassifier(bandwidth=1.0), KernelInterpolator(bandwidth=1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LinAlgWarning)
        model.fit(X, y)
        alone.fit(X, X[:, 0])
        warnings.simplefilter("error", LinAlgWarning)
        with pytest.raises(LinAlgWarning):
            model.fit(X, z)
        with pytest.raises(LinAlgWarning):
            alone.fit(X, X[:, 1])
    assert (model.predict(X) == z).mean() > 0.9 and model.classes_.tolist() == ["down", "up"]
    assert alone.predict(X).shape == (60,) and np.abs(alone.predict(X) - X[:, 1]).max() < 0.01


@pytest.mark.parametrize("precision", ["mixed", "float64"])
def test_a_bandwidth_that_predicts_nothing_is_a_warning_in_both_precisions(precision):
    rng = np.random.default_rng(0)
    with pytest.warns(LinAlgWarning, match="no better than 0"):
        model = KernelInterpolator(precision=precision).fit(rng.standard_normal((200, 5)), rng.standard_normal(200))
    assert model.report_.precision == precision and type(model.report_.condition_estimate) is float
