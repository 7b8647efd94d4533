"""Arrays of torch and CuPy, and data frames, in fit and predict: the numbers of NumPy, of the kind that came."""

import numpy as np
import pytest

import kernelfit as kf
from kernelfit.estimators import (
    KernelInterpolationClassifier,
    KernelInterpolationClassifierCV,
    KernelInterpolator,
    KernelInterpolatorCV,
)
from tests.support import fake_cuda


def problem():
    rng = np.random.default_rng(0)
    X, Z = rng.standard_normal((60, 4)), rng.standard_normal((9, 4))
    return X, np.sin(X[:, 0]), Z


@pytest.mark.parametrize("outputs", [1, 2])
def test_tensors_in_tensors_out(outputs):
    torch = pytest.importorskip("torch")
    X, y, Z = problem()
    Y = y if outputs == 1 else np.c_[y, y**2]
    plain = KernelInterpolator(bandwidth=1.5, ridge=1e-3).fit(X, Y)
    model = KernelInterpolator(bandwidth=1.5, ridge=1e-3).fit(torch.from_numpy(X), torch.from_numpy(Y))
    for options in ({}, {"return_std": True}, {"return_cov": True}):
        found, expected = model.predict(torch.from_numpy(Z), **options), plain.predict(Z, **options)
        for ours, theirs in zip(found if options else [found], expected if options else [expected], strict=True):
            assert isinstance(ours, torch.Tensor) and ours.dtype == torch.float64 and np.array_equal(ours, theirs)
    assert isinstance(model.predict(Z), np.ndarray), "the kind of what is asked counts, not of what was fitted"
    assert model.score(torch.from_numpy(X), torch.from_numpy(Y)) == plain.score(X, Y)


@pytest.mark.parametrize("dtype", ["float32", "int32", "bool", "uint8"])
def test_every_dtype_of_torch_is_that_of_numpy(dtype):
    torch = pytest.importorskip("torch")
    X = np.random.default_rng(0).integers(0, 2 if dtype == "bool" else 256, (40, 30)).astype(dtype)
    y = np.arange(40.0)
    plain = KernelInterpolator("laplacian", bandwidth=3.0).fit(X, y)
    model = KernelInterpolator("laplacian", bandwidth=3.0).fit(torch.from_numpy(X), y)
    assert np.array_equal(model.predict(torch.from_numpy(X[:5])), plain.predict(X[:5]))


def test_classes_that_are_numbers_are_tensors_and_names_are_not():
    torch = pytest.importorskip("torch")
    X, y, Z = problem()
    labels = (y > 0).astype(int)
    model = KernelInterpolationClassifier(bandwidth=1.5).fit(torch.from_numpy(X), torch.from_numpy(labels))
    plain = KernelInterpolationClassifier(bandwidth=1.5).fit(X, labels)
    for ask in ("predict", "decision_function"):
        found = getattr(model, ask)(torch.from_numpy(Z))
        assert isinstance(found, torch.Tensor) and np.array_equal(found, getattr(plain, ask)(Z))
    assert model.score(torch.from_numpy(X), torch.from_numpy(labels)) == 1
    named = KernelInterpolationClassifier(bandwidth=1.5).fit(X, np.where(y > 0, "up", "down"))
    assert named.predict(torch.from_numpy(Z)).tolist() == np.where(plain.predict(Z), "up", "down").tolist()


def test_choices_take_and_give_what_came():
    torch = pytest.importorskip("torch")
    X, y, Z = problem()
    options = {"bandwidths": (1.0, 2.0), "ridges": (1e-3, 0.1), "cv": 3}
    for estimator, targets in ((KernelInterpolatorCV, y), (KernelInterpolationClassifierCV, (y > 0).astype(int))):
        plain = estimator(**options).fit(X, targets)
        model = estimator(**options).fit(torch.from_numpy(X), torch.from_numpy(targets))
        found = model.predict(torch.from_numpy(Z))
        assert isinstance(found, torch.Tensor) and np.array_equal(found, plain.predict(Z))
        assert model.best_params_ == plain.best_params_
        assert model.score(torch.from_numpy(X), torch.from_numpy(targets)) == plain.score(X, targets)
    with fake_cuda.installed():
        import cupy

        found = model.decision_function(cupy.asarray(Z))
        assert isinstance(found, cupy.ndarray) and np.array_equal(found.get(), plain.decision_function(Z))


