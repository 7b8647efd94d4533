"""What is measured of a net: what it says in float32, without dropout, of images cut from the middle; its norms."""

import contextlib
import dataclasses
import math

import numpy as np
import torch
from torch.nn import functional

from kernelfit.nn.distributed import ALONE

_FIRST = 128  # examples of a count that may end early
# Examples at a time: independent of the batch of training, so that an error rate is too. On a CPU the activations of a
# convolution then fit in caches: AlexNet says 2.4 times as many images a second as with 1024.
_BATCH = {"cpu": 128, "cuda": 1024}
_NUMBERS = 2**25  # and fewer of large images: 128 MB of inputs
_LARGEST = 2**24  # numbers of a matrix whose spectral norm is worth its singular values: seconds


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What a net says of n examples with labels.

    Attributes
    ----------
    predicted : int64 array, shape (n,)
        Class of the largest logit; -1 where a logit is no finite number.
    losses : float32 array, shape (n,)
        Cross-entropy of each.
    margins : float32 array, shape (n,)
        Logit of the label minus the largest other one.
    rank : int64 array, shape (n,)
        How many classes have a larger logit than the label.
    """

    predicted: np.ndarray
    losses: np.ndarray
    margins: np.ndarray
    rank: np.ndarray


def evaluate(net, images, labels, team=ALONE):
    """Return the Evaluation of a net on Images with labels, an int64 tensor on their device."""
    parts = []
    rows = team.share(torch.arange(len(images), device=images.device))
    with _evaluating(net, images.device):
        for part, x in images.batches(rows, _batch(images)):
            logits, y = net(x).float(), labels[part]
            own = logits.gather(1, y[:, None])
            others = logits.scatter(1, y[:, None], -torch.inf)
            losses = functional.cross_entropy(logits, y, reduction="none")
            parts.append((said(logits), losses, own[:, 0] - others.amax(1), (others > own).sum(1)))
    columns = [torch.cat(column) for column in zip(*parts, strict=True)]
    return Evaluation(*(team.scattered(column, rows, len(images)).cpu().numpy() for column in columns))


def count_wrong(net, images, labels, *, likely_wrong=None, allowed=None, team=ALONE):
    """Return how many examples a net gets wrong, or None once more than `allowed` of them are.

    The examples of the mask `likely_wrong` come first: where many of them are still wrong, it ends after a batch or
    two, so that asking after every epoch whether everything is fitted costs next to nothing.
    """
    rows = torch.arange(len(images), device=images.device)
    if likely_wrong is not None:
        rows = torch.cat([rows[likely_wrong], rows[~likely_wrong]])
    rows = team.share(rows)
    wrong = torch.zeros((), dtype=torch.int64, device=images.device)
    with _evaluating(net, images.device):
        for part, x in _growing(images, rows):
            wrong += (said(net(x)) != labels[part]).sum()
            if allowed is not None and wrong > allowed:
                break
    wrong = int(team.sum(wrong))
    return None if allowed is not None and wrong > allowed else wrong


def _growing(images, rows):
    """Yield batches as images.batches does, the first of them small."""
    size = _batch(images)
    yield from images.batches(rows[:_FIRST], min(_FIRST, size))
    if len(rows) > _FIRST:
        yield from images.batches(rows[_FIRST:], size)


def _batch(images):
    return min(_BATCH[images.device.type], max(1, _NUMBERS // math.prod(images.input_shape)))


def says_something(net, images):
    """Return whether the logits of any of the first examples are finite numbers."""
    with _evaluating(net, images.device):
        x = images.batch(torch.arange(min(_FIRST, len(images)), device=images.device))
        return bool((said(net(x)) >= 0).any())


def said(logits):
    """Return the class of the largest logit of each example, and -1 where one is no finite number."""
    return torch.where(logits.isfinite().all(1), logits.argmax(1), -1)


@contextlib.contextmanager
def _evaluating(net, device):
    """No gradients, no dropout, true float32."""
    training = net.training
    net.eval()
    try:
        with torch.inference_mode(), true_float32(device):
            yield
    finally:
        net.train(training)


def true_float32(device):
    """Return a context in which convolutions of a GPU in float32 are no TF32, and find their quickest algorithm."""
    if device.type != "cuda":
        return contextlib.nullcontext()
    return torch.backends.cudnn.flags(enabled=True, benchmark=True, allow_tf32=False)


def weight_norms(net, start):
    """Return norms of all weights of more than one dimension, as matrices (out, all else): a JSON-ready dict.

    frobenius and spectral: {name: norm}, a spectral norm None for matrices of more than 16 million numbers,
    or of some that are not finite;
    spectral_product: product of the spectral norms, or None where one is; distance: {name: Frobenius norm of the
    change} since `start`, a dict of tensors by name as of `starting_weights`.
    """
    found = {"frobenius": {}, "spectral": {}, "distance": {}}
    for name, weights in _matrices(net):
        found["frobenius"][name] = float(weights.norm())
        measurable = weights.numel() <= _LARGEST and bool(weights.isfinite().all())
        found["spectral"][name] = float(torch.linalg.matrix_norm(weights, ord=2)) if measurable else None
        found["distance"][name] = float((weights - start[name].to(weights)).norm())
    spectral = list(found["spectral"].values())
    found["spectral_product"] = None if None in spectral else math.prod(spectral)
    return found


def starting_weights(net):
    """Return copies of these matrices by name, to measure the distance from later."""
    return {name: weights.clone() for name, weights in _matrices(net)}


def _matrices(net):
    for name, parameter in net.named_parameters():
        if parameter.ndim > 1:
            yield name, parameter.detach().flatten(1)
