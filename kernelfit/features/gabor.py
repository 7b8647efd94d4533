"""Gabor features: the moduli of oriented complex wavelets at several wavelengths, blurred and subsampled."""

import dataclasses
import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from kernelfit.common.errors import InputError
from kernelfit.common.validation import check_integer, check_number
from kernelfit.features.base import ImageMap
from kernelfit.features.blur import Blur
from kernelfit.features.filterbank import FilterBank, batch_size
from kernelfit.features.morlet import morlet, parse_morlet
from kernelfit.features.streaming import ImageFunction


@dataclasses.dataclass(frozen=True)
class Gabor(ImageMap):
    """phi(x) = (blur((|x * psi_LA|^2 + floor^2)^(root/2)) for all wavelengths L and angles A, low blur(x)), subsampled.

    Channels of a colour image are taken one by one. Beyond the border images are zero. The order of the features is
    channel, map (wavelength by wavelength, the low-passed image last), row, column. In each of a channel's
    wavelengths x orientations + 1 maps there are ceil(h / step) x ceil(w / step), give or take a row or column.

    The defaults were chosen for MNIST by leave-one-out error on training points: benchmarks/results/features.md.

    Parameters
    ----------
    wavelengths : tuple of float
        In pixels, at least 2 each.
    orientations : int
        Angles pi k / orientations of the waves.
    wavelet : str
        Mother wavelet along the wave, a complex Morlet of PyWavelets, "cmorB-C": a Gaussian of standard deviation
        sqrt(B / 2) C wavelengths.
    aspect : float
        Below 1 the Gaussian is longer across the wave than along it, by 1 / aspect.
    root : float
        Exponent of the moduli, in (0, 1]: 1 keeps them, 1/2 takes square roots.
    floor : float
        Modulus below which the root is flattened, in units of the image's: roots of rounding errors would be large.
    blur : float
        Standard deviation of the Gaussian average, in pixels.
    step : int
        Every so many pixels a feature is taken.
    low : float
        Weight of the low-passed image; 0 leaves it out.
    """

    name = "gabor"

    wavelengths: tuple[float, ...] = (4.0, 6.0, 9.0)
    orientations: int = 8
    wavelet: str = "cmor0.5-1.0"
    aspect: float = 0.75
    root: float = 0.5
    floor: float = 1e-3
    blur: float = 2.0
    step: int = 4
    low: float = 2.0

    def __post_init__(self) -> None:
        self._plain_numbers()
        object.__setattr__(self, "wavelengths", checked_wavelengths("wavelengths", self.wavelengths))
        check_integer("orientations", self.orientations)
        check_integer("step", self.step)
        parse_morlet(self.wavelet)
        check_number("aspect", self.aspect, 0.05, 20.0)
        check_number("root", self.root, 0.01, 1.0)
        check_number("floor", self.floor, 0.0, 1e6)
        check_number("blur", self.blur, 0.1, 1e3)
        check_number("low", self.low, 0.0, 1e6)

    def prepared(self, shape: tuple[int, ...], dtype: type[np.floating]) -> tuple[ImageFunction, int, int]:
        first = FirstOrder(self, shape, dtype)
        return first, first.width, batch_size(shape)


class FirstOrder:
    """The features of a Gabor, prepared for images of one shape: images (h, w, n) to an array (width, n)."""

    def __init__(self, gabor: Gabor, shape: tuple[int, ...], dtype: type[np.floating]) -> None:
        self.gabor, self.dtype, tolerance = gabor, dtype, tolerance_of(dtype)
        taps = morlet_bank(gabor.wavelet, gabor.wavelengths, gabor.orientations, gabor.aspect, tolerance=tolerance)
        self.convolution = FilterBank(taps, shape, dtype=dtype, tolerance=tolerance)
        self.pool = Blur(shape, blur=gabor.blur, step=gabor.step, dtype=dtype)
        self.maps = len(taps) + (gabor.low > 0)
        self.width = self.maps * math.prod(self.pool.shape)

    def __call__(self, images: npt.NDArray, seen: Callable[[int, npt.NDArray], Any] | None = None) -> npt.NDArray:
        """Return the features; `seen`, if given, is called with each filter's index and |x * psi|^2 + floor^2."""
        out = np.empty((self.maps, *self.pool.shape, images.shape[2]), self.dtype)
        spectra = self.convolution.spectra(images)
        for k in range(len(self.convolution)):
            power = squared_modulus(self.convolution.response(k, spectra), floor=self.gabor.floor)
            if seen:
                seen(k, power)
            out[k] = self.pool(rooted(power, self.gabor.root))
        if self.gabor.low > 0:
            np.multiply(self.pool(images), self.dtype(self.gabor.low), out=out[-1])
        return out.reshape(self.width, -1)


def tolerance_of(dtype: type[np.floating]) -> float:
    """Return the part of a filter's top, in space and in frequency, that its tails may be dropped below."""
    return 16 * float(np.finfo(dtype).eps)  # what rounding leaves in sums of some hundred products


def morlet_bank(
    wavelet: str, wavelengths: Iterable[float], orientations: int, aspect: float, *, tolerance: float
) -> list[npt.NDArray]:
    """Return the taps of a filter for each wavelength and each angle pi k / orientations, the angle running fastest."""
    angles = math.pi * np.arange(orientations) / orientations
    return [morlet(wavelet, L, angle, aspect, tolerance=tolerance) for L in wavelengths for angle in angles]


def squared_modulus(z: npt.NDArray, *, floor: float) -> npt.NDArray:
    """Return |z|^2 + floor^2 of a complex array; z is overwritten."""
    parts = z.view(z.real.dtype)
    np.square(parts, out=parts)
    out = parts[..., 0::2] + parts[..., 1::2]
    out += out.dtype.type(floor**2)
    return out


def rooted(power: npt.NDArray, root: float) -> npt.NDArray:
    """Overwrite squared moduli with moduli to the power `root`."""
    np.sqrt(power, out=power)
    if root == 0.5:
        np.sqrt(power, out=power)  # an order of magnitude faster than a power
    elif root != 1.0:
        np.power(power, power.dtype.type(root), out=power)
    return power


def checked_wavelengths(name: str, values: Iterable[float], *, least: float = 2.0) -> tuple[float, ...]:
    """Return wavelengths as a tuple of floats; raise InputError unless there are some, all at least `least`."""
    try:
        wavelengths = tuple(float(value) for value in values)
    except (TypeError, ValueError):
        wavelengths = ()
    if not wavelengths or not all(least <= value <= 1e4 for value in wavelengths):
        raise InputError(f"{name} = {values!r}; give wavelengths of at least {least:g} pixels, e.g. ({2 * least:g},)")
    return wavelengths
