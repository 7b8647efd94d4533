"""Kernels: small frozen objects that evaluate whole blocks and combine with + and *.

Pixels x in 0..255 stand for x / 255 throughout. Most kernels are one profile of <x, z>, |x|^2 and |z|^2
(kernelfit.kernels.profiles), so that one GEMM and one fused pass make a block. `kernelfit.kernels.text`
reads what str writes.
"""

from kernelfit.kernels.base import Constant, Kernel, Product, Sum
from kernelfit.kernels.named import (
    ArcCosine,
    Cosine,
    Custom,
    Gaussian,
    Laplacian,
    Linear,
    NeuralTangent,
    Polynomial,
    Precomputed,
)

__all__ = [
    "ArcCosine",
    "Constant",
    "Cosine",
    "Custom",
    "Gaussian",
    "Kernel",
    "Laplacian",
    "Linear",
    "NeuralTangent",
    "Polynomial",
    "Precomputed",
    "Product",
    "Sum",
]
