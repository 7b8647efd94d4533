"""Scattering of the second order: wavelets of the moduli of wavelets, beside the Gabor features."""

import dataclasses
import math

import numpy as np
import numpy.typing as npt

from kernelfit.common.validation import check_integer, check_number
from kernelfit.features.blur import Blur
from kernelfit.features.filterbank import FilterBank, batch_size
from kernelfit.features.gabor import (
    FirstOrder,
    Gabor,
    checked_wavelengths,
    morlet_bank,
    rooted,
    squared_modulus,
    tolerance_of,
)
from kernelfit.features.streaming import ImageFunction


@dataclasses.dataclass(frozen=True)
class Scattering(Gabor):
    """The Gabor features phi(x), and weight_2 blur_2((|m * psi_2|^2 + floor^2)^(root_2 / 2)), subsampled.

    The modulus m = sqrt(|x * psi_1|^2 + floor^2), without a root, is the envelope of the edges and strokes of one
    wavelength and angle; psi_2, at least twice as long, tells how these lie to each other, which a blur alone forgets
    (Mallat, "Group invariant scattering", 2012; Bruna and Mallat, "Invariant scattering convolution networks", 2013).
    The features of one channel are those of Gabor, then first filter by first filter, second filter by second filter,
    row, column.

    Parameters
    ----------
    second_wavelengths : tuple of float
        Of psi_2; it meets every psi_1 of at most half its wavelength.
    second_orientations, second_root, second_blur, second_step : as for Gabor
    second_weight : float
        Of the features of second order.
    """

    name = "scattering"

    second_wavelengths: tuple[float, ...] = (8.0,)
    second_orientations: int = 8
    second_root: float = 0.5
    second_blur: float = 3.5
    second_step: int = 7
    second_weight: float = 0.75

    def __post_init__(self) -> None:
        super().__post_init__()
        second = checked_wavelengths("second_wavelengths", self.second_wavelengths, least=2 * min(self.wavelengths))
        object.__setattr__(self, "second_wavelengths", second)
        check_integer("second_orientations", self.second_orientations)
        check_integer("second_step", self.second_step)
        check_number("second_root", self.second_root, 0.01, 1.0)
        check_number("second_blur", self.second_blur, 0.1, 1e3)
        check_number("second_weight", self.second_weight, 1e-6, 1e6)

    def prepared(self, shape: tuple[int, ...], dtype: type[np.floating]) -> tuple[ImageFunction, int, int]:
        orders = BothOrders(self, shape, dtype)
        return orders, orders.width, batch_size(shape)

    def paths(self) -> list[tuple[int, int]]:
        """Return (k, j) for each first filter k and second filter j that meets it, in the order of the features."""
        first = np.repeat(self.wavelengths, self.orientations)
        second = np.repeat(self.second_wavelengths, self.second_orientations)
        return [(k, j) for k in range(len(first)) for j in range(len(second)) if second[j] >= 2 * first[k]]


class BothOrders:
    """The features of a Scattering, prepared for images of one shape: images (h, w, n) to an array (width, n)."""

    def __init__(self, scattering: Scattering, shape: tuple[int, ...], dtype: type[np.floating]) -> None:
        self.scattering, self.dtype, tolerance = scattering, dtype, tolerance_of(dtype)
        self.first = FirstOrder(scattering, shape, dtype)
        wavelengths, orientations = scattering.second_wavelengths, scattering.second_orientations
        taps = morlet_bank(scattering.wavelet, wavelengths, orientations, scattering.aspect, tolerance=tolerance)
        self.convolution = FilterBank(taps, shape, dtype=dtype, tolerance=tolerance)
        self.pool = Blur(shape, blur=scattering.second_blur, step=scattering.second_step, dtype=dtype)
        self.paths: dict[int, list[int]] = {}
        for k, j in scattering.paths():
            self.paths.setdefault(k, []).append(j)
        self.count = sum(map(len, self.paths.values()))
        self.width = self.first.width + self.count * math.prod(self.pool.shape)

    def __call__(self, images: npt.NDArray) -> npt.NDArray:
        second = np.empty((self.count, *self.pool.shape, images.shape[2]), self.dtype)
        rows = iter(second)

        def scatter(k, power):
            if k in self.paths:
                spectra = self.convolution.spectra(np.sqrt(power))
                for j in self.paths[k]:
                    again = squared_modulus(self.convolution.response(j, spectra), floor=self.scattering.floor)
                    next(rows)[...] = self.pool(rooted(again, self.scattering.second_root))

        first = self.first(images, scatter)
        second *= self.dtype(self.scattering.second_weight)
        return np.concatenate([first, second.reshape(self.width - len(first), -1)])
