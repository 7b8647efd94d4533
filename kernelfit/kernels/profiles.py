"""Kernel profiles: scalar functions of one pair's inner product and squared norms, fused into one pass by numba.

A profile is a function of the squared distance, or f(s, p, q, theta) with s = <x, z>, p = |x|^2, q = |z|^2. The pass
reads a tile of inner products once and writes a tile of kernel values once. Where inner products cannot tell an entry,
it writes NaN, and a second pass makes it from the points. There is no fused multiply-add and no reordering, so that
an entry has the same bits in every block, for every number of threads.

Imported only when the first block is made: numba takes about half a second to load.
"""

import functools
import math

import numba
import numpy as np
from numba import types
from numba.extending import intrinsic

from kernelfit.kernels.array_profiles import array_differences, array_pass

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


# ---- profiles of the squared distance --------------------------------------------------------------------------------


@numba.njit(inline="always")
def _gaussian(squared, theta):
    return exp_of_negative(-squared * theta[0])


@numba.njit(inline="always")
def _laplacian(squared, theta):
    return exp_of_negative(-math.sqrt(squared) * theta[0])


# ---- profiles of products and norms ----------------------------------------------------------------------------------


@numba.njit(inline="always")
def _affine(s, p, q, theta, near):
    return theta[0] * s + theta[1]


@numba.njit(inline="always")
def _root(p, q):
    """|x| |z|: one root, unless the product of the squares leaves float64."""
    product = p * q
    return math.sqrt(product) if 1e-290 < product < 1e300 else math.sqrt(p) * math.sqrt(q)


@numba.njit(inline="always")
def _cosine(s, p, q, theta, near):
    root = _root(p, q)
    return s / root if root > 0.0 else 0.0


@numba.njit(inline="always")
def _clipped_cosine(s, p, q, root):
    # Of a point with itself it is 1, whatever the rounding of the root.
    return 1.0 if s == p and p == q else min(1.0, max(-1.0, s / root))


def _of_angle(which):
    """Return the profile |x| |z| _deep(...)[which]: 0 ArcCosine, 1 NeuralTangent."""

    @numba.njit
    def profile(s, p, q, theta, near):
        root = _root(p, q)
        if root == 0.0:
            return 0.0
        u = _clipped_cosine(s, p, q, root)
        if 1.0 - abs(u) < near:
            return math.nan
        return theta[0] * root * _deep(1.0 - u, 1.0 + u, math.acos(u), int(theta[1]))[which]

    return profile


@numba.njit
def _deep(v, w, angle, depth):
    """Return (u_depth, t_depth) of ArcCosine and NeuralTangent for v = 1 - u_0, w = 1 + u_0 and the angle a_0.

    v keeps the digits that u = 1 - v = cos a loses near 1: 1 - u_{l+1} = v - (sin a - a cos a) / pi.
    """
    u, sine = 1.0 - v, math.sqrt(v * w)
    tangent = u
    for level in range(depth):
        if level > 0:
            sine = math.sqrt(v * (2.0 - v))
            angle = math.acos(u) if v > 0.01 else 2.0 * math.asin(math.sqrt(0.5 * v))
        tangent *= (math.pi - angle) / math.pi
        v = min(1.0, max(0.0, v - (sine - angle * u) / math.pi))
        u = 1.0 - v
        tangent += u
    return u, tangent


