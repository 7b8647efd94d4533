import pytest

pytest.importorskip("torch", reason="PyTorch is not installed: the extra nn")

import torch

from kernelfit.nn.layers import Linear, _OneDnnLinear


def both(layer, x):
    """Outputs and gradients of a layer, and of nn.Linear in float64 with the same weights."""
    exact = torch.nn.Linear(layer.in_features, layer.out_features, dtype=torch.float64)
    exact.load_state_dict(layer.state_dict())
    found = []
    for net, points in ((layer, x), (exact, x.double())):
        points = points.detach().requires_grad_()
        out = net(points)
        gradients = torch.autograd.grad(
            (out * torch.linspace(-1, 1, out.numel()).view_as(out)).sum(), [points, net.weight, net.bias]
        )
        found.append([out.detach().double(), *(gradient.double() for gradient in gradients)])
    return zip(*found, strict=True)


@pytest.mark.parametrize("n", [1, 7, 128])
def test_outputs_and_gradients_are_those_of_the_plain_layer(n, monkeypatch):
    torch.manual_seed(0)
    used = []
    apply = _OneDnnLinear.apply
    monkeypatch.setattr(_OneDnnLinear, "apply", lambda *arguments: used.append(1) or apply(*arguments))
    layer = Linear(700, 110)
    for ours, exact in both(layer, torch.randn(n, 700)):
        # Sums of up to 700 products in float32: sqrt(700) roundings of 6e-8, relative to the largest entry.
        torch.testing.assert_close(ours, exact, rtol=0, atol=1e-5 * float(exact.abs().max()))
    assert used == ([1] if torch.backends.mkldnn.is_available() else [])


def test_other_inputs_take_the_plain_way(monkeypatch):
    monkeypatch.setattr(_OneDnnLinear, "apply", lambda *arguments: pytest.fail("oneDNN"))
    layer, x = Linear(700, 110), torch.randn(3, 700)
    assert Linear(700, 5)(x).shape == (3, 5)
    assert layer(x[None]).shape == (1, 3, 110)
    assert Linear(700, 110, bias=False)(x).shape == (3, 110)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(x).dtype == torch.bfloat16
    assert layer.double()(x.double()).dtype == torch.float64


def test_columns_that_are_not_contiguous():
    layer, x = Linear(700, 110), torch.randn(700, 6).T
    torch.testing.assert_close(layer(x), torch.nn.functional.linear(x, layer.weight, layer.bias), rtol=1e-4, atol=1e-5)
    with torch.inference_mode():
        assert layer(x).shape == (6, 110)
