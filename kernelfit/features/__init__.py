"""Features: what is made of images before a kernel sees them.

Gabor, Scattering, Wavelet and RandomConv are scikit-learn transformers, loaded when they are used. The definitions
behind them are frozen objects of the same names in the modules beside, which `parse_features` makes of texts.
"""

import importlib
from typing import TYPE_CHECKING

from kernelfit.features.base import Features, ImageMap, Pixels

if TYPE_CHECKING:
    from kernelfit.features.text import parse_features
    from kernelfit.features.transformers import Gabor, RandomConv, Scattering, Wavelet

__all__ = ["Features", "Gabor", "ImageMap", "Pixels", "RandomConv", "Scattering", "Wavelet", "parse_features"]


def __getattr__(name: str) -> object:
    if name == "parse_features":
        return importlib.import_module("kernelfit.features.text").parse_features  # all features, and what they load
    if name in __all__:
        return getattr(importlib.import_module("kernelfit.features.transformers"), name)  # scikit-learn takes a second
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
