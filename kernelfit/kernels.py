"""Kernels: small frozen objects that evaluate whole blocks and combine with + and *.

Pixels x in 0..255 stand for x / 255 throughout. Most kernels are one profile of <x, z>, |x|^2 and |z|^2
(kernelfit.profiles), so that one GEMM and one fused pass make a block. Entries whose digits inner products have lost,
of points that are near to each other and far from the origin, are made from differences of coordinates.
`kernelfit.kernel_text` reads what str writes.
"""

import dataclasses
import math
import numbers
import operator
from typing import ClassVar

import numpy as np

from kernelfit.errors import InputError
from kernelfit.points import SMALLEST_SQ_NORM

_EPS = np.finfo(np.float64).eps
# By how much an entry of a kernel with values up to 1 may be off through the rounding of inner products before it is
# made from the points instead. Bounds are generous: what is seen is a hundredth of it.
_TOLERANCE = 2.5e-13
_FEW = 8  # coordinates whose differences cost a CPU no more than their inner products


class Kernel:
    """Base of all kernels: the algebra, and the protocol `block`."""

    name: ClassVar[str] = ""

    def block(self, A, B, out):
        """Write K[i, j] = k(A_i, B_j) into out, shape (len(A), len(B)); called from several threads.

        Values are computed in float64; `out` may be float32, which rounds them once.
        """
        raise NotImplementedError

    def with_bandwidth(self, bandwidth):
        """Return the kernel with `bandwidth` wherever the bandwidth was left open."""
        return self

    @property
    def open_bandwidth(self):
        """Whether some bandwidth is still to be chosen."""
        return False

    @property
    def translation_invariant(self):
        """Whether k(x + c, z + c) = k(x, z) for every c, so that points may be shifted."""
        return False

    @property
    def of_products(self):
        """Whether blocks are made from inner products, so that these may be kept instead of made again."""
        return False

    def __add__(self, other):
        return Sum(self, _as_kernel(other))

    def __radd__(self, other):
        return Sum(_as_kernel(other), self)

    def __mul__(self, other):
        return Product(self, _as_kernel(other))

    def __rmul__(self, other):
        return Product(_as_kernel(other), self)

    def __str__(self):
        fields = ((field.name, getattr(self, field.name)) for field in dataclasses.fields(self))
        return f"{self.name}({', '.join(f'{name}={value!r}' for name, value in fields)})"


class _ProfileKernel(Kernel):
    """A kernel that is a profile raised to an integer power."""

    def _profile(self, unit):
        """Return (name of the profile, its parameters, power) where a product of two coordinates is worth `unit`."""
        raise NotImplementedError

    @property
    def of_products(self):
        return True

    def block(self, A, B, out):
        name, parameters, power = self._profile(A.unit)
        theta = tuple(float(value) for value in parameters)
        if self._from_points(A):
            A.require_same_kind(B)
            out[...] = np.nan
            missing = out.size
        else:
            run = _tile_pass(A.device, name, power)
            T, offset = A.inner_products(B), A.offset_to(B)
            offset = len(B) if offset is None else offset  # len(B) and beyond: no entry is a point with itself
            norms = (self._sq_norms(side) for side in (A, B))
            missing = run(T, A.unshift, B.unshift, *norms, theta, offset, *self._unknown(A, B, theta), out)
        if missing:
            self._make_from_points(_difference_pass(A.device, name), A, B, theta, out)

    def _from_points(self, A):
        """Whether no inner products are needed."""
        return False

    def _sq_norms(self, side):
        """Return the squared norms that the profile takes."""
        return side.original_sq_norms

    def _unknown(self, A, B, theta):
        """Return (slack, near), which entries inner products do not tell: see kernelfit.profiles.tile_pass."""
        return 0.0, -math.inf

    def _make_from_points(self, run, A, B, theta, out):
        """Make what is NaN in out from the points."""
        raise NotImplementedError


