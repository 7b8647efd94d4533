"""Features: what is made of images before a kernel sees them.

Gabor, Scattering, Wavelet and RandomConv are scikit-learn transformers, loaded when they are used. The definitions
behind them are frozen objects of the same names in the modules beside, which `parse_features` makes of texts.
"""

from typing import TYPE_CHECKING

from kernelfit.common.lazy import lazy

if TYPE_CHECKING:
    from kernelfit.features.base import Features, ImageMap, Pixels
    from kernelfit.features.text import parse_features
    from kernelfit.features.transformers import Gabor, RandomConv, Scattering, Wavelet

__all__ = ["Features", "Gabor", "ImageMap", "Pixels", "RandomConv", "Scattering", "Wavelet", "parse_features"]

_HOME_OF = {
    "Features": "base",
    "Gabor": "transformers",
    "ImageMap": "base",
    "Pixels": "base",
    "RandomConv": "transformers",
    "Scattering": "transformers",
    "Wavelet": "transformers",
    "parse_features": "text",
}

__getattr__, __dir__ = lazy(__name__, _HOME_OF)
