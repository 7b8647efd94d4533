"""Cpu and Cuda fulfil the contract that Device states, and have nothing beyond it."""

import inspect

import numpy as np
import pytest

from kernelfit import backend
from kernelfit.backend import CPU, Cpu, Device
from kernelfit.backend.cuda import Cuda, open_cuda
from kernelfit.common.errors import InputError
from kernelfit.grams.matrix import gram
from kernelfit.grams.points import points
from kernelfit.kernels import Gaussian
from tests.support import fake_cuda


def public(kind):
    return {name for name in dir(kind) if not name.startswith("_")}


def arguments(function):
    """Names, kinds and defaults; types are written once, in the contract."""
    return [(each.name, each.kind, each.default) for each in inspect.signature(function).parameters.values()]


METHODS = sorted(name for name in public(Device) if inspect.isfunction(getattr(Device, name)))


@pytest.mark.parametrize("kind", [Cpu, Cuda])
def test_a_device_has_the_members_of_the_contract_and_no_others(kind):
    assert public(kind) == public(Device)
    for name in METHODS:
        assert arguments(getattr(kind, name)) == arguments(getattr(Device, name)), name
        assert getattr(kind, name) is not getattr(Device, name), f"{name} is not there"


def test_the_contract_tells_what_each_member_is():
    assert all(getattr(Device, name).__doc__ for name in METHODS)
    attributes = public(Device) - set(METHODS)
    assert {"name", "xp", "tile", "panel", "probe", "fixed_bytes", "pixel", "longest", "number"} == attributes
    assert all(f"    {name} : " in Device.__doc__ for name in attributes)


def test_objects_too_have_no_member_beyond_the_contract():
    with fake_cuda.installed():
        for device in (Cpu(), open_cuda()):
            assert public(device) == public(Device)


def test_sizes_are_those_of_one_device():
    with fake_cuda.installed():
        for kind, usual, small in (
            (Cpu, Cpu(), Cpu(tile=64, panel=128)),
            (Cuda, open_cuda(), open_cuda(tile=64, panel=128)),
        ):
            assert (small.tile, small.panel) == (64, 128)
            assert (usual.tile, usual.panel) == (kind.tile, kind.panel) != (64, 128)


def test_points_and_matrices_carry_their_device():
    """Whatever is made of them: an array does not tell which of two CPUs it was made for."""
    small, X = Cpu(tile=5), np.random.default_rng(0).normal(size=(23, 3))
    K = gram(X, Gaussian(1.0), device=small)
    others = (K.cached(), K.subset([3, 1, 7]), gram(X[:4], Gaussian(1.0), K.points), gram(K.points, Gaussian(2.0)))
    for made in (K, *others):
        assert made.device is small and made.points.device is small and made.points.part(1, 3).device is small
    assert len(K.cached().points.products.panels) == 5
    assert points(X).device is CPU


def test_a_device_is_named_or_given():
    X = np.eye(3)
    small = Cpu(tile=2)
    assert backend.device(small) is small and backend.device("cpu") is CPU
    for given, meant in (("cpu", CPU), (small, small)):
        assert gram(X, Gaussian(1.0), device=given).device is meant
    with fake_cuda.installed():
        for name in ("cuda", "auto"):
            assert gram(X, Gaussian(1.0), device=name).device is backend.device("cuda")
    with pytest.raises(InputError, match="did you mean 'cuda'"):
        gram(X, Gaussian(1.0), device="cudo")
