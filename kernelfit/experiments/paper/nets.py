"""The paper's experiments with nets: table 1, figure 1, figure 2, as entries that are trained with several seeds.

Each entry and seed is one NetSpec. A run that was killed goes on from its checkpoint.

What the paper does not state, and we chose: batch 128; weight decay 5e-4 on all weights, for AlexNet 0.004 on its fully
connected layers; He's initial weights, and for AlexNet Glorot's, TensorFlow's default: from He's it learns less of true
labels, and nothing of random ones for ten epochs (measured); without batch normalisation a learning rate of 0.01 for
Inception, which at the paper's 0.1 diverges or learns nothing (measured); 100 epochs at most. Random labels, and
figures 1b and 1c, are trained until they are fitted, the curves of 1a until their loss is small too; true labels in
table 1 and figure 2 for all epochs. With the paper's decay of the learning rate, 0.95 each epoch, one hidden layer of
512 leaves 1.6 % of 50,000 random labels unfitted (measured): table 1 has a row with a slower one too, and figures 1b
and 1c have three layers. At the quick scale the learning rate decays by the same factor for each 50,000 images seen,
and the figures are of MNIST unless other data are named: a few thousand images of CIFAR10 are memorised, hardly learnt,
and then noise is fitted as soon as pictures (measured).
"""

import dataclasses
import functools
from typing import Literal

from kernelfit.common.spec import option
from kernelfit.experiments.net import NetSpec, run_nets
from kernelfit.experiments.paper.study import Entry, StudySpec, Task, is_own
from kernelfit.experiments.parts import DataFolder
from kernelfit.nn.settings import PRECISION

CIFAR10 = 50_000  # training images
MODELS = {
    "inception": "inception",
    "inception-nobn": "inception(batch_norm=False)",
    "alexnet": "alexnet",
    "mlp3x512": "mlp3x512",
    "mlp1x512": "mlp1x512",
}
_REGULARISED, _PLAIN = ("crop-wd", "crop", "wd", "none", "random"), ("wd", "none", "random")
TABLE_1 = {"inception": _REGULARISED, "inception-nobn": _PLAIN, "alexnet": _REGULARISED}
TABLE_1 |= {"mlp3x512": _PLAIN, "mlp1x512": (*_PLAIN, "random-slower")}
SLOWER = {"lr_decay": 0.98, "epochs": 200}
SETTINGS_1A = {
    "true": {},
    "shuffled": {"pixels": "shuffled"},
    "random-pixels": {"pixels": "random"},
    "gaussian": {"pixels": "gaussian"},
    "random-labels": {"labels": "random"},
}
IMAGENET = {"imagenet-none": {}, "imagenet-crop": {"augment": True}, "imagenet-random": {"labels": "random"}}


@dataclasses.dataclass(frozen=True)
class Scale:
    """How much is run.

    Attributes
    ----------
    data : str
        Of the figures, unless a spec names other data.
    n_train, n_test : int or None
        Images of an MLP, and of all nets at the full scale; None: all.
    conv : dict
        Other options of the convolutional nets of the figures.
    table1 : dict
        {name of MODELS: columns}.
    figure1a, figure2 : tuple of str
        Models, as texts, of the loss curves; with and without batch normalisation.
    figure1b : tuple of str
    levels : tuple of float
    epochs, limit : int
        Epochs of runs that do not stop when the training set is fitted, and the most of those that do.
    curve_every : int
    """

    data: str
    n_train: int | None
    n_test: int | None
    conv: dict
    table1: dict
    figure1a: str
    figure1b: tuple
    figure2: tuple
    levels: tuple
    epochs: int
    limit: int
    curve_every: int


