"""BLAS, LAPACK and copies of a GPU, on blocks in place."""

import json

import numpy as np
import pytest

from kernelfit.backend import cuda

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
@pytest.mark.parametrize("n", [17, 24, 50])
def test_products_of_blocks_do_the_work_of_triangular_solves(device, dtype, n, monkeypatch):
    monkeypatch.setattr(cuda, "_BLOCK", 8)
    rng = np.random.default_rng(n)
    a, A = matrix(rng, device, (n, 2 * n), dtype, 3)
    C = device.array(np.full((n, n), np.nan, dtype))
    device.syrk(A, C)
    found, blocks = device.host(C), np.arange(n) // 8
    np.testing.assert_allclose(np.tril(found), np.tril(a @ a.T), rtol=0, atol=tolerance(dtype, 2 * n))
    assert np.isnan(found[blocks[:, None] < blocks]).all(), "whole blocks above the diagonal are not made"
    device.xp.fill_diagonal(C, C.diagonal() + n)
    assert device.potrf(C) == 0
    L = np.tril(device.host(C))
    b, B = matrix(rng, device, (5 * n, n), dtype, 2)
    device.trsm(C, B, right=True, transpose=True)
    np.testing.assert_allclose(device.host(B) @ L.T, b, rtol=0, atol=tolerance(dtype, n))


@pytest.mark.parametrize("shape", [(30, 20, 10), (200, 7, 3), (1, 1, 1), (3, 0, 2), (0, 3, 2), (3, 2, 0)])
def test_products_of_halves_have_the_digits_of_float32(device, shape):
    """Entries of all sizes down to 2^-20; what is left out is 2^-22 of each product."""
    (m, n, k), rng = shape, np.random.default_rng(0)
    a, A = matrix(rng, device, (m, k), np.float32, 1)
    b, B = matrix(rng, device, (n, k), np.float32, 0)
    for host, array in ((a, A), (b, B)):
        host *= np.exp2(-rng.integers(2, 20, host.shape)).astype(np.float32)
        array[...] = device.array(host)
    c, C = matrix(rng, device, (m, n), np.float32, 3)
    device.subtract_halves(A, B, C)
    a, b, c = (part.astype(np.float64) for part in (a, b, c))
    bound = 4 * 2.0**-22 * np.abs(a) @ np.abs(b).T + 2.0**-22 * (np.abs(c) + np.abs(a) @ np.abs(b).T)
    assert (np.abs(device.host(C) - (c - a @ b.T)) <= bound).all()
    with pytest.raises(ValueError, match="subtract_halves of shapes"):
        device.subtract_halves(A, B, device.empty((m, n + 1), np.float32))


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


@pytest.mark.parametrize(("m", "n", "k"), [(16, 12, 32), (5, 7, 9), (1, 3, 784), (64, 2, 1), (0, 4, 4), (9, 40, 4099)])
def test_products_of_pixels_are_exact(device, m, n, k):
    """int8 summed in int32, against int64: blocks of larger matrices, and numbers that the units do not take."""
    rng = np.random.default_rng(m + n)
    A, B = rng.integers(-128, 128, (m + 2, k + 3), np.int8), rng.integers(-128, 128, (n + 2, k + 3), np.int8)
    A[1], B[1] = -128, -128  # the largest sum there is
    for first, last in ((0, k), (3, k + 3)):
        left, right = A[1 : m + 1, first:last], B[1 : n + 1, first:last]
        C = device.array(np.full((m + 1, n + 5), 7, np.int32))
        on_device = (device.array(A)[1 : m + 1, first:last], device.array(B)[1 : n + 1, first:last])
        device.multiply_pixels(*on_device, C[1:, 2 : n + 2])
        found = device.host(C)
        assert np.array_equal(found[1:, 2 : n + 2], left.astype(np.int64) @ right.T.astype(np.int64))
        assert (found[0] == 7).all() and (found[:, [0, 1, -1, -2, -3]] == 7).all(), "nothing else is touched"


def test_products_of_pixels_of_other_kinds_are_refused(device):
    A = device.array(np.ones((4, 4), np.int8))
    with pytest.raises(ValueError, match=r"int8 .* into float32"):
        device.multiply_pixels(A, A, device.empty((4, 4), np.float32))
    with pytest.raises(ValueError, match=r"\(4, 3\)"):
        device.multiply_pixels(A, A[:, :3], device.empty((4, 4), np.int32))
    with pytest.raises(ValueError, match="int8"):
        device.gemm(A, A, device.empty((4, 4), np.int32), transpose_b=True)
