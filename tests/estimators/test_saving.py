"""Estimators on disk: what was saved comes back and predicts with the same bits, and no file makes Python run code."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

import kernelfit as kf
from kernelfit.common.errors import DataError, DataNotFoundError, InputError
from kernelfit.estimators import KernelInterpolationClassifier, KernelInterpolator, load_model
from kernelfit.experiments.predict import run_predict
from kernelfit.kernels.distances import DistanceKernel
from kernelfit.models import expansion
from kernelfit.solvers.auto import Auto
from kernelfit.solvers.cholesky import Cholesky
from kernelfit.solvers.conjugate_gradients import ConjugateGradients
from kernelfit.solvers.eigen import Eigen


def own(A, B):
    return np.exp(-np.abs(A[:, None] - B).sum(axis=2))


def problem():
    rng = np.random.default_rng(0)
    X = 5 + rng.standard_normal((60, 4))  # points that are shifted
    return X, np.sin(X), 5 + rng.standard_normal((9, 4))


def through(model, tmp_path, **options):
    model.save(tmp_path / "model.npz")
    return kf.load_model(tmp_path / "model.npz", **options)


def check_same(loaded, model, Z):
    assert type(loaded) is type(model) and loaded.get_params().keys() == model.get_params().keys()
    check_is_fitted(loaded)
    for ask in ("predict", "decision_function"):
        if hasattr(model, ask):
            ours, theirs = getattr(loaded, ask)(Z), getattr(model, ask)(Z)
            assert ours.dtype == theirs.dtype and np.array_equal(ours, theirs)
    fitted = {name for name in vars(model) if name.endswith("_") and not name.startswith("_")}
    assert {name for name in vars(loaded) if name.endswith("_") and not name.startswith("_")} == fitted
    for name in fitted - {"function_", "report_"}:
        ours, theirs = getattr(loaded, name), getattr(model, name)
        assert type(ours) is type(theirs) and np.array_equal(ours, theirs), name
    assert repr(loaded.report_) == repr(model.report_), "NaN included"
    assert str(loaded.kernel_) == str(model.kernel_)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"kernel": "laplacian + 0.1 * linear", "loo": True, "ridge": 0.1},
        {"kernel": kf.Gaussian() * 2.0, "bandwidth": np.float64(1.5)},
        {"kernel": kf.Matern(2.5, 1.5), "precision": "auto", "memory": 10**9, "scratch": Path("panels")},
        {"solver": Cholesky(width=128), "bandwidth": 1.5},
        {"solver": Eigen(), "bandwidth": 1.5},
        {"solver": ConjugateGradients(tolerance=1e-11, rank=30), "bandwidth": 1.5},
        {"solver": Auto(scratch="panels", device="cpu"), "bandwidth": 1.5},
    ],
    ids=str,
)
@pytest.mark.parametrize("outputs", [1, 4])
def test_a_regressor_comes_back(tmp_path, monkeypatch, options, outputs):
    monkeypatch.chdir(tmp_path)
    X, Y, Z = problem()
    Y = Y[:, 0] if outputs == 1 else Y
    model = KernelInterpolator(**options).fit(np.vstack([X, X[:3]]), np.concatenate([Y, Y[:3]]))
    loaded = through(model, tmp_path)
    check_same(loaded, model, Z)
    for name, value in model.get_params().items():
        assert getattr(loaded, name) == (str(value) if name == "scratch" and value else value)
    if "solver" not in options or not isinstance(options["solver"], ConjugateGradients):
        assert np.array_equal(loaded.predict(Z, return_std=True)[1], model.predict(Z, return_std=True)[1])
    assert np.array_equal(loaded.fit(X, Y).predict(Z), model.fit(X, Y).predict(Z)), "it can be fitted again"


@pytest.mark.parametrize(
    "labels",
    [[0, 1, 2], [False, True, True], ["ape", "bee", "één"], np.array(["ape", "bee", "cat"], object), [0.5, 1.0, 2]],
)
def test_a_classifier_comes_back_with_its_classes(tmp_path, labels):
    X, Y, Z = problem()
    y = np.asarray(labels)[np.abs(Y[:, :3]).argmax(axis=1)]
    y = y if y.dtype != float else (2 * y).astype(int)
    model = KernelInterpolationClassifier(bandwidth=1.5).fit(X, y)
    check_same(through(model, tmp_path), model, Z)


def test_a_precomputed_kernel_comes_back(tmp_path):
    X, Y, Z = problem()
    kernel = kf.Gaussian(1.5)
    K, cross = (kf.gram(A, kernel, X).block((0, len(A)), (0, 60)) for A in (X, Z))
    K = (K + K.T) / 2
    model = KernelInterpolator("precomputed").fit(K, Y)
    check_same(through(model, tmp_path), model, cross)


def test_names_of_columns_come_back(tmp_path):
    pandas = pytest.importorskip("pandas")
    X, Y, Z = problem()
    frame = pandas.DataFrame(X, columns=list("abcd"))
    model = KernelInterpolator(bandwidth=1.5).fit(frame, Y)
    check_same(through(model, tmp_path), model, pandas.DataFrame(Z, columns=list("abcd")))


def test_one_format_for_solves_and_estimators(tmp_path):
    """`kernelfit predict` takes the file of an estimator, and load_model that of a solve."""
    data = kf.load_dataset("digits", n_train=200, n_test=100)
    X, Z = (part.reshape(len(part), -1) for part in (data.X_train, data.X_test))
    model = KernelInterpolationClassifier(bandwidth=1.5).fit(X, data.y_train)
    check_same(through(model, tmp_path), model, Z)
    found, _ = run_predict(tmp_path / "model.npz", data="digits", n_test=100)
    assert found["test_error"] == pytest.approx(1 - model.score(Z, data.y_test))
    function = expansion.load_model(tmp_path / "model.npz")
    assert np.array_equal(function(Z), model.function_(Z))
    function.save(tmp_path / "solve.npz")
    assert isinstance(kf.load_model(tmp_path / "solve.npz"), kf.KernelExpansion)


def test_a_kernel_of_ones_own_is_given_again(tmp_path):
    X, Y, Z = problem()
    model = KernelInterpolator(own).fit(X, Y)
    with pytest.raises(InputError, match="name it again, as `kernel`"):
        through(model, tmp_path)
    loaded = through(model, tmp_path, kernel=own)
    check_same(loaded, model, Z)
    assert loaded.kernel is own
    with pytest.raises(InputError, match="not with"):
        through(model, tmp_path, kernel="gaussian(bandwidth=1.0)")
    kernel = 0.5 * kf.Custom(own) + 1.0
    model = KernelInterpolator(kernel).fit(X, Y)
    loaded = through(model, tmp_path, kernel=kernel)
    assert loaded.kernel == kernel and np.array_equal(loaded.predict(Z), model.predict(Z))


class Own(KernelInterpolator):
    pass


class OwnSolver(Cholesky):
    pass


def test_what_no_file_can_hold_is_refused(tmp_path):
    X, Y, _ = problem()
    with pytest.raises(NotFittedError):
        KernelInterpolator().save(tmp_path / "model.npz")
    for model, message in [
        (Own(bandwidth=1.5), "a class of your own"),
        (KernelInterpolator(bandwidth=1.5, solver=OwnSolver()), "a solver of your own"),
    ]:
        with pytest.raises(InputError, match=message):
            model.fit(X, Y).save(tmp_path / "model.npz")
    assert list(tmp_path.iterdir()) == []


def changed(path, **estimator):
    """Write a model file again with parts of its estimator changed."""
    with np.load(path) as file:
        arrays = dict(file)
    header = json.loads(str(arrays["header"]))
    header["estimator"] = header["estimator"] | estimator if isinstance(header["estimator"], dict) else estimator
    np.savez(path, **arrays | {"header": json.dumps(header)})


@pytest.mark.parametrize(
    "damage",
    [
        {"class": "Pipeline"},
        {"class": None},
        {"class": []},
        {"parameters": None},
        {"parameters": {"unknown": 1}},
        {"parameters": {"solver": {"solver": "os", "options": {}}}},
        {"parameters": {"solver": {"solver": "Cholesky", "options": {"unknown": 1}}}},
        {"parameters": {"kernel": {"kernel": "planted:f"}}},
        {"parameters": {"kernel": {"kernel": "linear() + custom('planted:f')"}}},
        {"fitted": {"report_": {}}},
        {"fitted": None},
        {"texts": ["missing"]},
    ],
    ids=str,
)
def test_a_damaged_estimator_is_a_data_error(tmp_path, monkeypatch, damage):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "planted.py").write_text("open('executed', 'w').close()\ndef f(A, B):\n    return A @ B.T\n")
    X, Y, _ = problem()
    KernelInterpolator(bandwidth=1.5).fit(X, Y).save("model.npz")
    changed("model.npz")
    assert isinstance(load_model("model.npz"), KernelInterpolator)
    changed("model.npz", **damage)
    with pytest.raises(DataError, match=r"model.npz"):
        load_model("model.npz")
    assert sys.modules.pop("planted", None) is None and not Path("executed").exists()


@pytest.mark.parametrize("kind", [KernelInterpolator, KernelInterpolationClassifier])
def test_another_process_reads_what_was_saved(kind, tmp_path):
    kind(bandwidth=1.0).fit([[0.0], [1.0]], [0, 1]).save(tmp_path / "model.npz")
    program = f"import kernelfit as kf; print(kf.load_model({str(tmp_path / 'model.npz')!r}).predict([[1.0]]))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() in ("[1]", "[1.]"), done.stderr


def test_a_function_of_the_same_name_with_other_values_is_refused(tmp_path):
    def made(width):
        return lambda A, B: np.exp(-np.square(A[:, None] - B).sum(axis=2) / width)

    X, Y, Z = problem()
    model = KernelInterpolator(made(1.0)).fit(X, Y)
    assert np.array_equal(through(model, tmp_path, kernel=made(1.0)).predict(Z), model.predict(Z))
    with pytest.raises(InputError, match="another function than `kernel`, which has the same name"):
        load_model(tmp_path / "model.npz", kernel=made(3.0))


def test_the_command_predicts_classes_alone(tmp_path):
    X, Y, _ = problem()
    KernelInterpolator(bandwidth=1.0).fit(X, Y).save(tmp_path / "model.npz")
    with pytest.raises(DataError, match="predicts numbers, not classes"):
        run_predict(tmp_path / "model.npz", data="digits")


def test_a_function_of_a_program_is_that_of_its_module(tmp_path, monkeypatch):
    (tmp_path / "program.py").write_text(
        "import numpy as np, kernelfit as kf\n"
        "def own(A, B):\n    return np.exp(-np.abs(A[:, None] - B).sum(axis=2))\n"
        "if __name__ == '__main__':\n"
        "    kf.KernelInterpolator(own).fit([[0.0], [1.0]], [0.0, 1.0]).save('model.npz')\n"
    )
    other = "import kernelfit as kf, program; print(kf.load_model('model.npz', kernel=program.own).predict([[1.0]]))"
    for words in (["program.py"], ["-c", other]):
        done = subprocess.run([sys.executable, *words], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.strip() == "[1.]", done.stderr


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(DataNotFoundError):
        load_model(tmp_path / "missing.npz")


def test_a_bandwidth_in_an_array_and_coefficients_of_other_dtypes(tmp_path):
    X, Y, Z = problem()
    model = KernelInterpolator(bandwidth=np.array([1.0, 2.0, 3.0, 4.0])).fit(X, Y)
    assert np.array_equal(through(model, tmp_path).predict(Z), model.predict(Z))
    for dtype in (int, np.float32):
        f = kf.KernelExpansion(kf.Gaussian(1.0), np.array([[0.0], [3.0]]), np.array([[1], [2]], dtype))
        assert np.array_equal(through(f, tmp_path)(np.array([[0.5]])), f(np.array([[0.5]])))


@dataclasses.dataclass(frozen=True)
class Cauchy(DistanceKernel):
    """1 / (1 + (|x - z| / bandwidth)^2), of somebody's own."""

    name = "cauchy"
    bandwidth: float | tuple[float, ...] | None = None

    @staticmethod
    def formula(xp, squared, scale):
        return 1.0 / (1.0 + scale * squared)

    def parameters(self, unit):
        return (unit / self._chosen_bandwidth() ** 2,)

    def nearest(self, scale, error):
        return 0.0


def test_a_kernel_class_of_ones_own_comes_back_when_it_is_named_again(tmp_path):
    X, Y, Z = problem()
    model = KernelInterpolator(Cauchy(), bandwidth=2.0).fit(X, Y)
    loaded = through(model, tmp_path, kernel=model.kernel_)
    assert np.array_equal(loaded.predict(Z), model.predict(Z)) and loaded.kernel_ == model.kernel_
    with pytest.raises(DataError, match="Name a kernel of your own again"):
        load_model(tmp_path / "model.npz")
    with pytest.raises(InputError, match="was fitted with the kernel cauchy"):
        load_model(tmp_path / "model.npz", kernel=Cauchy(3.0))


def test_a_kernel_that_has_no_derivative_is_not_optimised():
    X, Y, _ = problem()
    with pytest.raises(InputError, match=r"cauchy\(.*\) does not say how to differentiate"):
        KernelInterpolator(Cauchy(), optimize="loo", bandwidth=1.0).fit(X, Y)
