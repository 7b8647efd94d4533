"""Norms of the weights of a net, layer by layer."""

import math

import torch

_LARGEST = 2**24  # numbers of a matrix whose spectral norm is worth its singular values: seconds


def weight_norms(net, start=None):
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
        if start is not None:
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
