"""The paper's nets (section 3 and appendix A of the first version), for any image size, and a user's own.

Every net takes float inputs (n, channels, height, width), or (n, d), and returns logits (n, classes). With images of
28 x 28 x 3 and 10 classes it has the paper's number of parameters: Inception 1,649,402, AlexNet 1,387,786, an MLP of
one hidden layer of 512 units 1,209,866, of three 1,735,178.
"""

import hashlib
import inspect
import math
import numbers
from itertools import pairwise
from pathlib import Path

import torch
from torch import nn

from kernelfit.common.errors import InputError
from kernelfit.common.text_forms import IMPORT_PATH, import_callable, look_up, named_options, parse_expression
from kernelfit.common.validation import check_positive
from kernelfit.nn.draws import torch_seed
from kernelfit.nn.layers import Linear, LocalResponse, SamePool

INITS = ("he", "glorot", "torch")


class MLP(nn.Module):
    """Fully connected layers with ReLU between them; images are flattened."""

    def __init__(self, input_shape, n_classes, *, hidden=(512,), width=1.0, dropout=0.0):
        super().__init__()
        sizes = [math.prod(input_shape), *(_scaled(units, width) for units in hidden)]
        layers = []
        for before, after in pairwise(sizes):
            layers += [Linear(before, after), nn.ReLU(), *_dropout(dropout)]
        self.layers = nn.Sequential(*layers, Linear(sizes[-1], n_classes))

    def forward(self, x):
        return self.layers(x.flatten(1))


class AlexNet(nn.Module):
    """The small AlexNet: (conv 5x5, max-pool 3x3 stride 2, LRN) twice, fully connected 384, 192 and the classes."""

    def __init__(self, input_shape, n_classes, *, width=1.0, dropout=0.0):
        super().__init__()
        channels, *size = _image_shape("alexnet", input_shape)
        c, first, second = (_scaled(units, width) for units in (64, 384, 192))

        def block(before):
            return nn.Conv2d(before, c, 5, padding=2), nn.ReLU(), SamePool(), LocalResponse(c)

        self.features = nn.Sequential(*block(channels), *block(c))
        flat = c * math.prod(math.ceil(math.ceil(side / 2) / 2) for side in size)
        self.classifier = nn.Sequential(
            *(Linear(flat, first), nn.ReLU(), *_dropout(dropout)),
            *(Linear(first, second), nn.ReLU(), *_dropout(dropout)),
            Linear(second, n_classes),
        )

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


class Inception(nn.Module):
    """The small Inception: a convolution, three groups of inception modules with two halvings, mean pool, classes.

    `batch_norm` False is the paper's "Inception w/o BN". `bn_affine` gives each normalisation a scale and a shift of
    its own, 3,424 parameters more than the paper counts.
    """

    def __init__(self, input_shape, n_classes, *, batch_norm=True, bn_affine=False, width=1.0, dropout=0.0):
        super().__init__()
        made, norm = _image_shape("inception", input_shape)[0], (batch_norm, bn_affine)

        def conv(out, kernel=3, stride=1):
            nonlocal made
            before, made = made, _scaled(out, width)
            return _ConvUnit(before, made, kernel, stride, norm)

        def module(narrow, wide):
            nonlocal made
            before, (a, b) = made, (_scaled(narrow, width), _scaled(wide, width))
            made = a + b
            return _Beside(_ConvUnit(before, a, 1, 1, norm), _ConvUnit(before, b, 3, 1, norm))

        def halving(out):
            nonlocal made
            before, out = made, _scaled(out, width)
            made = before + out
            return _Beside(_ConvUnit(before, out, 3, 2, norm), nn.MaxPool2d(3, 2, padding=1))

        self.features = nn.Sequential(
            conv(96),
            *(module(32, 32), module(32, 48), halving(80)),
            *(module(112, 48), module(96, 64), module(80, 80), module(48, 96), halving(96)),
            *(module(176, 160), module(176, 160)),
        )
        self.classifier = nn.Sequential(*_dropout(dropout), Linear(made, n_classes))

    def forward(self, x):
        return self.classifier(self.features(x).mean((2, 3)))


