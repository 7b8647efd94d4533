"""Gabor features: the moduli of oriented complex wavelets at several wavelengths, blurred and subsampled."""

import dataclasses
import math

import numpy as np

from kernelfit.errors import InputError
from kernelfit.features.base import ImageMap
from kernelfit.features.convolution import Convolution, batch_size
from kernelfit.features.morlet import morlet, parse_morlet
from kernelfit.features.pooling import Pooling
from kernelfit.features.streaming import as_channels, stream


@dataclasses.dataclass(frozen=True)
class Gabor(ImageMap):
    """phi(x) = (blur((|x * psi_LA|^2 + floor^2)^(root/2)) for all wavelengths L and angles A, low blur(x)), subsampled.

    Channels of a colour image are taken one by one. Beyond the border images are zero. The order of the features is
    channel, map (wavelength by wavelength, the low-passed image last), row, column.

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

    wavelengths: tuple = (4.0, 6.0, 9.0)
    orientations: int = 8
    wavelet: str = "cmor0.5-1.0"
    aspect: float = 0.75
    root: float = 0.5
    floor: float = 1e-3
    blur: float = 2.0
    step: int = 4
    low: float = 1.0

    def __post_init__(self):
        object.__setattr__(self, "wavelengths", checked_wavelengths("wavelengths", self.wavelengths))
        check_integer("orientations", self.orientations)
        check_integer("step", self.step)
        parse_morlet(self.wavelet)
        check_number("aspect", self.aspect, 0.05, 20.0)
        check_number("root", self.root, 0.01, 1.0)
        check_number("floor", self.floor, 0.0, 1e6)
        check_number("blur", self.blur, 0.1, 1e3)
        check_number("low", self.low, 0.0, 1e6)

    def filters(self, *, tolerance):
        """Return the taps of all filters, complex128 of odd sizes, cut off where they fall below the tolerance."""
        return morlet_bank(self.wavelet, self.wavelengths, self.orientations, self.aspect, tolerance=tolerance)

    def transform(self, X, *, progress=None):
        """Return float32 features (n, d) of images X (n, h, w) or (n, h, w, channels); uint8 stands for pixels / 255.

        d = channels (wavelengths x orientations + 1) ceil(h / step) ceil(w / step), give or take a row or column.

        Raises
        ------
        InputError
            X are no images.
        """
        return gabor_features(self, X, progress=progress)


def gabor_features(gabor, X, *, dtype=np.float32, progress=None):
    """Return Gabor.transform(X), computed and returned in `dtype`."""
    X = as_channels(X)
    shape, tolerance = X.shape[2:], tolerance_of(dtype)
    convolution = Convolution(gabor.filters(tolerance=tolerance), shape, dtype=dtype, tolerance=tolerance)
    pool = Pooling(shape, blur=gabor.blur, step=gabor.step, dtype=dtype)
    maps = len(convolution) + (gabor.low > 0)

    def features(images):
        out = np.empty((maps, *pool.shape, images.shape[2]), dtype)
        spectra = convolution.spectra(images)
        for k in range(len(convolution)):
            out[k] = pool(rooted_modulus(convolution.response(k, spectra), root=gabor.root, floor=gabor.floor))
        if gabor.low > 0:
            np.multiply(pool(images), dtype(gabor.low), out=out[-1])
        return out

    width = maps * math.prod(pool.shape)
    return stream(X, width, batch_size(shape), features, dtype=dtype, name="gabor", progress=progress)


def tolerance_of(dtype):
    """Return the part of a filter's top, in space and in frequency, that its tails may be dropped below."""
    return 16 * float(np.finfo(dtype).eps)  # what rounding leaves in sums of some hundred products


def morlet_bank(wavelet, wavelengths, orientations, aspect, *, tolerance):
    """Return the taps of a filter for each wavelength and each angle pi k / orientations, the angle running fastest."""
    angles = math.pi * np.arange(orientations) / orientations
    return [morlet(wavelet, L, angle, aspect, tolerance=tolerance) for L in wavelengths for angle in angles]


def rooted_modulus(z, *, root, floor):
    """Return (|z|^2 + floor^2)^(root/2) of a complex array; z is overwritten."""
    parts = z.view(z.real.dtype)
    np.square(parts, out=parts)
    out = parts[..., 0::2] + parts[..., 1::2]
    out += out.dtype.type(floor**2)
    np.sqrt(out, out=out)
    if root == 0.5:
        np.sqrt(out, out=out)  # an order of magnitude faster than a power
    elif root != 1.0:
        np.power(out, out.dtype.type(root), out=out)
    return out


def check_number(name, value, low, high):
    """Raise InputError unless value is a number from low to high."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise InputError(f"{name} = {value!r}; it must be a number from {low:g} to {high:g}")


def check_integer(name, value):
    """Raise InputError unless value is a positive integer."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InputError(f"{name} = {value!r}; it must be a positive integer")


def checked_wavelengths(name, values):
    """Return wavelengths as a tuple of floats."""
    try:
        wavelengths = tuple(float(value) for value in values)
    except (TypeError, ValueError):
        wavelengths = ()
    if not wavelengths or not all(2 <= value <= 1e4 for value in wavelengths):
        raise InputError(f"{name} = {values!r}; give pixels of at least 2 each, e.g. (4, 6, 9)")
    return wavelengths
