"""Arrays of other libraries come in without a copy where they can, and results go back to where they came from."""

import numpy as np
import pytest

from kernelfit import Gaussian, KernelInterpolator, features, fit
from kernelfit.common.arrays import host_array, like
from kernelfit.common.errors import InputError
from tests.support import fake_cuda


class Foreign:
    """An array of a library that speaks DLPack and has no function `asarray`."""

    def __init__(self, values):
        self.values = values

    def __dlpack__(self, **options):
        return self.values.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.values.__dlpack_device__()


@pytest.mark.parametrize("value", [[1.0], 3, None, "text", np.float64(2), np.ones(3)], ids=str)
def test_all_else_is_left_alone(value):
    assert host_array(value) is value and like(np.zeros(2), value).tolist() == [0, 0]


def test_what_speaks_dlpack_is_not_copied():
    values = np.arange(6.0).reshape(2, 3)
    assert np.shares_memory(host_array(Foreign(values)), values)
    result = np.ones(2)
    assert like(result, Foreign(values)) is result


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "int64", "uint8", "bool"])
def test_tensors_of_torch(dtype):
    torch = pytest.importorskip("torch")
    tensor = torch.ones((3, 2), dtype=getattr(torch, dtype))
    assert host_array(tensor).dtype == dtype and np.shares_memory(host_array(tensor), tensor.numpy())
    back = like(np.zeros((3, 2)), tensor)
    assert isinstance(back, torch.Tensor) and back.dtype == torch.float64 and back.device == tensor.device
    assert like(np.array(["ape", "bee"]), tensor).tolist() == ["ape", "bee"]


def test_a_tensor_with_a_gradient_and_a_subclass():
    torch = pytest.importorskip("torch")
    parameter = torch.nn.Parameter(torch.ones(3))
    assert host_array(parameter).tolist() == [1, 1, 1] and isinstance(like(np.ones(3), parameter), torch.Tensor)


def test_numbers_that_numpy_does_not_have_are_refused():
    torch = pytest.importorskip("torch")
    with pytest.raises(InputError, match=r"torch.Tensor and torch.bfloat16 cannot be read"):
        host_array(torch.ones(3, dtype=torch.bfloat16))


def test_arrays_on_a_gpu_go_through_the_host():
    with fake_cuda.installed():
        import cupy

        array = cupy.asarray(np.arange(4.0))
        assert host_array(array).tolist() == [0, 1, 2, 3] and isinstance(like(np.ones(2), array), cupy.ndarray)


def test_what_is_masked_is_no_datum():
    X = np.ma.array(np.random.default_rng(0).standard_normal((30, 3)))
    y = np.ma.array(X.data[:, 0].copy())
    assert np.array_equal(host_array(y), y.data)
    y[5] = np.ma.masked
    hidden = X.copy()
    hidden[2, 1] = np.ma.masked
    for points, targets in ((X, y), (hidden, y.data)):
        with pytest.raises(InputError, match="1 entries of an array are masked"):
            fit(points, targets, Gaussian(bandwidth=2.0), ridge=0.1)
        with pytest.raises(InputError, match="masked"):
            KernelInterpolator(bandwidth=2.0, ridge=0.1).fit(points, targets)


def test_masked_images_and_weights_are_refused():
    images = np.ma.masked_greater(np.random.default_rng(0).random((8, 12, 12)), 0.9)
    for transformer in (features.Wavelet(level=1), features.Gabor()):
        with pytest.raises(InputError, match="masked"):
            transformer.fit(images)
    weights = np.ma.masked_equal([1.0, 2.0, 50.0], 50.0)
    with pytest.raises(InputError, match="masked"):
        fit(np.arange(3.0)[:, None], np.ones(3), Gaussian(1.0), ridge=0.1, weights=weights)
