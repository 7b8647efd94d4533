"""One net, trained: data -> corruption -> images on the device -> training -> measures -> Record."""

import dataclasses
import json
from pathlib import Path
from typing import Any, Literal

import numpy as np

from kernelfit import backend, nn
from kernelfit.analysis.learning_order import learning_summary, save_correctness
from kernelfit.analysis.leaving_out import margin_distribution
from kernelfit.common.errors import InputError
from kernelfit.common.files import sha256, written
from kernelfit.common.progress import Progress
from kernelfit.common.spec import option, option_of
from kernelfit.common.stopwatch import Stopwatch
from kernelfit.corruption import Corruption, corrupt, corrupt_labels, label_probability
from kernelfit.datasets.read.streamed import stream
from kernelfit.experiments.parts import PIXELS, Data, PixelSetting
from kernelfit.experiments.preparation import corruption_of
from kernelfit.experiments.registry import Experiment, known_records
from kernelfit.nn.settings import Settings
from kernelfit.records.forms import Count, Measure, Share
from kernelfit.records.record import DatasetUsed, append_record, make_record

_TOP_5_ABOVE = 20  # classes
_CURVES = ("test_every", "curve_every")  # settings that decide nothing but what is seen of a training


@dataclasses.dataclass(frozen=True, kw_only=True)
class NetSpec(Settings, Data):
    """What to train, and how.

    An `lr` of None is the paper's for the model; a `resize` of None is 8/7 of the crop.
    """

    words = ("nn", "train")
    group = "The net"

    model: str = option(
        "mlp1x512",
        "inception, alexnet, mlp1x512, mlp3x512, mlp, inception_v3 (with torchvision); with options as in "
        '"inception(batch_norm=False, width=0.5)"; or module:callable for your own, with options too, called with '
        "input_shape and n_classes where it has parameters of these names.",
        shown=True,
    )
    labels: str = option("true", "true, random, or the probability that a label is replaced.")
    pixels: PixelSetting = option("true", PIXELS)
    crop: int = option(28, "Larger images are cut to this many pixels a side; 0: whole images.")
    stream: bool = option(False, "Read class folders while training: for images of any size, too many for memory.")
    resize: int | None = option(
        None, "Pixels a side of streamed images before the crop; default: 8/7 of the crop.", least=1
    )
    whiten: bool = option(True, "Whiten each image by its mean and deviation; of a table, standardise each column.")
    init: Literal["he", "glorot", "torch"] = option(
        "he", "Initial weights: of He et al.; of Glorot and Bengio, as in TensorFlow; or PyTorch's own."
    )
    dropout: float = option(0.0, "After each hidden fully connected layer.")
    lr: float | None = option(  # type: ignore[assignment]  # a number once it is made
        None, "Learning rate; default: 0.1 for Inception with batch normalisation, 0.01 for others."
    )
    device: Literal["auto", "cpu", "cuda"] = option("auto", "auto: the GPU where PyTorch finds one.", incidental=True)

    def check(self):
        if self.lr is None:
            object.__setattr__(self, "lr", default_lr(self.model))
        if self.stream and self.pixels != "true":
            raise InputError(f"pixels = {self.pixels!r}: the pixels of streamed images are left as they are")
        if self.resize is None and self.stream:
            if self.crop == 0:
                raise InputError("crop = 0: whole streamed images need a size; give `resize`")
            object.__setattr__(self, "resize", round(self.crop * 8 / 7))
        elif self.resize is not None and not self.stream:
            raise InputError(f"resize = {self.resize}: only streamed images are scaled; add stream")
        label_probability(self.labels)  # a mistyped option should not cost a download first

    @property
    def settings(self):
        """The Settings alone."""
        return Settings(**{field.name: getattr(self, field.name) for field in dataclasses.fields(Settings)})


