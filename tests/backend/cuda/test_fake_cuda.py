"""The stand-in refuses what CuPy refuses."""

import numpy as np
import pytest

from kernelfit import backend
from tests.support import fake_cuda


def test_the_stand_in_refuses_what_cupy_refuses(card):
    xp = fake_cuda.cupy
    array, host = xp.zeros((3, 4)), np.zeros((3, 4))
    for mix in (
        lambda: array + host,
        lambda: host + array,
        lambda: np.add(array, host),
        lambda: np.asarray(array),
        lambda: np.sum(array),
        lambda: np.linalg.norm(array),
        lambda: host.__setitem__(..., array),
        lambda: xp.maximum(array, host),
    ):
        with pytest.raises(TypeError):
            mix()
    with pytest.raises(ValueError, match="non-scalar"):
        array[...] = host
    with pytest.raises(TypeError, match="fused"):
        xp.fuse(lambda x: x[0])(array)
    assert np.isnan(xp.empty(3).get()).all()
    part = array[1:]
    part += 1
    assert array.get()[1:].all() and not array.get()[0].any(), "slices are views"


def test_the_stand_in_notices_pointers_outside_of_the_card_and_races(card):
    device = backend.device("cuda")
    A = device.xp.zeros((4, 4))
    handle = fake_cuda.HANDLE
    one = np.ones(1)
    with pytest.raises(RuntimeError, match="not all device memory"):
        fake_cuda.cublas.dgemm(
            handle, 0, 0, 4, 4, 4, one.ctypes.data, np.eye(4).ctypes.data, 4, A.data.ptr, 4, one.ctypes.data,
            A.data.ptr, 4,
        )  # fmt: skip
    A += 1
    with pytest.raises(RuntimeError, match="races"):
        device.fill(A, np.ones((4, 4)))
    device.synchronize()
    device.fill(A, np.full((4, 4), 2.0))
    assert (device.host(A) == 2).all()
