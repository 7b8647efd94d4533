"""How a net is trained. Importing this loads nothing of torch."""

import dataclasses
from typing import Literal

from kernelfit.common.spec import Spec, option
from kernelfit.common.validation import check_integer, check_number

PRECISION = "Of the forward pass of training; errors are float32's, without TF32."


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings(Spec):
    """Settings of one training: SGD with momentum on the cross-entropy."""

    group = "How it is trained"

    batch: int = option(128, "Images in a step.", least=1)
    lr: float = option(0.01, "Learning rate.")
    momentum: float = option(0.9, "Of stochastic gradient descent.")
    lr_decay: float = option(
        0.95, "Factor of the learning rate after each epoch; 0.95, the paper's, leaves 0.6 % of it after 100."
    )
    weight_decay: float = option(0.0, "c in c / 2 |w|^2, over weights, not biases and normalisations.")
    decay_layers: Literal["all", "fc"] = option("all", "fc: of fully connected layers alone.")
    augment: bool = option(False, "Random crops instead of the middle.")
    target: float = option(1.0, "Training accuracy, measured exactly, that counts as fitted.")
    stop_when_fitted: bool = option(True, "Whether to end there.")
    loss_below: float | None = option(None, "End when the mean loss of an epoch is below this; default: never.")
    epochs: int = option(100, "End after so many.", least=1)
    steps: int | None = option(None, "End after so many; default: no limit.", least=1)
    precision: Literal["float32", "bfloat16"] = option("float32", PRECISION)
    compile: bool = option(False, "Compile the net with torch.compile.")
    test_every: int = option(1, "Epochs between test accuracies; 0: at the end alone.", incidental=True)
    curve_every: int = option(50, "Steps in a point of the loss curve.", least=1, incidental=True)
    checkpoint_every: float = option(60.0, "Seconds between checkpoints.", incidental=True)

    def check(self):
        check_integer("batch", self.batch, 1, 2**31)
        for name in ("momentum", "lr_decay", "target"):
            check_number(name, getattr(self, name), 0, 1)
