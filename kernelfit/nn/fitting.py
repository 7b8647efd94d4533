"""A net from arrays: model by name, images onto the device, training, and what is measured at the end."""

import dataclasses

import numpy as np
import torch
from torch import nn

from kernelfit.errors import InputError
from kernelfit.nn.distributed import ALONE
from kernelfit.nn.evaluation import Evaluation, evaluate
from kernelfit.nn.history import History
from kernelfit.nn.images import CROP, Images
from kernelfit.nn.models import build_model, count_parameters, is_convolutional
from kernelfit.nn.settings import Settings
from kernelfit.nn.training import train
from kernelfit.nn.weights import starting_weights, weight_norms
from kernelfit.stopwatch import Stopwatch

DEVICES = ("auto", "cpu", "cuda")


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
    checkpoint=None,
    identity="",
    resume=False,
    progress=None,
    team=ALONE,
):
    """Train the net that `model` names on images X (n, ...) with labels y (n,), and measure it; return a Fitted.

    Options are those of build_model, Images and train; `corrupted` is a boolean array (n,). Weights, order, crops and
    dropout are drawn by `seed`.
    """
    watch, device = Stopwatch(), team.device(find_device(device))
    with watch("prepare"):
        images = Images(X, crop=crop, whiten=whiten, device=device)
        net = build_model(model, images.input_shape, n_classes, seed=seed, init=init, dropout=dropout)
        splits = [images]
        if X_test is not None:
            splits.append(Images(X_test, crop=crop, whiten=whiten, device=device))
        for each in splits:
            each.channels_last = is_convolutional(net)
        labels = [torch.tensor(np.asarray(part), device=device) for part in (y, y_test)[: len(splits)]]
        test = (splits[1], labels[1]) if X_test is not None else None
        start = starting_weights(net)
    history = train(
        net,
        images,
        labels[0],
        settings or Settings(),
        seed=seed,
        corrupted=None if corrupted is None else torch.tensor(corrupted, device=device),
        test=test,
        checkpoint=checkpoint,
        identity=identity,
        resume=resume,
        progress=progress,
        team=team,
    )
    with watch("evaluate"):
        on_train = evaluate(net, images, labels[0], team)
        on_test = evaluate(net, *test, team) if test else None
        norms = weight_norms(net, start)
    watch.add({"train": history.train_seconds, "evaluate": history.evaluate_seconds})
    return Fitted(
        net,
        history,
        on_train,
        on_test,
        norms,
        images.input_shape,
        count_parameters(net),
        device_name(device),
        watch.seconds,
    )


def find_device(name):
    """Return the torch.device that "auto" (the GPU where there is one), "cpu" or "cuda" stands for."""
    if name not in DEVICES:
        raise InputError(f"device {name!r}; known are {', '.join(DEVICES)}")
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise InputError(f"device cuda: PyTorch {torch.__version__} finds no GPU here. Take --device cpu")
    return torch.device("cuda" if available and name != "cpu" else "cpu")


def device_name(device):
    """Return what a device is called in records."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def describe_torch():
    """Return what the numbers of a training depend on, as a JSON-ready dict."""
    return {"torch": torch.__version__, "torch_threads": torch.get_num_threads()}
