import numpy as np
import pytest

from kernelfit.common.errors import InputError, SingularMatrixError
from kernelfit.datasets import load
from kernelfit.datasets.labels import error_rate, one_hot
from kernelfit.grams.matrix import gram
from kernelfit.grams.points import CoordinatePoints
from kernelfit.kernels import Gaussian, Laplacian, Linear
from kernelfit.models.bandwidth import BandwidthChoice, choose_bandwidth, median_distance
from kernelfit.solvers.panel_cholesky import cholesky
from kernelfit.solvers.solution import leave_one_out


@pytest.fixture(scope="module")
def digits():
    return load("digits")


def test_the_choice_minimises_leave_one_out_among_its_candidates(digits):
    X, y = digits.X_train[:300], digits.y_train[:300]
    choice = choose_bandwidth(X, one_hot(y, 10), Gaussian(), score="error")
    assert choice.n == 300 and len(choice.candidates) > 5
    Y = one_hot(y, 10)
    for candidate in choice.candidates:
        factor = cholesky(gram(X, Gaussian(candidate["bandwidth"])))
        scores = leave_one_out(Y, factor.solve(Y), factor.inverse_diagonal())
        assert candidate["loo_error"] == error_rate(scores, y)
    assert choice.bandwidth in [candidate["bandwidth"] for candidate in choice.candidates]
    errors = {candidate["bandwidth"]: candidate["loo_error"] for candidate in choice.candidates}
    assert errors[choice.bandwidth] == min(errors.values())


@pytest.mark.parametrize("dtype", [np.uint8, np.float64])
def test_inner_products_are_made_once_for_all_candidates(digits, dtype, monkeypatch):
    X, Y, made, products = digits.X_train[:300], one_hot(digits.y_train[:300], 10), [], CoordinatePoints.inner_products

    def counted(points, other, out=None):
        if points.products is None:
            made.append(len(points) * len(other))
        return products(points, other, out)

    monkeypatch.setattr(CoordinatePoints, "inner_products", counted)
    assert len(choose_bandwidth(X.astype(dtype), Y, Gaussian()).candidates) > 5
    assert sum(made) <= 300**2 + 64**2  # 64 points tell whether a kernel is symmetric


def test_subsample_is_seeded_and_bounded(digits):
    choose = lambda seed: choose_bandwidth(  # noqa: E731
        digits.X_train, one_hot(digits.y_train, 10), Laplacian(), score="error", subsample=100, seed=seed
    )
    assert choose(1) == choose(1)
    assert choose(1).n == 100
    assert choose(1).candidates != choose(2).candidates


def test_median_distance():
    X = np.random.default_rng(0).integers(0, 256, (50, 4, 4), dtype=np.uint8)
    flat = X.reshape(50, -1) / 255
    distances = np.sqrt(np.sum((flat[:, None] - flat) ** 2, axis=2))[np.triu_indices(50, 1)]
    # A sum of 16 squares and a root, each rounded at 1e-16.
    np.testing.assert_allclose(median_distance(X), np.median(distances), rtol=1e-14)
    np.testing.assert_allclose(median_distance(flat), np.median(distances), rtol=1e-14)
    # An offset of 1e6 leaves ten digits of each coordinate.
    np.testing.assert_allclose(median_distance(flat + 1e6), np.median(distances), rtol=1e-9)


def test_few_dimensions_need_a_narrow_bandwidth_and_get_it():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 1))
    choice = choose_bandwidth(X, one_hot((X[:, 0] > 0).astype(int), 2), Gaussian(), score="error")
    assert choice.bandwidth < 0.25 * median_distance(X)


def test_what_cannot_be_chosen(digits):
    with pytest.raises(InputError, match="no open bandwidth"):
        choose_bandwidth(digits.X_train, one_hot(digits.y_train, 10), Linear(), score="error")
    with pytest.raises(InputError, match="metric 'nope'; known are euclidean, cityblock"):
        median_distance(digits.X_train, "nope")
    with pytest.raises(InputError, match="Y of shape"):
        choose_bandwidth(digits.X_train, np.empty((len(digits.X_train), 0)), Gaussian())
    with pytest.raises(InputError, match="identical"):
        choose_bandwidth(np.zeros((10, 2, 2), np.uint8), one_hot(np.arange(10) % 2, 2), Gaussian(), score="error")
    X = np.concatenate([digits.X_train[:50], digits.X_train[7:8]])
    with pytest.raises(SingularMatrixError, match="equal"):
        choose_bandwidth(X, one_hot(np.arange(51) % 10, 10), Gaussian(), score="error")


def clusters():
    """Two clusters 100 apart: the median distance says nothing of the gaps inside of them."""
    rng = np.random.default_rng(0)
    X = np.r_[rng.uniform(0, 1, 40), 100 + rng.uniform(0, 1, 40)][:, None]
    return X, np.sin(9 * (X % 1))


