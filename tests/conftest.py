import signal

import pytest

from kernelfit import datasets
from kernelfit.datasets import search
from kernelfit.datasets.registry import find_entry

# A shell has what it starts in the background ignore Ctrl-C, and so would the processes that tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def mnist():
    """The real MNIST, or a skip that says why; never a download."""
    if not search.locate(find_entry("mnist")):
        pytest.skip("MNIST is not on this machine: set KERNELFIT_DATA to a folder that holds it")
    return datasets.load("mnist")
