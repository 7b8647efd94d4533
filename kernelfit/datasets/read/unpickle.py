"""Unpickle containers and uint8 arrays, and nothing else.

A pickle is a program. This reader lets it call three stand-ins that only record what they are given; NumPy's own
reconstruction, which trusts shapes and dtypes, never runs on data from a file.
"""

import io
import math
import pickle
import pickletools
from typing import Any

import numpy as np

from kernelfit.common.errors import IntegrityError


def restricted_loads(data: bytes, name: str) -> Any:
    """Return the object pickled in `data`, as written by Python 2 or 3; texts of Python 2 become bytes.

    Lists, tuples and dicts may nest; arrays must be uint8 in C order.

    Raises
    ------
    IntegrityError
        If the pickle asks for any other class or function, or is damaged.
    """
    try:
        _check_memo(data)
        return _resolve(_Unpickler(io.BytesIO(data), encoding="bytes").load(), {})
    except IntegrityError as error:
        raise IntegrityError(f"{name}: {error}") from error
    except Exception as error:  # opcodes of a damaged pickle may fail in any way; none of them runs foreign code
        raise IntegrityError(f"{name} is a damaged pickle: {type(error).__name__}: {error}") from error


class _Dtype:
    def __init__(self, code, *flags):
        self.code = code

    def __setstate__(self, state):
        """The state of a dtype (byte order, fields) says nothing that a uint8 needs."""


class _Array:
    def __init__(self, *ignored):
        self.state = None

    def __setstate__(self, state):
        self.state = state

    def resolve(self):
        try:
            _, shape, dtype, fortran, content = self.state
            plain = dtype.code in (b"u1", "u1") and not fortran and isinstance(content, bytes)
            fits = plain and all(type(n) is int and n >= 0 for n in shape) and math.prod(shape) == len(content)
        except (TypeError, ValueError, AttributeError):
            fits = False
        if not fits:
            raise IntegrityError("an array in the pickle is not uint8 in C order, or its size is not its shape's")
        return np.frombuffer(content, np.uint8).reshape(shape)


class _Encode:
    """Python 3 writes bytes in old protocols as text to be encoded."""

    __slots__ = ()  # a pickle may set attributes of what it is given; here it cannot

    def __call__(self, text, encoding):
        if encoding not in (b"latin1", "latin1"):
            raise IntegrityError(f"the pickle asks for the encoding {encoding!r}")
        return text.encode("latin-1")


_ALLOWED = {
    ("numpy", "ndarray"): object(),  # only ever passed on
    ("numpy", "dtype"): _Dtype,
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("_codecs", "encode"): _Encode(),
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module, name):
        if (module, name) not in _ALLOWED:
            raise IntegrityError(f"the pickle asks for {module}.{name}; refused, only uint8 arrays are read")
        return _ALLOWED[module, name]

    def persistent_load(self, pid):
        raise IntegrityError("the pickle asks for a persistent object; refused")


def _check_memo(data):
    """Raise IntegrityError for a number that Python would make room for up to, in a memo of all objects before it."""
    for opcode, number, _ in pickletools.genops(data):
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and number > len(data):
            raise IntegrityError(f"the pickle of {len(data):,} bytes numbers an object {number:,}; it is damaged")


def _resolve(value, done):
    """Return a value with arrays in it; `done` is what was made of the values before, each of them once, by id."""
    if id(value) not in done:
        made = value
        if isinstance(value, _Array):
            made = value.resolve()
        elif isinstance(value, dict):
            made = {_resolve(key, done): _resolve(item, done) for key, item in value.items()}
        elif isinstance(value, (list, tuple)):
            made = type(value)(_resolve(item, done) for item in value)
        done[id(value)] = made
    return done[id(value)]
