"""Deviation, covariance and likelihood of an estimator, with scikit-learn's Gaussian process as the reference."""

import copy
import gc
import pickle
import subprocess
import sys
import weakref

import numpy as np
import pytest
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, Matern

from kernelfit.common.errors import InputError, UnsupportedError
from kernelfit.datasets import load
from kernelfit.estimators import KernelInterpolationClassifier, KernelInterpolator
from kernelfit.solvers import auto
from kernelfit.solvers.auto import Auto
from kernelfit.solvers.cholesky import Cholesky
from kernelfit.solvers.conjugate_gradients import ConjugateGradients
from kernelfit.solvers.eigen import Eigen

KERNELS = {
    "gaussian(bandwidth=1.5)": RBF(1.5),
    "laplacian(bandwidth=2.0)": Matern(2.0, nu=0.5),
    "matern(nu=2.5, bandwidth=2.0)": Matern(2.0, nu=2.5),
}


def problem(n, outputs=None, m=90):
    rng = np.random.default_rng(n)
    X, Z = rng.standard_normal((n, 4)), rng.standard_normal((m, 4))
    Y = np.sin(X @ rng.standard_normal((4, outputs or 1))) + 0.1 * rng.standard_normal((n, outputs or 1))
    return X, (Y if outputs else Y[:, 0]), Z


@pytest.mark.parametrize(
    ("n", "outputs", "ridge"), [(150, None, 1e-2), (150, 3, 1e-1), (600, 2, 1e-2), (2000, None, 1e-1)]
)
@pytest.mark.parametrize("kernel", KERNELS)
def test_it_is_the_gaussian_process_of_scikit_learn(kernel, n, outputs, ridge):
    X, Y, Z = problem(n, outputs)
    peer = GaussianProcessRegressor(KERNELS[kernel], alpha=ridge, optimizer=None).fit(X, Y)
    model = KernelInterpolator(kernel, ridge=ridge).fit(X, Y)
    mean, std = model.predict(Z, return_std=True)
    same, covariance = model.predict(Z, return_cov=True)
    assert np.array_equal(mean, model.predict(Z)) and np.array_equal(same, mean)
    expected, expected_std = peer.predict(Z, return_std=True)
    # Condition numbers reach n / ridge = 2e5: with n eps of each, 1e-10 of variances that are 1e-2 and more.
    np.testing.assert_allclose(mean, expected, rtol=1e-8, atol=1e-8 * np.abs(expected).max())
    np.testing.assert_allclose(std, expected_std, rtol=1e-8)
    expected = peer.predict(Z, return_cov=True)[1]
    np.testing.assert_allclose(covariance, expected, rtol=1e-8, atol=1e-8 * expected.max())
    assert model.log_marginal_likelihood_ == pytest.approx(peer.log_marginal_likelihood_value_, rel=1e-8)


@pytest.mark.parametrize("kernel", KERNELS)
def test_an_interpolant_deviates_nowhere_at_its_training_points(kernel):
    X, Y, Z = problem(200, 2)
    model = KernelInterpolator(kernel).fit(np.vstack([X, X[:5]]), np.vstack([Y, Y[:5]]))  # copies are merged
    _, std = model.predict(X, return_std=True)
    # tests/models/test_posterior.py derives 4 n eps k(x, x) for the variance.
    assert std.shape == Y.shape and std.max() <= np.sqrt(4 * 200 * np.finfo(float).eps)
    _, std = model.predict(Z + 50, return_std=True)
    np.testing.assert_allclose(std, 1.0, rtol=1e-12)


def test_pixels_deviate_as_pixels():
    data = load("digits", n_train=200, n_test=50)
    X, Z = (part.reshape(len(part), -1) for part in (data.X_train, data.X_test))
    y = data.y_train.astype(float)
    pixels, numbers = (KernelInterpolator(bandwidth=1.5, ridge=1e-2).fit(part, y) for part in (X, X / 255))
    np.testing.assert_allclose(
        pixels.predict(Z, return_std=True)[1], numbers.predict(Z / 255, return_std=True)[1], rtol=1e-10
    )


@pytest.mark.parametrize("way", [{"solver": Eigen()}, {"precision": "auto"}, {"solver": Cholesky(width=128)}], ids=str)
def test_every_solver_that_can_says_the_same(way, tmp_path):
    X, y, Z = problem(150)
    plain, model = (KernelInterpolator(bandwidth=1.5, ridge=1e-2, **options).fit(X, y) for options in ({}, way))
    np.testing.assert_allclose(model.predict(Z, return_std=True)[1], plain.predict(Z, return_std=True)[1], rtol=1e-9)
    assert model.log_marginal_likelihood_ == pytest.approx(plain.log_marginal_likelihood_, rel=1e-9)


@pytest.mark.parametrize(
    "way", [{"precision": "mixed"}, {"solver": Cholesky(precision="mixed")}, {"solver": ConjugateGradients()}], ids=str
)
def test_a_solver_that_cannot_says_so(way):
    X, y, Z = problem(150)
    model = KernelInterpolator(bandwidth=1.5, ridge=1e-2, **way).fit(X, y)
    assert model.log_marginal_likelihood_ is None
    for asked in ("return_std", "return_cov"):
        with pytest.raises(UnsupportedError, match="no triangular solves"):
            model.predict(Z, **{asked: True})
    assert "_factor" not in vars(model) and model.predict(Z).shape == (90,)


