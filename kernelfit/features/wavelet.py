"""The plain discrete wavelet transform of PyWavelets as features."""

import dataclasses

import numpy as np

from kernelfit.common.errors import InputError, suggestion
from kernelfit.common.validation import check_integer
from kernelfit.features.base import ImageMap
from kernelfit.features.streaming import ImageFunction

_BATCH = 512  # PyWavelets transforms a stack of images in one call, with arrays of the size of the stack


@dataclasses.dataclass(frozen=True)
class Wavelet(ImageMap):
    """All coefficients of the separable 2-D wavelet transform of an image (Mallat 1989), coarsest first.

    With an orthonormal wavelet, mode "periodization", and sides that are multiples of 2^level it is a rotation: the
    distances between images, and so every kernel of distances, stay as they were.

    Parameters
    ----------
    wavelet : str
        A discrete wavelet of PyWavelets: haar, db2, sym4, bior2.2, ...
    level : int
        Times that the low-passed image is split again; 0 leaves the image as it is.
    mode : str
        How the image goes on beyond its border: one of PyWavelets' modes, e.g. zero, symmetric, periodization.
    """

    name = "wavelet"

    wavelet: str = "db2"
    level: int = 2
    mode: str = "periodization"

    def __post_init__(self) -> None:
        import pywt

        self._plain_numbers()
        if self.wavelet not in pywt.wavelist(kind="discrete"):
            near = suggestion(self.wavelet, pywt.wavelist(kind="discrete"))
            raise InputError(f"wavelet {self.wavelet!r} is no discrete wavelet of PyWavelets{near}; try haar or db2")
        if self.mode not in pywt.Modes.modes:
            near = suggestion(self.mode, pywt.Modes.modes)
            raise InputError(f"mode {self.mode!r}{near} is none of {', '.join(pywt.Modes.modes)}")
        check_integer("level", self.level, 0)

    def prepared(self, shape: tuple[int, ...], dtype: type[np.floating]) -> tuple[ImageFunction, int, int]:
        import pywt

        if min(shape) < 2**self.level:
            raise InputError(
                f"images of {shape[0]} x {shape[1]} pixels cannot be halved {self.level} times; take level <= "
                f"{min(shape).bit_length() - 1}"
            )

        def coefficients(images):
            low, bands = images, []
            # Level by level, as pywt.wavedec2 does, which also warns where a level is mostly border: a choice here.
            for _ in range(self.level):
                low, details = pywt.dwt2(low, self.wavelet, mode=self.mode, axes=(0, 1))
                bands = [*details, *bands]
            return np.concatenate([band.reshape(-1, images.shape[2]) for band in (low, *bands)])

        return coefficients, len(coefficients(np.zeros((*shape, 1), dtype))), _BATCH