@pytest.mark.parametrize("targets", ["labels", "numbers"])
def test_one_search_for_labels_and_numbers_goes_as_narrow_as_it_must(targets):
    X, Y = clusters()
    if targets == "labels":
        Y, what = one_hot((Y[:, 0] > 0).astype(int), 2), {"score": "error"}
    else:
        what = {}
    choice = choose_bandwidth(X, Y, Gaussian(), **what)
    assert choice.bandwidth < 0.1 < 2e-3 * median_distance(X)
    found = [candidate["bandwidth"] for candidate in choice.candidates]
    np.testing.assert_allclose(np.diff(np.log2(found)), 0.5, err_msg="half octaves, without a gap")
    tried, narrower = choice.bandwidths[: len(found)], choice.bandwidths[len(found) :]
    assert tried[0] == choice.bandwidth and sorted(tried) == found
    np.testing.assert_allclose(narrower, found[0] / 2.0 ** np.arange(1, 11))


def test_the_search_goes_on_while_the_narrowest_is_the_best():
    """Each point has its own random number, but for a twin nearby: only a bandwidth of that size tells."""
    rng = np.random.default_rng(0)
    X = np.repeat(rng.uniform(0, 1, (60, 2)), 2, axis=0)
    X[1::2] += 0.004 * rng.standard_normal((60, 2))
    Y = np.repeat(rng.standard_normal((60, 1)), 2, axis=0)
    choice = choose_bandwidth(X, Y, Gaussian())
    assert choice.bandwidth < median_distance(X) / 4 and choice.bandwidth > choice.candidates[0]["bandwidth"]


def test_units_of_the_targets_do_not_matter():
    rng = np.random.default_rng(1)
    X = rng.standard_normal((60, 3))
    Y = np.c_[np.sin(X).sum(1), np.sign(X[:, 0]) + 3, np.zeros(60)]
    expected = choose_bandwidth(X, Y, Gaussian())
    for units in ([1, 1, 1], [1e6, 1, 1], [1, 1e6, 7], [1e-165, 1e155, 1]):
        found = choose_bandwidth(X, Y * units, Gaussian())
        assert found.bandwidth == expected.bandwidth
        for a, b in zip(found.candidates, expected.candidates, strict=True):
            assert a["loo_squared_error"] == pytest.approx(b["loo_squared_error"], rel=1e-5)
    alone = choose_bandwidth(X, Y[:, 1:2], Gaussian())
    shared = {candidate["bandwidth"]: candidate["loo_squared_error"] for candidate in expected.candidates}
    for candidate in alone.candidates:
        if candidate["bandwidth"] in shared:
            assert candidate["loo_squared_error"] <= 3 * shared[candidate["bandwidth"]] * 1.001, "a mean over outputs"


def test_equal_points_have_no_part_in_the_median():
    rng = np.random.default_rng(2)
    X = np.vstack([np.zeros((40, 3)), rng.standard_normal((10, 3))])
    distinct = X[39:]
    distances = np.sqrt(((distinct[:, None] - distinct) ** 2).sum(-1))
    # 40 pairs with each of the others
    pairs = np.r_[np.repeat(distances[0, 1:], 40), distances[1:, 1:][np.triu_indices(10, 1)]]
    assert median_distance(X) == pytest.approx(np.median(pairs), rel=1e-12)
    assert choose_bandwidth(X, X[:, :1], Gaussian(), ridge=1e-3).bandwidth > 0


def test_lists_and_targets_of_one_output_are_taken_and_others_refused():
    X = np.random.default_rng(0).standard_normal((40, 2))
    y = np.sin(X[:, 0])
    expected = choose_bandwidth(X, y[:, None], Gaussian())
    assert choose_bandwidth(X.tolist(), y.tolist(), Gaussian()) == expected
    for points, targets in ((X, y[:5]), (X, ["a"] * 40), (3.0, y)):
        with pytest.raises(InputError):
            choose_bandwidth(points, targets, Gaussian())


def test_a_bandwidth_that_predicts_nothing_is_told_and_equal_points_only_where_no_wider_one_was_tried():
    rng = np.random.default_rng(0)
    choice = choose_bandwidth(rng.standard_normal((80, 3)), rng.standard_normal(80), Gaussian())
    assert "no better than 0 does" in choice.doubts[0]
    errors = {1.0: 0.5, 2.0: 0.999, 4.0: 0.999}
    tried = [{"bandwidth": width, "loo_squared_error": error} for width, error in errors.items()]
    narrowest, useless, widest = (BandwidthChoice(width, 80, tried).doubts for width in errors)
    assert "narrowest" in narrowest[0] and "no better" in useless[0] and "no better" in widest[0]
    assert ["equal points" in each[0] for each in (narrowest, useless, widest)] == [False, False, True]
