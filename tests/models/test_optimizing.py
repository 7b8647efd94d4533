"""Gradients by bandwidths and ridge: against differences, scikit-learn, and where they lead."""

import numpy as np
import pytest
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process import kernels as peers

from kernelfit import KernelInterpolationClassifier, KernelInterpolator, load_model
from kernelfit.common.errors import InputError
from kernelfit.grams.matrix import gram
from kernelfit.kernels import Gaussian, Laplacian, LaplacianL1, Linear, Matern, RationalQuadratic
from kernelfit.kernels.slopes import slope
from kernelfit.models import optimizing
from kernelfit.models.fit import fit
from kernelfit.models.optimizing import gradient, optimize

RNG = np.random.default_rng(0)
X = RNG.standard_normal((60, 3))
Y = np.column_stack([np.sin(2 * X[:, 0]), X[:, 1] + X[:, 0] ** 2]) + 0.1 * RNG.standard_normal((60, 2))
ARD = (0.8, 1.7, 3.0)
KERNELS = [Gaussian(), Laplacian(), LaplacianL1(), Matern(0.5), Matern(1.5), Matern(2.5), RationalQuadratic(0.7)]
MIXED = [
    0.5 * Gaussian() + 0.1 * Linear(),
    Gaussian() * Matern(1.5) + Laplacian(),
    Gaussian() * Gaussian(bandwidth=2.0),
]


@pytest.fixture(autouse=True)
def narrow(monkeypatch):
    monkeypatch.setattr(optimizing, "_WIDTH", 23)  # several strips, the last of them short


@pytest.mark.parametrize(
    ("pixels", "kernel"),
    [
        *((False, kernel) for kernel in KERNELS + MIXED),
        # How a unit enters is said once a class, and sums and products take what their parts give.
        *((True, kernel) for kernel in KERNELS if kernel not in (Matern(0.5), Matern(1.5))),
    ],
    ids=str,
)
def test_slopes_are_derivatives_of_the_kernel(kernel, pixels):
    points = RNG.integers(0, 256, (20, 3), np.uint8) if pixels else X[:20]

    def dense(kernel):
        return gram(points, kernel).block((0, 20), (0, 20))

    step = 1e-5
    for bandwidth, feature in [(1.3, None), (ARD, 0), (ARD, 2)]:
        turn = step if feature is None else step * np.eye(3)[feature]
        ends = [dense(kernel.with_bandwidth(np.multiply(bandwidth, np.exp(sign * turn)))) if feature is not None
                else dense(kernel.with_bandwidth(bandwidth * np.exp(sign * turn))) for sign in (1, -1)]  # fmt: skip
        found = dense(slope(kernel, bandwidth, feature))
        # A central difference is off by step^2 and by eps / step.
        np.testing.assert_allclose(found, (ends[0] - ends[1]) / (2 * step), rtol=0, atol=2e-9)
    whole = sum(dense(slope(kernel, ARD, feature)) for feature in range(3))
    np.testing.assert_allclose(whole, dense(slope(kernel, ARD)), rtol=0, atol=1e-14)


@pytest.mark.parametrize("objective", ["loo", "likelihood"])
@pytest.mark.parametrize("kernel", [Gaussian(), Matern(1.5), LaplacianL1(), MIXED[0]], ids=str)
@pytest.mark.parametrize("bandwidth", [1.3, ARD], ids=["one", "each"])
def test_gradients_are_those_of_differences(objective, kernel, bandwidth):
    count = np.size(bandwidth)

    def value(theta):
        widths = np.exp(theta[:-1])
        widths = float(widths[0]) if count == 1 else widths
        return gradient(X, Y, kernel, bandwidth=widths, ridge=np.exp(theta[-1]), objective=objective)[0]

    theta, step = np.log(np.append(bandwidth, 0.05)), 1e-4
    found = gradient(X, Y, kernel, bandwidth=bandwidth, ridge=0.05, objective=objective)[1]
    expected = []
    for turn in step * np.eye(count + 1):  # of fourth order: off by step^4 and by eps / step
        near, far = value(theta + turn) - value(theta - turn), value(theta + 2 * turn) - value(theta - 2 * turn)
        expected.append((8 * near - far) / (12 * step))
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-8 * np.abs(found).max())
    without = (
        gradient(X, Y, kernel, bandwidth=bandwidth, objective=objective)[1] if kernel == Gaussian() else found[:-1]
    )
    assert without.shape == (count,)


