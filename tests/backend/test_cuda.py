"""The GPU path, on a GPU where there is one and on the stand-in of tests/support/fake_cuda.py everywhere."""

import dataclasses
import gc
import json
import math
import sys

import numpy as np
import pytest

from kernelfit import backend
from kernelfit.backend.cuda import Cuda
from kernelfit.common.errors import InputError, KernelfitError, NotEnoughMemoryError, SingularMatrixError
from kernelfit.datasets import load
from kernelfit.experiments.solve import SolveSpec, run_solve
from kernelfit.features.accumulated import accumulate
from kernelfit.features.random_net import Net
from kernelfit.features.randomconv import RandomConv
from kernelfit.gram.matrix import MatrixGram, gram
from kernelfit.gram.points import points
from kernelfit.kernels import (
    ArcCosine,
    Constant,
    Cosine,
    Custom,
    Gaussian,
    Laplacian,
    Linear,
    NeuralTangent,
    Polynomial,
)
from kernelfit.kernels.array_profiles import array_differences, array_pass
from kernelfit.kernels.profiles import difference_pass, tile_pass
from kernelfit.records.record import Record
from kernelfit.solvers import out_of_core
from kernelfit.solvers import panel_cholesky as cholesky_module
from kernelfit.solvers.mixed import solve_mixed
from kernelfit.solvers.out_of_core import HostStore, OutOfCorePanels
from kernelfit.solvers.panel_cholesky import cholesky
from kernelfit.solvers.panels import MemoryPanels
from kernelfit.solvers.planning import forecast as forecast_module
from kernelfit.solvers.planning import plan as plan_module
from kernelfit.solvers.planning import rates as rates_module
from kernelfit.solvers.planning.plan import Problem, plan_solve
from kernelfit.solvers.planning.rates import Rates
from kernelfit.solvers.scratch import Scratch
from kernelfit.solvers.solve import solve
from tests.support import fake_cuda
from tests.support.problems import symmetric_matrix

EPS = np.finfo(float).eps
DTYPES = [np.float32, np.float64]
SETTINGS = [pytest.param("stand-in", id="stand-in"), pytest.param("gpu", marks=pytest.mark.gpu, id="gpu")]
# Rates of a card beside a slow bus, so that plans do not depend on this machine: a second for 1e13 operations.
RATES = Rates(float64=1e13, float32=2e13, entry=1e-10, upload=1e10)


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch):
    """Small problems then take as many tiles, panels and pieces as large ones do."""
    monkeypatch.setattr(Cuda, "tile", 64)
    monkeypatch.setattr(Cuda, "panel", 24)
    monkeypatch.setattr(Cuda, "probe", 64)
    monkeypatch.setattr(Cuda, "fixed_bytes", 10_000)
    monkeypatch.setattr(out_of_core, "PIECE", 600)


@pytest.fixture
def card():
    """The stand-in in the place of CuPy."""
    gc.collect()  # an error that an earlier test caught holds the frames, and so the arrays, that it came through
    with fake_cuda.installed() as card:
        yield card


@pytest.fixture(params=SETTINGS)
def device(request):
    """A GPU as a device."""
    return opened(request, request.param)


def opened(request, setting):
    """Return the stand-in or the GPU of this machine as a device, or skip."""
    if setting == "stand-in":
        request.getfixturevalue("card")
        return backend.device("cuda")
    try:
        return backend.device("cuda")
    except InputError as error:
        pytest.skip(str(error))


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (150, 6, 6), dtype=np.uint8)


def tolerance(dtype, k):
    """A sum of k products of standard normals is off by at most about k eps times its largest term, under 30 here."""
    return 30 * max(k, 1) * np.finfo(dtype).eps


def matrix(rng, device, shape, dtype, extra):
    """A random matrix on the host and on the device, there as part of a wider one, so that rows are not adjacent."""
    wide = rng.standard_normal((shape[0], shape[1] + extra)).astype(dtype)
    return wide[:, : shape[1]], device.array(wide)[:, : shape[1]]


