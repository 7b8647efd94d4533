"""Kernels of one's own."""

import functools
import sys

import numpy as np
import pytest

from kernelfit.common.errors import InputError
from kernelfit.grams.matrix import gram
from kernelfit.kernels import Custom, Gaussian, Linear, Polynomial
from kernelfit.kernels.text import parse_kernel
from tests.support.kernels import EPS, dense, pixels

SOURCE = """
import numpy as np

class Kernels:
    @staticmethod
    def twice(A, B):
        return 2 * A @ B.T

def rbf(A, B):
    return np.exp(-((A[:, None] - B) ** 2).sum(axis=2) / 2)

not_a_function = 3
"""


@pytest.fixture
def own_module(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    (tmp_path / "own_kernels_of_a_test.py").write_text(SOURCE)
    yield "own_kernels_of_a_test"
    sys.modules.pop("own_kernels_of_a_test", None)


def test_a_function_in_the_current_folder_becomes_a_kernel(own_module):
    path = list(sys.path)
    X = pixels((9, 5, 4))
    kernel = parse_kernel(f"{own_module}:rbf")
    assert sys.path == path
    # Both are rounded some ten times, on numbers of at most 1.
    np.testing.assert_allclose(dense(kernel, X), dense(Gaussian(1.0), X), rtol=0, atol=100 * EPS)
    assert parse_kernel(str(kernel)) == kernel
    assert np.array_equal(dense(parse_kernel(f"{own_module}:Kernels.twice"), np.eye(3)), 2 * np.eye(3))


@pytest.mark.parametrize("name", ["missing", "Kernels.missing", "not_a_function"])
def test_what_cannot_be_imported_as_a_function(own_module, name):
    path = list(sys.path)
    with pytest.raises(InputError, match=name):
        parse_kernel(f"{own_module}:{name}")
    with pytest.raises(InputError, match="could not be imported"):
        parse_kernel(f"no_such_module_at_all:{name}")
    assert sys.path == path


def test_a_kernel_of_ones_own_takes_part_in_expressions(own_module):
    kernel = 0.5 * parse_kernel(f"{own_module}:rbf") + Linear()
    assert parse_kernel(str(kernel)) == kernel


def test_a_custom_kernel_sees_pixels_divided_by_255():
    X, seen = pixels((6, 5, 2)), []

    def watch(A, B):
        seen.append(A)
        return A @ B.T

    dense(Custom(watch), X, X[:2])
    assert np.array_equal(
        np.concatenate(sorted(seen, key=lambda A: A[0, 0] != X[0].flat[0] / 255)), X.reshape(6, -1) / 255
    )
    assert seen[0].dtype == float


@pytest.mark.parametrize(
    "function",
    [
        lambda A, B: A @ B.T + np.nan,
        lambda A, B: A @ B.T + 1j,
        lambda A, B: (A @ B.T)[:, :1],
        lambda A, B: (A @ B.T).astype(str),
        lambda A, B: 1.0,
        lambda A, B: None,
    ],
)
def test_what_a_custom_kernel_must_not_return(function):
    with pytest.raises(InputError, match="returned"):
        dense(Custom(function, "mine"), np.eye(3))


def test_a_function_may_work_in_place_and_changes_nothing_of_ours():
    def in_place(A, B):
        A *= 0.5
        B *= 0.5
        return np.exp(-((A[:, None] - B[None]) ** 2).sum(-1))

    X = np.random.default_rng(0).random((9, 5)) * 4
    before, K = X.copy(), gram(X, in_place)
    expected = np.exp(-(((X[:, None] - X[None]) / 2) ** 2).sum(-1))
    for _ in range(2):
        np.testing.assert_allclose(K.block((0, 9), (0, 9)), expected, rtol=1e-14)
    assert np.array_equal(X, before)


@pytest.mark.parametrize("rows", [3, 600, 1100])
def test_sums_and_products_are_rounded_once(rows):
    """The parts of 1e-40 (x^T z)^20 are beyond float32, and their product is not."""
    X = np.random.default_rng(0).standard_normal((rows, 7))
    X *= 10 / np.linalg.norm(X, axis=1)[:, None]
    K = gram(X, 1e-40 * Polynomial(20, coef0=0.0) + Gaussian(1.0))
    exact, single = K.block((0, rows), (0, rows)), np.empty((rows, rows), np.float32)
    K.block((0, rows), (0, rows), single)
    assert np.array_equal(single, exact.astype(np.float32)) and np.isfinite(single).all()


def test_functions_of_one_name_have_matrices_of_different_fingerprints():
    def made(b):
        return lambda A, B: np.exp(-b * ((A[:, None] - B) ** 2).sum(axis=2))

    X = np.random.default_rng(0).standard_normal((20, 3))
    wide, narrow, again = (gram(X, Custom(made(b)) + 0.0) for b in (0.1, 3.0, 0.1))
    assert str(wide.kernel) == str(narrow.kernel) and wide.fingerprint() != narrow.fingerprint()
    assert wide.fingerprint() == again.fingerprint()
    assert not (Gaussian(1.0) + 1.0).is_own and (Custom(made(1.0)) * Gaussian(1.0)).is_own


def test_a_partial_is_named_by_its_function_and_what_it_has_bound():
    def powered(a, A, B, b):
        return (A @ B.T) ** a + b

    kernels = [Custom(functools.partial(powered, *own, b=b)) for own, b in (((1,), 2.0), ((1,), 3.0), ((2,), 2.0))]
    assert len(set(map(str, kernels))) == 3 and str(kernels[0]) == str(Custom(functools.partial(powered, 1, b=2.0)))
    assert all("powered, " in str(kernel) for kernel in kernels)
    with pytest.raises(InputError):
        parse_kernel(str(kernels[0]))