@dataclasses.dataclass(frozen=True)
class _DistanceKernel(_ProfileKernel):
    bandwidth: float | None = None

    def __post_init__(self):
        if self.bandwidth is not None:
            # Beyond these bounds squares and their inverses leave float64, and K is 1 or the identity anyway.
            _set_number(self, "bandwidth", 1e-100, 1e100)

    def with_bandwidth(self, bandwidth):
        return dataclasses.replace(self, bandwidth=bandwidth) if self.bandwidth is None else self

    @property
    def open_bandwidth(self):
        return self.bandwidth is None

    @property
    def translation_invariant(self):
        return True

    def _chosen_bandwidth(self):
        if self.bandwidth is None:
            raise InputError(f"{self} has no bandwidth yet; give one, or choose one with choose_bandwidth")
        return self.bandwidth

    def _from_points(self, A):
        return A.device.name == "cpu" and A.has_coordinates and not A.exact and A.d <= _FEW

    def _sq_norms(self, side):
        return side.sq_norms

    def _unknown(self, A, B, theta):
        if A.exact or not A.has_coordinates:
            return 0.0, -math.inf
        # |x|^2 + |z|^2 - 2 <x, z> is off by at most slack (|x|^2 + |z|^2).
        slack = _rounding(A.d)
        near = self._nearest(theta[0], slack * (A.largest + B.largest))
        return (slack, near) if near > 0 else (0.0, -math.inf)

    def _nearest(self, scale, error):
        """Return the squared distance beyond which `error` in it changes the kernel by less than _TOLERANCE."""
        raise NotImplementedError

    def _make_from_points(self, run, A, B, theta, out):
        run(A.values, B.values, A.sq_norms, B.sq_norms, theta, out)


@dataclasses.dataclass(frozen=True)
class Gaussian(_DistanceKernel):
    """k(x, z) = exp(-|x - z|^2 / (2 bandwidth^2)). The paper's authors used bandwidth 5 on MNIST.

    Examples
    --------
    >>> str(0.5 * Gaussian(bandwidth=5.0) + Linear())
    '0.5 * gaussian(bandwidth=5.0) + linear()'
    """

    name = "gaussian"

    def _profile(self, unit):
        return "gaussian", [unit / (2 * self._chosen_bandwidth() ** 2)], 1

    def _nearest(self, scale, error):
        # d/dt exp(-scale t) = -scale exp(-scale t)
        return math.log(max(1.0, scale * error / _TOLERANCE)) / scale


@dataclasses.dataclass(frozen=True)
class Laplacian(_DistanceKernel):
    """k(x, z) = exp(-|x - z| / bandwidth) with the Euclidean norm (scikit-learn's laplacian uses the 1-norm)."""

    name = "laplacian"

    def _profile(self, unit):
        return "laplacian", [np.sqrt(unit) / self._chosen_bandwidth()], 1

    def _nearest(self, scale, error):
        # d/dt exp(-scale sqrt t) is less than scale exp(-x) / r with r = sqrt t, x = scale r; it is small enough where
        # x exp(x) >= y, which x = log(1 + y) is.
        return (math.log1p(scale**2 * error / _TOLERANCE) / scale) ** 2


@dataclasses.dataclass(frozen=True)
class Polynomial(_ProfileKernel):
    """k(x, z) = (gamma <x, z> + coef0)^degree, with gamma > 0 and coef0 >= 0 so that it is positive semi-definite."""

    degree: int = 3
    gamma: float = 1.0
    coef0: float = 1.0
    name = "polynomial"

    def __post_init__(self):
        _set_count(self, "degree")
        _set_number(self, "gamma", 1e-100, 1e100)
        _set_number(self, "coef0", 0.0, 1e100)

    def _profile(self, unit):
        return "affine", [self.gamma * unit, self.coef0], self.degree


@dataclasses.dataclass(frozen=True)
class Cosine(_ProfileKernel):
    """k(x, z) = (<x, z> / (|x| |z|))^degree. An author of the paper gets 1.18 % on MNIST with degree 4, "quartic".

    It is 0 where x or z is zero, as in scikit-learn.
    """

    degree: int = 1
    name = "cosine"

    def __post_init__(self):
        _set_count(self, "degree")

    def block(self, A, B, out):
        _require_digits_of_norms(A, B)
        super().block(A, B, out)

    def _profile(self, unit):
        return "cosine", [], self.degree


@dataclasses.dataclass(frozen=True)
class Linear(_ProfileKernel):
    """k(x, z) = <x, z>: minimum-norm linear regression without an intercept."""

    name = "linear"

    def _profile(self, unit):
        return "affine", [unit, 0.0], 1