_OF_DISTANCES = {"gaussian": _gaussian, "laplacian": _laplacian}
_OF_PRODUCTS = {
    "affine": _affine,
    "cosine": _cosine,
    "arc_cosine": _of_angle(0),
    "neural_tangent": _of_angle(1),
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
    """Return the compiled pass from inner products to kernel values, which returns how many it left NaN.

    run(T, a, b, p, q, theta, offset, slack, near, out): T (m, k) holds inner products of shifted points, a (m,) and
    b (k,) undo the shift where the profile is one of products, p and q are squared norms (of the shifted points where
    it is one of distances), theta is a tuple of floats, out (m, k) is float64, or float32 to round each value once.
    Where row i and column i + offset are the same point, the value is exactly that of a point with itself.

    NaN is what inner products do not tell: squared distances below slack (p + q) + near, and cosines within `near` of 1
    or -1 of a profile of the angle. Where numba is told not to compile (NUMBA_DISABLE_JIT), array expressions do it.
    """
    if numba.config.DISABLE_JIT:
        return array_pass(name, degree, np)
    power = _power(degree)
    if name in _OF_DISTANCES:
        return _distance_pass(_OF_DISTANCES[name])
    profile = _OF_PRODUCTS[name]

    @numba.njit(nogil=True, error_model="numpy")
    def run(T, a, b, p, q, theta, offset, slack, near, out):
        missing = 0
        for i in range(T.shape[0]):
            a_i, p_i = a[i], p[i]
            for j in range(T.shape[1]):
                value = profile(T[i, j] + (a_i + b[j]), p_i, q[j], theta, near)
                missing += value != value
                out[i, j] = power(value)
            if 0 <= i + offset < T.shape[1]:
                value = out[i, i + offset]
                missing -= value != value
                out[i, i + offset] = power(profile(p_i, p_i, p_i, theta, -1.0))
        return missing

    return run


def _distance_pass(profile):
    @numba.njit(nogil=True, error_model="numpy")
    def run(T, a, b, p, q, theta, offset, slack, near, out):
        missing = 0
        for i in range(T.shape[0]):
            p_i = p[i]
            for j in range(T.shape[1]):
                both = p_i + q[j]
                squared = both - 2.0 * T[i, j]
                unknown = squared < slack * both + near
                missing += unknown
                out[i, j] = math.nan if unknown else profile(squared if squared > 0.0 else 0.0, theta)
            if 0 <= i + offset < T.shape[1]:
                value = out[i, i + offset]
                missing -= value != value
                out[i, i + offset] = profile(0.0, theta)
        return missing

    return run


# ---- the same from the points ----------------------------------------------------------------------------------------


def _of_units(which):
    """Return the same from the squared distance of unit vectors; NaN where it is the larger of the two, see below."""

    @numba.njit
    def profile(squared, p, q, theta):
        if squared > 2.0:
            return math.nan
        return theta[0] * _root(p, q) * _deep(*_from_units(squared, theta[2]), int(theta[1]))[which]

    return profile


@numba.njit
def _from_units(squared, sign):
    """Return 1 - u, 1 + u and the angle of unit vectors from |x - z|^2 = 2 (1 - u), or with sign -1 from |x + z|^2.

    It must be the smaller of the two, which tells the other.
    """
    small = 0.5 * squared
    angle = 2.0 * math.atan2(math.sqrt(small), math.sqrt(2.0 - small))
    return (small, 2.0 - small, angle) if sign > 0.0 else (2.0 - small, small, math.pi - angle)


_OF_UNITS = {"arc_cosine": _of_units(0), "neural_tangent": _of_units(1)}
_COLUMNS = 64  # whose coordinates stay in a core's cache while rows pass by


@functools.cache
def difference_pass(name):
    """Return the compiled pass that makes what is NaN in out (m, k) from the squared distances of A (m, d), B (k, d).

    run(A, B, p, q, theta, out) returns how many are NaN still. Of profiles of distances, A and B are the points. Of
    profiles of the angle they are unit vectors, p and q squared norms, and theta has one more number: 1, or -1 where B
    are the opposite unit vectors; entries whose squared distance is above 2 stay NaN.

    A squared distance is summed coordinate after coordinate; many in one row are made together, in vector operations.
    """
    if numba.config.DISABLE_JIT:
        return array_differences(name, np)
    if name in _OF_DISTANCES:
        of_distance = _OF_DISTANCES[name]

        @numba.njit(inline="always")
        def profile(squared, p, q, theta):
            return of_distance(squared, theta)

    else:
        profile = _OF_UNITS[name]

    @numba.njit(nogil=True, error_model="numpy")
    def run(A, B, p, q, theta, out):
        d, left = A.shape[1], 0
        turned, sums = np.zeros((d, _COLUMNS)), np.empty(_COLUMNS)
        for start in range(0, len(B), _COLUMNS):
            width = min(_COLUMNS, len(B) - start)
            ready = False
            for i in range(len(A)):
                missing = 0
                for j in range(start, start + width):
                    missing += out[i, j] != out[i, j]
                if missing == 0:
                    continue
                together = missing * 8 > width
                if together:
                    if not ready:
                        for j in range(width):
                            for t in range(d):
                                turned[t, j] = B[start + j, t]
                        ready = True
                    sums[:] = 0.0
                    for t in range(d):
                        value = A[i, t]
                        for j in range(_COLUMNS):
                            difference = value - turned[t, j]
                            sums[j] += difference * difference
                if missing == width:  # without a branch, so that this too is done in vector operations
                    for j in range(width):
                        value = profile(sums[j], p[i], q[start + j], theta)
                        left += value != value
                        out[i, start + j] = value
                    continue
                for j in range(start, start + width):
                    if out[i, j] == out[i, j]:
                        continue
                    if together:
                        squared = sums[j - start]
                    else:
                        squared = 0.0
                        for t in range(d):
                            difference = A[i, t] - B[j, t]
                            squared += difference * difference
                    value = profile(squared, p[i], q[j], theta)
                    left += value != value
                    out[i, j] = value
        return left

    return run