_SMALL = "inception({}width=0.125)"
SCALES = {
    "quick": Scale(
        data="mnist",
        n_train=5000,
        n_test=2000,
        conv={"n_train": 2000, "crop": 20},
        table1={"mlp3x512": _PLAIN, "mlp1x512": _PLAIN},
        figure1a=_SMALL.format(""),
        figure1b=("mlp1x512",),
        figure2=(_SMALL.format(""), _SMALL.format("batch_norm=False, ")),
        levels=(0.0, 0.25, 0.5, 0.75, 1.0),
        epochs=40,
        limit=200,
        curve_every=4,
    ),
    "full": Scale(
        data="cifar10",
        n_train=None,
        n_test=None,
        conv={},
        table1=TABLE_1,
        figure1a="inception",
        figure1b=("inception", "alexnet", "mlp3x512", "mlp1x512"),
        figure2=("inception", "inception(batch_norm=False)"),
        levels=(0.0, 0.2, 0.4, 0.6, 0.8, 1.0),
        epochs=100,
        limit=100,
        curve_every=50,
    ),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class _NetStudy(DataFolder, StudySpec):
    """A study of nets: each entry is trained with several seeds."""

    group = StudySpec.group

    seeds: int = option(3, "How many seeds: of corruption, weights, order.", least=1)
    data: str | None = option(
        None, "CIFAR10, or other data, by name or path; default: cifar10, and mnist in figures at the quick scale."
    )
    n_train: int | None = option(
        None, "Training images, with the same share of each class; default: those of the scale.", least=2
    )
    precision: Literal["float32", "bfloat16"] = option("float32", PRECISION)
    compile: bool = option(False, "Compile the net with torch.compile.")
    device: Literal["auto", "cpu", "cuda"] = option("auto", "auto: the GPU where PyTorch finds one.", incidental=True)

    def names(self):
        """Return the names of all entries, in order."""
        return list(self._plans())

    def entry(self, name):
        """Return an entry: a net for each seed."""
        part, options = self._plans()[name]
        shared = {"device": self.device, "precision": self.precision, "compile": self.compile}
        shared |= {"data": self.data or self._data(self._scale()), "data_dir": self.data_dir}
        specs = [NetSpec(**shared | {"seed": seed} | options) for seed in range(self.seeds)]
        own = is_own(shared["data"])
        tasks = (Task(each.identity(), each.seed, functools.partial(_train, each), decides=own) for each in specs)
        return Entry(name, part, tuple(tasks))

    def _plans(self):
        """Return {name: (part, options of its NetSpec)} of all entries."""
        plans = (*self._nets(self._scale()), *self._imagenet())
        return {name: (part, options) for name, part, options in plans}

    def _scale(self):
        scale = SCALES[self.scale]
        if self.n_train is None:
            return scale
        return dataclasses.replace(scale, n_train=self.n_train, conv=scale.conv | {"n_train": self.n_train})

    def _nets(self, scale):
        """Yield (name, part, options) of each entry."""
        raise NotImplementedError

    def _imagenet(self):
        return []

    def _data(self, scale):
        return scale.data


def _train(spec, runs, progress):
    for record, _ in run_nets([spec], runs=runs, resume=True, progress=progress):
        yield record


IMAGENET_FOLDER = "Class folders of ImageNet-sized images, for the rows that need them; default: none."


@dataclasses.dataclass(frozen=True, kw_only=True)
class Table1Spec(_NetStudy):
    """Table 1: training and test accuracy with and without regularisation, and on random labels."""

    words = ("reproduce", "table1")

    imagenet: str | None = option(None, IMAGENET_FOLDER, path=True)

    def _data(self, scale):
        return "cifar10"

    def _nets(self, scale):
        for model, columns in scale.table1.items():
            for column in columns:
                options = _shared(scale, MODELS[model])
                options |= {"stop_when_fitted": False, "epochs": scale.epochs, "augment": column.startswith("crop")}
                if column.endswith("wd"):
                    options |= weight_decay(model)
                if column.startswith("random"):
                    options |= {"labels": "random", "stop_when_fitted": True, "epochs": scale.limit}
                if column == "random-slower":
                    options |= {"lr_decay": _decay(options, SLOWER["lr_decay"]), "epochs": SLOWER["epochs"]}
                yield f"{model}-{column}", "", options

    def _imagenet(self):
        return (
            [] if self.imagenet is None else [(name, "", _v3(self.imagenet, **own)) for name, own in IMAGENET.items()]
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Figure1Spec(_NetStudy):
    """Figure 1: loss curves of five corruptions; time to fit and test error against label corruption."""

    words = ("reproduce", "figure1")

    def _nets(self, scale):
        # Some noise is fitted, all of it, at a loss above the 0.1 that is asked for: go on until 0.02.
        shared = _shared(scale, scale.figure1a, **scale.conv) | {"stop_when_fitted": False, "loss_below": 0.02}
        for name, changed in SETTINGS_1A.items():
            yield name, "a", shared | changed
        for model in scale.figure1b:
            for level in scale.levels:
                yield f"{model}-{level:g}", "bc", _shared(scale, model) | {"labels": f"{level:g}"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Figure2Spec(_NetStudy):
    """Figure 2: accuracy along the training, with and without batch normalisation, and early stopping."""

    words = ("reproduce", "figure2")

    imagenet: str | None = option(None, IMAGENET_FOLDER, path=True)

    def _nets(self, scale):
        shared = {"stop_when_fitted": False, "epochs": scale.epochs}
        for name, model in zip(("inception", "inception-nobn"), scale.figure2, strict=True):
            yield name, "b", _shared(scale, model, **scale.conv) | shared

    def _imagenet(self):
        names = ("imagenet-none", "imagenet-crop") if self.imagenet else ()
        return [(name, "a", _v3(self.imagenet, **IMAGENET[name])) for name in names]


def weight_decay(model):
    """Return the options of weight decay for a model: for AlexNet those of TensorFlow's CIFAR10 tutorial."""
    if model == "alexnet":
        return {"weight_decay": 0.004, "decay_layers": "fc"}
    return {"weight_decay": 5e-4}


def _shared(scale, model, **changed):
    options = {"model": model, "epochs": scale.limit, "curve_every": scale.curve_every}
    options |= {"n_train": scale.n_train, "n_test": scale.n_test} | changed
    if model == "alexnet":
        options["init"] = "glorot"
    return options | {"lr_decay": _decay(options, 0.95)}


def _decay(options, factor):
    """Return the decay for each epoch that is `factor` for each CIFAR10 of images seen."""
    return round(factor ** ((options["n_train"] or CIFAR10) / CIFAR10), 6)


def _v3(folder, **own):
    options = {"model": "inception_v3", "data": folder, "stream": True, "crop": 299, "stop_when_fitted": False}
    return options | own
