import dataclasses
import itertools
import json

import numpy as np
import pytest

from kernelfit import backend
from kernelfit.common.errors import InputError, NotEnoughMemoryError, SingularMatrixError
from kernelfit.corruption import corrupt_labels
from kernelfit.datasets import load
from kernelfit.datasets.labels import error_rate, one_hot
from kernelfit.grams.matrix import gram
from kernelfit.kernels import ArcCosine, Gaussian
from kernelfit.solvers.panel_cholesky import cholesky
from kernelfit.theory.double_descent import default_grid, double_descent
from kernelfit.theory.random_features import FourierFeatures, ReluFeatures, feature_matrix, minimum_norm_path

MAPS = [FourierFeatures(2.0), ReluFeatures()]
each_map = pytest.mark.parametrize("features", MAPS, ids=lambda features: features.name)


@pytest.fixture
def points():
    return np.random.default_rng(0).standard_normal((60, 5))


# ---- features ------------------------------------------------------------------------------------------------------


@each_map
def test_features_are_nested_and_seeded(points, features):
    most = feature_matrix(features, points, 600)
    for count in (1, 255, 256, 257, 599):
        np.testing.assert_array_equal(feature_matrix(features, points, count), most[:, :count])
    assert (feature_matrix(features, points, 600, seed=1) != most).any(axis=0).all()
    # No block repeats another: each is a stream of its own.
    assert np.linalg.matrix_rank(most) == 60 and (most[:, :256] != most[:, 256:512]).any(axis=0).all()


@pytest.mark.parametrize(("features", "kernel"), [(MAPS[0], Gaussian(2.0)), (MAPS[1], ArcCosine(1))], ids=str)
def test_features_tend_to_their_kernel(points, features, kernel):
    P = 200_000
    F = feature_matrix(features, points[:8], P)
    products = F[:, None, :] * F[None, :, :]
    error = products.mean(axis=2) - gram(points[:8], kernel).block((0, 8), (0, 8))
    # 36 means of P independent products: five standard errors are passed once in 50,000 tests.
    assert (np.abs(error) < 5 * products.std(axis=2) / np.sqrt(P)).all()


# ---- the path ------------------------------------------------------------------------------------------------------

GRID = [1, 2, 20, 59, 60, 61, 64, 65, 100, 400]


@each_map
def test_the_path_against_lstsq_at_every_p(points, features):
    F = feature_matrix(features, points, GRID[-1])
    Y = np.random.default_rng(1).standard_normal((60, 3))
    steps = list(minimum_norm_path(F, Y, GRID))
    assert [p for p, _, _ in steps] == GRID
    for p, theta, condition in steps:
        expected, _, rank, singular = np.linalg.lstsq(F[:, :p], Y, rcond=None)
        exact = singular[0] / singular[-1]
        assert rank == min(p, 60) and exact < 1e6
        # Least squares lose at most a small multiple of condition^2 eps, minimum norm of condition eps.
        tolerance = 100 * np.finfo(float).eps * (exact**2 if p < 60 else exact)
        assert np.linalg.norm(theta - expected) <= max(tolerance, 1e-13) * np.linalg.norm(expected)
        assert 0.98 * exact <= condition <= exact * (1 + 1e-6)


def test_any_part_of_the_grid_gives_the_same(points):
    F, Y = feature_matrix(MAPS[0], points, 400), points[:, :2]
    whole = {p: theta for p, theta, _ in minimum_norm_path(F, Y, GRID)}
    for part in ([20], [59, 60], [61], [100, 400], [20, 400]):
        for p, theta, _ in minimum_norm_path(F, Y, part):
            np.testing.assert_allclose(theta, whole[p], rtol=1e-6, atol=1e-9 * np.abs(whole[p]).max())


@each_map
def test_more_features_never_fit_worse_and_beyond_n_never_need_a_larger_norm(points, features):
    """Features are nested, so what p of them can do the next p + 1 can do with a weight of zero."""
    F = feature_matrix(features, points, GRID[-1])
    Y = np.random.default_rng(1).standard_normal((60, 1))
    steps = list(minimum_norm_path(F, Y, GRID))
    residuals = [np.linalg.norm(F[:, :p] @ theta - Y) for p, theta, _ in steps]
    norms = [np.linalg.norm(theta) for p, theta, _ in steps if p >= 60]
    assert all(later <= earlier + 1e-9 for earlier, later in itertools.pairwise(residuals))
    assert all(later < earlier for earlier, later in itertools.pairwise(norms))
    assert max(residuals[GRID.index(60) :]) < 1e-8 < residuals[GRID.index(59)]


