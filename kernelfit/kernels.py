"""Kernels: small frozen objects that evaluate whole blocks, combine with + and *, and print as they are parsed.

Pixels x in 0..255 stand for x / 255 throughout. Every kernel but Custom is a profile of <x, z>, |x|^2 and |z|^2
(kernelfit.profiles), so one GEMM and one fused pass make a block.
"""

import ast
import dataclasses
import importlib
import re
import sys

import numpy as np

from kernelfit.errors import InputError, suggestion
from kernelfit.points import inner_products

_IMPORT_PATH = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")
_LONGEST_TEXT = 4000  # of an expression


class Kernel:
    """Base of all kernels: the algebra, and the protocol `block`."""

    def block(self, A, B, out):
        """Write K[i, j] = k(A_i, B_j) into out, float64 of shape (len(A), len(B)); called from several threads."""
        raise NotImplementedError

    def with_bandwidth(self, bandwidth):
        """Return the kernel with `bandwidth` wherever the bandwidth was left open."""
        return self

    @property
    def open_bandwidth(self):
        """Whether some bandwidth is still to be chosen."""
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
        return f"{_NAME_OF[type(self)]}({', '.join(f'{name}={value!r}' for name, value in fields)})"


class _ProfileKernel(Kernel):
    """A kernel that is one profile raised to one integer power."""

    _profile = ""
    degree = 1

    def _theta(self, unit):
        """The profile's parameters, as a tuple of floats, for coordinates whose products are worth `unit`."""
        raise NotImplementedError

    def block(self, A, B, out):
        from kernelfit.profiles import tile_pass

        theta = tuple(float(value) for value in self._theta(A.unit))
        run = tile_pass(self._profile, self.degree)
        tile = inner_products(A, B)
        offset = A.offset_to(B)
        offset = len(B) if offset is None else offset  # len(B) and beyond: no entry is a point with itself
        run(tile, A.unshift, B.unshift, A.sq_norms, B.sq_norms, theta, offset, out)


@dataclasses.dataclass(frozen=True)
class _DistanceKernel(_ProfileKernel):
    bandwidth: float | None = None

    def __post_init__(self):
        if self.bandwidth is not None:
            # Beyond these bounds squares and their inverses leave float64, and K is 1 or the identity anyway.
            _set_number(self, "bandwidth", 1e-100, 1e100, "in units of pixels / 255")

    def with_bandwidth(self, bandwidth):
        return dataclasses.replace(self, bandwidth=bandwidth) if self.bandwidth is None else self

    @property
    def open_bandwidth(self):
        return self.bandwidth is None

    def _chosen_bandwidth(self):
        if self.bandwidth is None:
            raise InputError(f"{self} has no bandwidth yet; give one, or choose one with choose_bandwidth")
        return self.bandwidth


@dataclasses.dataclass(frozen=True)
class Gaussian(_DistanceKernel):
    """k(x, z) = exp(-|x - z|^2 / (2 bandwidth^2)). The paper's authors used bandwidth 5 on MNIST."""

    _profile = "gaussian"

    def _theta(self, unit):
        return (unit / (2 * self._chosen_bandwidth() ** 2),)


@dataclasses.dataclass(frozen=True)
class Laplacian(_DistanceKernel):
    """k(x, z) = exp(-|x - z| / bandwidth) with the Euclidean norm (scikit-learn's laplacian uses the 1-norm)."""

    _profile = "laplacian"

    def _theta(self, unit):
        return (np.sqrt(unit) / self._chosen_bandwidth(),)


@dataclasses.dataclass(frozen=True)
class Polynomial(_ProfileKernel):
    """k(x, z) = (gamma <x, z> + coef0)^degree, or (<x, z> / (|x| |z|))^degree if normalized.

    `quartic` is the normalised kernel of degree 4, with which an author of the paper gets 1.18 % on MNIST.
    """

    degree: int = 3
    gamma: float = 1.0
    coef0: float = 1.0
    normalized: bool = False

    def __post_init__(self):
        if not isinstance(self.degree, int) or isinstance(self.degree, bool) or self.degree < 1:
            raise InputError(f"degree = {self.degree!r}; a polynomial kernel needs an integer of at least 1")
        # (gamma <x, z> + coef0)^degree is positive semi-definite only for gamma > 0 and coef0 >= 0.
        _set_number(self, "gamma", 1e-100, 1e100)
        _set_number(self, "coef0", 0.0, 1e100)
        if not isinstance(self.normalized, bool):
            raise InputError(f"normalized = {self.normalized!r}; it must be True or False")

    @property
    def _profile(self):
        return "cosine" if self.normalized else "affine"

    def _theta(self, unit):
        return () if self.normalized else (self.gamma * unit, self.coef0)

    def block(self, A, B, out):
        if self.normalized:
            _require_nonzero(A, B)
        super().block(A, B, out)