@dataclasses.dataclass(frozen=True, kw_only=True)
class NetResults:
    """The outcome of one training. Errors and accuracies are fractions, times seconds; None is "not measured".

    Attributes
    ----------
    input_shape : list of int
        [channels, height, width] that the net sees, or [d].
    model : str
        As the command line names it: "inception", "mlp(hidden=[512, 512, 512])", "my_module:my_net".
    parameters : int
        Numbers that training changes.
    code : str or None
        SHA-256 of the file that makes a net of one's own.
    corruption : dict
        labels (probability), pixels, seed, labels_replaced, labels_changed, sha256: as of a solve, and for the same
        seed with the same bytes.
    training : dict
        batch, lr, momentum, lr_decay (factor for each epoch), weight_decay, decay_layers, dropout, augment (random
        crops), crop, stream (images were read from their files meanwhile), resize, whiten (images; the columns of a
        table were standardised instead), init, target (training accuracy to stop at), and further limits of the run.
    precision, compiled, device
        "float32", or "bfloat16" where the forward pass used it; errors are always those of a float32 forward pass.
    stopped_by : str
        "accuracy", "loss", "epochs", "steps", or "diverged" (the loss was no finite number).
    epochs, steps : int
        Done in all.
    time_to_fit : dict or None
        {"epochs", "steps", "seconds"} at which the training accuracy, measured exactly, reached the target; None
        if it never did.
    train_error, train_loss, test_error, test_loss : float
        At the end, dropout off; training error and loss against the labels fitted, without augmentation.
    train_error_clean, train_error_corrupted : float or None
        The same among the examples whose label is the true one, and among the others.
    recovered : float or None
        Share of the examples with a wrong label for which the net says the true one.
    test_error_top5 : float or None
        Share of test examples whose class is not among the five most likely; None for at most 20 classes.
    curve : dict of lists, one entry for each epoch
        epoch (1, 2, ...), steps (done by its end), seconds (training time until then), learning_rate, loss and
        accuracy (means over the epoch as it ran, against the labels fitted), accuracy_clean, accuracy_corrupted (None
        where there are none), train_accuracy (exact, where measured, else None), test_accuracy (where measured).
    step_curve : dict
        every (an integer k), loss: list, the mean training loss of each k steps in a row, the last stretch perhaps
        shorter.
    norms : dict
        frobenius and spectral: {layer: norm of its weights, a filter bank as a matrix (out, in * height * width)};
        spectral_product: product of the latter; distance: {layer: Frobenius distance from the start}.
    train_margins, test_margins : dict
        Of logits, own class minus the largest other: mean, share below 0, quantiles; as margin_distribution returns.
    learning : dict
        From the correctness of every example in every epoch: never_learnt (share of examples), forgotten (share with a
        forgetting event), forgetting_events (mean), first_learnt_clean and first_learnt_corrupted (median epoch, or
        None), file (name, beside the records, of the packed bits) or None where they were not kept.
    images_per_second : float
        Images of training over seconds["train"].
    resumed : list of int
        Steps at which the run was taken up again.
    """

    model: str
    parameters: Count
    seed: int
    corruption: dict[str, Any]
    training: dict[str, Any]
    stopped_by: str
    epochs: Count
    steps: Count
    time_to_fit: dict[str, Measure] | None
    train_error: Share
    test_error: Share
    train_loss: Measure = None
    test_loss: Measure = None
    train_error_clean: Share | None = None
    train_error_corrupted: Share | None = None
    recovered: Share | None = None
    test_error_top5: Share | None = None
    curve: dict[str, list[Measure]]
    step_curve: dict[str, Any] = dataclasses.field(default_factory=dict)
    norms: dict[str, Any] = dataclasses.field(default_factory=dict)
    train_margins: dict[str, Any] = dataclasses.field(default_factory=dict)
    test_margins: dict[str, Any] = dataclasses.field(default_factory=dict)
    learning: dict[str, Any] = dataclasses.field(default_factory=dict)
    input_shape: list[Count] = dataclasses.field(default_factory=list)
    precision: str = "float32"
    compiled: bool = False
    device: str = "cpu"
    images_per_second: Measure = None
    resumed: list[Count] = dataclasses.field(default_factory=list)
    code: str | None = None


def default_lr(model):
    """Return the paper's learning rate: 0.1 for Inception, 0.01 for the other nets.

    Inception without batch normalisation has 0.01 too: with 0.1 its loss is no number within the first epoch from He's
    initial weights, and from Glorot's it begins later, and at an eighth of the width not at all (measured).
    """
    normalised = "batch_norm=False" not in model.replace(" ", "")
    return 0.1 if model.startswith("inception") and normalised else 0.01


def run_net(spec, *, runs=None, resume=False, progress=None):
    """Train the net of a NetSpec; return (Record, net).

    With a folder `runs`, the record is appended to its records.jsonl, the correctness of every example in every epoch
    is kept in nets/IDENTITY.npz, and checkpoints in nets/IDENTITY.pt while the run lasts. Of several processes that
    torchrun started, the first writes them.

    Raises
    ------
    KernelfitError
        PyTorch is missing, data are not found or unusable, or an option is out of range.
    """
    [made] = run_nets([spec], runs=runs, resume=resume, progress=progress)
    return made


def run_nets(specs, *, runs=None, resume=False, progress=None):
    """Train the nets of several NetSpecs, one after the other; yield (Record, net) of each, as run_net returns it.

    With `resume`, a net whose Record is in the folder `runs` already is not trained again: what is yielded for it is
    (that Record, None).
    """
    nn.require_torch()
    for spec in specs:
        yield from _run_one(spec, runs, resume, progress or Progress())


