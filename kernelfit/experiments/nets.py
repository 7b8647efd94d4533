"""One net, trained: data -> corruption -> images on the device -> training -> measures -> NetRecord."""

import dataclasses
import importlib.metadata
import json
import shlex
from pathlib import Path

import numpy as np

from kernelfit import backend, datasets, nn
from kernelfit.analysis.learning_order import learning_summary, save_correctness
from kernelfit.analysis.leaving_out import margin_distribution
from kernelfit.common.errors import InputError
from kernelfit.common.files import sha256, written
from kernelfit.common.progress import Progress
from kernelfit.common.stopwatch import Stopwatch
from kernelfit.common.validation import check_integer
from kernelfit.corruption import Corruption, corrupt, corrupt_labels, label_probability
from kernelfit.datasets.read.streamed import stream
from kernelfit.nn.settings import Settings
from kernelfit.records.nets import FILE, NetRecord, append_net
from kernelfit.records.record import now

# What the outcome does not depend on, or only in its last bits.
_INCIDENTAL = ("data_dir", "device", "checkpoint_every", "test_every", "curve_every")
_TOP_5_ABOVE = 20  # classes


@dataclasses.dataclass(frozen=True, kw_only=True)
class NetSpec(Settings):
    """What to train, and how: the options of `kernelfit nn train`.

    An `lr` of None is the paper's for the model; a `resize` of None is 8/7 of the crop.
    """

    data: str = "digits"
    model: str = "mlp1x512"
    labels: str = "true"
    pixels: str = "true"
    seed: int = 0
    n_train: int | None = None
    n_test: int | None = None
    crop: int = 28
    stream: bool = False
    resize: int | None = None
    whiten: bool = True
    init: str = "he"
    dropout: float = 0.0
    lr: float | None = None  # type: ignore[assignment]  # a number once it is made
    device: str = "auto"
    data_dir: str | None = None

    def __post_init__(self):
        if self.lr is None:
            object.__setattr__(self, "lr", default_lr(self.model))
        super().__post_init__()
        if self.stream and self.pixels != "true":
            raise InputError(f"pixels = {self.pixels!r}: the pixels of streamed images are left as they are")
        if self.resize is None and self.stream:
            object.__setattr__(self, "resize", round(self.crop * 8 / 7))
        elif self.resize is not None and not self.stream:
            raise InputError(f"resize = {self.resize}: only streamed images are scaled; add stream")
        label_probability(self.labels)  # a mistyped option should not cost a download first
        check_integer("seed", self.seed, 0)

    @property
    def settings(self):
        """The Settings alone."""
        return Settings(**{field.name: getattr(self, field.name) for field in dataclasses.fields(Settings)})

    def command(self):
        """Return the command line that repeats the run."""
        words, fields = ["kernelfit", "nn", "train"], {field.name: field for field in dataclasses.fields(self)}
        for name in ("model", "data", *(name for name in fields if name not in ("model", "data"))):
            value, option = getattr(self, name), name.replace("_", "-")
            if value == fields[name].default and name not in ("model", "data"):
                continue
            words += (
                ["--" + ("" if value else "no-") + option]
                if isinstance(value, bool)
                else [
                    "--" + option,
                    str(value),
                ]
            )
        return shlex.join(words)

    def identity(self, data_sha256):
        """Return the hash of all that decides the outcome; `data_sha256` is that of the corrupted data."""
        fields = {name: value for name, value in dataclasses.asdict(self).items() if name not in _INCIDENTAL}
        fields |= {"data": data_sha256}
        return sha256(json.dumps(fields, sort_keys=True, default=str).encode())


def default_lr(model):
    """Return the paper's learning rate: 0.1 for Inception, 0.01 for the other nets."""
    return 0.1 if model.startswith("inception") else 0.01


def run_net(spec, *, runs=None, resume=False, progress=None):
    """Train the net of a NetSpec; return (NetRecord, net).

    With a folder `runs`, the record is appended to its nets.jsonl, the correctness of every example in every epoch is
    kept in nets/IDENTITY.npz, and checkpoints in nets/IDENTITY.pt while the run lasts. Of several processes that
    torchrun started, the first writes them.

    Raises
    ------
    KernelfitError
        PyTorch is missing, data are not found or unusable, or an option is out of range.
    """
    [made] = _run_one(spec, runs, resume, progress)
    return made


def _run_one(spec, runs, resume, progress):
    """Yield (NetRecord, net) of one net."""
    nn.require_torch()
    from kernelfit.nn.distributed import team_of
    from kernelfit.nn.fitting import find_device, fit_net

    progress, watch, team = progress or Progress(), Stopwatch(), team_of(find_device(spec.device))
    with watch("load"):
        data, changed = _load(spec, progress)
    identity = _identity(spec, changed)
    checkpoint = None if runs is None else Path(runs) / "nets" / f"{identity[:16]}.pt"
    fitted = fit_net(
        spec.model,
        changed.X_train,
        changed.y_train,
        spec.settings,
        n_classes=len(data.classes),
        seed=spec.seed,
        crop=spec.crop,
        whiten=spec.whiten,
        init=spec.init,
        dropout=spec.dropout,
        device=spec.device,
        corrupted=changed.y_train != data.y_train,
        X_test=changed.X_test,
        y_test=data.y_test,
        checkpoint=checkpoint,
        identity=identity,
        resume=resume,
        progress=progress,
        team=team,
    )
    runs = runs if team.is_root else None
    record = _recorded(spec, data, changed, fitted, watch, runs, team.size)
    yield from written((record, fitted.net), _keep, runs, record, fitted.history, checkpoint)


def run_nets(specs, *, runs=None, resume=False, progress=None):
    """Train the nets of several NetSpecs one after another; yield (NetRecord, net) for each as run_net returns it."""
    for spec in specs:
        yield from _run_one(spec, runs, resume, progress)


