import functools
import gc
import os
import signal

# Threads of BLAS and OpenMP that wait for the next call do so asleep, not awake: the problems here are small, and where
# others use the cores too, each of thousands of calls would wait for a thread that waits. Read when NumPy is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")
if "PYTEST_XDIST_WORKER" in os.environ:  # one of several processes; two threads, so that threads are tested
    os.environ.setdefault("OMP_NUM_THREADS", "2")

import pytest

import kernelfit
from kernelfit import datasets
from kernelfit.datasets.fetch import search
from kernelfit.datasets.fetch.registry import find_entry
from kernelfit.solvers.planning import rates

# A shell has what it starts in the background ignore Ctrl-C, and so would the processes that tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish():
    """Tests that collect garbage then pass over what is there for good, which takes a third of a second each time."""
    gc.collect()
    gc.freeze()


def pytest_terminal_summary(terminalreporter):
    """A checkout and an installed wheel look alike otherwise."""
    terminalreporter.write_line(f"tested: {kernelfit.__file__}")


@pytest.fixture(scope="session", autouse=True)
def rates_measured_once():
    """Every solve measures matrix products for half a second, which is more than it then computes here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rates, "measure_gemm", functools.cache(rates.measure_gemm))
        # So does every solve on a disk, with 256 MB; 1 MB has a rate too.
        patch.setattr(rates, "_timed_file", lambda folder, size, timed=rates._timed_file: timed(folder, 2**20))
        yield


@pytest.fixture(scope="session")
def mnist():
    """The real MNIST, or a skip that says why; never a download."""
    if not search.locate(find_entry("mnist")):
        pytest.skip("MNIST is not on this machine: set KERNELFIT_DATA to a folder that holds it")
    return datasets.load("mnist")
