import sys
import types

import numpy as np
import pytest

pytest.importorskip("torch", reason="PyTorch is not installed: the extra nn")

import torch
from torch.nn import functional

from kernelfit.common.errors import InputError
from kernelfit.nn.layers import SamePool
from kernelfit.nn.models import MODELS, build_model, count_parameters, fastest_layout

CIFAR10 = ((3, 28, 28), 10)


@pytest.mark.parametrize(
    ("text", "parameters"),
    [
        ("inception", 1_649_402),
        ("inception(batch_norm=False)", 1_649_402),
        ("inception(bn_affine=True)", 1_652_826),
        ("alexnet", 1_387_786),
        ("mlp3x512", 1_735_178),
        ("mlp1x512", 1_209_866),
        ("mlp(hidden=[512, 512, 512])", 1_735_178),
        ("mlp(hidden=[])", 2352 * 10 + 10),
    ],
)
def test_the_nets_have_the_papers_number_of_parameters(text, parameters):
    assert count_parameters(build_model(text, *CIFAR10)) == parameters


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 13, 21), (2, 33, 32)])
@pytest.mark.parametrize("name", sorted(set(MODELS) - {"inception_v3"}))
def test_any_image_size_gives_logits(name, shape):
    net = build_model(name if name == "mlp" else f"{name}(width=0.1)", shape, 7)
    assert net(torch.randn(3, *shape)).shape == (3, 7)


def test_vectors_go_into_an_mlp_alone():
    assert build_model("mlp1x512", (5,), 2)(torch.randn(4, 5)).shape == (4, 2)
    for name in ("alexnet", "inception"):
        with pytest.raises(InputError, match="mlp"):
            build_model(name, (5,), 2)


