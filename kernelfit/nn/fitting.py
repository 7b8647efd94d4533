"""A net from arrays: model by name, images onto the device, training, and what is measured at the end."""

import dataclasses

import numpy as np
import torch
from torch import nn

from kernelfit.backend import DEVICES
from kernelfit.common.errors import InputError
from kernelfit.common.stopwatch import Stopwatch
from kernelfit.datasets.read.streamed import ImageFiles
from kernelfit.nn.distributed import ALONE
from kernelfit.nn.evaluation import Evaluation, evaluate, starting_weights, weight_norms
from kernelfit.nn.folders import FolderImages
from kernelfit.nn.history import History
from kernelfit.nn.images import CROP, Columns, Images
from kernelfit.nn.models import build_model, count_parameters, fastest_layout
from kernelfit.nn.training import train


@dataclasses.dataclass(frozen=True)
class Fitted:
    """A trained net and what is known of it.

    Attributes
    ----------
    net : nn.Module
    history : History
    train, test : Evaluation
        Against the labels fitted, and the test labels; test is None where there were none.
    norms : dict
        As weight_norms returns.
    columns : Columns or None
        By which a table was standardised.
    input_shape : tuple
    parameters : int
    device : str
    seconds : dict
        prepare, train, evaluate.
    """

    net: nn.Module
    history: History
    train: Evaluation
    test: Evaluation | None
    norms: dict
    columns: Columns | None
    input_shape: tuple
    parameters: int
    device: str
    seconds: dict


def fit_net(
    model,
    X,
    y,
    settings=None,
    *,
    n_classes,
    seed=0,
    crop=CROP,
    whiten=True,
    init="he",
    dropout=0.0,
    device="auto",
    corrupted=None,
    X_test=None,
    y_test=None,
    team=ALONE,
    **options,
):
    """Train the net that `model` names on images X (n, ...) with labels y (n,), and measure it; return a Fitted.

    X is an array or ImageFiles. Options are those of build_model, Images and train; `corrupted` is a boolean array
    (n,). Weights, order, crops and dropout are drawn by `seed`.
    """
    watch, device = Stopwatch(), find_device(device)
    with watch("prepare"):
        shown = {"crop": crop, "whiten": whiten, "device": device}
        images, labels = _images(X, **shown), torch.tensor(np.asarray(y), device=device)
        net, test = build_model(model, images.input_shape, n_classes, seed=seed, init=init, dropout=dropout), None
        images.layout = fastest_layout(net, images.input_shape)
        if X_test is not None:
            test = _images(X_test, images.columns, **shown), torch.tensor(np.asarray(y_test), device=device)
            test[0].layout = images.layout
        corrupted = None if corrupted is None else torch.tensor(corrupted, device=device)
        start = starting_weights(net)
    history = train(net, images, labels, settings, seed=seed, corrupted=corrupted, test=test, team=team, **options)
    with watch("evaluate"):
        on_train = evaluate(net, images, labels, team)
        on_test = evaluate(net, *test, team) if test else None
        norms = weight_norms(net, start)
    watch.add({"train": history.train_seconds, "evaluate": history.evaluate_seconds})
    return Fitted(
        net,
        history,
        on_train,
        on_test,
        norms,
        columns=images.columns,
        input_shape=images.input_shape,
        parameters=count_parameters(net),
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        seconds=watch.seconds,
    )


def _images(X, columns=None, **options):
    """Return an array or ImageFiles as a net sees them."""
    return FolderImages(X, **options) if isinstance(X, ImageFiles) else Images(X, columns=columns, **options)


def find_device(name):
    """Return the torch.device that "auto" (the GPU where there is one), "cpu" or "cuda" stands for."""
    if name not in DEVICES:
        raise InputError(f"device {name!r}; known are {', '.join(DEVICES)}")
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise InputError(f'device cuda: PyTorch {torch.__version__} finds no GPU here. Take `device="cpu"`')
    return torch.device("cuda" if available and name != "cpu" else "cpu")


def describe_torch():
    """Return what the numbers of a training depend on, as a JSON-ready dict."""
    return {"torch": torch.__version__, "torch_threads": torch.get_num_threads()}
