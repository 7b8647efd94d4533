"""What happened in a training: counters, curves and the correctness of every example; part of every checkpoint."""

import dataclasses

import numpy as np
import torch

from kernelfit.nn.evaluation import said


@dataclasses.dataclass
class History:
    """The state of a training beside the weights. A new one has seen nothing.

    Attributes
    ----------
    epoch, step, steps : int
        Epochs done; steps done in the epoch that runs, and in all.
    images : int
        Examples trained on, each counted as often as it was seen.
    train_seconds, evaluate_seconds : float
    losses : float32 tensor, shape (steps of an epoch,)
        Of the epoch that runs, on the device; `correct`, a boolean tensor (n,), beside it.
    step_losses : list of float
        Of every step of the epochs done.
    curve : dict of lists
        As in a NetRecord.
    packed : list of uint8 tensors
        np.packbits of `correct` for each whole epoch.
    time_to_fit : dict or None
    stopped_by : str or None
    resumed : list of int
        Steps at which a checkpoint was taken up.
    """

    losses: torch.Tensor
    correct: torch.Tensor
    epoch: int = 0
    step: int = 0
    steps: int = 0
    images: int = 0
    train_seconds: float = 0.0
    evaluate_seconds: float = 0.0
    step_losses: list = dataclasses.field(default_factory=list)
    curve: dict = dataclasses.field(default_factory=dict)
    packed: list = dataclasses.field(default_factory=list)
    time_to_fit: dict | None = None
    stopped_by: str | None = None
    resumed: list = dataclasses.field(default_factory=list)

    def add_step(self, rows, logits, labels, loss, in_step):
        """Note a step, without waiting for the device.

        The step has `in_step` examples; the rows may be some of them, the loss their part of the mean.
        """
        self.losses[self.step] = loss
        self.correct[rows] = said(logits) == labels
        self.step += 1
        self.steps += 1
        self.images += in_step

    def close_epoch(self, rows, batch, corrupted, learning_rate):
        """Note the means of the epoch that ends, in which the examples `rows` were seen `batch` at a time.

        Returns whether its losses are finite numbers.
        """
        losses = self.losses[: self.step].double().cpu().numpy()
        sizes = np.minimum(batch, len(rows) - batch * np.arange(self.step))
        right = self.correct[rows].cpu().numpy()
        wrong_label = corrupted[rows].cpu().numpy()
        self.step_losses += losses.tolist()
        means = {"loss": float(losses @ sizes / sizes.sum()), "accuracy": float(right.mean())}
        means |= {"accuracy_clean": _mean(right[~wrong_label]), "accuracy_corrupted": _mean(right[wrong_label])}
        row = {"epoch": self.epoch + 1, "steps": self.steps, "seconds": self.train_seconds}
        row |= {"learning_rate": learning_rate, **means, "train_accuracy": None, "test_accuracy": None}
        for name, value in row.items():
            self.curve.setdefault(name, []).append(value)
        if len(rows) == len(self.correct):
            self.packed.append(torch.from_numpy(np.packbits(self.correct.cpu().numpy())))
        self.epoch, self.step = self.epoch + 1, 0
        return bool(np.isfinite(losses).all())

    def packed_rows(self):
        """Return `packed` as one uint8 array (epochs, bytes)."""
        return np.stack([row.cpu().numpy() for row in self.packed])  # a checkpoint may bring them to the device

    def step_curve(self, every):
        """Return {"every", "loss"}: the mean loss of each `every` steps in a row."""
        starts = range(0, len(self.step_losses), every)
        return {"every": every, "loss": [float(np.mean(self.step_losses[at : at + every])) for at in starts]}


def _mean(values):
    return float(values.mean()) if len(values) else None