def _run_one(spec, runs, resume, progress):
    from kernelfit.nn.distributed import team_of
    from kernelfit.nn.fitting import find_device, fit_net
    from kernelfit.nn.models import code_of

    watch, team = Stopwatch(), team_of(find_device(spec.device))
    code = code_of(spec.model)
    with watch("load"):
        data, changed = _load(spec, progress)
    identity = spec.identity(data=changed.sha256, **({"code": code} if code else {}))
    checkpoint = None if runs is None else Path(runs) / "nets" / f"{identity[:16]}.pt"
    if resume and checkpoint and not checkpoint.exists():
        kept = known_records(Path(runs), progress).get(spec.identity())
        if kept and (kept.results.corruption.get("sha256"), kept.results.code) == (changed.sha256, code):
            others = [f"{name} {kept.spec.get(name)}" for name in _CURVES if kept.spec.get(name) != getattr(spec, name)]
            told = f", with curves of {' and '.join(others)}" if others else ""
            progress.note(f"labels {spec.labels}, seed {spec.seed}: kept from {kept.created}{told}")
            yield kept, None
            return
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
    file = None if runs is None else f"nets/{identity[:16]}.npz"
    record = _recorded(spec, data, changed, fitted, watch, code=code, file=file, processes=team.size)
    yield from written((record, fitted.net), _keep, runs, record, fitted.history)
    if runs is not None:  # whoever wanted the weights has them by now
        for left in (checkpoint, *checkpoint.parent.glob(f".{checkpoint.name}.*.part")):  # those of killed runs too
            left.unlink(missing_ok=True)


def _recorded(spec, data, changed, fitted, watch, *, code, file, processes):
    """Return the Record of a net that was fitted; what it learnt when is in the `file` that _keep writes, if any."""
    from kernelfit.nn.fitting import describe_torch

    history, learning = fitted.history, {}
    wrong_label = changed.y_train != data.y_train
    if history.packed:
        correct = np.unpackbits(history.packed_rows(), axis=1, count=len(wrong_label)).astype(bool)
        learning = learning_summary(correct, wrong_label) | {"file": file}
    watch.add(fitted.seconds)
    results = NetResults(
        input_shape=list(fitted.input_shape),
        model=spec.model,
        parameters=fitted.parameters,
        corruption=corruption_of(changed, data),
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
        curve=_six_digits(history.curve),
        step_curve=_six_digits(history.step_curve(spec.curve_every)),
        norms=fitted.norms,
        train_margins=margin_distribution(fitted.train.margins),
        test_margins=margin_distribution(fitted.test.margins),
        learning=learning,
        images_per_second=history.images / history.train_seconds,
        resumed=history.resumed,
        code=code,
    )
    return make_record(
        spec,
        results,
        kind="net",
        dataset=DatasetUsed.of(data, spec.data),
        environment=backend.describe() | describe_torch() | {"processes": processes},
        seconds=watch.seconds | {"total": watch.total()},
        peak_bytes=backend.peak_memory(),
        warnings=_warnings(spec, history, fitted, changed),
    )


def _keep(runs, record, history):
    """Write what a record says about each example, and the record, to the folder `runs`."""
    if runs is None:
        return
    if history.packed:
        save_correctness(Path(runs) / record.results.learning["file"], history.packed_rows(), record.dataset.n_train)
    append_record(runs, record)


def _load(spec, progress):
    """Return the Dataset and its Corruption: the same bytes as those of a solve with this seed."""
    if spec.stream:
        data = stream(spec.data, spec.resize, n_train=spec.n_train, n_test=spec.n_test, seed=spec.seed)
    else:
        data = spec.load(progress)
    return data, _corrupted(spec, data)


def _corrupted(spec, data):
    k, options = len(data.classes), {"labels": spec.labels, "pixels": spec.pixels, "seed": spec.seed}
    if spec.stream:
        p = label_probability(spec.labels)
        y, replaced = corrupt_labels(data.y_train, k, p, spec.seed)
        digest = sha256(json.dumps(data.hashes() | {"y_train": sha256(y)}, sort_keys=True).encode())
        return Corruption(data.X_train, y, data.X_test, replaced, p, spec.pixels, spec.seed, digest)
    return corrupt(data.X_train, data.y_train, data.X_test, n_classes=k, **options)


def _training(spec):
    """Return what decides the training of a NetSpec, less what the results say on their own."""
    own = [field.name for field in dataclasses.fields(Settings) if not option_of(field).incidental]
    own += ["crop", "whiten", "init", "dropout", "stream", "resize"]
    told = {name: getattr(spec, name) for name in own if name not in ("precision", "compile")}
    return told | ({"init": "own"} if ":" in spec.model else {})  # module:callable draws its weights itself


def _six_digits(curves):
    """Return curves {name: values} with six digits of what is no whole number: those of float32, in half the room."""

    def rounded(value):
        return float(f"{value:.6g}") if isinstance(value, float) and not value.is_integer() else value

    return {name: [*map(rounded, made)] if isinstance(made, list) else made for name, made in curves.items()}


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


EXPERIMENT = Experiment("net", NetSpec, NetResults, run_net)