@pytest.mark.parametrize("bandwidth", [1.3, ARD], ids=["one", "each"])
@pytest.mark.parametrize(
    ("kernel", "peer"),
    [
        (Gaussian(), peers.RBF),
        (Matern(1.5), lambda length: peers.Matern(length, nu=1.5)),
        (Matern(2.5), lambda length: peers.Matern(length, nu=2.5)),
    ],
)
def test_the_likelihood_is_that_of_scikit_learn(bandwidth, kernel, peer):
    process = GaussianProcessRegressor(peer(bandwidth) + peers.WhiteKernel(0.05), alpha=0.0, optimizer=None).fit(X, Y)
    value, slopes = process.log_marginal_likelihood(process.kernel_.theta, eval_gradient=True)
    found = gradient(X, Y, kernel, bandwidth=bandwidth, ridge=0.05)
    np.testing.assert_allclose(found[0], value, rtol=1e-10)
    np.testing.assert_allclose(found[1], slopes, rtol=1e-8)


def test_leave_one_out_is_the_error_of_the_fit():
    residuals = fit(X, Y, Gaussian(1.3), ridge=0.05, loo=True).loo_residuals
    value = gradient(X, Y, Gaussian(), bandwidth=1.3, ridge=0.05, objective="loo")[0]
    np.testing.assert_allclose(value, np.mean(residuals**2), rtol=1e-10)


@pytest.mark.parametrize("objective", ["loo", "likelihood"])
@pytest.mark.parametrize("bandwidth", [1.0, (1.0, 1.0, 1.0)], ids=["one", "each"])
def test_the_search_ends_where_the_gradient_is_0(objective, bandwidth):
    found = optimize(X, Y, Gaussian(), bandwidth=bandwidth, ridge=0.1, objective=objective)
    again = gradient(X, Y, Gaussian(), bandwidth=found.bandwidth, ridge=found.ridge, objective=objective)
    assert found.value == again[0] and found.gradient == tuple(again[1])
    better = found.value < found.start_value if objective == "loo" else found.value > found.start_value
    assert better and found.evaluations >= found.iterations > 0
    if found.converged and "bound" not in found.message:
        scale = found.value if objective == "loo" else len(X)
        assert np.abs(again[1]).max() / scale < 1e-3


def test_features_that_mean_nothing_get_wide_bandwidths():
    found = optimize(X, X[:, :1] ** 2 + 0.01 * Y[:, :1], Gaussian(), bandwidth=(1.0, 1.0, 1.0), ridge=0.1)
    assert min(found.bandwidth[1:]) > 5 * found.bandwidth[0]


def test_a_search_that_may_not_go_on_says_so():
    found = optimize(X, Y, Gaussian(), bandwidth=1.0, ridge=0.1, max_iterations=1)
    assert not found.converged and "ITERATIONS" in found.message.upper()
    alone = optimize(X, Y, Gaussian(), bandwidth=0.5, objective="loo")
    assert alone.ridge == 0 and len(alone.gradient) == 1


def test_targets_whose_squares_are_no_numbers():
    with pytest.raises(InputError, match="of targets as large as these"):
        optimize(X, 1e160 * Y, "gaussian", bandwidth=1.0, ridge=0.1)


def test_refusals():
    with pytest.raises(InputError, match="objective 'aic'"):
        gradient(X, Y, Gaussian(), bandwidth=1.0, objective="aic")
    for kernel in (Gaussian(bandwidth=1.0), Linear()):
        with pytest.raises(InputError, match="no open bandwidth"):
            gradient(X, Y, kernel, bandwidth=1.0)


