"""Blur, then take every few pixels: a linear map of rows and columns, two small matrix products."""

import numpy as np
import numpy.typing as npt


def pooling_matrix(size: int, *, blur: float, step: int) -> npt.NDArray[np.float64]:
    """Return P, float64 (q, size): Gaussian averages around q pixels `step` apart, centred on the axis.

    Row j holds exp(-(p - c_j)^2 / (2 blur^2)), p = 0..size-1, over its sum on all integers: zeros beyond the border.
    """
    centres = np.arange((size - 1) % step // 2, size, step)
    reach = int(np.ceil(9 * blur))  # exp(-40) is below the last bit of 1
    total = np.exp(-(np.arange(-reach, reach + 1.0) ** 2) / (2 * blur**2)).sum()
    return np.exp(-((np.arange(size) - centres[:, None]) ** 2) / (2 * blur**2)) / total


class Blur:
    """Blurred and subsampled images, P_y x P_x^T, of images (h, w, n) with the images last."""

    def __init__(self, shape: tuple[int, ...], *, blur: float, step: int, dtype: npt.DTypeLike) -> None:
        self._y, self._x = (pooling_matrix(size, blur=blur, step=step).astype(dtype) for size in shape)
        self.shape = (len(self._y), len(self._x))

    def __call__(self, x: npt.NDArray) -> npt.NDArray:
        """Return (q_y, q_x, n)."""
        h, w, n = x.shape
        return np.matmul(self._x, (self._y @ x.reshape(h, w * n)).reshape(len(self._y), w, n))