def test_weights_belong_to_the_seed_and_leave_the_process_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, again, other = (build_model("mlp(hidden=[4])", (3,), 2, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(first.layers[0].weight, again.layers[0].weight)
    assert not torch.equal(first.layers[0].weight, other.layers[0].weight)


def test_initial_weights_have_their_variance():
    weight = build_model("mlp1x512", (3, 28, 28), 10).layers[0].weight.detach()
    # Of 1.2 million draws the variance is known to sqrt(2 / 1.2e6) = 0.13 %; five of those.
    assert abs(float(weight.var()) * 2352 / 2 - 1) < 0.0065
    first = build_model("mlp1x512", *CIFAR10, init="glorot").layers[0]
    glorots, bound = first.weight.detach(), (6 / (2352 + 512)) ** 0.5  # uniform: variance bound^2 / 3
    assert float(glorots.abs().max()) == pytest.approx(bound, rel=1e-3) and not first.bias.detach().any()
    assert abs(float(glorots.var()) * 3 / bound**2 - 1) < 0.0065
    other = build_model("mlp1x512", *CIFAR10, init="torch").layers[0].weight.detach()
    assert float(other.abs().max()) <= 2352**-0.5


@pytest.mark.parametrize("side", [7, 8, 13, 28])
def test_pooling_has_tensorflows_border(side):
    """SAME: ceil(n / 2) windows, the border shared out with the odd point at the end, as TensorFlow documents it."""
    x = torch.randn(1, 2, side, side + 1)
    pads = []
    for n in (side + 1, side):
        total = max(0, (-(-n // 2) - 1) * 2 + 3 - n)
        pads += [total // 2, total - total // 2]
    expected = functional.max_pool2d(functional.pad(x, pads, value=-torch.inf), 3, 2)
    assert torch.equal(SamePool()(x), expected)


def test_local_response_normalisation_is_tensorflows():
    """sqr_sum[c] = sum of x^2 over c - 4 .. c + 4; x / (1 + 0.001 / 9 sqr_sum)^0.75."""
    norm = build_model("alexnet(width=0.2)", *CIFAR10).features[3].double()
    x = (30 * torch.randn(2, 13, 3, 3, dtype=torch.float64)).requires_grad_()
    sums = torch.stack([(x[:, max(0, c - 4) : c + 5] ** 2).sum(1) for c in range(13)], 1)
    # The band was rounded to float32, 6e-8 relative.
    torch.testing.assert_close(norm(x), x / (1 + 1e-3 / 9 * sums) ** 0.75, rtol=1e-7, atol=0)
    other = torch.nn.LocalResponseNorm(9, alpha=1e-3, beta=0.75, k=1.0)
    torch.testing.assert_close(norm(x), other(x), rtol=1e-7, atol=0)
    gradients = [torch.autograd.grad(each(x).sum(), x)[0] for each in (norm, other)]
    torch.testing.assert_close(*gradients, rtol=1e-6, atol=1e-9)


def test_dropout_is_where_it_is_asked_for():
    for text in ("inception(width=0.1)", "alexnet", "mlp3x512"):
        counts = [
            sum(isinstance(m, torch.nn.Dropout) for m in build_model(text, *CIFAR10, dropout=p).modules())
            for p in (0, 0.5)
        ]
        assert counts[0] == 0 and counts[1] == {"i": 1, "a": 2, "m": 3}[text[0]]


def test_a_net_of_ones_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own_nets.py").write_text(
        "from torch import nn\n"
        "def linear(input_shape, n_classes, bias=True):\n"
        "    c, h, w = input_shape\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(c * h * w, n_classes, bias=bias))\n"
        "def no_net():\n    return 3\n"
        "def broken():\n    raise RuntimeError('no weights today')\n"
    )
    assert count_parameters(build_model("own_nets:linear", (1, 4, 4), 3)) == 51
    assert count_parameters(build_model("own_nets:linear(bias=False)", (1, 4, 4), 3)) == 48
    for text, message in (
        ("own_nets:no_net", "int, not a torch.nn.Module"),
        ("own_nets:broken", "no weights today"),
        ("own_nets:absent", "could not be imported"),
        ("no_such_module:net", "could not be imported"),
    ):
        with pytest.raises(InputError, match=message):
            build_model(text, (1, 4, 4), 3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("inseption", "did you mean 'inception'"),
        ("inception(bn=True)", "bn"),
        ("alexnet(width=0)", "width"),
        ("alexnet(", "not understood"),
        ("__import__('os')", "not understood"),
        ("mlp(hidden=3)", "could not be made"),
    ],
)
def test_other_texts_are_refused(text, message):
    with pytest.raises(InputError, match=message):
        build_model(text, *CIFAR10)
    with pytest.raises(InputError, match="init"):
        build_model("alexnet", *CIFAR10, init="best")
    with pytest.raises(InputError, match="dropout"):
        build_model("alexnet", *CIFAR10, dropout=1)


def test_layouts():
    net = build_model("alexnet(width=0.1)", *CIFAR10)
    assert fastest_layout(net, CIFAR10[0]) == torch.channels_last
    assert fastest_layout(net, (64,)) == fastest_layout(build_model("mlp1x512", *CIFAR10), CIFAR10[0])
    assert fastest_layout(net, (64,)) == torch.contiguous_format


def test_torchvisions_inception():
    try:
        import torchvision  # noqa: F401
    except (ImportError, RuntimeError) as error:  # the latter: made for another release of PyTorch
        with pytest.raises(InputError, match=r"pip install torchvision|install both together"):
            build_model("inception_v3", (3, 75, 75), 4)
        pytest.skip(f"no torchvision: {error}")
    net = build_model("inception_v3", (3, 75, 75), 4).eval()
    assert np.isfinite(net(torch.randn(2, 3, 75, 75)).detach().numpy()).all()


def test_layers_without_bias_are_initialised_too(monkeypatch):
    def inception_v3(num_classes, **_):
        return torch.nn.Sequential(
            torch.nn.Conv2d(3, 2, 75, bias=False), torch.nn.Flatten(), torch.nn.Linear(2, num_classes)
        )

    monkeypatch.setitem(sys.modules, "torchvision", types.ModuleType("torchvision"))
    monkeypatch.setitem(sys.modules, "torchvision.models", types.SimpleNamespace(inception_v3=inception_v3))
    net = build_model("inception_v3", (3, 75, 75), 4, init="he")
    # He's: variance 2 / fan-in, of 2 x 16,875 weights within a few per cent.
    assert float(net[0].weight.detach().var()) * 3 * 75 * 75 / 2 == pytest.approx(1, rel=0.05)
    assert not net[2].bias.detach().any()