@pytest.mark.parametrize("objective", ["loo", "likelihood"])
@pytest.mark.parametrize("bandwidth", [1.0, (1.0, 2.0, 1.0), "auto"], ids=str)
def test_estimators_go_on_from_what_they_were_given(objective, bandwidth, tmp_path):
    model = KernelInterpolator(bandwidth=bandwidth, ridge=0.1, optimize=objective, loo=True).fit(X, Y)
    found = model.optimization_
    assert found.converged and model.function_.ridge == found.ridge != 0.1
    assert model.kernel_ == Gaussian(found.bandwidth)
    if objective == "loo":
        np.testing.assert_allclose(np.mean(model.loo_residuals_**2), found.value, rtol=1e-9)
    else:
        np.testing.assert_allclose(model.log_marginal_likelihood_, found.value, rtol=1e-9)
    model.save(tmp_path / "model.npz")
    loaded = load_model(tmp_path / "model.npz")
    assert loaded.optimization_ == found and np.array_equal(loaded.predict(X), model.predict(X))


def test_classifiers_too_and_what_cannot_be():
    labels = np.digitize(Y[:, 0], (-0.4, 0.4))
    model = KernelInterpolationClassifier(bandwidth=1.0, ridge=0.1, optimize="loo").fit(X, labels)
    assert model.optimization_.value < model.optimization_.start_value
    with pytest.raises(InputError, match="weights or a trend"):
        KernelInterpolator(bandwidth=1.0, optimize="loo", trend="linear").fit(X, Y)
    with pytest.raises(InputError, match="objective 'aic'"):
        KernelInterpolator(bandwidth=1.0, optimize="aic").fit(X, Y)
    with pytest.raises(InputError, match="one for each feature"):
        KernelInterpolator(bandwidth="wide").fit(X, Y)


@pytest.mark.parametrize("objective", ["loo", "likelihood"])
def test_copies_of_points_do_not_disturb_a_search_from_an_automatic_bandwidth(objective):
    rng = np.random.default_rng(3)
    X, y = rng.standard_normal((40, 2)), rng.standard_normal(40)
    twice = KernelInterpolator("laplacian", optimize=objective).fit(np.vstack([X, X[:5]]), np.append(y, y[:5]))
    once = KernelInterpolator("laplacian", optimize=objective).fit(X, y)
    assert twice.optimization_.bandwidth == pytest.approx(once.optimization_.bandwidth, rel=1e-6)


def test_targets_that_are_0_have_nothing_to_improve():
    X = np.random.default_rng(3).standard_normal((40, 2))
    nothing = KernelInterpolator(bandwidth=1.0, ridge=0.1, optimize="loo").fit(X, np.zeros(40))
    assert nothing.optimization_.value == 0 and nothing.kernel_.bandwidth == 1.0 and not nothing.predict(X).any()


@pytest.mark.parametrize("scale", [1e-170, 1e-158, 1e160])
def test_units_of_the_targets_change_nothing(scale):
    rng = np.random.default_rng(1)
    X = rng.standard_normal((40, 2))
    y = np.sin(2 * X[:, 0]) + 0.1 * rng.standard_normal(40)
    options = {"bandwidth": 1.0, "ridge": 0.1, "objective": "loo"}
    found, expected = optimize(X, y * scale, "gaussian", **options), optimize(X, y, "gaussian", **options)
    assert found.iterations > 2
    np.testing.assert_allclose([found.bandwidth, found.ridge], [expected.bandwidth, expected.ridge], rtol=1e-3)


@pytest.mark.parametrize(
    ("kernel", "options", "message"),
    [
        ("gaussian", {"bandwidth": "auto"}, "bandwidth"),
        ("gaussian(bandwidth=1.0)", {"bandwidth": 1.0}, "bandwidth"),
        ("gaussian", {"bandwidth": -1.0}, "-1"),
        ("gaussian", {"bandwidth": 1.0, "ridge": -1.0}, "ridge = -1"),
        ("gaussian", {"bandwidth": 1.0, "ridge": "1"}, "ridge"),
        ("gaussian", {"bandwidth": 1.0, "max_iterations": 0}, "max_iterations"),
    ],
)
def test_what_cannot_be_searched_from_is_told_as_it_was_given(kernel, options, message):
    with pytest.raises(InputError, match=message):
        optimize(np.arange(5.0)[:, None], np.arange(5.0), kernel, **options)
    with pytest.raises(InputError, match="no open bandwidth"):
        KernelInterpolator(Gaussian(1.0), ridge=0.1, optimize="loo").fit(np.arange(5.0)[:, None], np.arange(5.0))