@pytest.mark.parametrize("spectrum", [np.geomspace(1, 1e-5, 120), np.linspace(1, 0.5, 120)], ids=["steep", "flat"])
def test_the_condition_of_larger_triangles(spectrum):
    """Past 64 it is Lanczos, not singular values: on spectra that are known, on both sides of p = n."""
    rng = np.random.default_rng(2)
    U, V = (np.linalg.qr(rng.standard_normal((n, 120)))[0] for n in (150, 120))
    F = (U * spectrum) @ V.T
    exact = spectrum[0] / spectrum[-1]
    for matrix in (F, F.T.copy()):
        (_, _, condition), *_ = minimum_norm_path(matrix, np.ones((len(matrix), 1)), [matrix.shape[1]])
        assert 0.99 * exact <= condition <= exact * (1 + 1e-6)


def test_what_is_exactly_dependent_is_refused(points):
    F = feature_matrix(MAPS[0], points, 100)
    F[:, 7] = 0.0
    with pytest.raises(SingularMatrixError, match="feature 7 of 30") as caught:
        list(minimum_norm_path(F, points, [30]))
    assert caught.value.row == 7
    F = np.eye(60, 100)
    F[3] = 0.0
    with pytest.raises(SingularMatrixError, match="training point 3"):
        list(minimum_norm_path(F, points, [100]))


def test_features_that_are_none(points):
    F = feature_matrix(MAPS[0], points, 100)
    for wrong in (F[0], np.where(F.max() == F, np.nan, F)):
        with pytest.raises(InputError, match="finite numbers of shape"):
            list(minimum_norm_path(wrong, points, [5]))


def test_grids(points):
    F = feature_matrix(MAPS[0], points, 100)
    for grid in ([], [0, 5], [5, 5], [9, 5], [101], [1.5], 7):
        with pytest.raises(InputError, match="increasing integers of at least 1, at most 100"):
            list(minimum_norm_path(F, points, grid))
    for n in (1, 2, 100, 333):
        grid = default_grid(n)
        assert n in grid and grid == sorted(set(grid)) and grid[0] >= 1 and grid[-1] == 8 * n


# ---- double descent ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def digits():
    return load("digits", n_train=120, n_test=200)


def descend(digits, features, **options):
    return double_descent(
        digits.X_train, digits.y_train, digits.X_test, digits.y_test, n_classes=10, features=features, **options
    )


@pytest.mark.parametrize("features", [FourierFeatures(2.9), ReluFeatures()], ids=lambda features: features.name)
def test_the_peak_is_at_p_equal_n_and_the_second_descent_follows(digits, features):
    found = descend(digits, features)
    n, at = 120, found.grid.index(120)
    assert (found.n_train, found.n_test, found.d, found.label_noise) == (120, 200, 64, 0.2)
    assert found.peak() == n and not found.warnings
    for curve in ("test_error", "test_squared_error", "norm", "condition"):
        mean = found.mean(curve)
        assert np.argmax(mean) == at and min(mean[:at]) < mean[at] / 2 > mean[-1], curve
    assert np.array(found.train_error)[:, at:].max() == 0
    assert np.array(found.train_squared_error)[:, :at].min() > 1e-3
    # An interpolant's residual is at most condition x eps of its targets, here 1e6 x 2e-16, and then squared.
    assert np.array(found.train_squared_error)[:, at:].max() < 1e-18
    first, last = found.mean("test_squared_error")[at], found.mean("test_squared_error")[-1]
    assert first > 10 * last


def test_the_curves_are_what_they_are_called(digits):
    features, p, seed = ReluFeatures(), 50, 4
    found = descend(digits, features, grid=[20, p, 300], seeds=[1, seed], label_noise=0.3)
    assert found.grid == [20, p, 300] and found.seeds == [1, seed]
    X = digits.X_train.reshape(120, -1) / 255
    Z = digits.X_test.reshape(200, -1) / 255 - X.mean(axis=0)
    F = feature_matrix(features, X - X.mean(axis=0), p, seed=seed)
    y, replaced = corrupt_labels(digits.y_train, 10, 0.3, seed)
    theta = np.linalg.lstsq(F, one_hot(y, 10), rcond=None)[0]
    scores = feature_matrix(features, Z, p, seed=seed) @ theta
    expected = {
        "train_error": error_rate(F @ theta, y),
        "train_squared_error": np.mean(np.sum((F @ theta - one_hot(y, 10)) ** 2, axis=1)),
        "test_error": error_rate(scores, digits.y_test),
        "test_squared_error": np.mean(np.sum((scores - one_hot(digits.y_test, 10)) ** 2, axis=1)),
        "norm": np.sqrt(p) * np.linalg.norm(theta),
    }
    assert replaced.any()
    for curve, value in expected.items():
        np.testing.assert_allclose(getattr(found, curve)[1][1], value, rtol=1e-8, err_msg=curve)
    np.testing.assert_allclose(found.condition[1][1], np.linalg.cond(F), rtol=1e-8)
    means = np.mean([found.norm[0], found.norm[1]], axis=0)
    np.testing.assert_allclose(found.mean("norm"), means, rtol=1e-15)


