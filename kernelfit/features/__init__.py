"""Features: what is made of images before a kernel sees them."""

from kernelfit.features.base import Features, ImageMap, Pixels
from kernelfit.features.gabor import Gabor
from kernelfit.features.scattering import Scattering
from kernelfit.features.wavelet import Wavelet

__all__ = ["Features", "Gabor", "ImageMap", "Pixels", "Scattering", "Wavelet"]
