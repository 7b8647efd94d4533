"""Kernels: small frozen objects that evaluate whole blocks and combine with + and *.

Pixels x in 0..255 stand for x / 255 throughout. Most kernels are one formula of <x, z>, |x|^2 and |z|^2
(kernelfit.kernels.formula), so that one GEMM and one fused pass make a block. `kernelfit.kernels.text` reads what str
writes, for every kernel below that has a name: a new one is a file like gaussian.py, and a line here.
"""

from kernelfit.kernels.base import Constant, Kernel, Product, Sum
from kernelfit.kernels.cosine import Cosine
from kernelfit.kernels.custom import Custom
from kernelfit.kernels.gaussian import Gaussian
from kernelfit.kernels.laplacian import Laplacian
from kernelfit.kernels.laplacian_l1 import LaplacianL1
from kernelfit.kernels.matern import Matern
from kernelfit.kernels.polynomial import Linear, Polynomial
from kernelfit.kernels.precomputed import Precomputed
from kernelfit.kernels.rational_quadratic import RationalQuadratic
from kernelfit.kernels.relu import ArcCosine, NeuralTangent

__all__ = [
    "ArcCosine",
    "Constant",
    "Cosine",
    "Custom",
    "Gaussian",
    "Kernel",
    "Laplacian",
    "LaplacianL1",
    "Linear",
    "Matern",
    "NeuralTangent",
    "Polynomial",
    "Precomputed",
    "Product",
    "RationalQuadratic",
    "Sum",
]
