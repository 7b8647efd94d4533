"""A net from arrays: model by name, images onto the device, training, and what is measured at the end."""

import dataclasses

import numpy as np
import torch
from torch import nn

from kernelfit.common.errors import InputError
from kernelfit.common.stopwatch import Stopwatch
from kernelfit.datasets.read.streamed import ImageFiles
from kernelfit.nn.columns import Columns
from kernelfit.nn.distributed import ALONE
from kernelfit.nn.evaluation import Evaluation, evaluate
from kernelfit.nn.folders import FolderImages
from kernelfit.nn.history import History
from kernelfit.nn.images import CROP, Images
from kernelfit.nn.many import Member, train_many
from kernelfit.nn.models import build_model, count_parameters, is_convolutional
from kernelfit.nn.settings import Settings
from kernelfit.nn.training import train
from kernelfit.nn.weights import starting_weights, weight_norms

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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """What a net is fitted to, and how: the arguments of fit_net."""

    X: np.ndarray
    y: np.ndarray
    settings: Settings
    seed: int = 0
    corrupted: np.ndarray | None = None
    X_test: np.ndarray | None = None
    y_test: np.ndarray | None = None


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
    watch, device, settings = Stopwatch(), team.device(find_device(device)), settings or Settings()
    case = Case(X=X, y=y, settings=settings, seed=seed, corrupted=corrupted, X_test=X_test, y_test=y_test)
    with watch("prepare"):
        member = _member(model, case, n_classes, _Loader(crop, whiten, device), init, dropout)
        start = starting_weights(member.net)
    history = train(
        member.net,
        member.images,
        member.labels,
        settings,
        seed=seed,
        corrupted=member.corrupted,
        test=member.test,
        checkpoint=checkpoint,
        identity=identity,
        resume=resume,
        progress=progress,
        team=team,
    )
    return _measured(member, history, start, watch, team)


def fit_many(
    model,
    cases,
    *,
    n_classes,
    crop=CROP,
    whiten=True,
    init="he",
    device="auto",
    checkpoint=None,
    identity="",
    resume=False,
    progress=None,
):
    """Train an MLP for each Case, all of them together, and measure it; return a list of Fitted.

    Cases with the very same array X share its images on the device. The other options are those of fit_net; what can
    be trained together is told at kernelfit.nn.many.train_many.
    """
    watch, device = Stopwatch(), find_device(device)
    with watch("prepare"):
        load = _Loader(crop, whiten, device)
        members = [_member(model, case, n_classes, load, init, 0.0) for case in cases]
        starts = [starting_weights(member.net) for member in members]
    histories = train_many(members, checkpoint=checkpoint, identity=identity, resume=resume, progress=progress)
    return [
        _measured(member, history, start, Stopwatch(watch.seconds))
        for member, history, start in zip(members, histories, starts, strict=True)
    ]


class _Loader:
    """Brings arrays to the device, each of them once; ImageFiles are read when they are needed."""

    def __init__(self, crop, whiten, device):
        self.options, self.loaded = {"crop": crop, "whiten": whiten, "device": device}, {}

    def __call__(self, X, like=None):
        """Return the images of X; a test split is standardised `like` the images of the training split."""
        key = id(X), id(like)
        if key not in self.loaded:
            if isinstance(X, ImageFiles):
                made = FolderImages(X, **self.options)
            else:
                made = Images(X, columns=None if like is None else like.columns, **self.options)
            self.loaded[key] = X, made  # X is kept, so that its id stays its own
        return self.loaded[key][1]


def _member(model, case, n_classes, load, init, dropout):
    """Return the Member of a Case: the net as it starts, images and labels on the device."""
    images = load(case.X)
    device = images.device
    net = build_model(model, images.input_shape, n_classes, seed=case.seed, init=init, dropout=dropout)
    test = None
    if case.X_test is not None:
        test = load(case.X_test, like=images), torch.tensor(np.asarray(case.y_test), device=device)
    for each in (images, *(test[:1] if test else ())):
        each.channels_last = is_convolutional(net)
    return Member(
        net=net,
        images=images,
        labels=torch.tensor(np.asarray(case.y), device=device),
        settings=case.settings,
        seed=case.seed,
        corrupted=None if case.corrupted is None else torch.tensor(case.corrupted, device=device),
        test=test,
    )


def _measured(member, history, start, watch, team=ALONE):
    """Return the Fitted of a net that has been trained."""
    net = member.net
    with watch("evaluate"):
        on_train = evaluate(net, member.images, member.labels, team)
        on_test = evaluate(net, *member.test, team) if member.test else None
        norms = weight_norms(net, start)
    watch.add({"train": history.train_seconds, "evaluate": history.evaluate_seconds})
    return Fitted(
        net,
        history,
        on_train,
        on_test,
        norms,
        None if isinstance(member.images, FolderImages) else member.images.columns,
        member.images.input_shape,
        count_parameters(net),
        device_name(member.images.device),
        watch.seconds,
    )


def find_device(name):
    """Return the torch.device that "auto" (the GPU where there is one), "cpu" or "cuda" stands for."""
    if name not in DEVICES:
        raise InputError(f"device {name!r}; known are {', '.join(DEVICES)}")
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise InputError(f'device cuda: PyTorch {torch.__version__} finds no GPU here. Take `device="cpu"`')
    return torch.device("cuda" if available and name != "cpu" else "cpu")


def device_name(device):
    """Return what a device is called in records."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def describe_torch():
    """Return what the numbers of a training depend on, as a JSON-ready dict."""
    return {"torch": torch.__version__, "torch_threads": torch.get_num_threads()}
