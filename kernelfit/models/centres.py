"""Centres for kernel expansions that are not the training points, drawn at random by a seed.

perturbed(s): training point i plus Gaussian noise, z_i = x_i + s D e / sqrt(d) with e ~ N(0, I_d) and D the median
distance of the training points, so that |z_i - x_i| is about s D. pairs: z = w x_i + (1 - w) x_j for two different
training points, w uniform on [0, 1]. gaussian: every coordinate is noise with the mean and variance of all coordinates
of the training points, like the images of corruption.corrupt_pixels "gaussian". Behind each may stand "x 2", "x 3" and
so on: that many centres for every training point; perturbed goes through the training points again and again.
"""

import dataclasses
import math
import re

import numpy as np
import numpy.typing as npt

from kernelfit.common.errors import InputError, suggestion
from kernelfit.common.rng import generator
from kernelfit.models.bandwidth import median_distance

WAYS = ("perturbed", "pairs", "gaussian")


@dataclasses.dataclass(frozen=True)
class Centres:
    """How centres are drawn; str(centres) is the text that parse_centres reads.

    Attributes
    ----------
    way : str
        One of WAYS.
    size : float or None
        Of "perturbed": length of the noise in median distances of the training points.
    times : int
        Centres for every training point.
    """

    way: str
    size: float | None = None
    times: int = 1

    def __post_init__(self):
        if self.way not in WAYS:
            raise InputError(f"centres {self.way!r}; known are {', '.join(WAYS)}{suggestion(self.way, WAYS)}")
        if (self.size is not None) != (self.way == "perturbed"):
            raise InputError(f"centres {self.way!r} with size {self.size}; write perturbed(0.3), pairs or gaussian")
        if self.size is not None and not (0 < self.size < math.inf):
            raise InputError(f"centres perturbed({self.size:g}); the size of the noise must be positive, e.g. 0.3")
        if not (isinstance(self.times, int) and self.times >= 1):
            raise InputError(f"{self.times} centres for every training point; it must be a whole number of at least 1")

    def __str__(self):
        size = "" if self.size is None else f"({_shortest(self.size)})"
        return f"{self.way}{size}" + (f" x {self.times}" if self.times > 1 else "")

    def draw(self, X: npt.NDArray[np.float64], *, seed: int = 0) -> npt.NDArray[np.float64]:
        """Return the centres of training points X, both float64: (n, d) to (n times, d)."""
        if X.ndim != 2 or X.dtype != np.float64 or len(X) < 2:
            raise InputError(f"centres are drawn from at least 2 points, float64 (n, d); got {X.dtype} {X.shape}")
        rng, m = generator(seed, "centres", self.way), len(X) * self.times
        if self.way == "gaussian":
            Z = rng.standard_normal((m, X.shape[1]))
            Z *= X.std()
            Z += X.mean()
            return Z
        if self.way == "pairs":
            first = rng.integers(0, len(X), m)
            second = (first + rng.integers(1, len(X), m)) % len(X)  # another one, each as likely
            weight = rng.random((m, 1))
            return weight * X[first] + (1 - weight) * X[second]
        assert self.size is not None
        Z = rng.standard_normal((m, X.shape[1]))
        Z *= self.size * median_distance(X) / math.sqrt(X.shape[1])
        Z.reshape(self.times, *X.shape)[...] += X
        return Z


def parse_centres(text: str) -> Centres:
    """Return the Centres of a text: "pairs", "gaussian", "perturbed(0.3)", "pairs x 2"."""
    match = re.fullmatch(r"\s*(\w+)\s*(?:\(\s*([^()]*?)\s*\))?\s*(?:x\s*(\d+))?\s*", str(text))
    try:
        if match is None:
            raise ValueError("another form")
        way, size, times = match.groups()
        return Centres(way, None if size is None else float(size), int(times or 1))
    except InputError:
        raise
    except ValueError as error:
        raise InputError(
            f"centres {text!r} were not understood; write perturbed(0.3), pairs or gaussian, and x 2 behind it for two "
            "centres for every training point"
        ) from error


def _shortest(number):
    """Return a text that reads back as the same number: 1 for 1.0, 0.3, and all digits where it takes them."""
    short = f"{number:g}"
    return short if float(short) == number else repr(float(number))