def _identity(spec, changed):
    """Return the hash of a run. Tables used to be whitened as images are: a run of then is another than one of now."""
    table = spec.whiten and not spec.stream and changed.X_train.ndim == 2
    return spec.identity(changed.sha256 + (", columns standardised" if table else ""))


def _recorded(spec, data, changed, fitted, watch, runs, processes):
    """Return the NetRecord of a net that was fitted, and that _keep writes to the folder `runs`, if any."""
    from kernelfit.nn.fitting import describe_torch

    history, learning, identity = fitted.history, None, _identity(spec, changed)
    wrong_label = changed.y_train != data.y_train
    if history.packed:
        rows = history.packed_rows()
        correct = np.unpackbits(rows, axis=1, count=len(wrong_label)).astype(bool)
        learning = learning_summary(correct, wrong_label) | {"file": None}
        if runs is not None:
            learning["file"] = f"nets/{identity[:16]}.npz"
    watch.add(fitted.seconds)
    seconds = {name: round(value, 4) for name, value in watch.seconds.items()} | {"total": round(watch.total(), 4)}
    return NetRecord(
        identity=identity,
        created=now(),
        version=importlib.metadata.version("kernelfit"),
        command=spec.command(),
        dataset={"asked": str(spec.data), "name": data.name, "provenance": data.provenance, "sha256": data.hashes()},
        n_train=len(data.y_train),
        n_test=len(data.y_test),
        n_classes=len(data.classes),
        input_shape=list(fitted.input_shape),
        model=spec.model,
        parameters=fitted.parameters,
        corruption={
            "labels": changed.labels,
            "pixels": changed.pixels,
            "seed": changed.seed,
            "labels_replaced": int(changed.replaced.sum()),
            "labels_changed": int(wrong_label.sum()),
            "sha256": changed.sha256,
        },
        training=_training(spec),
        seed=spec.seed,
        precision=spec.precision,
        compiled=spec.compile,
        device=fitted.device,
        stopped_by=history.stopped_by,
        epochs=history.epoch,
        steps=history.steps,
        time_to_fit=history.time_to_fit,
        **_errors(fitted, data, changed, wrong_label),
        curve=history.curve,
        step_curve=history.step_curve(spec.curve_every),
        norms=fitted.norms,
        train_margins=margin_distribution(fitted.train.margins),
        test_margins=margin_distribution(fitted.test.margins),
        learning=learning or {},
        warnings=_warnings(spec, history, fitted, changed),
        seconds=seconds,
        images_per_second=history.images / history.train_seconds,
        peak_bytes=backend.peak_memory(),
        environment=backend.describe() | describe_torch() | {"processes": processes},
        resumed=history.resumed,
    )


def _keep(runs, record, history, checkpoint):
    """Write what a NetRecord says about each example, and the record, to the folder `runs`; remove the checkpoint."""
    if runs is None:
        return
    if history.packed:
        save_correctness(Path(runs) / record.learning["file"], history.packed_rows(), record.n_train)
    append_net(Path(runs) / FILE, record)
    checkpoint.unlink(missing_ok=True)


def _load(spec, progress):
    """Return the Dataset and its Corruption: the same bytes as those of a solve with this seed."""
    counts = {"n_train": spec.n_train, "n_test": spec.n_test, "seed": spec.seed}
    if not spec.stream:
        data = datasets.load(spec.data, data_dir=spec.data_dir, progress=progress, **counts)
        options = {"labels": spec.labels, "pixels": spec.pixels, "seed": spec.seed}
        return data, corrupt(data.X_train, data.y_train, data.X_test, n_classes=len(data.classes), **options)
    data, p = stream(spec.data, spec.resize, **counts), label_probability(spec.labels)
    y, replaced = corrupt_labels(data.y_train, len(data.classes), p, spec.seed)
    digest = sha256(json.dumps(data.hashes() | {"y_train": sha256(y)}, sort_keys=True).encode())
    return data, Corruption(data.X_train, y, data.X_test, replaced, p, spec.pixels, spec.seed, digest)


def _training(spec):
    kept = {field.name for field in dataclasses.fields(Settings)} - {*_INCIDENTAL, "precision", "compile"}
    kept |= {"crop", "whiten", "init", "dropout", "stream", "resize"}
    return {name: value for name, value in dataclasses.asdict(spec).items() if name in kept}


def _errors(fitted, data, changed, wrong_label):
    """Return the fields of the record that count errors."""
    train, test = fitted.train, fitted.test
    wrong = train.predicted != changed.y_train
    says_true = train.predicted == data.y_train
    several = len(data.classes) > _TOP_5_ABOVE
    return {
        "train_error": float(wrong.mean()),
        "train_error_clean": _mean(wrong[~wrong_label]),
        "train_error_corrupted": _mean(wrong[wrong_label]),
        "recovered": _mean(says_true[wrong_label]),
        "train_loss": float(train.losses.mean()),
        "test_error": float((test.predicted != data.y_test).mean()),
        "test_error_top5": float((test.rank >= 5).mean()) if several else None,
        "test_loss": float(test.losses.mean()),
    }


def _mean(values):
    return float(values.mean()) if len(values) else None


def _warnings(spec, history, fitted, changed):
    """What a reader of the numbers must know."""
    found = []
    if history.stopped_by == "diverged":
        found.append(f"the loss was no finite number in epoch {history.epoch}: try a smaller learning rate")
    elif history.time_to_fit is None:
        found.append(
            f"the training set is not fitted: its accuracy never reached {100 * spec.target:g} %, and is "
            f"{100 * (fitted.train.predicted == changed.y_train).mean():.3g} % at the end"
        )
    return found
