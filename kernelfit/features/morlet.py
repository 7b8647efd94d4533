"""Morlet filters: PyWavelets' complex Morlet wavelet along a wave, a Gaussian across it, on a grid of pixels."""

import functools
import math
import re

import numpy as np
import numpy.typing as npt

from kernelfit.common.errors import InputError

_SAMPLES = 16_384  # of the mother wavelet, times C sqrt(B / 2): splines between them are exact to 1e-11
_LARGEST = 2048  # radius of a filter in pixels


def parse_morlet(text: str) -> tuple[float, float]:
    """Return (bandwidth B, centre frequency C) of a wavelet named "cmorB-C", e.g. "cmor0.5-1.0".

    psi(t) = exp(-t^2 / B) exp(2 pi i C t) / sqrt(pi B), so a wave of wavelength L is psi(x / (C L)), with a Gaussian of
    standard deviation sqrt(B / 2) C L.
    """
    number = r"(\d+\.?\d*|\.\d+)"
    found = re.fullmatch(f"cmor{number}-{number}", text) if isinstance(text, str) else None
    B, C = map(float, found.groups()) if found else (0.0, 0.0)
    if not 0.1 <= math.sqrt(B / 2) * C <= 10:
        raise InputError(
            f"wavelet {text!r} is no complex Morlet wavelet of PyWavelets, 'cmorB-C', whose standard deviation "
            "sqrt(B / 2) C is 0.1 to 10 wavelengths; write e.g. 'cmor0.5-1.0'"
        )
    import pywt

    mother = pywt.ContinuousWavelet(text)
    B, C = mother.bandwidth_frequency, mother.center_frequency  # as PyWavelets keeps them, in float32
    return B, C


def morlet(
    wavelet: str, wavelength: float, angle: float, aspect: float, *, tolerance: float
) -> npt.NDArray[np.complex128]:
    """Return the taps of one filter, complex128 of odd size (2 r + 1, 2 r + 1), row offset first.

    h(x, y) = (psi(t) - c |psi(t)|) exp(-(aspect v)^2 / (2 s^2)) / norm, t = u / (C L), with u along the wave
    and v across it, s the standard deviation of |psi| in pixels; c makes the taps sum to zero, the norm sum |h|^2 = 1.

    Parameters
    ----------
    wavelet : str
        "cmorB-C" of PyWavelets.
    wavelength : float
        L, in pixels.
    angle : float
        Of the direction u in which the wave runs, from the x axis, in radians.
    aspect : float
        Below 1 the filter is longer across the wave than along it.
    tolerance : float
        Radius r: where the Gaussian has fallen to this part of its top.

    Raises
    ------
    InputError
        The wavelet is no complex Morlet wavelet, or the radius would exceed 2,048 pixels.
    """
    B, C = parse_morlet(wavelet)
    sigma = math.sqrt(B / 2) * C * wavelength
    radius = math.ceil(sigma * math.sqrt(2 * math.log(1 / tolerance)) / min(1.0, aspect))
    if radius > _LARGEST:
        raise InputError(
            f"a filter of wavelength {wavelength:g} with wavelet {wavelet!r} and aspect {aspect:g} would reach "
            f"{radius} pixels, more than {_LARGEST}; take shorter waves, or an aspect nearer to 1"
        )
    offsets = np.arange(-radius, radius + 1)
    y, x = np.meshgrid(offsets, offsets, indexing="ij")
    u, v = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
    across = np.exp(-((aspect * v / sigma) ** 2) / 2)
    wave = _mother(wavelet, tolerance)(u / (C * wavelength))
    wave[~np.isfinite(wave)] = 0.0  # beyond the samples: below the tolerance
    taps, envelope = wave * across, np.abs(wave) * across
    taps -= envelope * (taps.sum() / envelope.sum())
    return taps / np.linalg.norm(taps)


@functools.cache
def _mother(wavelet, tolerance):
    """A spline through samples of the mother wavelet, as far as it is above the tolerance; NaN beyond."""
    import pywt
    from scipy.interpolate import CubicSpline

    mother = pywt.ContinuousWavelet(wavelet)
    reach = math.sqrt(mother.bandwidth_frequency * math.log(1 / tolerance))
    mother.lower_bound, mother.upper_bound = -reach, reach
    waves = math.ceil(math.sqrt(mother.bandwidth_frequency / 2) * mother.center_frequency)
    values, t = mother.wavefun(length=_SAMPLES * waves)
    return CubicSpline(t, values, extrapolate=False)
