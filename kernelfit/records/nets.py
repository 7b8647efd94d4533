"""Records of trained nets, one JSON line each, with the curves of their training."""

import dataclasses

from kernelfit.common.progress import Progress
from kernelfit.records.record import append_json, parse_record, read_lines, to_json

SCHEMA = "kernelfit.net/1"
FILE = "nets.jsonl"


@dataclasses.dataclass(frozen=True, kw_only=True)
class NetRecord:
    """The outcome of one training. Errors and accuracies are fractions, times seconds; None is "not measured".

    Attributes
    ----------
    identity : str
        Hash of what decides the outcome: data, model, corruption, settings, seed; the same for the same run.
    dataset : dict
        asked, name, provenance, and the SHA-256 of each array before corruption, as in a Record of a solve.
    input_shape : list of int
        [channels, height, width] that the net sees, or [d].
    model : str
        As the command line names it: "inception", "mlp(hidden=[512, 512, 512])", "my_module:my_net".
    parameters : int
        Numbers that training changes.
    corruption : dict
        labels (probability), pixels, seed, labels_replaced, labels_changed, sha256: as in a Record of a solve, and for
        the same seed with the same bytes.
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
    seconds : dict
        load, prepare, train, evaluate, total.
    images_per_second : float
        Images of training over seconds["train"].
    resumed : list of int
        Steps at which the run was taken up again.
    """

    schema: str = SCHEMA
    identity: str
    created: str
    version: str
    command: str
    dataset: dict
    n_train: int
    n_test: int
    n_classes: int
    input_shape: list
    model: str
    parameters: int
    corruption: dict
    training: dict
    seed: int
    precision: str
    compiled: bool
    device: str
    stopped_by: str
    epochs: int
    steps: int
    time_to_fit: dict | None
    train_error: float
    train_error_clean: float | None
    train_error_corrupted: float | None
    recovered: float | None
    train_loss: float
    test_error: float
    test_error_top5: float | None
    test_loss: float
    curve: dict
    step_curve: dict
    norms: dict
    train_margins: dict
    test_margins: dict
    learning: dict
    warnings: list
    seconds: dict
    images_per_second: float
    peak_bytes: int
    environment: dict
    resumed: list

    def to_json(self):
        """Return the record as one line of strict JSON; numbers that are not finite become null."""
        return to_json(self)

    @classmethod
    def from_json(cls, line):
        """Return the NetRecord of a JSON line; raises DataError if it is not one of this schema."""
        return parse_record(cls, SCHEMA, line)


def append_net(path, record):
    """Append a NetRecord to the file at `path` (made if missing)."""
    append_json(path, record)


def read_nets(path, *, progress=None):
    """Return {identity: NetRecord} of a file, the last of each; a missing file is an empty one.

    A line that is no whole record, such as one torn when a run was killed, is told to `progress` and skipped.
    """
    records, _ = read_lines(path, NetRecord.from_json, progress=progress or Progress())
    return {record.identity: record for record in records}
