"""Linear models: minimum-norm least squares, the descents that find it, and separation with a margin (section 5)."""

from kernelfit.theory.linear.descent import Path, gradient_descent, kaczmarz, stochastic_gradient_descent
from kernelfit.theory.linear.least_squares import Curvature, LeastSquares, curvature, minimum_norm
from kernelfit.theory.linear.separation import MarginPath, Perceptron, logistic_descent, perceptron

__all__ = [
    "Curvature",
    "LeastSquares",
    "MarginPath",
    "Path",
    "Perceptron",
    "curvature",
    "gradient_descent",
    "kaczmarz",
    "logistic_descent",
    "minimum_norm",
    "perceptron",
    "stochastic_gradient_descent",
]