@dataclasses.dataclass(frozen=True)
class Linear(_ProfileKernel):
    """k(x, z) = <x, z>: minimum-norm linear regression without an intercept."""

    _profile = "affine"

    def _theta(self, unit):
        return (unit, 0.0)


@dataclasses.dataclass(frozen=True)
class _DeepKernel(_ProfileKernel):
    depth: int = 1

    def __post_init__(self):
        if not isinstance(self.depth, int) or isinstance(self.depth, bool) or self.depth < 1:
            raise InputError(f"depth = {self.depth!r}; the number of hidden layers must be an integer of at least 1")

    def _theta(self, unit):
        return (unit, self.depth)

    def block(self, A, B, out):
        _require_nonzero(A, B)
        super().block(A, B, out)


@dataclasses.dataclass(frozen=True)
class ArcCosine(_DeepKernel):
    """The arc-cosine kernel of order 1, composed `depth` times: wide ReLU layers of which the last is trained.

    k(x, z) = |x| |z| u_depth, u_0 = <x, z> / (|x| |z|), u_{l+1} = (sqrt(1 - u_l^2) + u_l (pi - arccos u_l)) / pi.
    Cho and Saul, "Kernel methods for deep learning", 2009, section 2.3, with weights scaled to preserve the norm.
    """

    _profile = "arc_cosine"


@dataclasses.dataclass(frozen=True)
class NeuralTangent(_DeepKernel):
    """The neural tangent kernel of a ReLU net with `depth` hidden layers and no biases.

    k(x, z) = |x| |z| t_depth, t_0 = u_0, t_{l+1} = u_{l+1} + t_l (pi - arccos u_l) / pi, u as for ArcCosine.
    Jacot, Gabriel and Hongler, "Neural tangent kernel", 2018; in this form Bietti and Mairal, 2019, section 2.
    """

    _profile = "neural_tangent"


@dataclasses.dataclass(frozen=True)
class Constant(Kernel):
    """k(x, z) = value: a bias in a sum, a weight in a product. A number in kernel arithmetic becomes one."""

    value: float

    def __post_init__(self):
        _set_number(self, "value", 0.0, 1e100, "for only then a constant kernel is positive semi-definite")

    def block(self, A, B, out):
        out[...] = self.value

    def __str__(self):
        return repr(self.value)


