"""A kernel that is a function of the user's own."""

import dataclasses
import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy.typing as npt

from kernelfit.common.errors import InputError
from kernelfit.kernels.base import Kernel, Points


@dataclasses.dataclass(frozen=True)
class Custom(Kernel):
    """k given by a user's own function(A, B) on float64 blocks (a, d), (b, d), pixels / 255, that returns (a, b).

    The function is called from several threads at once, so it must not keep state between calls. On a GPU it gets and
    returns CuPy arrays.
    `path` is how it prints: "module:function" where it can be imported from.
    """

    function: Callable[[Any, Any], Any]
    path: str = ""
    is_own = True

    def block(self, A: Points, B: Points, out: npt.NDArray) -> None:
        xp = A.device.xp
        # Copies: a function may work in place, and what points hold may be the caller's own array.
        own = (xp.array(part.coordinates(), copy=True) for part in (A, B))
        values = xp.asarray(self.function(*own))
        if values.shape != out.shape or values.dtype.kind not in "fiu":
            raise InputError(
                f"kernel {self} returned {values.dtype} of shape {values.shape} for blocks of {len(A)} and {len(B)} "
                f"points; expected real numbers of shape {out.shape}"
            )
        if not xp.isfinite(values).all():
            raise InputError(f"kernel {self} returned NaN or infinite values")
        out[...] = values

    def __str__(self) -> str:
        return f"custom({self.path or _named(self.function)!r})"


def _named(function):
    """Return module:name; of a functools.partial also what it has bound, which makes it another kernel."""
    if isinstance(function, functools.partial):
        bound = [*map(repr, function.args), *(f"{name}={value!r}" for name, value in function.keywords.items())]
        return f"partial({', '.join([_named(function.func), *bound])})"
    module, own = function.__module__, getattr(function, "__qualname__", type(function).__name__)
    if module == "__main__":  # what another program imports it from
        main = sys.modules["__main__"]
        spec, file = getattr(main, "__spec__", None), getattr(main, "__file__", None)
        module = spec.name if spec else Path(file).stem if file else module
    return f"{module}:{own}"
