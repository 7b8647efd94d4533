"""The paper's experiments with nets: table 1, figure 1, figure 2, as entries that are trained with several seeds.

Each entry and seed is one NetSpec. Its record in nets.jsonl is all that is kept: a run found there, by its command, is
not repeated, and one that was killed goes on from its checkpoint.

What the paper does not state, and we chose: batch 128; weight decay 5e-4 on all weights, for AlexNet 0.004 on its fully
connected layers; He's initial weights; 100 epochs at most. Random labels, and figures 1b and 1c, are trained until
they are fitted, the curves of 1a until their loss is small too; true labels in table 1 and figure 2 for all epochs. At
the quick scale the learning rate decays by the same factor for each 50,000 images seen, and the figures are of MNIST
unless other data are named: a few thousand images of CIFAR10 are memorised, hardly learnt, and then noise is fitted as
soon as pictures (measured).
"""

import dataclasses

from kernelfit.common.errors import InputError, KernelfitError, suggestion
from kernelfit.common.progress import Progress
from kernelfit.common.validation import check_integer
from kernelfit.experiments.nets import NetSpec, run_nets
from kernelfit.records.nets import FILE, read_nets

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
TABLE_1 |= {"mlp3x512": _PLAIN, "mlp1x512": _PLAIN}
SETTINGS_1A = {
    "true": {},
    "shuffled": {"pixels": "shuffled"},
    "random-pixels": {"pixels": "random"},
    "gaussian": {"pixels": "gaussian"},
    "random-labels": {"labels": "random"},
}
IMAGENET = {
    "imagenet-none": {},
    "imagenet-crop": {"augment": True},
    "imagenet-random": {"labels": "random"},
}


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
    table1 : tuple of str
        Names of MODELS.
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
    table1: tuple
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
        table1=("mlp3x512", "mlp1x512"),
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
        table1=tuple(MODELS),
        figure1a="inception",
        figure1b=("inception", "alexnet", "mlp1x512"),
        figure2=("inception", "inception(batch_norm=False)"),
        levels=(0.0, 0.2, 0.4, 0.6, 0.8, 1.0),
        epochs=100,
        limit=100,
        curve_every=50,
    ),
}


@dataclasses.dataclass(frozen=True)
class Entry:
    """A row or a curve: its name, its part of the figure ("" in a table), and the options of its NetSpec."""

    name: str
    part: str
    options: dict


@dataclasses.dataclass(frozen=True)
class Outcome:
    """An entry with its records, one for each seed, or why there are none."""

    entry: Entry
    records: tuple
    failed: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class PaperSpec:
    """What to repeat: the options of `kernelfit nn table1`, `kernelfit reproduce figure1` and `figure2`.

    Attributes
    ----------
    study : str
        One of STUDIES.
    scale : str
        One of SCALES.
    rows : tuple of str
        Names of entries; all unless given.
    seeds : int
        Seeds 0, 1, ..., seeds - 1.
    data : str or None
        CIFAR10, or other data, by name or path; None: cifar10 in table 1, and the data of the scale in figures.
    imagenet : str or None
        Folder of ImageNet-sized images, for the entries that need it; without it these are left out.
    """

    study: str
    scale: str = "quick"
    rows: tuple = ()
    seeds: int = 3
    data: str | None = None
    imagenet: str | None = None
    precision: str = "float32"
    compile: bool = False
    device: str = "auto"
    data_dir: str | None = None

    def __post_init__(self):
        check_integer("seeds", self.seeds)
        known = {entry.name for entry in self._all()}
        for name in self.rows:
            if name not in known:
                raise InputError(f"{self.study} has no {name!r}{suggestion(name, known)}; it has {', '.join(known)}")

    def entries(self):
        """Return the entries to run, in order."""
        return [entry for entry in self._all() if not self.rows or entry.name in self.rows]

    def net_spec(self, entry, seed):
        """Return the NetSpec of an entry and a seed."""
        shared = {"device": self.device, "precision": self.precision, "compile": self.compile}
        data = self.data or ("cifar10" if self.study == "table1" else SCALES[self.scale].data)
        shared |= {"data": data, "data_dir": self.data_dir, "seed": seed}
        return NetSpec(**shared | entry.options)

    def _all(self):
        scale = SCALES[self.scale]
        return [*STUDIES[self.study](scale), *(_imagenet(self) if self.imagenet and self.study != "figure1" else [])]