@dataclasses.dataclass(frozen=True)
class _AngleKernel(_ProfileKernel):
    """A kernel |x| |z| f(angle between x and z), 0 where x or z is zero."""

    depth: int = 1

    def __post_init__(self):
        _set_count(self, "depth")

    def block(self, A, B, out):
        _require_digits_of_norms(A, B)
        super().block(A, B, out)

    def _unknown(self, A, B, theta):
        if not A.has_coordinates:
            return 0.0, -math.inf
        # An error e of u = cos a moves the angle a by e / sin a, and 1 - |u| > sin(a)^2 / 2.
        sine = (2 * _EPS if A.exact else _rounding(A.d)) / _TOLERANCE
        return 0.0, 0.5 * min(1.0, sine) ** 2

    def _make_from_points(self, run, A, B, theta, out):
        units = [_unit_vectors(side) for side in (A, B)]
        norms = [side.original_sq_norms for side in (A, B)]
        if run(*units, *norms, (*theta, 1.0), out):
            run(units[0], -units[1], *norms, (*theta, -1.0), out)


@dataclasses.dataclass(frozen=True)
class ArcCosine(_AngleKernel):
    """The arc-cosine kernel of order 1, composed `depth` times: wide ReLU layers of which the last is trained.

    k(x, z) = |x| |z| u_depth, u_0 = <x, z> / (|x| |z|), u_{l+1} = (sqrt(1 - u_l^2) + u_l (pi - arccos u_l)) / pi.
    Cho and Saul, "Kernel methods for deep learning", 2009, section 2.3, with weights scaled to preserve the norm.
    """

    name = "arccosine"

    def _profile(self, unit):
        return "arc_cosine", [unit, self.depth], 1


@dataclasses.dataclass(frozen=True)
class NeuralTangent(_AngleKernel):
    """The neural tangent kernel of a ReLU net with `depth` hidden layers and no biases.

    k(x, z) = |x| |z| t_depth, t_0 = u_0, t_{l+1} = u_{l+1} + t_l (pi - arccos u_l) / pi, u as for ArcCosine.
    Jacot, Gabriel and Hongler, "Neural tangent kernel", 2018; in this form Bietti and Mairal, 2019, section 2.
    """

    name = "ntk"

    def _profile(self, unit):
        return "neural_tangent", [unit, self.depth], 1


@dataclasses.dataclass(frozen=True)
class Constant(Kernel):
    """k(x, z) = value >= 0: a bias in a sum, a weight in a product. A number in kernel arithmetic becomes one."""

    value: float

    def __post_init__(self):
        _set_number(self, "value", 0.0, 1e100)

    def block(self, A, B, out):
        out[...] = self.value

    @property
    def translation_invariant(self):
        return True

    @property
    def of_products(self):
        return True

    def __str__(self):
        return repr(self.value)


@dataclasses.dataclass(frozen=True)
class _Pair(Kernel):
    left: Kernel
    right: Kernel

    def block(self, A, B, out):
        other = A.device.empty(out.shape, out.dtype)
        self.left.block(A, B, out)
        self.right.block(A, B, other)
        self._combine(out, other, out=out)

    def with_bandwidth(self, bandwidth):
        return type(self)(self.left.with_bandwidth(bandwidth), self.right.with_bandwidth(bandwidth))

    @property
    def open_bandwidth(self):
        return self.left.open_bandwidth or self.right.open_bandwidth

    @property
    def translation_invariant(self):
        return self.left.translation_invariant and self.right.translation_invariant

    @property
    def of_products(self):
        return self.left.of_products and self.right.of_products


@dataclasses.dataclass(frozen=True)
class Sum(_Pair):
    """k(x, z) = left(x, z) + right(x, z)."""

    _combine = staticmethod(np.add)

    def __str__(self):
        return f"{self.left} + {self.right}" if not isinstance(self.right, Sum) else f"{self.left} + ({self.right})"


@dataclasses.dataclass(frozen=True)
class Product(_Pair):
    """k(x, z) = left(x, z) right(x, z)."""

    _combine = staticmethod(np.multiply)

    def __str__(self):
        left = f"({self.left})" if isinstance(self.left, Sum) else str(self.left)
        return f"{left} * ({self.right})" if isinstance(self.right, _Pair) else f"{left} * {self.right}"


