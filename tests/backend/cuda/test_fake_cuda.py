"""The stand-in refuses what CuPy refuses."""

import numpy as np
import pytest

from kernelfit import backend
from tests.support import fake_cuda
from tests.support.fake_cuda.signatures import checked, like_cupys


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


def test_the_stand_in_takes_no_argument_and_has_no_name_that_cupy_lacks(card):
    xp = fake_cuda.cupy
    array = xp.zeros((3, 4))
    for call in (
        lambda: array.max(initial=0),
        lambda: array.sum(where=array > 0),
        lambda: array.copy(subok=True),
        lambda: xp.exp(array, where=array > 0),
        lambda: xp.linalg.svd(array, hermitian=True),
        lambda: xp.linalg.norm(array, axes=0),
        lambda: xp.where(array, array, array, array),
        lambda: xp.cuda.Stream(flags=1),
        lambda: fake_cuda.cublas.dgemm(fake_cuda.HANDLE, 0, 0),
    ):
        with pytest.raises(TypeError, match="CuPy's"):
            call()
    for owner, name in ((array, "__array_namespace__"), (array, "__imatmul__"), (xp, "float128")):
        assert not hasattr(owner, name)
    with pytest.raises(AssertionError, match=r"CuPy has no linalg\.expm"):
        checked("linalg.expm", lambda a: a)
    with pytest.raises(AssertionError, match=r"CuPy's cuda\.Stream has no wait"):
        like_cupys("cuda.Stream")(type("Stream", (), {"wait": lambda self: None}))


def test_a_singular_matrix_gives_numbers_that_are_none_instead_of_an_error(card):
    xp = fake_cuda.cupy
    solved = xp.linalg.solve(xp.zeros((3, 3)), xp.asarray(np.ones((3, 2)))).get()
    assert not np.isfinite(solved).any()


def test_page_locked_memory_is_of_the_size_that_was_asked_for_and_given_back(card):
    device = backend.device("cuda")
    buffer = device.transfer_buffer(1000, np.float32)
    rows = buffer[10:].reshape(-1, 10)
    assert card.locked == 4000 and buffer.shape == (1000,)
    del buffer
    assert card.locked == 4000 and rows.base is not None, "a view keeps it"
    del rows
    assert card.locked == 0
