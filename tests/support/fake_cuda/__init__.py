"""A stand-in for CuPy, cuBLAS and cuSOLVER that runs on NumPy, so that the GPU path is tested where there is no GPU.

It does what CuPy 14 does, and is stricter where a mistake would otherwise show on a real card only:

* Host and device arrays do not mix, and NumPy's functions refuse device arrays.
* New memory holds NaN, and potrf leaves NaN in the triangle that is not part of the factor.
* Every pointer that cuBLAS and cuSOLVER get is checked to lie, with all that it stands for, in living device memory.
* A copy on a stream of its own happens when that stream is synchronized, and is refused where the default stream was
  asked for something with the same memory since it was last synchronized: on a card the two would race.
* The memory pool has a limit, and every byte that leaves the card is counted.

`installed()` puts it in the place of CuPy; `CARD` is the card.
"""

import contextlib
import sys
import types

from kernelfit.backend import cuda, select
from tests.support.fake_cuda.card import CARD, HANDLE, TOTAL_MEMORY
from tests.support.fake_cuda.libraries import libraries
from tests.support.fake_cuda.namespace import namespace

__all__ = ["CARD", "HANDLE", "TOTAL_MEMORY", "cublas", "cupy", "cusolver", "installed"]

cupy = namespace()
cublas, cusolver = libraries()


@contextlib.contextmanager
def installed():
    """Put the stand-in in the place of CuPy, with a fresh card; yields the card."""
    libs = types.ModuleType("cupy_backends.cuda.libs")
    libs.cublas, libs.cusolver = cublas, cusolver
    modules = {
        "cupy": cupy,
        "cupy_backends": types.ModuleType("cupy_backends"),
        "cupy_backends.cuda": types.ModuleType("cupy_backends.cuda"),
        "cupy_backends.cuda.libs": libs,
        "cupy_backends.cuda.libs.cublas": cublas,
        "cupy_backends.cuda.libs.cusolver": cusolver,
    }
    before = {name: sys.modules.get(name) for name in modules}
    CARD.reset()
    sys.modules.update(modules)
    _forget()
    try:
        yield CARD
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module
        _forget()
        CARD.reset()


def _forget():
    """Open GPUs anew."""
    select._cuda.cache_clear()
    select._own_cuda.cache_clear()
    while cuda._CLAIMS:
        cuda._CLAIMS.pop().close()