# ---- BLAS and LAPACK -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("seed", range(20))
def test_gemm_equals_numpy_for_random_shapes_and_strides(device, dtype, seed):
    rng = np.random.default_rng(seed)
    m, n, k = rng.integers(1, 40, 3)
    n = 1 if seed % 5 == 0 else n  # one column goes to gemv
    transpose_a, transpose_b = rng.integers(0, 2, 2).astype(bool)
    a, A = matrix(rng, device, (k, m) if transpose_a else (m, k), dtype, rng.integers(0, 4))
    b, B = matrix(rng, device, (n, k) if transpose_b else (k, n), dtype, rng.integers(0, 4))
    c, C = matrix(rng, device, (m, n), dtype, rng.integers(0, 4))
    pointer = C.data.ptr
    device.gemm(A, B, C, alpha=-2.0, beta=0.5, transpose_a=transpose_a, transpose_b=transpose_b)
    assert C.data.ptr == pointer
    expected = -2.0 * (a.T if transpose_a else a) @ (b.T if transpose_b else b) + 0.5 * c
    np.testing.assert_allclose(device.host(C), expected, rtol=0, atol=tolerance(dtype, k))


@pytest.mark.parametrize("shape", [(0, 3, 2), (3, 0, 2), (3, 1, 0), (3, 2, 0), (0, 1, 2), (2, 1, 1)])
def test_gemm_of_nothing(device, shape):
    m, n, k = shape
    A, B, C = device.empty((m, k)), device.empty((k, n)), device.xp.zeros((m, n))
    A[...] = 1.0
    B[...] = 1.0
    C[...] = 2.0
    device.gemm(A, B, C, beta=1.0)
    assert (device.host(C) == 2 + k).all()
    device.gemm(A, B, C)
    assert (device.host(C) == k).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [1, 2, 7, 50])
def test_factor_and_triangular_solves(device, dtype, n):
    rng = np.random.default_rng(n)
    a, A = matrix(rng, device, (n, 2 * n), dtype, 0)
    C = device.array(np.zeros((n, n + 3), dtype))[:, :n]
    device.syrk(A, C, alpha=1.0, beta=1.0)
    np.testing.assert_allclose(np.tril(device.host(C)), np.tril(a @ a.T), rtol=0, atol=tolerance(dtype, 2 * n))
    device.xp.fill_diagonal(C, C.diagonal() + n)
    k = a @ a.T + n * np.eye(n, dtype=dtype)
    assert device.potrf(C) == 0
    L = np.tril(device.host(C))
    np.testing.assert_allclose(L @ L.T, k, rtol=0, atol=tolerance(dtype, 2 * n) * n)
    b, B = matrix(rng, device, (n, 5), dtype, 2)
    for transpose in (False, True):
        op = L.T if transpose else L
        X = B.copy()
        device.trsm(C, X, transpose=transpose)
        np.testing.assert_allclose(op @ device.host(X), b, rtol=0, atol=tolerance(dtype, n))
        X = device.array(np.ascontiguousarray(b.T))
        device.trsm(C, X, right=True, transpose=transpose)
        np.testing.assert_allclose(device.host(X) @ op, b.T, rtol=0, atol=tolerance(dtype, n))


@pytest.mark.parametrize("dtype", DTYPES)
def test_potrf_names_the_row_that_fails(device, dtype):
    K = np.eye(5, dtype=dtype)
    K[3, 3] = -1
    assert device.potrf(device.array(K)) == 4


def test_copies_between_host_and_device(device):
    host = np.arange(12.0).reshape(3, 4)
    array = device.empty((3, 4))
    device.fill(array, host)
    assert np.array_equal(device.host(array), host)
    buffer = device.transfer_buffer(12)
    buffer[...] = 0
    device.fetch(array, buffer.reshape(3, 4))
    assert np.array_equal(buffer.reshape(3, 4), host)
    assert backend.device_of(array) is device and backend.device_of(host) is backend.CPU
    assert device.free_memory() > 0 and json.dumps(device.describe())


# ---- kernels and Gram blocks -----------------------------------------------------------------------------------------

KERNELS = [
    Gaussian(2.0),
    Laplacian(3.0),
    Polynomial(degree=5, gamma=0.1),
    Cosine(4),
    Linear(),
    ArcCosine(3),
    NeuralTangent(2),
    Constant(2.0),
    Gaussian(2.0) + 0.5 * Linear(),
    Laplacian(1.0) * (Cosine(2) + 1),
    Custom(lambda A, B: A @ B.T, "test:linear"),
]


