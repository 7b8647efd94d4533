"""import kernelfit as kf: the public words, loaded when they are used."""

import subprocess
import sys

import numpy as np
import pytest

import kernelfit as kf


def run(program):
    return subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout


def test_every_word_is_there_and_is_what_its_home_has():
    for name in kf.__all__:
        assert getattr(kf, name) is getattr(kf, name) is not None
    assert set(kf.__all__) <= set(dir(kf)) and kf.__all__ == sorted(kf.__all__)
    assert kf.gram is __import__("kernelfit.grams.matrix", fromlist=["gram"]).gram
    for name in kf.solvers.__all__:
        assert getattr(kf.solvers, name)
    for name in kf.kernels.__all__:
        assert name in ("Constant", "Kernel", "Product", "Sum") or getattr(kf, name) is getattr(kf.kernels, name)


@pytest.mark.parametrize("module", [kf, kf.solvers])
def test_what_is_not_there_is_an_attribute_error(module):
    with pytest.raises(AttributeError, match="no attribute 'gramm'"):
        module.gramm  # noqa: B018


def test_all_words_are_there_without_the_libraries_of_some():
    program = (
        "import sys; sys.modules |= dict.fromkeys(['distributed', 'mpi4py'])\n"
        "from kernelfit import *\n"
        "try:\n    fit([[0.0], [1.0]], [[1.0], [2.0]], Gaussian(1.0), Dask(workers=2))\n"
        "except ImportError as error:\n    print(error)"
    )
    assert "pip install 'kernelfit[dask]'" in run(program)


def test_words_stay_functions_whatever_was_imported_before():
    program = "import kernelfit.grams.matrix, kernelfit.models.fit, kernelfit.solvers.ridges, kernelfit as kf\n"
    assert (
        run(program + "print(callable(kf.gram), callable(kf.fit), callable(kf.solvers.ridge_path))").split()
        == ["True"] * 3
    )


def test_importing_takes_less_than_a_tenth_of_a_second_and_loads_nothing_heavy():
    program = (
        "import sys, time; before = set(sys.modules); start = time.perf_counter(); import kernelfit\n"
        "print(time.perf_counter() - start, *{name.partition('.')[0] for name in set(sys.modules) - before})"
    )
    outputs = [run(program).split() for _ in range(3)]
    assert not {"numpy", "scipy", "numba", "sklearn", "matplotlib", "torch"} & set(outputs[0])
    assert min(float(output[0]) for output in outputs) < 0.1


def test_six_lines_fit_predict_and_tell_the_norm():
    data = kf.load_dataset("digits", n_train=300, n_test=100)
    X, X_test = (part.reshape(len(part), -1) for part in (data.X_train, data.X_test))
    model = kf.KernelInterpolationClassifier(bandwidth=1.5).fit(X, data.y_train)
    assert model.score(X_test, data.y_test) > 0.9 and model.norm_ > 1


def test_gram_solve_and_fit_agree():
    X = np.linspace(0, 1, 30)[:, None]
    y = np.sin(6 * X[:, 0])
    K = kf.gram(X, kf.Gaussian(bandwidth=0.1))
    solution = kf.solve(K, y)
    found = kf.fit(X, y, "gaussian(bandwidth=0.1)")
    np.testing.assert_allclose(found.norm, solution.norm.total, rtol=1e-12)
    np.testing.assert_allclose(found.function(X)[:, 0], y, atol=1e-9)
    np.testing.assert_allclose(found.function.norm, found.norm, rtol=1e-9)
    for solver in (kf.Eigen(), kf.ConjugateGradients(tolerance=1e-11), kf.Cholesky(precision="mixed"), kf.Auto()):
        np.testing.assert_allclose(kf.solve(K, y, solver, ridge=1e-3).coef, kf.solve(K, y, ridge=1e-3).coef, atol=1e-6)
