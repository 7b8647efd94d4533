"""Features: what is made of images before a kernel sees them."""

from kernelfit.features.base import Features, ImageMap, Pixels

__all__ = ["Features", "ImageMap", "Pixels"]
