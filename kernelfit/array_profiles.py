"""The profiles of kernelfit.profiles as array expressions, for devices where numba does not compile: GPUs.

CuPy fuses an expression into one kernel; with NumPy the same expression runs step by step, which is how it is tested.
"""

import functools
import math

_LONGEST = 16  # repetitions in one fused kernel; the compiler's time grows with them, so longer ones run step by step


def array_pass(name, degree, xp):
    """Return the pass of kernelfit.profiles.tile_pass(name, degree) on arrays of the namespace xp."""

    def run(T, a, b, p, q, theta, offset, out):
        count = int(theta[1]) if name in _RECURSIONS else 0
        scale, shift = (*theta, 0.0, 0.0)[:2]
        values = _expression(name, degree, count, xp)
        # Rows and columns are cut out here: inside of a fused expression arrays have no indices.
        out[...] = values(T, a[:, None], b[None, :], p[:, None], q[None, :], scale, shift)
        first, last = max(0, -offset), min(len(p), out.shape[1] - offset)
        if first < last:  # entries of a point with itself: s = p exactly
            rows, same = xp.arange(first, last), p[first:last]
            none = xp.zeros_like(same)
            out[rows, rows + offset] = values(same, none, none, same, same, scale, shift)

    return run


@functools.cache
def _expression(name, degree, count, xp):
    profile = _PROFILES[name]

    def values(T, a, b, p, q, scale, shift):
        return _power(profile(xp, T + (a + b), p, q, scale, shift, count), degree)

    return xp.fuse(values) if hasattr(xp, "fuse") and count <= _LONGEST else values


def _power(x, degree):
    """Return x^degree by repeated squaring, for an integer degree >= 1."""
    if degree == 1:
        return x
    y = _power(x, degree // 2)
    return y * y * x if degree % 2 else y * y


def _squared_distance(xp, s, p, q):
    return xp.maximum(p + q - 2.0 * s, 0.0)


def _cosine(xp, s, p, q):
    return xp.maximum(xp.minimum(s / xp.sqrt(p * q), 1.0), -1.0)


def _sine(xp, u):
    return xp.sqrt((1.0 - u) * (1.0 + u))


def _gaussian(xp, s, p, q, scale, shift, count):
    return xp.exp(-_squared_distance(xp, s, p, q) * scale)


def _laplacian(xp, s, p, q, scale, shift, count):
    return xp.exp(-xp.sqrt(_squared_distance(xp, s, p, q)) * scale)


def _affine(xp, s, p, q, scale, shift, count):
    return scale * s + shift


def _cosine_of(xp, s, p, q, scale, shift, count):
    return s / xp.sqrt(p * q)


def _arc_cosine(xp, s, p, q, scale, shift, count):
    u = _cosine(xp, s, p, q)
    for _ in range(count):
        u = xp.minimum(1.0, (_sine(xp, u) + u * (math.pi - xp.arccos(u))) / math.pi)
    return scale * xp.sqrt(p * q) * u


def _neural_tangent(xp, s, p, q, scale, shift, count):
    u = _cosine(xp, s, p, q)
    tangent = u
    for _ in range(count):
        angle = (math.pi - xp.arccos(u)) / math.pi
        u = xp.minimum(1.0, _sine(xp, u) / math.pi + u * angle)
        tangent = u + tangent * angle
    return scale * xp.sqrt(p * q) * tangent


_PROFILES = {
    "gaussian": _gaussian,
    "laplacian": _laplacian,
    "affine": _affine,
    "cosine": _cosine_of,
    "arc_cosine": _arc_cosine,
    "neural_tangent": _neural_tangent,
}
_RECURSIONS = ("arc_cosine", "neural_tangent")  # their second parameter counts repetitions
