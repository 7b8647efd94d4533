"""Device arrays."""

import threading
import types

import numpy as np

from tests.support.fake_cuda.card import CARD
from tests.support.fake_cuda.signatures import like_cupys
from tests.support.fake_cuda.streams import Device, copy

LOCAL = threading.local()  # .fusing


def host_array(value):
    """Return what NumPy computes with for an operand of a device operation."""
    if isinstance(value, ndarray):
        CARD.pending.add(value._block)
        return value._memory
    if isinstance(value, np.ndarray):
        raise TypeError(f"Unsupported type {np.ndarray}")
    return value


def device_array(result, block=None):
    """Return a NumPy result as a device array: a view of that block, or of new memory."""
    if isinstance(result, tuple):
        return tuple(map(device_array, result))
    if block is None:
        memory = CARD.allocate(np.shape(result), np.asarray(result).dtype)
        memory[...] = result
        result = memory
    return ndarray(result, block)


def elementwise(function):
    def run(*arguments, out=None, **options):
        result = function(*map(host_array, arguments), out=None if out is None else host_array(out), **options)
        return device_array(result) if out is None else out

    return run


def _operator(name):
    def run(self, other):
        return device_array(getattr(self._host(), name)(host_array(other)))

    return run


def _in_place(name):
    def run(self, other):
        getattr(self._host(), name)(host_array(other))
        return self

    return run


def _method(name):
    def run(self, *arguments, **options):
        _not_in_fusion(name)
        return device_array(getattr(self._host(), name)(*arguments, **options))

    return run


def _view_method(name):
    def run(self, *arguments, **options):
        _not_in_fusion(name)
        before = self._memory
        after = getattr(before, name)(*arguments, **options)
        return device_array(after, self._block if np.shares_memory(before, after) or not after.size else None)

    return run


def _not_in_fusion(name):
    if getattr(LOCAL, "fusing", False):
        raise TypeError(f"{name} of an array cannot be fused")


def _uploaded(host):
    memory = CARD.allocate(host.shape, host.dtype)
    memory[...] = host
    return ndarray(memory)


class ndarray:  # noqa: N801 (CuPy's name)
    """A device array. It holds a NumPy array that nothing outside of this module may see."""

    __hash__ = None
    __module__ = "cupy"

    def __init__(self, memory, block=None):
        self._memory = memory
        self._fresh = block is None
        self._block = CARD.block_of(memory.ctypes.data, memory.nbytes) if block is None else block

    def _host(self):
        return host_array(self)

    def __reduce__(self):  # CuPy's go through the host too
        return _uploaded, (self.get(),)

    @property
    def data(self):
        return types.SimpleNamespace(ptr=self._memory.ctypes.data)

    @property
    def device(self):
        return Device()

    @property
    def strides(self):
        return (0,) * self.ndim if self._fresh and not self.size else self._memory.strides

    @property
    def flags(self):  # CuPy's have no `writeable`
        flags = self._memory.flags
        return types.SimpleNamespace(c_contiguous=flags.c_contiguous, f_contiguous=flags.f_contiguous)

    shape, dtype, ndim, size, itemsize, nbytes = (
        property(lambda self, name=name: getattr(self._memory, name))
        for name in ("shape", "dtype", "ndim", "size", "itemsize", "nbytes")
    )
    T = property(lambda self: self.transpose())
    transpose, reshape, ravel, view, diagonal = map(_view_method, ("transpose", "reshape", "ravel", "view", "diagonal"))
    sum, max, min, all, any, argmax, mean, copy, astype, clip = map(
        _method, ("sum", "max", "min", "all", "any", "argmax", "mean", "copy", "astype", "clip")
    )

    def fill(self, value):
        self._host().fill(value)

    def __len__(self):
        return len(self._memory)

    def __getitem__(self, index):
        _not_in_fusion("an index")
        # CuPy takes integer arrays of the host as indices, and uploads them.
        index = tuple(map(_index, index)) if isinstance(index, tuple) else _index(index)
        view = self._memory[index]
        shared = isinstance(view, np.ndarray) and (np.shares_memory(view, self._memory) or not view.size)
        return device_array(view, self._block if shared else None)

    def __setitem__(self, index, value):
        _not_in_fusion("an assignment")
        if isinstance(value, np.ndarray) and value.ndim:
            raise ValueError("non-scalar numpy.ndarray cannot be used for fill")
        index = tuple(map(_index, index)) if isinstance(index, tuple) else _index(index)
        self._host()[index] = host_array(value)

    def get(self, stream=None, order="C", out=None, blocking=True):
        host = np.empty(self.shape, self.dtype) if out is None else out
        if (host.shape, host.dtype, host.flags.c_contiguous) != (self.shape, self.dtype, True):
            raise ValueError(f"cannot copy {self.dtype} {self.shape} into {host.dtype} {host.shape}")
        copy(stream, self._block, lambda: host.__setitem__(..., self._memory), wait=blocking)
        CARD.to_host.append(self.nbytes)
        return host

    def set(self, arr, stream=None):
        host = arr
        if not isinstance(host, np.ndarray):
            raise TypeError("Only numpy.ndarray can be set to cupy.ndarray")
        if (host.dtype, host.shape) != (self.dtype, self.shape):
            raise TypeError(f"{host.dtype} {host.shape} cannot be set to {self.dtype} {self.shape}")
        if not (self._memory.flags.c_contiguous or self._memory.flags.f_contiguous):
            raise RuntimeError("Cannot set to non-contiguous array")
        copy(stream, self._block, lambda: self._memory.__setitem__(..., host), wait=False)

    def _scalar(self):
        return self.get()[()]

    __bool__, __int__, __float__ = (lambda self, kind=kind: kind(self._scalar()) for kind in (bool, int, float))

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __dlpack_device__(self):
        return (2, 0)

    def __dlpack__(self, *, stream=None, max_version=None, dl_device=None, copy=None):
        if dl_device != (1, 0) or copy is False:
            raise BufferError("the memory of a GPU is not that of the host")
        return self.get().__dlpack__(max_version=max_version)

    def __array__(self, *arguments, **options):
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()`")

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **options):
        if method != "__call__":
            raise TypeError(f"{ufunc.__name__}.{method} of a device array")
        return elementwise(ufunc)(*inputs, out=None if out is None else out[0], **options)

    def __array_function__(self, function, kinds, arguments, options):
        # CuPy would do most of these itself; but then the code would not see which arrays live where.
        raise TypeError(f"numpy.{function.__name__} of a device array: use the namespace of the device")


for _name in ("add", "sub", "mul", "truediv", "pow", "matmul"):
    setattr(ndarray, f"__{_name}__", _operator(f"__{_name}__"))
    setattr(ndarray, f"__r{_name}__", _operator(f"__r{_name}__"))
    if _name != "matmul":
        setattr(ndarray, f"__i{_name}__", _in_place(f"__i{_name}__"))
for _name in ("eq", "ne", "lt", "le", "gt", "ge", "and", "or", "xor"):
    setattr(ndarray, f"__{_name}__", _operator(f"__{_name}__"))
ndarray.__neg__ = lambda self: device_array(-self._host())
ndarray.__invert__ = lambda self: device_array(~self._host())
like_cupys("ndarray")(ndarray)


def _index(index):
    return host_array(index) if isinstance(index, ndarray) else index
