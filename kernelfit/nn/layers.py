"""Layers that are PyTorch's in their numbers, and faster on a CPU or TensorFlow's in their border."""

import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

_HAS_ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
_SMALLEST = 2**16  # weights; below, the changes of layout cost more than they bring


def slow_in_bfloat16(device):
    """Whether a device lacks instructions for bfloat16: on a CPU with AVX2 alone AlexNet is 12 times slower in it."""
    return device.type == "cpu" and not (_HAS_ONEDNN and torch.ops.mkldnn._is_mkldnn_bf16_supported())


class Linear(nn.Linear):
    """nn.Linear; on a CPU in float32, large layers in a plain training or evaluation go through oneDNN.

    nn.Linear goes to MKL, which on AMD's processors has no AVX-512: measured on a Zen 5, the products of the first
    layer of MLP 1x512, forward and backward, take 1.8 and 1.7 ms, with oneDNN 0.75 and 0.69 (batch 128, two threads).
    Convolutions go to oneDNN by themselves.
    """

    def forward(self, x):
        plain = x.device.type == "cpu" and x.dtype == self.weight.dtype == torch.float32 and x.ndim == 2
        plain = plain and self.bias is not None and self.weight.numel() >= _SMALLEST
        plain = plain and _HAS_ONEDNN and not torch.compiler.is_compiling()
        if plain and not torch.is_autocast_enabled("cpu"):
            return _OneDnnLinear.apply(x, self.weight, self.bias)
        return super().forward(x)


class _OneDnnLinear(torch.autograd.Function):
    """y = x W^T + b. The gradients are products of the same form: g W = g (W^T)^T and g^T x = g^T (x^T)^T."""

    @staticmethod
    def forward(ctx, x, weight, bias):
        ctx.save_for_backward(x, weight)
        return _product(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        x, weight = ctx.saved_tensors
        of_x = _product(gradient, weight.T) if ctx.needs_input_grad[0] else None
        of_weight = _product(gradient.T, x.T) if ctx.needs_input_grad[1] else None
        return of_x, of_weight, gradient.sum(0) if ctx.needs_input_grad[2] else None


def _product(a, b, bias=None):
    """Return a b^T + bias. oneDNN takes transposed views as they are."""
    return torch.ops.mkldnn._linear_pointwise(a, b, bias, "none", [], "")


class SamePool(nn.Module):
    """Max-pool 3x3 of stride 2 with TensorFlow's SAME border: n points become ceil(n / 2), windows start at 0 if even.

    An even side has one point of border, at its end, which `ceil_mode` gives; an odd one has one at both ends.
    """

    def forward(self, x):
        padding = (x.shape[2] % 2, x.shape[3] % 2)
        return functional.max_pool2d(x, 3, 2, padding=padding, ceil_mode=True)


class LocalResponse(nn.Module):
    """x / (1 + 0.001 / 9 sum of x^2 over the 9 channels around)^0.75: TensorFlow's LRN of radius 4 and alpha 0.001 / 9.

    The same as nn.LocalResponseNorm(9, alpha=1e-3, beta=0.75, k=1), whose sums, a pooling in three dimensions, take
    two fifths of a training step of this net on a CPU. Here they are a product with a banded matrix.
    """

    def __init__(self, channels):
        super().__init__()
        distance = (torch.arange(channels)[:, None] - torch.arange(channels)).abs()
        band = (distance <= 4).float() * (1e-3 / 9)
        self.register_buffer("band", band[:, :, None, None], persistent=False)

    def forward(self, x):
        root = (1 + functional.conv2d(x * x, self.band)).rsqrt()
        return x * (root * root.sqrt())
