"""How a net is trained. Importing this loads nothing of torch."""

import dataclasses

from kernelfit.common.errors import InputError
from kernelfit.common.validation import check_integer, check_number

PRECISIONS = ("float32", "bfloat16")
DECAYED = ("all", "fc")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of one training: SGD with momentum on the cross-entropy.

    Attributes
    ----------
    batch : int
        Examples in a step; the last step of an epoch takes what is left.
    lr, momentum : float
    lr_decay : float
        The learning rate is lr * lr_decay^epoch. 0.95, the paper's, leaves 0.6 % of it after 100 epochs: for labels
        that take longer to fit, choose it together with `epochs`.
    weight_decay : float
        c in the loss's c / 2 |w|^2, over weights but not biases and normalisations.
    decay_layers : str
        "all", or "fc": of the fully connected layers alone.
    augment : bool
        A random crop of each image in each epoch, instead of the middle.
    target : float
        Training accuracy at which the training set counts as fitted; it is measured exactly.
    stop_when_fitted : bool
        Whether training ends there.
    loss_below : float or None
        End after the first epoch whose mean loss is below this.
    epochs, steps : int, int or None
        End after so many; epochs bound every run.
    precision : str
        "float32" (on a GPU too no TF32 in convolutions), or "bfloat16": the forward pass of training in it, where torch
        deems it safe (autocast).
    compile : bool
        Whether torch.compile makes the net of the training steps.
    test_every : int
        The test accuracy is measured after every so many epochs, and at the end; 0: at the end alone.
    curve_every : int
        Steps over which a point of the step curve is the mean.
    checkpoint_every : float
        Seconds between checkpoints, where there is a place for them.
    """

    batch: int = 128
    lr: float = 0.01
    momentum: float = 0.9
    lr_decay: float = 0.95
    weight_decay: float = 0.0
    decay_layers: str = "all"
    augment: bool = False
    target: float = 1.0
    stop_when_fitted: bool = True
    loss_below: float | None = None
    epochs: int = 100
    steps: int | None = None
    precision: str = "float32"
    compile: bool = False
    test_every: int = 1
    curve_every: int = 50
    checkpoint_every: float = 60.0

    def __post_init__(self):
        for name, smallest in (("batch", 1), ("epochs", 1), ("curve_every", 1), ("test_every", 0)):
            check_integer(name, getattr(self, name), smallest)
        if self.steps is not None:
            check_integer("steps", self.steps)
        for name in ("lr", "weight_decay", "checkpoint_every"):
            check_number(name, getattr(self, name))
        for name in ("momentum", "lr_decay", "target"):
            check_number(name, getattr(self, name), 0, 1)
        for name, known in (("precision", PRECISIONS), ("decay_layers", DECAYED)):
            if getattr(self, name) not in known:
                raise InputError(f"{name} = {getattr(self, name)!r}; known are {', '.join(known)}")