@pytest.mark.parametrize("kernel", KERNELS, ids=str)
@pytest.mark.parametrize("kind", ["pixels", "floats", "two far clusters", "many pixels"])
def test_blocks_and_products_equal_those_of_the_cpu(device, kernel, kind, images):
    rng = np.random.default_rng(1)
    X = {
        "pixels": images,
        "floats": rng.standard_normal((150, 7)),
        "two far clusters": rng.standard_normal((150, 12)) + 300.0 * rng.integers(0, 2, (150, 1)),
        "many pixels": rng.integers(0, 256, (90, 1030), dtype=np.uint8),  # longer than one exact chunk
    }[kind]
    Z = np.random.default_rng(2).permuted(X[:40], axis=1)
    here, there = gram(X, kernel), gram(X, kernel, device=device)
    n = len(X)
    expected = here.block((0, n), (0, n))
    found = device.empty((n, n))
    there.block((0, n), (0, n), out=found)
    # Inner products are exact for pixels, and off by 7 eps |x| |z| for the others, whose points are not so near each
    # other that a distance or an angle would multiply that by more than 100; what follows is under 100 operations.
    close = 1e-12 * np.abs(expected).max()
    np.testing.assert_allclose(device.host(found), expected, rtol=0, atol=close)
    lower = there.block((80, 90), (3, 70))
    np.testing.assert_allclose(device.host(lower), expected[80:90, 3:70], rtol=0, atol=close)
    rounded = device.empty((10, 67), np.float32)
    there.block((80, 90), (3, 70), out=rounded)
    # Rounding is off by 6e-8 at most, three times where two kernels are combined.
    np.testing.assert_allclose(
        device.host(rounded), expected[80:90, 3:70], rtol=0, atol=1.8e-7 * np.abs(expected).max() + close
    )
    V = rng.standard_normal((n, 3))
    KV, norm_1 = there.product_and_norm(V)
    assert isinstance(KV, np.ndarray)
    slack = n * np.abs(V).max() * close
    np.testing.assert_allclose(KV, expected @ V, rtol=0, atol=slack)
    np.testing.assert_allclose(norm_1, np.abs(expected).sum(axis=0).max(), rtol=0, atol=n * close)
    on_device = there.product(device.array(V))
    assert not isinstance(on_device, np.ndarray)
    np.testing.assert_array_equal(device.host(on_device), KV)
    K_test = gram(Z, kernel, there.points)
    assert K_test.device is device
    np.testing.assert_allclose(K_test.product(V), gram(Z, kernel, here.points).product(V), rtol=0, atol=slack)


@pytest.mark.parametrize("d", [36, 1030])
def test_distances_of_pixels_have_the_same_bits(device, d):
    X = np.random.default_rng(2).integers(0, 256, (70, d), dtype=np.uint8)
    here, there = points(X), points(X, device=device)
    assert np.array_equal(device.host(there.inner_products(there)), here.inner_products(here))
    assert np.array_equal(device.host(there.sq_norms), here.sq_norms)
    K = gram(X, Gaussian(5.0), device=device)
    assert (device.host(K.block((0, 70), (0, 70))).diagonal() == 1).all()


def test_a_precomputed_kernel_and_subsets_and_duplicates(device, images):
    K, _ = symmetric_matrix(30, 10.0)
    there = MatrixGram(K, device=device)
    np.testing.assert_array_equal(device.host(there.block((3, 20), (5, 9))), K[3:20, 5:9])
    images[17] = images[3]
    G = gram(images, Gaussian(2.0), device=device)
    assert G.duplicate_of(17) == 3 and G.duplicate_of(16) is None
    rows = np.array([5, 1, 149])
    subset = G.subset(rows)
    assert subset.device is device
    np.testing.assert_allclose(
        device.host(subset.block((0, 3), (0, 3))), gram(images[rows], Gaussian(2.0)).block((0, 3), (0, 3)), rtol=1e-14
    )
    assert G.fingerprint() == gram(images, Gaussian(2.0)).fingerprint()
    images[20] = 0
    K = device.host(gram(images, Cosine(), device=device).block((0, 150), (0, 150)))
    assert not K[20].any() and np.count_nonzero(K[19]) == 149
    X = np.ones((30, 3))
    X[20] = 1e-150
    with pytest.raises(InputError, match="point 20 is too small"):
        gram(X, Cosine(), device=device).block((0, 30), (0, 30))


