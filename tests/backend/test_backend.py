import numpy as np
import pytest

from kernelfit import backend
from kernelfit.backend import machine

DTYPES = [np.float32, np.float64]


def tolerance(dtype, k):
    """A sum of k products of standard normals is off by at most about k eps times its largest term, under 30 here."""
    return 30 * max(k, 1) * np.finfo(dtype).eps


def matrix(rng, shape, dtype, stride=0):
    """A random matrix whose rows are `stride` elements longer in memory than their content."""
    wide = rng.standard_normal((shape[0], shape[1] + stride)).astype(dtype)
    return wide[:, : shape[1]]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("seed", range(20))
def test_gemm_equals_numpy_for_random_shapes_and_strides(dtype, seed):
    rng = np.random.default_rng(seed)
    m, n, k = rng.integers(1, 40, 3)
    transpose_a, transpose_b = rng.integers(0, 2, 2).astype(bool)
    A = matrix(rng, (k, m) if transpose_a else (m, k), dtype, rng.integers(0, 4))
    B = matrix(rng, (n, k) if transpose_b else (k, n), dtype, rng.integers(0, 4))
    C = matrix(rng, (m, n), dtype, rng.integers(0, 4))
    expected = -2.0 * (A.T if transpose_a else A) @ (B.T if transpose_b else B) + 0.5 * C
    pointer = C.ctypes.data
    backend.CPU.gemm(A, B, C, alpha=-2.0, beta=0.5, transpose_a=transpose_a, transpose_b=transpose_b)
    assert C.ctypes.data == pointer
    np.testing.assert_allclose(C, expected, atol=tolerance(dtype, k), rtol=0)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [1, 2, 7, 50])
def test_factor_and_triangular_solves(dtype, n):
    rng = np.random.default_rng(n)
    A = rng.standard_normal((n, 2 * n)).astype(dtype)
    C = np.full((n, n + 3), np.nan, dtype)[:, :n]
    C[np.tril_indices(n)] = 0
    backend.CPU.syrk(A, C, alpha=1.0, beta=1.0)
    assert np.isnan(C[np.triu_indices(n, 1)]).all(), "syrk must leave the upper triangle alone"
    C[np.diag_indices(n)] += n
    K = np.tril(C) + np.tril(C, -1).T
    assert backend.CPU.potrf(C) == 0
    L = np.tril(C)
    np.testing.assert_allclose(L @ L.T, K, rtol=0, atol=tolerance(dtype, n) * n)
    B = matrix(rng, (n, 5), dtype, 2)
    for transpose in (False, True):
        op = L.T if transpose else L
        X = B.copy()
        backend.CPU.trsm(C, X, transpose=transpose)
        np.testing.assert_allclose(op @ X, B, rtol=0, atol=tolerance(dtype, n))
        X = B.T.copy()
        backend.CPU.trsm(C, X, right=True, transpose=transpose)
        np.testing.assert_allclose(X @ op, B.T, rtol=0, atol=tolerance(dtype, n))


def test_potrf_reports_the_row_that_is_not_positive():
    K = np.diag([4.0, 1.0, -1.0, 2.0])
    assert backend.CPU.potrf(K) == 3


def test_what_blas_cannot_do_in_place_is_refused():
    A, C = np.ones((4, 4)), np.ones((4, 4))
    with pytest.raises(ValueError, match="without gaps"):
        backend.CPU.gemm(np.ones((4, 8))[:, ::2], A, C)
    for rows in (A[::-1], np.broadcast_to(A[:1], (4, 4))):
        with pytest.raises(ValueError, match="one after another"):
            backend.CPU.gemm(rows, A, C)
    for matrix, right in ((A[0], False), (A[0], True)):
        with pytest.raises(ValueError, match="matrices"):
            backend.CPU.trsm(A, matrix, right=right)
    with pytest.raises(ValueError, match="one dtype"):
        backend.CPU.gemm(A.astype(np.float32), A, C)
    with pytest.raises(ValueError, match="into"):
        backend.CPU.gemm(A, A, np.ones((3, 4)))
    C.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        backend.CPU.gemm(A, A, C)


def test_touched_has_the_shape_and_is_writeable():
    array = backend.CPU.touched((5, 3))
    array[...] = 1
    assert array.shape == (5, 3) and array.dtype == np.float64 and array.flags.c_contiguous


def test_free_memory_respects_control_groups(tmp_path):
    """Version 2: the smallest room of the group and its ancestors binds; version 1 has other file names."""
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    (inner / "memory.max").write_text("max\n")
    (inner / "memory.current").write_text("50\n")
    (tmp_path / "a" / "memory.max").write_text("1000\n")
    (tmp_path / "a" / "memory.current").write_text("400\n")
    (tmp_path / "a" / "memory.stat").write_text("anon 300\ninactive_file 100\n")
    membership = tmp_path / "cgroup"
    membership.write_text("0::/a/b\n")
    assert list(machine._cgroup_room(tmp_path, membership)) == [700]
    group = tmp_path / "memory" / "c"
    group.mkdir(parents=True)
    (group / "memory.limit_in_bytes").write_text("500\n")
    (group / "memory.usage_in_bytes").write_text("100\n")
    membership.write_text("5:cpu,cpuacct:/x\n4:memory:/c\n")
    assert list(machine._cgroup_room(tmp_path, membership)) == [400]
    assert list(machine._cgroup_room(tmp_path, tmp_path / "absent")) == []


def test_memory_and_description_are_plausible():
    assert 1e6 < backend.free_memory() < 1e15
    assert 1e7 < backend.peak_memory() < 1e15
    described = backend.describe()
    assert described["threads"] >= 1 and described["blas"] and described["cpu"]
