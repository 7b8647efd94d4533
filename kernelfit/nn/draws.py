"""What is random in a training: functions of (seed, epoch, index), the same on every device and for every batch size.

Drawn by numpy, an epoch at a time: 50,000 examples take two milliseconds.
"""

from kernelfit.common.rng import generator


def order(seed, epoch, n):
    """Return the order in which the n examples are seen in an epoch, int64 (n,)."""
    return generator(seed, "order", epoch).permutation(n)


def crop_offsets(seed, epoch, n, room):
    """Return where the crop of each example begins, int64 (n, 2), uniform from 0 to room = (rows, columns) to spare."""
    return generator(seed, "crops", epoch).integers(0, room, (n, 2), endpoint=True)


def torch_seed(seed, *purpose):
    """Return a seed for PyTorch's generator: of initial weights, or of the dropout of an epoch's first step."""
    return int(generator(seed, "torch", *purpose).integers(2**62))
