"""Features: what is made of images before a kernel sees them."""

from kernelfit.features.base import Features, ImageMap, Pixels
from kernelfit.features.randomconv import RandomConv
from kernelfit.features.text import parse_features

__all__ = ["Features", "ImageMap", "Pixels", "RandomConv", "parse_features"]