@dataclasses.dataclass(frozen=True)
class _Pair(Kernel):
    left: Kernel
    right: Kernel

    def block(self, A, B, out):
        other = np.empty_like(out)
        self.left.block(A, B, out)
        self.right.block(A, B, other)
        self._combine(out, other, out=out)

    def with_bandwidth(self, bandwidth):
        return type(self)(self.left.with_bandwidth(bandwidth), self.right.with_bandwidth(bandwidth))

    @property
    def open_bandwidth(self):
        return self.left.open_bandwidth or self.right.open_bandwidth


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

    The function is called from several threads at once, so it must not keep state between calls.
    `name` is how it prints: "module:function" where parse_kernel can import it again.
    """

    function: object
    name: str = ""

    def block(self, A, B, out):
        values = np.asarray(self.function(A.coordinates(), B.coordinates()))
        if values.shape != out.shape or values.dtype.kind not in "fiu":
            raise InputError(
                f"kernel {self} returned {values.dtype} of shape {values.shape} for blocks of {len(A)} and {len(B)} "
                f"points; expected real numbers of shape {out.shape}"
            )
        if not np.isfinite(values).all():
            raise InputError(f"kernel {self} returned NaN or infinite values")
        out[...] = values

    def __str__(self):
        return f"custom({self.name or f'{self.function.__module__}:{self.function.__qualname__}'!r})"


@dataclasses.dataclass(frozen=True)
class Precomputed(Kernel):
    """The data already are the kernel: X_train is K (n, n), X_test is the cross matrix (m, n). Stands alone."""

    def block(self, A, B, out):
        raise InputError("a precomputed kernel has no points, so it cannot be combined with other kernels")


_NAMES = {
    "gaussian": Gaussian,
    "laplacian": Laplacian,
    "polynomial": Polynomial,
    "linear": Linear,
    "arccosine": ArcCosine,
    "ntk": NeuralTangent,
    "precomputed": Precomputed,
}
_NAME_OF = {kernel: name for name, kernel in _NAMES.items()}


def parse_kernel(text, *, imports=True):
    """Return the kernel that a text names: the inverse of str(kernel).

    A text is a name ("gaussian", "quartic", ...) with or without options, "polynomial(degree=3)", a number, an import
    path "module:function", or a combination with + and *: "0.5 * gaussian(bandwidth=5) + linear". Bandwidths not
    given stay open. Without `imports`, a text that would import code is refused: for texts from files.

    Raises
    ------
    InputError
        The text is not such an expression, or names no kernel or option.
    """
    text = text.strip()
    if len(text) > _LONGEST_TEXT:
        raise InputError(f"the kernel {text[:60]!r}... has {len(text):,} characters; at most {_LONGEST_TEXT} are read")
    if _IMPORT_PATH.fullmatch(text):
        text = f"custom({text!r})"
    try:
        return _from_tree(ast.parse(text, mode="eval").body, text, imports)
    except (SyntaxError, MemoryError, RecursionError):  # the last two: nested too deeply
        return _from_tree(None, text, imports)


def _from_tree(node, text, imports):
    match node:
        case ast.BinOp(left, ast.Add(), right):
            return _from_tree(left, text, imports) + _from_tree(right, text, imports)
        case ast.BinOp(left, ast.Mult(), right):
            return _from_tree(left, text, imports) * _from_tree(right, text, imports)
        case ast.Constant(int() | float() as value) if not isinstance(value, bool):
            return Constant(value)
        case ast.Name(name):
            return _named(name, {})
        case ast.Call(ast.Name("custom"), [ast.Constant(str() as path)], []) if _IMPORT_PATH.fullmatch(path):
            if not imports:
                raise InputError(f"kernel {text[:60]!r} names code to import, which is not allowed here")
            return _imported(path)
        case ast.Call(ast.Name(name), [], keywords) if len({word.arg for word in keywords}) == len(keywords):
            try:
                return _named(name, {keyword.arg: ast.literal_eval(keyword.value) for keyword in keywords})
            except (TypeError, ValueError) as error:
                if isinstance(error, InputError):
                    raise
                raise InputError(f"kernel {text!r}: {name} does not take these options ({error})") from error
    raise InputError(
        f"kernel {text[:60]!r} was not understood. Write a name ({', '.join(kernel_names())}), a name with options "
        "such as polynomial(degree=3), a combination with + and *, or module:function for your own"
    )


def kernel_names():
    """Return the names that parse_kernel knows."""
    return (*_NAMES, "quartic")


def _named(name, options):
    if name == "quartic":
        return Polynomial(**{"degree": 4, "normalized": True} | options)
    if name not in _NAMES:
        raise InputError(
            f"no kernel is called {name!r}{suggestion(name, kernel_names())}; there are: {', '.join(kernel_names())}"
        )
    return _NAMES[name](**options)


def _imported(path):
    module, _, name = path.partition(":")
    sys.path.insert(0, "")  # a user's own file lies in the current folder
    try:
        found = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise InputError(f"kernel {path} could not be imported: {error}") from error
    finally:
        sys.path.remove("")
    if not callable(found):
        raise InputError(f"kernel {path} is a {type(found).__name__}, not a function of two blocks")
    return Custom(found, path)


def _set_number(kernel, name, smallest, largest, meaning=""):
    """Check a field of a frozen kernel and store it as a float, so that equal kernels print alike."""
    value = getattr(kernel, name)
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = float("nan")
    if not smallest <= number <= largest:
        raise InputError(
            f"{name} = {str(value)[:40]}; it must be a number from {smallest:g} to {largest:g} {meaning}".rstrip()
        )
    object.__setattr__(kernel, name, number)


def _as_kernel(value):
    return value if isinstance(value, Kernel) else Constant(float(value))


def _require_nonzero(*sides):
    for side in sides:
        if not side.sq_norms.all():
            row = side.start + int(np.flatnonzero(side.sq_norms == 0)[0])
            raise InputError(
                f"point {row} is all zeros, and this kernel divides by |x|. Remove the point, or use another kernel"
            )
