"""scikit-learn's face of kernelfit: estimators that interpolate, with all that is measured of their solution.

Each is loaded when it is first used.
"""

from typing import TYPE_CHECKING

from kernelfit.common.lazy import lazy

if TYPE_CHECKING:
    from kernelfit.estimators.classifier import KernelInterpolationClassifier
    from kernelfit.estimators.cross_validated import KernelInterpolationClassifierCV, KernelInterpolatorCV
    from kernelfit.estimators.interpolator import KernelInterpolator
    from kernelfit.estimators.loading import load_model

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
    "load_model": "loading",
}

__getattr__, __dir__ = lazy(__name__, _HOME_OF)
