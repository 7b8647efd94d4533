"""scikit-learn's face of kernelfit: estimators that interpolate, with all that is measured of their solution."""

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
