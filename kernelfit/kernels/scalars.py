"""The functions of a formula for one pair of points, as numba compiles them: the namespace `xp` of a compiled pass.

None fuses a multiplication with an addition or reorders sums, so that an entry has the same bits in every block.
"""

import math

import numba
import numpy as np
from numba import types
from numba.extending import intrinsic

sqrt, log1p, arccos, arcsin, arctan2 = math.sqrt, math.log1p, math.acos, math.asin, math.atan2
maximum, minimum = max, min

# exp(x) = 2^k exp(r) with k = round(x / ln 2) and |r| <= ln(2) / 2, where the Taylor sum up to r^13 / 13! is accurate
# to 4e-18. ln 2 is split in two (as in fdlibm) so that k ln2_high is exact; adding 1.5 * 2^52 rounds to an integer and
# leaves it in the low bits. numba's own exp is a scalar call, about four times slower.
_LOG2_E, _LN2_HIGH, _LN2_LOW = 1.4426950408889634, 6.93147180369123816490e-01, 1.90821492927058770002e-10
_ROUND = 6755399441055744.0
_ROUND_BITS = int(np.float64(_ROUND).view(np.int64))
_C = tuple(1.0 / math.factorial(k) for k in range(14))
_SMALLEST = -708.0  # exp below this is subnormal; it is set to 0


@numba.njit(inline="always")
def where(condition: bool, a: float, b: float) -> float:
    return a if condition else b


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
def exp(x: float) -> float:
    """exp(x) for x < 709, to 2 eps relative; vectorises."""
    shifted = x * _LOG2_E + _ROUND
    k = shifted - _ROUND
    r = (x - k * _LN2_HIGH) - k * _LN2_LOW
    r2 = r * r
    r4 = r2 * r2
    low = ((1.0 + r) + r2 * (_C[2] + r * _C[3])) + r4 * ((_C[4] + r * _C[5]) + r2 * (_C[6] + r * _C[7]))
    high = ((_C[8] + r * _C[9]) + r2 * (_C[10] + r * _C[11])) + r4 * (_C[12] + r * _C[13])
    value = (low + (r4 * r4) * high) * _as_float((_as_bits(shifted) + (1023 - _ROUND_BITS)) << 52)  # type: ignore[call-arg]
    return value if x > _SMALLEST else 0.0
