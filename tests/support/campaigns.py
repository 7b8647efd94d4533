"""How often a heavy test repeats what may go wrong once in a hundred times."""

import os


def rounds(usual):
    """Return $KERNELFIT_ROUNDS, or `usual`."""
    return int(os.environ.get("KERNELFIT_ROUNDS") or usual)
