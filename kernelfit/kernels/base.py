"""What every kernel is: the protocol, and the algebra of + and *."""

import dataclasses
import numbers
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from kernelfit.common.errors import InputError
from kernelfit.kernels.checks import set_number

Points = Any  # kernelfit.grams.base.Points: a room above, which imports this one


class Kernel:
    """Base of all kernels: the algebra, and the protocol `block`."""

    name: ClassVar[str] = ""

    def block(self, A: Points, B: Points, out: npt.NDArray) -> None:
        """Write K[i, j] = k(A_i, B_j) into out, shape (len(A), len(B)); called from several threads.

        Values are computed in float64; `out` may be float32, which rounds them once.
        """
        raise NotImplementedError

    def with_bandwidth(self, bandwidth: float | Sequence[float]) -> "Kernel":
        """Return the kernel with `bandwidth` wherever the bandwidth was left open."""
        return self

    @property
    def open_bandwidth(self) -> bool:
        """Whether some bandwidth is still to be chosen."""
        return False

    @property
    def translation_invariant(self) -> bool:
        """Whether k(x + c, z + c) = k(x, z) for every c, so that points may be shifted."""
        return False

    @property
    def metric(self) -> str:
        """Of the distances that a bandwidth is a multiple of, as SciPy names it."""
        return "euclidean"

    @property
    def of_products(self) -> bool:
        """Whether blocks are made from inner products, so that these may be kept instead of made again."""
        return False

    @property
    def of_matrix(self) -> bool:
        """Whether the data are not points but a matrix that is the kernel already, see Precomputed."""
        return False

    @property
    def is_own(self) -> bool:
        """Whether code of the user's own makes blocks, so that the text of the kernel does not say what they are."""
        return not type(self).__module__.startswith("kernelfit.")

    def __add__(self, other: "Kernel | float") -> "Sum":
        return Sum(self, _as_kernel(other))

    def __radd__(self, other: "Kernel | float") -> "Sum":
        return Sum(_as_kernel(other), self)

    def __mul__(self, other: "Kernel | float") -> "Product":
        return Product(self, _as_kernel(other))

    def __rmul__(self, other: "Kernel | float") -> "Product":
        return Product(_as_kernel(other), self)

    def __str__(self) -> str:
        fields = ((field.name, getattr(self, field.name)) for field in dataclasses.fields(self))  # type: ignore[arg-type]
        return f"{self.name}({', '.join(f'{name}={value!r}' for name, value in fields)})"


_ROWS = 512  # of a block of a sum or product at a time


@dataclasses.dataclass(frozen=True)
class Constant(Kernel):
    """k(x, z) = value >= 0: a bias in a sum, a weight in a product. A number in kernel arithmetic becomes one."""

    value: float
    translation_invariant = of_products = True

    def __post_init__(self) -> None:
        set_number(self, "value", 0.0, 1e100)

    def block(self, A: Points, B: Points, out: npt.NDArray) -> None:
        out[...] = self.value

    def __str__(self) -> str:
        return repr(self.value)


@dataclasses.dataclass(frozen=True)
class _Pair(Kernel):
    left: Kernel
    right: Kernel
    _combine: ClassVar[np.ufunc]

    def block(self, A: Points, B: Points, out: npt.NDArray) -> None:
        """Write k(A, B) into out, in strips of rows: both parts are float64, whatever out is."""
        for start in range(0, len(A), _ROWS):
            strip = out[start : start + _ROWS]
            own = A.part(start, start + len(strip))
            left = strip if out.dtype == np.float64 else A.device.empty(strip.shape, np.float64)
            right = A.device.empty(strip.shape, np.float64)
            self.left.block(own, B, left)
            self.right.block(own, B, right)
            self._combine(left, right, out=left)
            if left is not strip:
                strip[...] = left

    def with_bandwidth(self, bandwidth: float | Sequence[float]) -> Kernel:
        return type(self)(self.left.with_bandwidth(bandwidth), self.right.with_bandwidth(bandwidth))

    @property
    def open_bandwidth(self) -> bool:
        return self.left.open_bandwidth or self.right.open_bandwidth

    @property
    def translation_invariant(self) -> bool:
        return self.left.translation_invariant and self.right.translation_invariant

    @property
    def of_products(self) -> bool:
        return self.left.of_products and self.right.of_products

    @property
    def metric(self) -> str:
        return (self.left if self.left.open_bandwidth else self.right).metric

    @property
    def of_matrix(self) -> bool:
        return self.left.of_matrix or self.right.of_matrix

    @property
    def is_own(self) -> bool:
        return self.left.is_own or self.right.is_own


@dataclasses.dataclass(frozen=True)
class Sum(_Pair):
    """k(x, z) = left(x, z) + right(x, z)."""

    _combine = np.add

    def __str__(self) -> str:
        return f"{self.left} + {self.right}" if not isinstance(self.right, Sum) else f"{self.left} + ({self.right})"


@dataclasses.dataclass(frozen=True)
class Product(_Pair):
    """k(x, z) = left(x, z) right(x, z)."""

    _combine = np.multiply

    def __str__(self) -> str:
        left = f"({self.left})" if isinstance(self.left, Sum) else str(self.left)
        return f"{left} * ({self.right})" if isinstance(self.right, _Pair) else f"{left} * {self.right}"


def _as_kernel(value):
    if isinstance(value, Kernel):
        return value
    if not isinstance(value, numbers.Real):
        raise InputError(f"a kernel combines with kernels and numbers, not with {value!r}")
    return Constant(value)
