"""The ReLU network of Theorem 1 as a torch module: theory.expressivity builds it, this one can be trained on."""

import torch
from torch import nn

from kernelfit.common.errors import InputError


class Theorem1Net(nn.Module):
    """c(x) = sum_j w_j relu(<a, x> - b_j), in float64, from a network that theory.expressivity.fit_network made.

    Takes float64 points (m, ...) or uint8 images, which stand for pixels / 255; returns (m,) or (m, r), as
    Network.summed_outputs, whose rounding it shares: off by up to n eps sum_j |w_j| relu(z - b_j).

    Parameters
    ----------
    network : kernelfit.theory.expressivity.Network

    Attributes
    ----------
    direction, knots, weights : nn.Parameter, shapes (d,), (n,) and (n, r)
        a, b and w: 2 n + d numbers for one output.
    """

    def __init__(self, network):
        super().__init__()
        self.vector = network.vector
        self.direction, self.knots, self.weights = (
            nn.Parameter(torch.tensor(array, dtype=torch.float64))
            for array in (network.direction, network.knots, network.weights)
        )

    def forward(self, x):
        if x.ndim < 2:
            raise InputError(f"points of shape {tuple(x.shape)}; give (m, ...), one point as x[None]")
        x = x.flatten(1)
        # Pixels times a direction of multiples of 255 are exact, so images meet the z that they were fitted with.
        z = x.double() @ (self.direction / 255) if x.dtype == torch.uint8 else x.double() @ self.direction
        outputs = torch.relu(z[:, None] - self.knots) @ self.weights
        return outputs[:, 0] if self.vector else outputs