def test_arrays_of_a_gpu_come_and_go():
    X, y, Z = problem()
    plain = KernelInterpolator(bandwidth=1.5, ridge=1e-3).fit(X, y)
    with fake_cuda.installed():
        import cupy

        model = KernelInterpolator(bandwidth=1.5, ridge=1e-3).fit(cupy.asarray(X), cupy.asarray(y))
        found = model.predict(cupy.asarray(Z), return_std=True)
        for ours, theirs in zip(found, plain.predict(Z, return_std=True), strict=True):
            assert isinstance(ours, cupy.ndarray) and np.array_equal(ours.get(), theirs)
        assert model.score(cupy.asarray(X), cupy.asarray(y)) == plain.score(X, y)


@pytest.mark.parametrize("library", ["pandas", "polars"])
@pytest.mark.parametrize("estimator", [KernelInterpolator, KernelInterpolationClassifier])
def test_data_frames_and_their_names(library, estimator):
    frames = pytest.importorskip(library)
    X, y, Z = problem()
    y = y if estimator is KernelInterpolator else y > 0
    names = ["length", "width", "height", "weight"]
    make = (
        (lambda A: frames.DataFrame(A, columns=names))
        if library == "pandas"
        else (lambda A: frames.DataFrame(A, schema=names))
    )
    plain = estimator(bandwidth=1.5).fit(X, y)
    model = estimator(bandwidth=1.5).fit(make(X), frames.Series(y) if library == "pandas" else frames.Series("y", y))
    assert model.feature_names_in_.tolist() == names and np.array_equal(model.predict(make(Z)), plain.predict(Z))
    turned = make(Z)[names[::-1]] if library == "pandas" else make(Z).select(names[::-1])
    with pytest.raises(ValueError, match="feature names"):
        model.predict(turned)


@pytest.mark.parametrize("dtype", [int, np.int8, bool])
def test_gram_takes_whole_numbers_and_truths_as_the_estimators_do(dtype):
    X = np.random.default_rng(0).integers(0, 3, (30, 12)).astype(dtype)
    X = np.unique(X, axis=0)
    K = kf.gram(X, kf.Laplacian(bandwidth=2.0))
    block = K.block((0, len(X)), (0, len(X)))
    assert np.array_equal(block, kf.gram(X.astype(float), K.kernel).block((0, len(X)), (0, len(X))))
    y = np.arange(float(len(X)))
    model = KernelInterpolator(K.kernel).fit(X, y)
    np.testing.assert_allclose(kf.fit(X, y, K.kernel).function(X)[:, 0], model.predict(X), rtol=1e-12)
    given = kf.gram(np.eye(3, dtype=dtype), kf.Precomputed())
    assert np.array_equal(given.block((0, 3), (0, 3)), np.eye(3))


def test_gram_and_fit_take_tensors():
    torch = pytest.importorskip("torch")
    X, y, Z = problem()
    kernel = kf.Gaussian(bandwidth=1.5)
    K = kf.gram(torch.from_numpy(Z), kernel, torch.from_numpy(X))
    assert np.array_equal(K.block((0, 9), (0, 60)), kf.gram(Z, kernel, X).block((0, 9), (0, 60)))
    found = kf.fit(torch.from_numpy(X), torch.from_numpy(y), kernel)
    assert np.array_equal(found.function(torch.from_numpy(Z)), kf.fit(X, y, kernel).function(Z))
