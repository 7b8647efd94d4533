"""scikit-learn's face of kernelfit: estimators that interpolate, with all that is measured of their solution."""

from kernelfit.estimators.interpolator import KernelInterpolationClassifier, KernelInterpolator

__all__ = ["KernelInterpolationClassifier", "KernelInterpolator"]
