"""scikit-learn's face of kernelfit: estimators that interpolate, with all that is measured of their solution."""

from kernelfit.estimators.interpolator import KernelInterpolationClassifier, KernelInterpolator
from kernelfit.estimators.saving import load_model

__all__ = ["KernelInterpolationClassifier", "KernelInterpolator", "load_model"]
