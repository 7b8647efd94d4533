import numpy as np
import pytest

pytest.importorskip("torch", reason="PyTorch is not installed: the extra nn")

import torch

from kernelfit.common.errors import InputError
from kernelfit.nn import Theorem1Net
from kernelfit.theory.expressivity import fit_network

rng = np.random.default_rng(0)


@pytest.mark.parametrize("dtype", ["uint8", "float64"])
@pytest.mark.parametrize("outputs", [(), (3,)])
def test_the_module_is_the_network(dtype, outputs):
    X = rng.integers(0, 256, (200, 6, 6), dtype=np.uint8)
    X = X if dtype == "uint8" else X / 255
    Y = rng.integers(0, 2, (200, *outputs)).astype(float)
    network = fit_network(X, Y)
    net = Theorem1Net(network)
    Z = rng.integers(0, 256, (50, 6, 6), dtype=np.uint8)
    points = np.concatenate([X, Z if dtype == "uint8" else Z / 255])
    made = net(torch.tensor(points))
    assert made.dtype == torch.float64 and made.shape == (250, *outputs)
    # What n additions of terms |w_j| relu(z - b_j) can be off by, for each of the two.
    sizes = np.abs(network.weights).sum(axis=0) * np.ptp(network.knots)
    bound = 2 * 200 * np.finfo(float).eps * sizes.max()
    np.testing.assert_allclose(made.detach(), network.summed_outputs(points), rtol=0, atol=bound)
    np.testing.assert_allclose(made.detach()[:200], Y, rtol=0, atol=bound)
    assert bound < 1e-3


def test_it_has_the_theorems_parameters_and_can_be_trained_on():
    X, y = rng.random((30, 4)), rng.random(30)
    net = Theorem1Net(fit_network(X, y))
    assert sum(parameter.numel() for parameter in net.parameters()) == 2 * 30 + 4
    ((net(torch.tensor(X)) - torch.tensor(rng.random(30))) ** 2).mean().backward()
    assert all(parameter.grad is not None and bool(parameter.grad.abs().sum() > 0) for parameter in net.parameters())
    with pytest.raises(InputError, match="one point as"):
        net(torch.tensor(X[0]))
