"""Features: what is made of images before a kernel sees them."""

from kernelfit.features.base import Features, ImageMap, Pixels
from kernelfit.features.gabor import Gabor
from kernelfit.features.randomconv import RandomConv
from kernelfit.features.scattering import Scattering
from kernelfit.features.text import parse_features
from kernelfit.features.wavelet import Wavelet

__all__ = ["Features", "Gabor", "ImageMap", "Pixels", "RandomConv", "Scattering", "Wavelet", "parse_features"]
