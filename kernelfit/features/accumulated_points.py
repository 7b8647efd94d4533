"""Points of a kernel that have inner products, but no coordinates."""

import dataclasses
from collections.abc import Sequence
from typing import NoReturn, Self

import numpy as np
import numpy.typing as npt

from kernelfit import backend
from kernelfit.common.errors import InputError
from kernelfit.common.files import sha256
from kernelfit.grams.base import Points
from kernelfit.grams.inner_products import InnerProducts


@dataclasses.dataclass(frozen=True)
class AccumulatedPoints(Points):
    """Consecutive images of InnerProducts, as points of a kernel.

    Attributes
    ----------
    products : InnerProducts
    start, stop : int
    unit : float
    d : int
        Number of features.
    filters : array, shape (k, h, w, channels), or None
        Some of the filters behind the features, to be looked at.
    """

    products: InnerProducts
    start: int
    stop: int
    unit: float
    d: int
    filters: np.ndarray | None = dataclasses.field(default=None, compare=False)

    @property
    def origin(self) -> object:  # type: ignore[override]
        return self.products

    @property
    def product_dtype(self) -> np.dtype:
        return self.products.panels[0].dtype

    @property
    def device(self) -> backend.Device:  # type: ignore[override]
        return self.products.device

    @property
    def sq_norms(self) -> npt.NDArray[np.float64]:  # type: ignore[override]
        return self.products.sq_norms[self.start : self.stop]

    @property
    def unshift(self) -> npt.NDArray[np.float64]:  # type: ignore[override]
        return self.device.xp.zeros(len(self))

    def __len__(self) -> int:
        return self.stop - self.start

    def part(self, start: int, stop: int) -> Self:
        return dataclasses.replace(self, start=self.start + start, stop=self.start + stop)

    def subset(self, rows: Sequence[int] | npt.NDArray) -> Self:
        rows = np.asarray(rows)
        norms = self.sq_norms[self.device.array(rows)]
        G = self.products.submatrix(rows + self.start)
        products = InnerProducts(len(rows), len(rows), device=self.device, panels=[G], sq_norms=norms)
        return type(self)(products, 0, len(rows), self.unit, self.d)

    def inner_products(self, other: Points) -> npt.NDArray:
        if other.products is not self.products:
            raise InputError("accumulated features meet points of another kind; only those of one run can be combined")
        return self.products.tile((self.start, self.stop), (other.start, other.start + len(other)))

    def coordinates(self) -> NoReturn:
        raise InputError(
            "features that are accumulated have inner products, but no coordinates: a kernel of your own cannot be "
            "used on them"
        )

    def distances(self, metric: str = "euclidean") -> npt.NDArray[np.float64]:
        G, norms = self.device.host(self.inner_products(self)), self.device.host(self.sq_norms)
        squares = np.maximum(norms[:, None] + norms[None] - 2 * G, 0.0) * self.unit
        np.fill_diagonal(squares, 0.0)
        return np.sqrt(squares)

    def fingerprint(self) -> str:
        host = self.device.host
        parts = [sha256(np.ascontiguousarray(host(panel))) for panel in self.products.panels]
        return sha256(repr((parts, sha256(host(self.sq_norms)), self.start, self.stop, self.unit)).encode())
