"""cuBLAS and cuSOLVER, on pointers as they are."""

import ctypes
import types

import numpy as np

from kernelfit.backend import lapack
from tests.support.fake_cuda.card import CARD, HANDLE
from tests.support.fake_cuda.signatures import hold

_TRANSPOSE, _FILL, _SIDE, _DIAGONAL = "NT", "LU", "LR", "NU"  # by their enumeration values
_REAL = {"s": ctypes.c_float, "d": ctypes.c_double, "b": ctypes.c_int8, "i": ctypes.c_int32, "h": ctypes.c_uint16}
# Letters of what gemmEx multiplies, sums and scales with, by CUDA's types of A, B and C and cuBLAS's of sums.
_WIDER = {(3, 3, 10, 72): "bii", (2, 2, 0, 68): "hss"}


def _matrix(letter, pointer, rows, columns, leading):
    """Return NumPy's view of the column-major matrix at a device pointer, as a flat array from its first entry on."""
    if leading < max(1, rows) or min(rows, columns) < 0:
        raise RuntimeError(f"CUBLAS_STATUS_INVALID_VALUE: {rows} x {columns} with leading dimension {leading}")
    return _vector(letter, pointer, (columns - 1) * leading + rows if rows and columns else 0, 1)


def _vector(letter, pointer, count, step):
    real = _REAL[letter]
    if not count:
        return np.empty(1, real)
    length = (count - 1) * step + 1
    CARD.pending.add(CARD.block_of(pointer, length * ctypes.sizeof(real)))
    return np.frombuffer((real * length).from_address(pointer), real)


def _scalar(letter, pointer):
    assert CARD.pointer_mode == 0, "alpha and beta are read from the host"
    return _REAL[letter].from_address(pointer).value


def _check_handle(handle):
    if handle != HANDLE:
        raise RuntimeError("CUBLAS_STATUS_NOT_INITIALIZED")


def _gemm(letter):
    def gemm(handle, transa, transb, m, n, k, alpha, A, lda, B, ldb, beta, C, ldc):
        _check_handle(handle)
        alpha, beta = _scalar(letter, alpha), _scalar(letter, beta)
        A = _matrix(letter, A, *((k, m) if transa else (m, k)), lda)
        B = _matrix(letter, B, *((n, k) if transb else (k, n)), ldb)
        C = _matrix(letter, C, m, n, ldc)
        letters = _TRANSPOSE[transa], _TRANSPOSE[transb]
        lapack.call(letter + "gemm", *letters, m, n, k, alpha, A, lda, B, ldb, beta, C, ldc)

    return gemm


def _gemm_ex(handle, transa, transb, m, n, k, alpha, A, Atype, lda, B, Btype, ldb, beta, C, Ctype, ldc, compute, algo):
    """Products of int8 summed in int32, as the integer units take them, and of float16 summed in float32."""
    _check_handle(handle)
    letter, sums, real = _WIDER[Atype, Btype, Ctype, compute]
    alpha, beta = _scalar(real, alpha), _scalar(real, beta)
    aligned = letter != "b" or not (m % 4 or k % 4 or lda % 4 or ldb % 4 or ldc % 4 or A % 4 or B % 4 or C % 4)
    if not aligned or (transa, transb, algo) != (1, 0, -1):
        raise RuntimeError(f"CUBLAS_STATUS_NOT_SUPPORTED: {(transa, transb, m, n, k, lda, ldb, ldc, algo)}")
    A, B = _columns(_matrix(letter, A, k, m, lda), k, m, lda), _columns(_matrix(letter, B, k, n, ldb), k, n, ldb)
    C = _columns(_matrix(sums, C, m, n, ldc), m, n, ldc)
    if letter == "h":
        A, B = A.view(np.float16).astype(np.float32), B.view(np.float16).astype(np.float32)
        C[...] = alpha * (A.T @ B) + (beta * C if beta else 0)
    else:
        C[...] = alpha * (A.T.astype(np.float64) @ B.astype(np.float64)).astype(np.int32) + (beta * C if beta else 0)


def _columns(flat, rows, columns, leading):
    """Return the matrix (rows, columns) whose columns begin `leading` entries apart."""
    return np.lib.stride_tricks.as_strided(flat, (rows, columns), (flat.itemsize, leading * flat.itemsize))


def _gemv(letter):
    def gemv(handle, trans, m, n, alpha, A, lda, x, incx, beta, y, incy):
        _check_handle(handle)
        alpha, beta = _scalar(letter, alpha), _scalar(letter, beta)
        A = _matrix(letter, A, m, n, lda)
        x, y = (_vector(letter, *pair) for pair in ((x, m if trans else n, incx), (y, n if trans else m, incy)))
        lapack.call(letter + "gemv", _TRANSPOSE[trans], m, n, alpha, A, lda, x, incx, beta, y, incy)

    return gemv


def _trsm(letter):
    def trsm(handle, side, uplo, trans, diag, m, n, alpha, A, lda, B, ldb):
        _check_handle(handle)
        order = n if side else m
        letters = _SIDE[side], _FILL[uplo], _TRANSPOSE[trans], _DIAGONAL[diag]
        A, B = _matrix(letter, A, order, order, lda), _matrix(letter, B, m, n, ldb)
        lapack.call(letter + "trsm", *letters, m, n, _scalar(letter, alpha), A, lda, B, ldb)

    return trsm


def _potrf_buffer_size(letter):
    def buffer_size(handle, uplo, n, A, lda):
        _check_handle(handle)
        _matrix(letter, A, n, n, lda)
        return 2 * n

    return buffer_size


def _potrf(letter):
    def potrf(handle, uplo, n, A, lda, work, lwork, dev_info):
        _check_handle(handle)
        assert lwork >= 2 * n, "the workspace is too small"
        _vector(letter, work, lwork, 1)[...] = np.nan
        CARD.block_of(dev_info, 4)
        flat = _matrix(letter, A, n, n, lda)
        ctypes.c_int.from_address(dev_info).value = lapack.potrf(letter, _FILL[uplo], n, flat, lda)
        rows, columns = np.tril_indices(n, -1) if _FILL[uplo] == "U" else np.triu_indices(n, 1)
        flat[columns * lda + rows] = np.nan  # entry (i, j) of a column-major matrix

    return potrf


def libraries():
    cublas, cusolver = (types.ModuleType(f"cupy_backends.cuda.libs.{name}") for name in ("cublas", "cusolver"))
    cublas.CUBLAS_POINTER_MODE_HOST, cublas.CUBLAS_POINTER_MODE_DEVICE, cublas.CUBLAS_DEFAULT_MATH = 0, 1, 0
    cublas.setPointerMode = lambda handle, mode: setattr(CARD, "pointer_mode", mode)
    cublas.setMathMode = lambda handle, mode: setattr(CARD, "math_mode", mode)
    cublas.getMathMode = lambda handle: CARD.math_mode
    cublas.gemmEx = _gemm_ex
    for letter in "sd":
        for name, make in (("gemm", _gemm), ("gemv", _gemv), ("trsm", _trsm)):
            setattr(cublas, letter + name, make(letter))
        setattr(cusolver, letter + "potrf_bufferSize", _potrf_buffer_size(letter))
        setattr(cusolver, letter + "potrf", _potrf(letter))
    return hold(cublas, "cublas."), hold(cusolver, "cusolver.")