@pytest.mark.parametrize(
    ("options", "weighted"), [({}, False), ({"ridge": 0.1}, True), ({"ridge": 0.1, "trend": "linear"}, False)]
)
def test_after_a_float32_factor_a_float64_one_tells_the_same(options, weighted, monkeypatch):
    X, Y, Z = problem(150, 2)
    weights = np.random.default_rng(0).uniform(0.5, 2.0, 150) if weighted else None
    plain = KernelInterpolator("laplacian(bandwidth=2.0)", precision="float64", **options).fit(X, Y, weights)
    plan = auto.plan_solve
    chosen = {False: {"precision": "mixed"}, True: {}}  # as if n were large; True: what needs a float64 factor
    monkeypatch.setattr(auto, "plan_solve", lambda problem, **asked: plan(problem, **asked | chosen[problem.loo]))
    model = KernelInterpolator("laplacian(bandwidth=2.0)", **options).fit(X, Y, weights)
    assert (plain.report_.precision, model.report_.precision) == ("float64", "mixed")
    assert model.report_.log_marginal_likelihood is None
    assert model.log_marginal_likelihood_ == pytest.approx(plain.log_marginal_likelihood_, rel=1e-9)
    np.testing.assert_allclose(model.predict(Z, return_std=True)[1], plain.predict(Z, return_std=True)[1], rtol=1e-8)
    if not options:  # an update is one of that float64 factor, and says so
        more = problem(150 + 5, 2)
        updated, whole = model.update(more[0][:5], more[1][:5]).report_, plain.update(more[0][:5], more[1][:5]).report_
        assert updated.precision == "float64" and updated.method == whole.method
        assert updated.log_marginal_likelihood == pytest.approx(whole.log_marginal_likelihood, rel=1e-9)
    for asked in ({"loo": True}, {"keep_factor": True}):
        needs = KernelInterpolator("laplacian(bandwidth=2.0)", **asked).fit(X, Y)
        assert needs.report_.precision == "float64", "what is asked for needs it"


def test_what_is_refused():
    X, y, Z = problem(150)
    model = KernelInterpolator(bandwidth=1.5).fit(X, y)
    with pytest.raises(InputError, match="give one"):
        model.predict(Z, return_std=True, return_cov=True)
    given = KernelInterpolator("precomputed").fit(X @ X.T + np.eye(150), y)
    with pytest.raises(UnsupportedError, match=r"needs k\(x, x\)"):
        given.predict(Z @ X.T, return_std=True)


def test_the_likelihood_of_a_classifier_is_that_of_its_indicators():
    X, y, _ = problem(150)
    model = KernelInterpolationClassifier(bandwidth=1.5, ridge=0.1).fit(X, y > 0)
    indicators = np.c_[y <= 0, y > 0].astype(float)
    expected = KernelInterpolator(bandwidth=1.5, ridge=0.1).fit(X, indicators).log_marginal_likelihood_
    assert model.log_marginal_likelihood_ == pytest.approx(expected, rel=1e-12)


def test_the_factor_is_made_once_and_goes_with_the_model(tmp_path, monkeypatch):
    X, y, Z = problem(150)
    model = KernelInterpolator(bandwidth=1.5, solver=Auto(scratch=tmp_path, storage="disk", device="cpu")).fit(X, y)
    assert list(tmp_path.iterdir()) == [] and "_factor" not in vars(model)
    std = model.predict(Z, return_std=True)[1]
    factor = model._factor
    assert len(list(tmp_path.iterdir())) == 1, "a factor on a disk stays there as long as it is kept"
    assert np.array_equal(model.predict(Z, return_std=True)[1], std) and model._factor is factor
    assert len(pickle.dumps(model)) < 8 * 150 * 150 / 2 and "_factor" not in vars(copy.deepcopy(model))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict(Z, return_std=True)[1], std)
    model.fit(X[:100], y[:100])
    assert list(tmp_path.iterdir()) == [] and "_factor" not in vars(model), "a fit drops it"
    assert model.predict(Z, return_std=True)[1].max() > std.max()
    model, gone = None, weakref.ref(model)
    gc.collect()
    assert gone() is None and list(tmp_path.iterdir()) == [], "and so does the end of the model"


PEAK = """
import resource
import numpy as np
from kernelfit.estimators import KernelInterpolator
n = 3000
X = np.random.default_rng(0).standard_normal((2 * n, 10))
model = KernelInterpolator(bandwidth=3.0, ridge=1e-2).fit(X[:n], X[:n, 0])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
model.predict(X[n:], return_std=True)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_a_deviation_takes_no_more_memory_than_the_fit():
    """No n x m array, and no second factor: 72 MB each here, beside about 250 MB of the fit."""
    done = subprocess.run([sys.executable, "-c", PEAK], capture_output=True, check=True, text=True)
    fit, std = map(int, done.stdout.split())
    assert std <= 1.2 * fit
