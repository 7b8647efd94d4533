"""uint8 stands for pixels / 255 everywhere in kernelfit: telling tables of other small numbers from images."""

import numpy as np
import numpy.typing as npt

_SMALLEST_IMAGE = 16  # pixels, 4 x 4; a table with fewer columns is more likely one of measurements
_DARK = 128  # half of the range: over a few images nearly every pixel is brighter in one of them


def pixels_in_doubt(X: npt.NDArray) -> str | None:
    """Return why the uint8 numbers X, shape (n, d), look like no pixels, or None; other arrays are never in doubt.

    Arrays with the axes of an image, (n, height, width, ...), are what they seem. A flat one is in doubt if it has
    fewer columns than a tiny image has pixels, or if in most of its columns that are not all 0 (as the borders of many
    images are) no number is above half of the range.

    Examples
    --------
    >>> import numpy as np
    >>> pixels_in_doubt(np.array([[34, 180], [51, 165]], dtype=np.uint8))
    'uint8 features count as pixels and are divided by 255, but these 2 look like none: images have more'
    """
    if getattr(X, "dtype", None) != np.uint8 or X.ndim != 2:
        return None
    start = f"uint8 features count as pixels and are divided by 255, but these {X.shape[1]:,} look like none: "
    if X.shape[1] < _SMALLEST_IMAGE:
        return start + "images have more"
    largest = X.max(axis=0, initial=0)
    largest = largest[largest > 0]
    return start + f"most stay below {_DARK}" if len(largest) and np.median(largest) < _DARK else None
