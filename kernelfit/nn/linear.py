"""A fully connected layer that takes the faster of PyTorch's two matrix products on a CPU.

nn.Linear goes to MKL, which on AMD's processors has no AVX-512: measured on a Zen 5, the products of the first layer of
MLP 1x512, forward and backward, take 1.8 and 1.7 ms, with oneDNN 0.75 and 0.69 (batch 128, two threads,
float32). Convolutions go to oneDNN by themselves.
"""

import torch
from torch import nn
from torch.autograd.function import once_differentiable

_HAS_ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
_SMALLEST = 2**16  # weights; below, the changes of layout cost more than they bring


class Linear(nn.Linear):
    """nn.Linear; on a CPU in float32, large layers in a plain training or evaluation go through oneDNN."""

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
