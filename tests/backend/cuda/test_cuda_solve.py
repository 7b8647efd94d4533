"""The main job on a GPU."""

import numpy as np
import pytest

from kernelfit import backend
from kernelfit.common.errors import InputError
from kernelfit.datasets import load
from kernelfit.experiments.solve import SolveSpec, run_solve
from kernelfit.grams.matrix import gram
from kernelfit.kernels import Gaussian
from kernelfit.solvers import Banded, ConjugateGradients, Eigen
from kernelfit.solvers.panel_cholesky import cholesky
from kernelfit.solvers.panels import MemoryPanels
from kernelfit.solvers.planning.plan import plan_solve


@pytest.mark.parametrize("precision", ["float64", "mixed"])
@pytest.mark.parametrize("storage", ["memory", "host", "disk"])
def test_the_main_job_equals_that_of_the_cpu(device, planned, solved, precision, storage, tmp_path, monkeypatch):
    on_cpu, model_on_cpu = solved
    spec = SolveSpec(
        bandwidth=1.0,
        loo=precision == "float64",
        n_train=500,
        device="cuda",
        precision=precision,
        scratch=str(tmp_path) if storage == "disk" else None,
    )
    if storage != "memory":
        monkeypatch.setattr("kernelfit.solvers.auto.plan_solve", _planned_for(storage))
    record, model = run_solve(spec)
    results, expected = record.results, on_cpu.results
    assert (results.device, results.precision, results.solver["storage"]) == ("cuda", precision, storage)
    assert "gpu" in record.environment and record.dataset == on_cpu.dataset and not record.warnings
    # Both are off by about n eps cond = 500 * 2e-16 * 1e4; mixed precision stops at a residual of 1e-10.
    close = 1e-9 if precision == "float64" else 1e-6
    scale = np.abs(model_on_cpu.coef).max()
    np.testing.assert_allclose(model.coef, model_on_cpu.coef, rtol=0, atol=close * scale)
    for name in ("norm", "norm_pm1"):  # an error in coef enters squared, since coef minimises
        np.testing.assert_allclose(getattr(results, name), getattr(expected, name), rtol=1e-12)
    for name in ("test_error", "train_error", "d", "kernel") + ("loo_error",) * spec.loo:
        assert getattr(results, name) == getattr(expected, name), name
    assert results.relative_residual < (1e-12 if precision == "float64" else 1e-10)
    assert results.norm_disagreement < 1e-10
    if precision == "float64":
        np.testing.assert_allclose(results.smallest_pivot, expected.smallest_pivot, rtol=1e-9)
    if results.condition_estimate:
        np.testing.assert_allclose(results.condition_estimate, expected.condition_estimate, rtol=1e-2)
    assert not list(tmp_path.iterdir()) or storage == "memory"


def _planned_for(storage):
    def plan(problem, **options):
        return plan_solve(problem, **(options | {"storage": storage}))

    return plan


@pytest.mark.parametrize(
    "features", ["gabor", "scattering", "wavelet", "randomconv(filters=256,patch=3,pool=2,stride=2)"]
)
def test_features_go_to_the_card(device, planned, features):
    same = {"features": features, "kernel": "linear", "ridge": 1e-2, "n_train": 120, "precision": "float64"}
    found, expected = (run_solve(SolveSpec(**same, device=where))[0].results for where in ("cuda", "cpu"))
    assert (found.device, found.d, found.test_error) == ("cuda", expected.d, expected.test_error)
    # Products of random features are summed in float32.
    np.testing.assert_allclose(found.norm, expected.norm, rtol=1e-4 if "random" in features else 1e-9)


@pytest.mark.parametrize("solver", [ConjugateGradients(), Eigen(), Banded()], ids=str)
def test_a_solver_of_the_cpu_says_so(device, solver, images):
    with pytest.raises(InputError, match="on the cpu"):
        solver.factor(gram(images, Gaussian(2.0), device=device), ridge=1.0)


def test_nothing_leaves_the_card_but_the_coefficients(card, planned):
    record, _ = run_solve(SolveSpec(bandwidth=1.0, n_train=500, device="cuda", precision="float64", loo=True))
    n, classes, d = record.dataset.n_train, record.dataset.n_classes, record.results.d
    # The largest single copy is one array of n coefficients a class; the kernel's first 64 x 64 block (to see whether
    # it is symmetric) is smaller, and half the matrix would be 80 times as much.
    assert max(card.to_host) <= 8 * n * classes
    few = 40  # arrays of that size in all: half-solved and solved values, fits, each solve of the condition estimate
    assert sum(card.to_host) <= few * 8 * n * classes < 8 * n * n
    assert card.used == 0 and d < n, "all memory of the card is free again"


def test_half_of_the_matrix_is_all_that_the_card_holds(card, planned):
    before = card.used
    device = backend.device("cuda")
    K = gram(load("digits").X_train, Gaussian(1.0), device=device)
    n, width = K.shape[0], 40
    factor = cholesky(K, panels=MemoryPanels(n, width, device=device))
    half = 8 * (n * n / 2 + n * width / 2)
    points_and_tiles = 5 * n * 64 + 6 * 8 * device.tile**2 + 8 * n * 8
    assert factor.n == n and card.peak - before <= half + points_and_tiles + 512 * n // width