@pytest.mark.parametrize(
    ("name", "theta", "degree"),
    [
        ("gaussian", (0.7,), 1),
        ("laplacian", (0.7,), 1),
        ("affine", (0.9, 0.4), 1),
        ("affine", (0.9, 0.4), 5),
        ("affine", (0.01, 0.9), 1000),
        ("cosine", (), 4),
        *(("arc_cosine", (0.8, depth), 1) for depth in (2, 40)),
        *(("neural_tangent", (0.8, depth), 1) for depth in (2, 40)),
    ],
)
@pytest.mark.parametrize("setting", ["numpy", *SETTINGS])
@pytest.mark.parametrize(("dtype", "out_dtype"), [(np.float32, np.float64), (np.float64, np.float32)])
def test_array_profiles_equal_the_compiled_ones(request, setting, name, theta, degree, dtype, out_dtype):
    device = backend.CPU if setting == "numpy" else opened(request, setting)
    rng = np.random.default_rng(degree)
    # A power of x is off by as many eps as its degree, a recursion by a few at each depth, and exp by its argument.
    steps = 20 + 4 * degree + 20 * (theta[1] if name in ("arc_cosine", "neural_tangent") else 0)
    close = steps * EPS + (np.finfo(np.float32).eps if out_dtype == np.float32 else 0)
    for offset in (-30, -4, 0, 3, 30):
        x, z = rng.random((20, 4)) + 0.1, rng.random((11, 4)) + 0.1
        T, a, b = (x @ z.T).astype(dtype), 0.1 * rng.random(20), 0.1 * rng.random(11)
        p, q = (x * x).sum(axis=1) + 1, (z * z).sum(axis=1) + 1  # large enough that shifts leave |cosine| below 1
        expected, out = np.empty(T.shape, out_dtype), device.empty(T.shape, out_dtype)
        theta = tuple(map(float, theta))
        unknown = np.median(p[:, None] + q - 2 * T) if name in ("gaussian", "laplacian") else 0.4
        for slack, near in [(0.0, -math.inf), (0.01, float(unknown))]:
            left = tile_pass(name, degree)(T, a, b, p, q, theta, offset, slack, near, expected)
            arrays = map(device.array, (T, a, b, p, q))
            assert array_pass(name, degree, device.xp)(*arrays, theta, offset, slack, near, out) == left
            assert np.isnan(expected).sum() == left
            np.testing.assert_allclose(device.host(out), expected, rtol=close)
        if name in ("affine", "cosine"):
            continue
        assert left > 0
        if name in ("arc_cosine", "neural_tangent"):
            x, z = (part / np.sqrt((part * part).sum(axis=1))[:, None] for part in (x, -z))
            theta = (*theta, 1.0)
            expected[::2] = np.nan
            out[...] = device.array(expected)
        left = difference_pass(name)(x, z, p, q, theta, expected)
        x, z, p, q = map(device.array, (x, z, p, q))
        assert array_differences(name, device.xp)(x, z, p, q, theta, out) == left
        np.testing.assert_allclose(device.host(out), expected, rtol=close)
        if left:
            theta = (*theta[:2], -1.0)
            assert difference_pass(name)(*map(device.host, (x, -z, p, q)), theta, expected) == 0
            assert array_differences(name, device.xp)(x, -z, p, q, theta, out) == 0
            np.testing.assert_allclose(device.host(out), expected, rtol=close)


# ---- factors ---------------------------------------------------------------------------------------------------------


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
    factor = cholesky(MatrixGram(K, device=device), panels=panels)
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
    assert 0 < factor.smallest_pivot() < 1
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
    done = solve_mixed(MatrixGram(K, device=device), Y, lambda shift: MemoryPanels(120, 40, np.float32, device))
    expected = inverse @ Y
    # An answer with relative residual 1e-10 is off by at most 1e-10 cond, and `inverse` by n eps cond.
    assert np.linalg.norm(done.coef - expected) <= 1e5 * (1e-10 + 120 * EPS) * np.linalg.norm(expected)
    assert done.check.relative_residual <= 1e-10 and len(done.residuals) >= 1


