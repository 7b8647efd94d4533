"""What Records keep for the eye: histograms that count right, and pictures of the right examples."""

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from kernelfit.datasets.labels import one_hot
from kernelfit.experiments.solve import SolveResults, SolveSpec, run_solve
from kernelfit.features.randomconv import RandomConv
from kernelfit.grams.matrix import gram
from kernelfit.kernels import Gaussian
from kernelfit.records import pictures
from kernelfit.records.record import decoded
from kernelfit.solvers.panel_cholesky import cholesky
from kernelfit.solvers.solution import leave_one_out


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(png))))


def test_histograms_count_every_finite_value():
    values = np.random.default_rng(0).standard_normal(1000)
    found = pictures.histogram([*values, np.nan, np.inf])
    counts, edges = np.histogram(values, 40)
    assert found["counts"] == counts.tolist() and (found["low"], found["high"]) == (edges[0], edges[-1])
    same = pictures.histogram(np.ones(7))
    assert same["low"] < 1 < same["high"] and sum(same["counts"]) == 7 and pictures.is_one_value(same)
    assert not pictures.is_one_value(found)
    assert sum(pictures.histogram([np.nan])["counts"]) == 0


def test_the_worst_errors_come_first():
    rng = np.random.default_rng(1)
    X, y, scores = rng.integers(0, 256, (50, 8, 8), np.uint8), rng.integers(0, 3, 50), rng.standard_normal((50, 3))
    found = pictures.misclassified(X, y, np.arange(50) + 7, scores, ("a", "b", "c"), count=5)
    found = [each | {"index": each["index"] - 7} for each in found]
    behind = [max(scores[i, c] for c in range(3) if c != y[i]) - scores[i, y[i]] for i in range(50)]
    assert [each["index"] for each in found] == np.argsort(behind)[::-1][:5].tolist()
    for each in found:
        i = each["index"]
        assert (each["label"], each["predicted"]) == ("abc"[y[i]], "abc"[int(np.argmax(scores[i]))])
        np.testing.assert_array_equal(pixels(each["png"]), X[i])
    right = one_hot(y, 3)
    assert pictures.misclassified(X, y, np.arange(50), right, ("a", "b", "c")) == []
    assert pictures.misclassified(X.astype(float), y, np.arange(50), scores, ("a", "b", "c")) == []


@pytest.mark.parametrize("ridge", [0.0, 0.1])
def test_memorised_examples_are_wrong_when_really_left_out(ridge):
    rng = np.random.default_rng(2)
    X, y = rng.integers(0, 256, (40, 6, 6), np.uint8), rng.integers(0, 3, 40)
    kernel, Y, classes = Gaussian(bandwidth=1.0), one_hot(y, 3), ("a", "b", "c")
    factor = cholesky(gram(X, kernel), ridge=ridge)
    coef = factor.solve(Y)
    scores = Y - ridge * coef
    left_out = leave_one_out(Y, coef, factor.inverse_diagonal())
    names = np.arange(len(y)) + 7
    found = pictures.memorised(X, y, (y + 1) % 3, names, scores, left_out, classes, count=100)
    found = [each | {"index": each["index"] - 7} for each in found]
    fitted, expected = np.argmax(scores, axis=1), {}
    for i in range(40):
        rest = np.delete(np.arange(40), i)
        without = cholesky(gram(X[rest], kernel), ridge=ridge).solve(Y[rest])
        predicted = int(np.argmax(gram(X[i : i + 1], kernel, X[rest]).product(without)))
        if fitted[i] == y[i] != predicted:
            expected[i] = classes[predicted]
    assert {each["index"]: each["predicted"] for each in found} == expected and len(expected) > 5
    assert all(each["true"] == classes[(y[each["index"]] + 1) % 3] for each in found)


@pytest.mark.parametrize("shape", [(28, 28), (32, 32, 3), (32, 32, 1), (96, 64, 3), (300, 4)])
def test_no_picture_is_large_even_of_noise(shape):
    image = np.random.default_rng(3).integers(0, 256, shape, np.uint8)
    made = pictures.picture(image)
    assert len(base64.b64decode(made)) <= 1000
    height, width = pixels(made).shape[:2]
    assert height / width == pytest.approx(shape[0] / shape[1], rel=0.3) or min(height, width) == 1


def test_filters_are_side_by_side_each_on_its_own_scale():
    filters = [scale * np.array([[-1.0, 0.0], [0.5, 1.0]]) for scale in (1e-6, 1.0, 1e6)]
    drawn = pixels(pictures.sheet(filters, columns=2))
    assert drawn.shape == (5, 5)
    for top, left in ((0, 0), (0, 3), (3, 0)):
        np.testing.assert_allclose(drawn[top : top + 2, left : left + 2], [[0, 128], [191, 255]], atol=1)
    assert pixels(pictures.sheet(np.zeros((3, 5, 5, 3)))).shape == (5, 47, 3)
    large = pictures.sheet([np.ones((101, 101)), np.ones((3, 3))])
    assert pixels(large).shape[0] == 33, "the rim of a large filter is cut off"


def test_a_record_holds_what_the_report_draws():
    options = {"data": "digits", "n_train": 150, "n_test": 60, "bandwidth": 1.0, "labels": "0.3"}
    record, _ = run_solve(SolveSpec(loo=True, **options))
    assert set(record.results.histograms) == {"train_margins", "test_margins", "loo_margins", "loo_residuals"}
    counts = {name: sum(each["counts"]) for name, each in record.results.histograms.items()}
    assert counts == {"train_margins": 150, "test_margins": 60, "loo_margins": 150, "loo_residuals": 150}
    wrong = min(pictures.EXAMPLES, round(60 * record.results.test_error))
    assert len(record.results.pictures["misclassified"]) == wrong and record.results.pictures["memorised"]
    assert record.results.pictures["filters"] is None
    again = decoded(json.loads(record.to_json()), SolveResults)
    assert again.results == record.results
    assert len(record.to_json()) < 40_000
    plain, _ = run_solve(SolveSpec(**options))
    assert (
        set(plain.results.histograms) == {"train_margins", "test_margins"} and plain.results.pictures["memorised"] == []
    )
    vectors, _ = run_solve(SolveSpec(data="synthetic:64", n_train=100, n_test=50, bandwidth=1.0))
    assert vectors.results.pictures["misclassified"] == [], "vectors are no images"


def test_random_filters_are_kept(tmp_path):
    features = "randomconv(filters=8, patch=3, pool=3, stride=3, preset='patch')"
    record, _ = run_solve(SolveSpec(data="digits", n_train=100, n_test=50, features=features, bandwidth=1.0))
    assert pixels(record.results.pictures["filters"]).shape == (3, 31)
    X = np.random.default_rng(4).integers(0, 256, (30, 8, 8, 3), np.uint8)
    points, _ = RandomConv(filters=40, patch=3, pool=3, stride=3).points(X, X[:5])
    assert points.filters.shape == (24, 3, 3, 3) and points.part(0, 3).filters is points.filters
