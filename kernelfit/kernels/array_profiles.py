"""The profiles of kernelfit.kernels.profiles as array expressions, for devices where numba does not compile: GPUs.

CuPy fuses an expression into one kernel; with NumPy the same expression runs step by step, which is how it is tested.
"""

import functools
import math

_LONGEST = 16  # repetitions in one fused kernel; the compiler's time grows with them, so longer ones run step by step
_PIECE = 2**24  # coordinates of pairs of points that are gathered at a time: 128 MB


def array_pass(name, degree, xp):
    """Return the pass of kernelfit.kernels.profiles.tile_pass(name, degree) on arrays of the namespace xp."""

    def run(T, a, b, p, q, theta, offset, slack, near, out):
        count = int(theta[1]) if name in _RECURSIONS else 0
        scale, shift = (*theta, 0.0, 0.0)[:2]
        values = _expression(name, degree, count, xp)
        # Rows and columns are cut out here: inside of a fused expression arrays have no indices.
        out[...] = values(T, a[:, None], b[None, :], p[:, None], q[None, :], scale, shift, slack, near)
        first, last = max(0, -offset), min(len(p), out.shape[1] - offset)
        if first < last:  # entries of a point with itself: s = p exactly
            rows, same = xp.arange(first, last), p[first:last]
            none = xp.zeros_like(same)
            out[rows, rows + offset] = values(same, none, none, same, same, scale, shift, 0.0, -math.inf)
        # Looking for NaN waits for the device.
        return 0 if near == -math.inf else int(xp.isnan(out).sum())

    return run


def array_differences(name, xp):
    """Return the pass of kernelfit.kernels.profiles.difference_pass(name) on arrays of the namespace xp."""

    def run(A, B, p, q, theta, out):
        rows, columns = xp.nonzero(xp.isnan(out))
        step = max(1, _PIECE // A.shape[1])
        for start in range(0, len(rows), step):
            i, j = rows[start : start + step], columns[start : start + step]
            difference = A[i] - B[j]
            squared = (difference * difference).sum(axis=1)
            if name in _OF_DISTANCES:
                out[i, j] = _OF_DISTANCES[name](xp, squared, theta[0])
                continue
            small = xp.where(squared > 2.0, xp.nan, 0.5 * squared)
            angle = 2.0 * xp.arctan2(xp.sqrt(small), xp.sqrt(2.0 - small))
            cosine = (small, 2.0 - small, angle) if theta[2] > 0 else (2.0 - small, small, math.pi - angle)
            out[i, j] = theta[0] * _root(xp, p[i], q[j]) * _deep(xp, *cosine, int(theta[1]))[_RECURSIONS.index(name)]
        return int(xp.isnan(out).sum())

    return run


@functools.cache
def _expression(name, degree, count, xp):
    if name in _OF_DISTANCES:
        profile = _OF_DISTANCES[name]

        def values(T, a, b, p, q, scale, shift, slack, near):
            both = p + q
            squared = both - 2.0 * T
            value = profile(xp, xp.maximum(squared, 0.0), scale)
            return xp.where(squared < slack * both + near, xp.nan, value)

    else:
        of_products = _OF_PRODUCTS[name]

        def values(T, a, b, p, q, scale, shift, slack, near):
            return _power(of_products(xp, T + (a + b), p, q, scale, shift, near, count), degree)

    return xp.fuse(values) if hasattr(xp, "fuse") and count <= _LONGEST else values


def _power(x, degree):
    """Return x^degree by repeated squaring, for an integer degree >= 1."""
    if degree == 1:
        return x
    y = _power(x, degree // 2)
    return y * y * x if degree % 2 else y * y


def _gaussian(xp, squared, scale):
    return xp.exp(-squared * scale)


def _laplacian(xp, squared, scale):
    return xp.exp(-xp.sqrt(squared) * scale)


def _affine(xp, s, p, q, scale, shift, near, count):
    return scale * s + shift


def _root(xp, p, q):
    product = p * q
    return xp.where((product > 1e-290) & (product < 1e300), xp.sqrt(product), xp.sqrt(p) * xp.sqrt(q))


def _cosine(xp, s, p, q, scale, shift, near, count):
    root = _root(xp, p, q)
    return xp.where(root > 0.0, s / xp.where(root > 0.0, root, 1.0), 0.0)


def _angle(which):
    def profile(xp, s, p, q, scale, shift, near, count):
        root = _root(xp, p, q)
        u = xp.minimum(xp.maximum(s / xp.where(root > 0.0, root, 1.0), -1.0), 1.0)
        u = xp.where((s == p) & (p == q), 1.0, u)  # a point with itself, whatever the rounding of root
        value = scale * root * _deep(xp, 1.0 - u, 1.0 + u, xp.arccos(u), count)[which]
        return xp.where((1.0 - xp.abs(u) < near) & (root > 0.0), xp.nan, value)

    return profile


def _deep(xp, v, w, angle, count):
    u, sine = 1.0 - v, xp.sqrt(v * w)
    tangent = u
    for level in range(count):
        if level > 0:
            sine, angle = xp.sqrt(v * (2.0 - v)), 2.0 * xp.arcsin(xp.sqrt(0.5 * v))
        tangent = tangent * ((math.pi - angle) / math.pi)
        v = xp.minimum(xp.maximum(v - (sine - angle * u) / math.pi, 0.0), 1.0)
        u = 1.0 - v
        tangent = tangent + u
    return u, tangent


_OF_DISTANCES = {"gaussian": _gaussian, "laplacian": _laplacian}
_OF_PRODUCTS = {"affine": _affine, "cosine": _cosine, "arc_cosine": _angle(0), "neural_tangent": _angle(1)}
_RECURSIONS = ("arc_cosine", "neural_tangent")  # their second parameter counts repetitions