def test_kept_inner_products_are_those_of_the_cpu(device, images):
    K, here = (gram(images, Gaussian(2.0), device=where).cached() for where in (device, backend.CPU))
    n = len(images)
    same = [device.host(K.block((i, n), (0, j))) for i, j in ((0, n), (n // 3, n // 2), (0, 5))]
    expected = [here.block((i, n), (0, j)) for i, j in ((0, n), (n // 3, n // 2), (0, 5))]
    for block, reference in zip(same, expected, strict=True):
        np.testing.assert_allclose(block, reference, rtol=1e-13)
    Y = np.random.default_rng(1).standard_normal((n, 3))
    done = solve_mixed(
        gram(images, Gaussian(2.0), device=device), Y, lambda shift: MemoryPanels(n, 40, np.float32, device), keep=True
    )
    assert done.check.relative_residual <= 1e-10


# ---- the main job ----------------------------------------------------------------------------------------------------


@pytest.fixture
def planned(monkeypatch):
    """Plans with rates that are not measured, and no forecast from submatrices that are larger than the problem."""
    monkeypatch.setattr(plan_module, "measure_rates", lambda device, scratch=None: RATES)
    monkeypatch.setattr(forecast_module, "_SIZES", (100, 150, 200))


@pytest.fixture(scope="module")
def solved():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan_module, "measure_rates", lambda device, scratch=None: RATES)
        return run_solve(SolveSpec(bandwidth=1.0, loo=True, n_train=500, device="cpu"))


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
        monkeypatch.setattr("kernelfit.experiments.preparation.plan_solve", _planned_for(storage))
    record, model = run_solve(spec)
    assert record.device == "cuda" and record.precision == precision and record.solver["storage"] == storage
    assert Record.from_json(record.to_json()) == record and "gpu" in record.environment
    # Both are off by about n eps cond = 500 * 2e-16 * 1e4; mixed precision stops at a residual of 1e-10.
    close = 1e-9 if precision == "float64" else 1e-6
    scale = np.abs(model_on_cpu.coef).max()
    np.testing.assert_allclose(model.coef, model_on_cpu.coef, rtol=0, atol=close * scale)
    for name in ("norm", "norm_pm1"):  # an error in coef enters squared, since coef minimises
        np.testing.assert_allclose(getattr(record, name), getattr(on_cpu, name), rtol=1e-12)
    for name in ("test_error", "train_error", "n_train", "d", "kernel") + ("loo_error",) * spec.loo:
        assert getattr(record, name) == getattr(on_cpu, name), name
    assert record.relative_residual < (1e-12 if precision == "float64" else 1e-10)
    assert record.norm_disagreement < 1e-10 and not record.warnings
    if precision == "float64":
        np.testing.assert_allclose(record.smallest_pivot, on_cpu.smallest_pivot, rtol=1e-9)
    if record.condition_estimate:
        np.testing.assert_allclose(record.condition_estimate, on_cpu.condition_estimate, rtol=1e-2)
    assert not list(tmp_path.iterdir()) or storage == "memory"


def _planned_for(storage):
    def plan(problem, **options):
        return plan_solve(problem, **(options | {"storage": storage}))

    return plan


def test_nothing_leaves_the_card_but_the_coefficients(card, planned):
    record, _ = run_solve(SolveSpec(bandwidth=1.0, n_train=500, device="cuda", precision="float64", loo=True))
    n, classes, d = record.n_train, record.n_classes, record.d
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
    points_and_tiles = 5 * n * 64 + 6 * 8 * Cuda.tile**2 + 8 * n * 8
    assert factor.n == n and card.peak - before <= half + points_and_tiles + 512 * n // width


# ---- what can be missing ---------------------------------------------------------------------------------------------


def test_no_cupy(monkeypatch):
    backend.select._cuda.cache_clear()
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(InputError, match=r"needs CuPy.*pip install 'kernelfit\[gpu12\]'"):
        backend.device("cuda")
    assert backend.device("auto") is backend.CPU


def test_cupy_without_a_gpu(card):
    """Real CuPy raises cupy_backends.cuda.api.runtime.CUDARuntimeError then, a RuntimeError."""
    card.present = False
    with pytest.raises(InputError, match=r"finds no GPU that it can use .cudaErrorInsufficientDriver"):
        backend.device("cuda")
    assert backend.device("auto") is backend.CPU
    card.present = True
    assert backend.device("auto").name == "cuda" and backend.device("cpu") is backend.CPU
    assert backend.device("auto") is backend.device("cuda"), "a GPU that works is opened once"


def test_cupy_without_cudas_libraries(card, monkeypatch):
    monkeypatch.setattr(fake_cuda.cupy.cuda.device, "get_cublas_handle", _raise(ImportError("libcublas.so.12")))
    with pytest.raises(InputError, match="libcublas"):
        backend.device("cuda")


def _raise(error):
    def function(*_):
        raise error

    return function


# ---- memory ----------------------------------------------------------------------------------------------------------


def test_free_memory_is_that_of_the_card_within_the_limit_of_the_pool(card):
    device = backend.device("cuda")
    assert device.free_memory() == fake_cuda.TOTAL_MEMORY
    held = device.empty(1000)
    assert device.free_memory() == fake_cuda.TOTAL_MEMORY - 8192  # 8,000 bytes in units of 512
    card.limit = 100_000
    assert device.free_memory() == 100_000 - 8192 and held.size


@pytest.mark.parametrize(("share", "precision"), [(1.6, "float64"), (0.75, "mixed")])
def test_a_small_card_changes_the_plan_and_not_the_answer(card, planned, solved, share, precision):
    """`share` is the limit of the card in units of half the matrix in float64."""
    on_cpu, _ = solved
    n = on_cpu.n_train
    card.limit = int(share * 4 * n * n) + Cuda.fixed_bytes + (4 * 64 + 96 * 10) * (n + 360)
    record, _ = run_solve(SolveSpec(bandwidth=1.0, n_train=n, device="cuda"))
    assert (record.solver["storage"], record.precision) == ("memory", precision)
    assert card.peak <= card.limit
    np.testing.assert_allclose(record.norm, on_cpu.norm, rtol=1e-12)
    assert record.test_error == on_cpu.test_error


@pytest.mark.parametrize(
    ("gigabytes", "precision", "storage"),
    [(17, "float64", "memory"), (13, "float64", "host"), (9, "mixed", "memory"), (5, "mixed", "host")],
)
def test_mnist_is_planned_for_the_card_at_hand(card, monkeypatch, gigabytes, precision, storage):
    """Half the matrix is 14.4 GB in float64 and 7.2 GB in float32."""
    monkeypatch.undo()  # the true sizes of tiles
    monkeypatch.setattr(backend, "free_memory", lambda: int(64e9))
    card.limit = int(gigabytes * 1e9)
    problem, device = Problem(60_000, 10_000, 784, 10), backend.device("cuda")
    way = plan_solve(problem, device=device, precision=precision, rates=RATES).require()
    assert way.storage == storage and way.memory <= card.limit


def test_a_card_too_small_for_everything_is_refused_before_it_is_asked(card, planned):
    card.limit = 200_000
    with pytest.raises(NotEnoughMemoryError, match="streamed from host memory needs"):
        run_solve(SolveSpec(bandwidth=1.0, device="cuda"))


@pytest.mark.parametrize("count", [3, 10, 40, 160])
def test_memory_that_runs_out_in_the_middle_is_an_error_with_a_way_out(card, planned, count):
    card.fail_after = count
    with pytest.raises(NotEnoughMemoryError, match=r"Out of memory allocating.*less --memory") as caught:
        run_solve(SolveSpec(bandwidth=1.0, n_train=300, device="cuda"))
    assert isinstance(caught.value, KernelfitError | MemoryError)
    card.fail_after = None
    del caught
    record, _ = run_solve(SolveSpec(bandwidth=1.0, n_train=300, device="cuda"))
    assert record.train_error == 0


def test_host_memory_that_cannot_be_locked_is_an_error_with_a_way_out(card, planned):
    device = backend.device("cuda")
    K = gram(load("digits").X_train[:300], Gaussian(1.0), device=device)
    problem = Problem(300, 0, 64, 1)
    way = plan_solve(problem, device=device, storage="host", rates=RATES).require()
    card.pinned_limit = 1000
    with pytest.raises(NotEnoughMemoryError, match="page-locked host memory"):
        solve(K, np.ones((300, 1)), way)


def test_rates_are_measured_on_the_card(device, monkeypatch):
    upload = rates_module._measure_upload
    monkeypatch.setattr(rates_module, "_measure_upload", lambda device: upload(device, count=1000))
    rates = rates_module.measure_rates(device)
    assert all(value > 0 for value in dataclasses.asdict(rates).values()) and np.isfinite(rates.upload)


# ---- the stand-in itself ---------------------------------------------------------------------------------------------


def test_the_stand_in_refuses_what_cupy_refuses(card):
    xp = fake_cuda.cupy
    array, host = xp.zeros((3, 4)), np.zeros((3, 4))
    for mix in (
        lambda: array + host,
        lambda: host + array,
        lambda: np.add(array, host),
        lambda: np.asarray(array),
        lambda: np.sum(array),
        lambda: np.linalg.norm(array),
        lambda: host.__setitem__(..., array),
        lambda: xp.maximum(array, host),
    ):
        with pytest.raises(TypeError):
            mix()
    with pytest.raises(ValueError, match="non-scalar"):
        array[...] = host
    with pytest.raises(TypeError, match="fused"):
        xp.fuse(lambda x: x[0])(array)
    assert np.isnan(xp.empty(3).get()).all()
    part = array[1:]
    part += 1
    assert array.get()[1:].all() and not array.get()[0].any(), "slices are views"


def test_the_stand_in_notices_pointers_outside_of_the_card_and_races(card):
    device = backend.device("cuda")
    A = device.xp.zeros((4, 4))
    handle = fake_cuda.HANDLE
    one = np.ones(1)
    with pytest.raises(RuntimeError, match="not all device memory"):
        fake_cuda.cublas.dgemm(
            handle, 0, 0, 4, 4, 4, one.ctypes.data, np.eye(4).ctypes.data, 4, A.data.ptr, 4, one.ctypes.data,
            A.data.ptr, 4,
        )  # fmt: skip
    A += 1
    with pytest.raises(RuntimeError, match="races"):
        device.fill(A, np.ones((4, 4)))
    device.synchronize()
    device.fill(A, np.full((4, 4), 2.0))
    assert (device.host(A) == 2).all()


@pytest.mark.parametrize(
    "options",
    [{}, {"preset": "normalised"}, {"preset": "rooted", "flip": True}, {"root": 0.3}],
    ids=str,
)
def test_random_convolutional_features_equal_those_of_the_cpu(device, options, tmp_path):
    rng = np.random.default_rng(0)
    train, test = (rng.integers(0, 256, (n, 12, 11, 3), np.uint8) for n in (70, 23))
    net = Net.prepare(RandomConv(**{"filters": 512, "patch": 4, "pool": 5, "stride": 3} | options), train)
    here = accumulate(net, train, test)
    there = accumulate(net, train, test, device=device, scratch=tmp_path)
    again = accumulate(net, train, test, device=device, scratch=tmp_path)  # read from the disk
    for made in (there, again):
        for rows, columns in ((made[0], made[0]), (made[1], made[0])):
            expected = here[rows is made[1]].inner_products(here[0])
            # Products of at most 9,216 float32 features on either side, summed in another order.
            close = {"rtol": 0, "atol": 1e-5 * np.abs(expected).max()}
            np.testing.assert_allclose(device.host(rows.inner_products(columns)), expected, **close)
    rows = rng.permutation(70)[:20]
    subset = there[0].subset(rows)
    assert np.array_equal(
        device.host(subset.inner_products(subset)),
        device.host(there[0].inner_products(there[0]))[np.ix_(rows, rows)],
    )
    for kernel in (Linear(), Gaussian(3.0)):
        K, expected = gram(there[0], kernel), gram(here[0], kernel)
        factor = cholesky(K, ridge=1.0)
        Y = rng.standard_normal((70, 3))
        np.testing.assert_allclose(factor.solve(Y), cholesky(expected, ridge=1.0).solve(Y), rtol=0, atol=1e-4)
    assert there[0].distances() == pytest.approx(here[0].distances(), rel=1e-3)
