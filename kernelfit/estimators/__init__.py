"""scikit-learn's face of kernelfit: estimators that interpolate, with all that is measured of their solution.

Each is loaded when it is first used.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kernelfit.estimators.classifier import KernelInterpolationClassifier
    from kernelfit.estimators.cross_validated import KernelInterpolationClassifierCV, KernelInterpolatorCV
    from kernelfit.estimators.interpolator import KernelInterpolator
    from kernelfit.estimators.saving import load_model

__all__ = [
    "KernelInterpolationClassifier",
    "KernelInterpolationClassifierCV",
    "KernelInterpolator",
    "KernelInterpolatorCV",
    "load_model",
]

_HOME_OF = {
    "KernelInterpolationClassifier": "classifier",
    "KernelInterpolationClassifierCV": "cross_validated",
    "KernelInterpolator": "interpolator",
    "KernelInterpolatorCV": "cross_validated",
    "load_model": "saving",
}


def __getattr__(name: str) -> object:
    if name in _HOME_OF:
        return getattr(importlib.import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