def run_study(spec, *, runs, progress=None):
    """Run what `runs`/nets.jsonl does not hold yet of a PaperSpec; yield an Outcome for each entry."""
    progress = progress or Progress()
    kept = {record.command: record for record in read_nets(f"{runs}/{FILE}", progress=progress).values()}
    for entry in spec.entries():
        records = []
        try:
            for seed in range(spec.seeds):
                net_spec = spec.net_spec(entry, seed)
                record = kept.get(net_spec.command())
                if record is None:
                    progress.note(f"{entry.name}, seed {seed} ...")
                    for record, _ in run_nets([net_spec], runs=runs, resume=True, progress=progress):
                        kept[record.command] = record
                        records.append(record)
                else:
                    progress.note(f"{entry.name}, seed {seed}: kept from {record.created}")
                    records.append(record)
        except KernelfitError as error:
            yield Outcome(entry, tuple(records), str(error))
        except OSError as error:  # the disk is full: what there is is shown, and then the failure
            yield Outcome(entry, tuple(records), str(error))
            raise
        else:
            yield Outcome(entry, tuple(records))


def _table1(scale):
    entries = []
    for model in scale.table1:
        for column in TABLE_1[model]:
            options = _shared(scale, MODELS[model])
            options |= {"stop_when_fitted": False, "epochs": scale.epochs, "augment": column.startswith("crop")}
            if column.endswith("wd"):
                options |= weight_decay(model)
            if column == "random":
                options |= {"labels": "random", "stop_when_fitted": True, "epochs": scale.limit}
            entries.append(Entry(f"{model}-{column}", "", options))
    return entries


def _figure1(scale):
    # Some noise is fitted, all of it, at a loss above the 0.1 that is asked for: go on until 0.02.
    shared = _shared(scale, scale.figure1a, **scale.conv) | {"stop_when_fitted": False, "loss_below": 0.02}
    entries = [Entry(name, "a", shared | changed) for name, changed in SETTINGS_1A.items()]
    for model in scale.figure1b:
        shared = _shared(scale, model)
        entries += [Entry(f"{model}-{level:g}", "bc", shared | {"labels": f"{level:g}"}) for level in scale.levels]
    return entries


def _figure2(scale):
    names = ("inception", "inception-nobn")
    shared = {"stop_when_fitted": False, "epochs": scale.epochs}
    return [
        Entry(name, "b", _shared(scale, model, **scale.conv) | shared)
        for name, model in zip(names, scale.figure2, strict=True)
    ]


def _imagenet(spec):
    options = {"model": "inception_v3", "data": spec.imagenet, "stream": True, "crop": 299, "stop_when_fitted": False}
    names = list(IMAGENET) if spec.study == "table1" else ["imagenet-none", "imagenet-crop"]
    return [Entry(name, "a" if spec.study == "figure2" else "", options | IMAGENET[name]) for name in names]


STUDIES = {"table1": _table1, "figure1": _figure1, "figure2": _figure2}


def weight_decay(model):
    """Return the options of weight decay for a model: for AlexNet those of TensorFlow's CIFAR10 tutorial."""
    if model == "alexnet":
        return {"weight_decay": 0.004, "decay_layers": "fc"}
    return {"weight_decay": 5e-4}


def _shared(scale, model, **changed):
    options = {"model": model, "epochs": scale.limit, "curve_every": scale.curve_every}
    options |= {"n_train": scale.n_train, "n_test": scale.n_test} | changed
    return options | {"lr_decay": round(0.95 ** ((options["n_train"] or CIFAR10) / CIFAR10), 6)}