@dataclasses.dataclass(frozen=True)
class Custom(Kernel):
    """k given by a user's own function(A, B) on float64 blocks (a, d), (b, d), pixels / 255, that returns (a, b).

    The function is called from several threads at once, so it must not keep state between calls. On a GPU it gets and
    returns CuPy arrays.
    `path` is how it prints: "module:function" where it can be imported from.
    """

    function: object
    path: str = ""

    def block(self, A, B, out):
        xp = A.device.xp
        values = xp.asarray(self.function(A.coordinates(), B.coordinates()))
        if values.shape != out.shape or values.dtype.kind not in "fiu":
            raise InputError(
                f"kernel {self} returned {values.dtype} of shape {values.shape} for blocks of {len(A)} and {len(B)} "
                f"points; expected real numbers of shape {out.shape}"
            )
        if not xp.isfinite(values).all():
            raise InputError(f"kernel {self} returned NaN or infinite values")
        out[...] = values

    def __str__(self):
        made = getattr(self.function, "__qualname__", type(self.function).__name__)
        return f"custom({self.path or f'{self.function.__module__}:{made}'!r})"


@dataclasses.dataclass(frozen=True)
class Precomputed(Kernel):
    """The data already are the kernel: X_train is K (n, n), X_test is the cross matrix (m, n). Stands alone."""

    name = "precomputed"

    def block(self, A, B, out):
        raise InputError("a precomputed kernel has no points, so it cannot be combined with other kernels")


def _tile_pass(device, name, power):
    """Return the pass from a tile of inner products to kernel values: compiled on a CPU, CuPy's fusion on a GPU."""
    if device.name == "cpu":
        from kernelfit.profiles import tile_pass

        return tile_pass(name, power)
    from kernelfit.array_profiles import array_pass

    return array_pass(name, power, device.xp)


def _as_kernel(value):
    if isinstance(value, Kernel):
        return value
    if not isinstance(value, numbers.Real):
        raise InputError(f"a kernel combines with kernels and numbers, not with {value!r}")
    return Constant(value)


def _set_number(kernel, name, smallest, largest):
    """Check a field of a frozen kernel and store it as a float, so that equal kernels print alike."""
    value = getattr(kernel, name)
    try:
        number = float(value) if isinstance(value, numbers.Real) else float("nan")
    except OverflowError:
        number = float("inf")
    if not smallest <= number <= largest:
        raise InputError(
            f"{kernel.name or 'constant'} kernel: {name} = {str(value)[:40]}; it must be a number from {smallest:g} to "
            f"{largest:g}"
        )
    object.__setattr__(kernel, name, number)


def _set_count(kernel, name):
    value = getattr(kernel, name)
    try:
        count = operator.index(value)
    except TypeError:
        count = 0
    if not 1 <= count <= 1000 or isinstance(value, bool):
        raise InputError(f"{kernel.name} kernel: {name} = {str(value)[:40]}; it must be an integer from 1 to 1000")
    object.__setattr__(kernel, name, count)


def _difference_pass(device, name):
    """Return the pass from points to kernel values, for what inner products do not tell."""
    if device.name == "cpu":
        from kernelfit.profiles import difference_pass

        return difference_pass(name)
    from kernelfit.array_profiles import array_differences

    return array_differences(name, device.xp)


def _rounding(d):
    """Return a bound on the error of inner products of d coordinates in float64, relative to |x|^2 + |z|^2.

    d eps is never exceeded; errors of rounding behave as if they were random, and a few times sqrt(d) eps is not either
    (Higham and Mary, "A new approach to probabilistic rounding error analysis", 2019). The constant includes the norms.
    """
    return 4 * math.sqrt(d) * _EPS


def _unit_vectors(side):
    X = side.coordinates()
    norms = side.device.xp.sqrt((X * X).sum(axis=1))
    return X / side.device.xp.where(norms > 0, norms, 1.0)[:, None]


def _require_digits_of_norms(*sides):
    """Raise InputError where a squared norm that is divided by has lost digits to underflow; 0 is handled."""
    for side in sides:
        norms = side.original_sq_norms
        lost = (norms > 0) & (norms < SMALLEST_SQ_NORM)
        if lost.any():
            row = side.start + int(np.flatnonzero(side.device.host(lost))[0])
            raise InputError(
                f"point {row} is too small for a kernel that divides by |x|: |x|^2 has lost its digits in float64. "
                "Scale the points, or leave it out"
            )