class _ConvUnit(nn.Sequential):
    """Convolution, batch normalisation (or none), ReLU."""

    def __init__(self, before, after, kernel, stride, norm):
        batch_norm, affine = norm
        layers = [nn.Conv2d(before, after, kernel, stride, padding=kernel // 2)]
        layers += [nn.BatchNorm2d(after, affine=affine)] * batch_norm
        super().__init__(*layers, nn.ReLU(inplace=True))


class _Beside(nn.Module):
    """Two layers side by side, their channels put together."""

    def __init__(self, first, second):
        super().__init__()
        self.first, self.second = first, second

    def forward(self, x):
        return torch.cat([self.first(x), self.second(x)], 1)


def _inception_v3(input_shape, n_classes, *, dropout=0.0):
    """torchvision's Inception V3 without its auxiliary classifier, for images of 75 pixels or more (made for 299)."""
    try:
        from torchvision.models import inception_v3
    except ImportError as error:
        raise InputError(f"model inception_v3 is torchvision's ({error}): pip install torchvision") from error
    except RuntimeError as error:  # its operators are compiled for one release of PyTorch
        raise InputError(
            f"this torchvision does not fit PyTorch {torch.__version__} ({error}): install both together"
        ) from error
    channels, *size = _image_shape("inception_v3", input_shape)
    if channels != 3 or min(size) < 75:
        raise InputError(f"model inception_v3 takes colour images of 75 x 75 or more; these are {input_shape}")
    return inception_v3(num_classes=n_classes, aux_logits=False, dropout=dropout, init_weights=True)


def _mlp3(input_shape, n_classes, *, width=1.0, dropout=0.0):
    return MLP(input_shape, n_classes, hidden=(512, 512, 512), width=width, dropout=dropout)


MODELS = {"inception": Inception, "alexnet": AlexNet, "mlp1x512": MLP, "mlp3x512": _mlp3, "mlp": MLP}
MODELS["inception_v3"] = _inception_v3


def build_model(text, input_shape, n_classes, *, seed=0, init="he", dropout=0.0):
    """Return the net that a text names, its weights drawn by `seed` on the CPU: the same on every device.

    Parameters
    ----------
    text : str
        A name of MODELS with or without options, as in "inception(batch_norm=False, width=0.5)" or
        "mlp(hidden=[512, 512])"; or "module:callable", with or without (option=value, ...), that returns an nn.Module.
        The callable gets `input_shape` and `n_classes` as keywords where its signature has them, and keeps its own
        initial weights and dropout.
    input_shape : tuple
        (channels, height, width) or (d,).
    n_classes : int
    init : str
        "he": weights N(0, 2 / fan_in), biases 0, of Kaiming He et al. (2015); "glorot": weights uniform with variance
        2 / (fan_in + fan_out), biases 0, of Glorot and Bengio (2010), and TensorFlow's; "torch": what PyTorch draws.
        The paper does not say how its nets start.
    dropout : float
        After each hidden fully connected layer; of Inception, before the classifier.

    Raises
    ------
    InputError
        The text is not understood, or names no model or option, or the net does not suit the inputs.
    """
    if init not in INITS:
        raise InputError(f"init = {init!r}; known are {', '.join(INITS)}")
    if not (isinstance(dropout, numbers.Real) and 0 <= dropout < 1):
        raise InputError(f"dropout = {dropout!r}; give a probability of at least 0 and below 1")
    make, options, own = _parsed(text)
    if own and init == "glorot":
        raise InputError(f"init = {init} belongs to kernelfit's own models; {text} draws its weights itself")
    if own and dropout:
        raise InputError(f"dropout = {dropout} belongs to kernelfit's own models; give {text} what it takes itself")
    offered = {"input_shape": tuple(input_shape), "n_classes": n_classes, "dropout": dropout}
    taken = {"input_shape", "n_classes"} & set(_parameters(make)) if own else offered
    options = {name: offered[name] for name in taken} | options
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(torch_seed(seed, "weights"))
        try:
            net = make(**options)
        except InputError:
            raise
        except Exception as error:  # a user's callable may fail in any way
            raise InputError(f"model {text!r} could not be made: {type(error).__name__}: {error}") from error
        if not isinstance(net, nn.Module):
            raise InputError(f"model {text!r} returned {type(net).__name__}, not a torch.nn.Module")
        if any(nn.parameter.is_lazy(parameter) for parameter in net.parameters()):
            raise InputError(f"model {text!r} has lazy layers, whose weights are not drawn yet; give their sizes")
        if init != "torch" and not own:
            _start(net, init)
    return net


def code_of(text):
    """Return the SHA-256 of the file that makes a net of one's own; None for kernelfit's, and where there is none."""
    make, _, own = _parsed(text)
    try:
        return hashlib.sha256(Path(inspect.getsourcefile(make)).read_bytes()).hexdigest() if own else None
    except (TypeError, OSError):  # made in C, or by code that was typed
        return None


def fastest_layout(net, input_shape):
    """Return the memory format of the inputs: channels_last of images for a net of two-dimensional convolutions."""
    convolves = len(input_shape) == 3 and any(isinstance(module, nn.Conv2d) for module in net.modules())
    return torch.channels_last if convolves else torch.contiguous_format


def count_parameters(net):
    """Return the numbers that training changes."""
    return sum(parameter.numel() for parameter in net.parameters() if parameter.requires_grad)


def _parsed(text):
    """Return (callable, options, whether it is a user's own)."""
    path, bracket, rest = str(text).strip().partition("(")
    own = bool(IMPORT_PATH.fullmatch(path.strip()))
    try:
        source = text if not own else "own" + bracket + rest
        named = named_options(parse_expression(source, "model"))
        if named is None:
            raise SyntaxError("not a name with options")
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError) as error:  # the last two: deep nesting
        raise InputError(
            f"model {str(text)[:60]!r} was not understood ({str(error)[:100]}). Write a name ({', '.join(MODELS)}), a "
            "name with options such as inception(batch_norm=False), or module:callable for your own"
        ) from error
    name, options = named
    return (import_callable(path.strip(), "model") if own else look_up(name, MODELS, "model")), options, own


def _parameters(make):
    try:
        return inspect.signature(make).parameters
    except (TypeError, ValueError):  # some classes written in C have none
        return {}


def _start(net, init):
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            if init == "he":
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            else:
                nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def _image_shape(name, input_shape):
    if len(input_shape) != 3:
        raise InputError(f"model {name} takes images; these data are vectors of {input_shape[0]}. Take an mlp")
    return input_shape


def _scaled(units, width):
    check_positive("width", width)
    return max(1, round(units * width))


def _dropout(probability):
    return [nn.Dropout(probability)] if probability else []
