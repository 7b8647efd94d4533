"""BLAS, LAPACK and copies of a GPU, on blocks in place."""

import json

import numpy as np
import pytest

DTYPES = [np.float32, np.float64]


def tolerance(dtype, k):
    """A sum of k products of standard normals is off by at most about k eps times its largest term, under 30 here."""
    return 30 * max(k, 1) * np.finfo(dtype).eps


def matrix(rng, device, shape, dtype, extra):
    """A random matrix on the host and on the device, there as part of a wider one, so that rows are not adjacent."""
    wide = rng.standard_normal((shape[0], shape[1] + extra)).astype(dtype)
    return wide[:, : shape[1]], device.array(wide)[:, : shape[1]]


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
    assert device.free_memory() > 0 and json.dumps(device.describe())
