"""Kernel profiles: scalar functions of one pair's inner product and squared norms, fused into one pass by numba.

A profile is f(s, p, q, theta) with s = <x, z>, p = |x|^2, q = |z|^2. The pass reads a tile of inner products once and
writes a tile of kernel values once. It uses no fused multiply-add and no reordering, so that an entry has the same bits
in every block, for every number of threads.

Imported only when the first block is made: numba takes about half a second to load.
"""

import functools
import math

import numba
import numpy as np
from numba import types
from numba.extending import intrinsic

from kernelfit.array_profiles import array_pass

# exp(x) = 2^k exp(r) with k = round(x / ln 2) and |r| <= ln(2) / 2, where the Taylor sum up to r^13 / 13! is accurate
# to 4e-18. ln 2 is split in two (as in fdlibm) so that k ln2_high is exact; adding 1.5 * 2^52 rounds to an integer and
# leaves it in the low bits. numba's own exp is a scalar call, about four times slower.
_LOG2_E, _LN2_HIGH, _LN2_LOW = 1.4426950408889634, 6.93147180369123816490e-01, 1.90821492927058770002e-10
_ROUND = 6755399441055744.0
_ROUND_BITS = int(np.float64(_ROUND).view(np.int64))
_C = tuple(1.0 / math.factorial(k) for k in range(14))
_SMALLEST = -708.0  # exp below this is subnormal; it is set to 0


@intrinsic
def _as_float(typing_context, bits):
    return types.float64(types.int64), lambda context, builder, signature, arguments: builder.bitcast(
        arguments[0], context.get_value_type(types.float64)
    )


@intrinsic
def _as_bits(typing_context, value):
    return types.int64(types.float64), lambda context, builder, signature, arguments: builder.bitcast(
        arguments[0], context.get_value_type(types.int64)
    )


@numba.njit(inline="always")
def exp_of_negative(x):
    """exp(x) for x <= 0, to 2 eps relative; vectorises."""
    shifted = x * _LOG2_E + _ROUND
    k = shifted - _ROUND
    r = (x - k * _LN2_HIGH) - k * _LN2_LOW
    r2 = r * r
    r4 = r2 * r2
    low = ((1.0 + r) + r2 * (_C[2] + r * _C[3])) + r4 * ((_C[4] + r * _C[5]) + r2 * (_C[6] + r * _C[7]))
    high = ((_C[8] + r * _C[9]) + r2 * (_C[10] + r * _C[11])) + r4 * (_C[12] + r * _C[13])
    value = (low + (r4 * r4) * high) * _as_float((_as_bits(shifted) + (1023 - _ROUND_BITS)) << 52)
    return value if x > _SMALLEST else 0.0


@numba.njit(inline="always")
def _squared_distance(s, p, q):
    squared = p + q - 2.0 * s
    return squared if squared > 0.0 else 0.0  # rounding may leave a tiny negative number


@numba.njit(inline="always")
def _cosine(s, p, q):
    u = s / math.sqrt(p * q)
    u = u if u < 1.0 else 1.0
    return u if u > -1.0 else -1.0


@numba.njit(inline="always")
def _sine(u):
    return math.sqrt((1.0 - u) * (1.0 + u))  # 1 - u * u would lose half the digits near u = 1 and -1


@numba.njit(inline="always")
def _gaussian(s, p, q, theta):
    return exp_of_negative(-_squared_distance(s, p, q) * theta[0])


@numba.njit(inline="always")
def _laplacian(s, p, q, theta):
    return exp_of_negative(-math.sqrt(_squared_distance(s, p, q)) * theta[0])


@numba.njit(inline="always")
def _affine(s, p, q, theta):
    return theta[0] * s + theta[1]


@numba.njit(inline="always")
def _cosine_of(s, p, q, theta):
    return s / math.sqrt(p * q)


@numba.njit
def _arc_cosine(s, p, q, theta):
    """Depth-fold u -> (sqrt(1 - u^2) + u (pi - arccos u)) / pi, times |x| |z|."""
    u = _cosine(s, p, q)
    for _ in range(int(theta[1])):
        u = min(1.0, (_sine(u) + u * (math.pi - math.acos(u))) / math.pi)
    return theta[0] * math.sqrt(p * q) * u


@numba.njit
def _neural_tangent(s, p, q, theta):
    """The recursion Theta <- Sigma' + Theta (pi - arccos u) / pi beside the arc-cosine recursion of Sigma = u."""
    u = _cosine(s, p, q)
    tangent = u
    for _ in range(int(theta[1])):
        angle = (math.pi - math.acos(u)) / math.pi
        u = min(1.0, _sine(u) / math.pi + u * angle)
        tangent = u + tangent * angle
    return theta[0] * math.sqrt(p * q) * tangent


_PROFILES = {
    "gaussian": _gaussian,
    "laplacian": _laplacian,
    "affine": _affine,
    "cosine": _cosine_of,
    "arc_cosine": _arc_cosine,
    "neural_tangent": _neural_tangent,
}


def _power(degree):
    """Return a function x -> x^degree by repeated squaring, for an integer degree >= 1."""
    if degree == 1:
        return numba.njit(lambda x: x, inline="always")
    half, odd = _power(degree // 2), degree % 2

    @numba.njit(inline="always")
    def power(x):
        y = half(x)
        return y * y * x if odd else y * y

    return power


@functools.cache
def tile_pass(name, degree=1):
    """Return the compiled pass out[i, j] = profile(T[i, j] + a[i] + b[j], p[i], q[j], theta)^degree.

    T (m, k) holds inner products of shifted points, a (m,) and b (k,) undo the shift, p and q are squared norms, theta
    is a tuple of floats, out (m, k) is float64, or float32 to round each value once. Where row i and column i + offset
    are the same point, s = p is used. Where numba is told not to compile (NUMBA_DISABLE_JIT), array expressions do it.
    """
    if numba.config.DISABLE_JIT:
        return array_pass(name, degree, np)
    profile, power = _PROFILES[name], _power(degree)

    @numba.njit(nogil=True, error_model="numpy")
    def run(T, a, b, p, q, theta, offset, out):
        for i in range(T.shape[0]):
            a_i, p_i = a[i], p[i]
            for j in range(T.shape[1]):
                out[i, j] = power(profile(T[i, j] + (a_i + b[j]), p_i, q[j], theta))
            if 0 <= i + offset < T.shape[1]:
                out[i, i + offset] = power(profile(p_i, p_i, p_i, theta))

    return run
