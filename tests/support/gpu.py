"""A GPU for tests: a real one where there is one, and the stand-in of tests/support/fake_cuda everywhere."""

import pytest

from kernelfit import backend
from kernelfit.common.errors import InputError, MissingLibraryError
from kernelfit.solvers.planning.rates import Rates

SETTINGS = [pytest.param("stand-in", id="stand-in"), pytest.param("gpu", marks=pytest.mark.gpu, id="gpu")]
# Rates of a card beside a slow bus, so that plans do not depend on this machine: a second for 1e13 operations.
RATES = Rates(float64=1e13, float32=2e13, entry=1e-10, upload=1e10)


def opened(request, setting):
    """Return the stand-in or the GPU of this machine as a device, or skip."""
    if setting == "stand-in":
        request.getfixturevalue("card")
        return backend.device("cuda")
    try:
        return backend.device("cuda")
    except (InputError, MissingLibraryError) as error:
        pytest.skip(str(error))