def test_many_features_tend_to_the_kernel_interpolant(digits):
    """At p = 50 n the norm and the scores approach those of the Gaussian kernel, as 1 / sqrt(p)."""
    X, y = digits.X_train[:40], digits.y_train[:40]
    factor = cholesky(gram(X, Gaussian(2.0)))
    norm = np.linalg.norm(factor.half_solve(one_hot(y, 10)))
    errors = []
    for p in (200, 20_000):
        found = double_descent(
            X, y, X, y, n_classes=10, features=FourierFeatures(2.0), grid=[p], label_noise=0.0, seeds=[0]
        )
        errors.append(abs(found.norm[0][0] / norm - 1))
    assert errors[1] < 0.02 and errors[1] < errors[0] / 3


def test_repeats_and_is_json(digits):
    made, again = (descend(digits, ReluFeatures(), grid=[60, 120], seeds=range(2)) for _ in range(2))
    assert dataclasses.replace(made, seconds=0) == dataclasses.replace(again, seconds=0)
    assert json.loads(json.dumps(dataclasses.asdict(made), allow_nan=False)) == dataclasses.asdict(made)


def test_a_hopeless_condition_is_a_warning(digits):
    found = descend(digits, FourierFeatures(1e5), grid=[110], seeds=[5])
    (warning,) = found.warnings
    assert "seed 5, p = 110: the condition number is at least" in warning and found.condition[0][0] > 1e8


def test_what_is_refused(digits, monkeypatch):
    with pytest.raises(InputError, match="bandwidth = 0"):
        FourierFeatures(0)
    with pytest.raises(InputError, match="increasing integers"):
        descend(digits, ReluFeatures(), grid=[3, 2])
    with pytest.raises(InputError, match="probability"):
        descend(digits, ReluFeatures(), label_noise=2)
    X = np.concatenate([digits.X_train, digits.X_train[7:8]])
    y = np.append(digits.y_train, 0)
    twice = dict(n_classes=10, features=ReluFeatures(), seeds=[0])
    with pytest.raises(SingularMatrixError, match="7 and 120 are identical"):
        double_descent(X, y, digits.X_test, digits.y_test, grid=[100, 121], **twice)
    own = np.append(digits.y_train, digits.y_train[7])  # a copy with its label is merged
    merged = double_descent(X, own, digits.X_test, digits.y_test, grid=[120, 240], label_noise=0.0, **twice)
    alone = descend(digits, ReluFeatures(), grid=[120, 240], label_noise=0.0, seeds=[0])
    assert merged.n_train == 120 and merged.train_error == [[0.0, 0.0]]
    np.testing.assert_allclose(merged.norm, alone.norm, rtol=0.1)  # the mean that is subtracted has the copy in it
    assert double_descent(X, y, digits.X_test, digits.y_test, grid=[100], **twice).train_error
    with pytest.raises(InputError, match="64 coordinates, test points 32"):
        double_descent(digits.X_train, digits.y_train, digits.X_test[:, :4], digits.y_test, **twice)
    monkeypatch.setattr(backend, "free_memory", lambda: 1e6)
    with pytest.raises(NotEnoughMemoryError, match="960 features of 120 training and 200 test points"):
        descend(digits, ReluFeatures())


@pytest.mark.parametrize(
    "y_test",
    [np.array([0]), -np.ones(200, int), np.full(200, 10), np.zeros(200), np.full(200, "1")],
    ids=["one", "negative", "too large", "floats", "texts"],
)
def test_labels_of_test_points_are_checked(digits, y_test):
    with pytest.raises(InputError, match="labels must be 200 integers"):
        double_descent(digits.X_train, digits.y_train, digits.X_test, y_test, n_classes=10, features=ReluFeatures())


def test_the_peak_of_a_curve_with_a_gap(digits):
    found = descend(digits, ReluFeatures(), grid=[20, 60], seeds=[0])
    gap = dataclasses.replace(found, test_squared_error=[[None, 1.0]])
    assert gap.peak() == 60


def test_paths_are_float64_whatever_is_given(points):
    F, Y = np.random.default_rng(0).standard_normal((12, 20)), np.ones((12, 2))
    for (p, theta, _), (_, other, _) in zip(
        minimum_norm_path(F.astype(np.float32), Y, [5, 20]),
        minimum_norm_path(F.astype(np.float32).astype(float), Y, [5, 20]),
        strict=True,
    ):
        assert theta.dtype == np.float64 and np.array_equal(theta, other) and len(theta) == p
