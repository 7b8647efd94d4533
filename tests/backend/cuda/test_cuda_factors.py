"""Factors of a GPU."""

import numpy as np
import pytest

from kernelfit import backend
from kernelfit.backend import cuda as cuda_module
from kernelfit.common.errors import SingularMatrixError
from kernelfit.grams.matrix import gram
from kernelfit.kernels import Gaussian
from kernelfit.solvers import panel_cholesky as cholesky_module
from kernelfit.solvers.out_of_core import HostStore, OutOfCorePanels
from kernelfit.solvers.panel_cholesky import cholesky
from kernelfit.solvers.panels import MemoryPanels
from kernelfit.solvers.scratch import Scratch
from tests.support.problems import as_gram, corrected, symmetric_matrix

EPS = np.finfo(float).eps
DTYPES = [np.float32, np.float64]


def panels_in(storage, n, width, dtype, device, folder):
    if storage == "memory":
        return MemoryPanels(n, width, dtype, device)
    if storage == "host":
        return OutOfCorePanels(n, width, dtype, device, HostStore(dtype, device))
    identity = {"n": n, "width": width, "dtype": np.dtype(dtype).name}
    return OutOfCorePanels(n, width, dtype, device, Scratch(folder, identity, device))


@pytest.mark.parametrize("storage", ["memory", "host", "disk"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("width", [20, 64, 200])
def test_factor_and_solves_equal_the_inverse(device, storage, dtype, width, tmp_path, monkeypatch):
    monkeypatch.setattr(cholesky_module, "INVERSE_WIDTH", 37)
    n, condition = 150, 1e3
    K, inverse = symmetric_matrix(n, condition)
    Y = np.random.default_rng(1).standard_normal((n, 3))
    panels = panels_in(storage, n, width, dtype, device, tmp_path)
    factor = cholesky(as_gram(K, device=device), panels=panels)
    # A backward stable solve is off by about n eps cond.
    bound = 10 * n * np.finfo(dtype).eps * condition
    expected = inverse @ Y
    for right in (Y, device.array(Y)):
        found = factor.solve(right)
        assert isinstance(found, np.ndarray) == isinstance(right, np.ndarray) and found.dtype == dtype
        assert np.linalg.norm(device.host(device.array(found)) - expected) <= bound * np.linalg.norm(expected)
    half = factor.half_solve(Y).astype(float)
    np.testing.assert_allclose(np.sum(half**2, axis=0), np.einsum("ij,ij->j", Y, expected), rtol=bound)
    np.testing.assert_allclose(factor.inverse_diagonal(), inverse.diagonal(), rtol=bound)
    assert ((factor.pivots() > 0) & (factor.pivots() <= 1)).all()
    panels.finish()


@pytest.mark.parametrize("storage", ["memory", "host"])
def test_singular_matrices_are_named_as_on_the_cpu(device, storage, images, tmp_path):
    images[70] = images[2]
    panels = panels_in(storage, 150, 40, np.float64, device, tmp_path)
    with pytest.raises(SingularMatrixError, match="points 2 and 70 are identical") as caught:
        cholesky(gram(images, Gaussian(2.0), device=device), panels=panels)
    assert (caught.value.row, caught.value.duplicate) == (70, 2)
    panels.finish()


def test_mixed_precision_reaches_float64(device):
    K, inverse = symmetric_matrix(120, 1e5)
    Y = np.random.default_rng(1).standard_normal((120, 3))
    done = corrected(as_gram(K, device=device), Y)
    expected = inverse @ Y
    # An answer with relative residual 1e-10 is off by at most 1e-10 cond, and `inverse` by n eps cond.
    assert np.linalg.norm(done.coef - expected) <= 1e5 * (1e-10 + 120 * EPS) * np.linalg.norm(expected)
    assert done.relative_residual <= 1e-10 and done.report["steps"] >= 1


def test_kept_inner_products_are_those_of_the_cpu(device, images):
    K, here = (gram(images, Gaussian(2.0), device=where).cached() for where in (device, backend.CPU))
    n = len(images)
    same = [device.host(K.block((i, n), (0, j))) for i, j in ((0, n), (n // 3, n // 2), (0, 5))]
    expected = [here.block((i, n), (0, j)) for i, j in ((0, n), (n // 3, n // 2), (0, 5))]
    for block, reference in zip(same, expected, strict=True):
        np.testing.assert_allclose(block, reference, rtol=1e-13)
    Y = np.random.default_rng(1).standard_normal((n, 3))
    done = corrected(gram(images, Gaussian(2.0), device=device), Y, cached=True)
    assert done.relative_residual <= 1e-10


def test_the_host_waits_a_few_times_a_panel(card, monkeypatch):
    """For its entries, for its products with all earlier panels, for potrf's word and for its rows: four times. Nothing
    is left to wait for at five other calls."""
    monkeypatch.setattr(cholesky_module, "_TELLING", 1e9)
    device = backend.device("cuda")
    K, waits = as_gram(symmetric_matrix(240, 10.0)[0], device=device), []
    for width in (24, 12):
        before = card.synchronised
        cholesky(K, panels=MemoryPanels(240, width, np.float32, device))
        waits.append(card.synchronised - before)
    assert waits[0] <= 10 * 9 + 10 and waits[1] <= 20 * 9 + 10, "as many times as there are panels, not their square"


@pytest.mark.parametrize("condition", [1e4, 1e10])
def test_inverted_blocks_lose_no_digits_that_the_condition_leaves(device, condition, monkeypatch):
    monkeypatch.setattr(cuda_module, "_BLOCK", 8)
    n, rng = 400, np.random.default_rng(0)
    K, inverse = symmetric_matrix(n, condition)
    Y = rng.standard_normal((n, 3))
    found = cholesky(as_gram(K, device=device), panels=MemoryPanels(n, 24, device=device)).solve(Y)
    residual = np.linalg.norm(K @ found - Y, axis=0) / (np.linalg.norm(found, axis=0) + np.linalg.norm(Y, axis=0))
    assert residual.max() < 10 * n * EPS, "backward stable, as with LAPACK's triangular solves"
    assert np.linalg.norm(found - inverse @ Y) <= 10 * n * EPS * condition * np.linalg.norm(inverse @ Y)
